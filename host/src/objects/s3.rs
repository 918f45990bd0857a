//! Buckets: whom to ask, as whom, and how often.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::{
    ClientConfigKey, ClientOptions, CredentialProvider, Error as StoreError, RetryConfig,
};
use tokio::sync::Mutex;

use super::S3Config;

/// A server that is not there is known by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte of an answer. An object is on its way for as long, too.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// For what is small, and is asked about again if there is no answer.
const ONCE_TIMEOUT: Duration = Duration::from_secs(30);
/// What passes soon is tried again here; what does not is for the runtime to wait for, and to tell.
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Credentials are asked for again this long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// A bucket by two clients.
#[derive(Debug)]
pub(super) struct Bucket {
    pub store: AmazonS3,
    /// Never tries again: an applied put that is tried again meets itself, and looks like another's.
    pub once: AmazonS3,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BucketError {
    #[error("{endpoint} is asked without encryption")]
    PlainHttp { endpoint: String },
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Bucket {
    pub async fn open(bucket: &str, config: &S3Config) -> Result<Self, BucketError> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Some(endpoint) = &config.endpoint {
            builder = builder
                .with_config(AmazonS3ConfigKey::Endpoint, endpoint)
                .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        let aws = load(&builder).await;
        if let (None, Some(endpoint)) = (endpoint(&builder), aws.endpoint_url()) {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = aws.region() {
            builder = builder.with_region(region.as_ref());
        }
        let mut may_be_plain = false;
        if let Some(endpoint) = endpoint(&builder) {
            let allowed = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
            let is_allowed = builder.get_config_value(&allowed).is_some_and(|is| is == "true");
            if !config.allows(&endpoint) && !is_allowed {
                return Err(BucketError::PlainHttp { endpoint });
            }
            may_be_plain = true;
            if !config.path_style {
                builder = builder.with_config(
                    AmazonS3ConfigKey::S3Endpoint,
                    with_bucket_in_host(&endpoint, bucket),
                );
            }
        }
        builder = builder
            .with_virtual_hosted_style_request(!config.path_style)
            .with_credentials(Arc::new(AwsChain { aws, latest: Mutex::default() }));
        let options = ClientOptions::new()
            .with_allow_http(may_be_plain)
            .with_connect_timeout(CONNECT_TIMEOUT);
        let retry = |max_retries| RetryConfig {
            max_retries,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        };
        let patient = options.clone().with_timeout_disabled().with_read_timeout(SILENCE_MAX);
        let once = builder
            .clone()
            .with_client_options(options.with_timeout(ONCE_TIMEOUT))
            .with_retry(retry(0));
        let store = builder.with_client_options(patient).with_retry(retry(RETRIES));
        Ok(Self { store: store.build()?, once: once.build()? })
    }
}

fn with_bucket_in_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{bucket}.{rest}"),
        None => format!("{bucket}.{endpoint}"),
    }
}

fn endpoint(builder: &AmazonS3Builder) -> Option<String> {
    let value = |key| builder.get_config_value(&key);
    value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint))
}

/// What the environment and the files below `~/.aws` say.
async fn load(builder: &AmazonS3Builder) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    let given = |key| builder.get_config_value(&key);
    let region =
        given(AmazonS3ConfigKey::Region).or_else(|| given(AmazonS3ConfigKey::DefaultRegion));
    // Servers that are not AWS's take any. Asking a cloud for it would only take time.
    let any = || endpoint(builder).map(|_| "us-east-1".to_owned());
    if let Some(region) = region.or_else(any) {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

/// Credentials as all tools of AWS find them: environment, profiles, single sign-on, processes, roles of
/// containers and machines.
#[derive(Debug)]
struct AwsChain {
    aws: SdkConfig,
    latest: Mutex<Option<Latest>>,
}

#[derive(Debug)]
struct Latest {
    credential: Arc<AwsCredential>,
    ends: Option<SystemTime>,
}

impl Latest {
    fn holds(&self) -> bool {
        self.ends.is_none_or(|ends| ends > SystemTime::now() + RENEW_BEFORE)
    }
}

#[async_trait]
impl CredentialProvider for AwsChain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut latest = self.latest.lock().await;
        if let Some(latest) = latest.as_ref().filter(|latest| latest.holds()) {
            return Ok(Arc::clone(&latest.credential));
        }
        let missing = |cause: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::Unauthenticated { path: String::new(), source: cause }
        };
        let provider =
            self.aws.credentials_provider().ok_or_else(|| missing("none are set".into()))?;
        let found = provider.as_ref().provide_credentials().await;
        let found = found.map_err(|error| missing(error.into()))?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *latest = Some(Latest { credential: Arc::clone(&credential), ends: found.expiry() });
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_may_be_part_of_the_host() {
        let host = with_bucket_in_host("https://storage.example.com:443", "pins");
        assert_eq!(host, "https://pins.storage.example.com:443");
    }
}
