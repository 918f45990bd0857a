//! What librdkafka calls us for, whatever a client does: its log, its troubles, tokens.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;

use super::lock;

/// One that asks the cluster questions.
pub(crate) type Asker = BaseConsumer<Talk>;

/// What a client says to us.
#[derive(Debug)]
pub(crate) struct Talk {
    pub trouble: Arc<Trouble>,
    /// None if no tokens are asked for.
    pub tokens: Option<Tokens>,
    /// What others meet is told by who asked.
    pub tells: bool,
}

impl ClientContext for Talk {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error, Warning};
        match level {
            // The first two are told as errors, too, and then once. The last is about a hint.
            // Clients of a pipeline are given the same properties, whichever of them each can use.
            _ if matches!(facility, "FAIL" | "ERROR" | "COMMITFAIL" | "CONFWARN") => {
                tracing::debug!("Kafka: {message}");
            }
            Emerg | Alert | Critical => tracing::error!("Kafka: {message}"),
            Error | Warning => tracing::warn!("Kafka: {message}"),
            _ => tracing::debug!("Kafka: {facility} {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let is_new = self.trouble.note(code, reason);
        if is_new && self.tells {
            if code == RDKafkaErrorCode::AllBrokersDown {
                let reason = self.trouble.worst().map_or_else(String::new, |(_, reason)| reason);
                tracing::warn!("Kafka: no broker answers; trying again: {reason}");
                self.trouble.is_told.store(true, Ordering::Relaxed);
            } else {
                tracing::warn!("Kafka: {reason}; trying again");
            }
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        match &self.tokens {
            Some(tokens) => tokens.next(),
            None => Err("no tokens are asked for".into()),
        }
    }
}

impl ConsumerContext for Talk {}

/// What is wrong with the cluster as a whole, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    known: Mutex<Vec<(RDKafkaErrorCode, String)>>,
    /// Somebody waits to hear that it is over.
    is_told: AtomicBool,
}

impl Trouble {
    /// Whether it was not known.
    fn note(&self, code: RDKafkaErrorCode, reason: &str) -> bool {
        use RDKafkaErrorCode::{AutoOffsetReset, BrokerTransportFailure, PartitionEOF};
        const KNOWN_MAX: usize = 16;
        // These are told to a lane, which says more about them.
        if matches!(code, PartitionEOF | AutoOffsetReset) {
            return false;
        }
        let mut known = lock(&self.known);
        let is_known = known.iter().any(|(one, _)| *one == code);
        if !is_known && known.len() < KNOWN_MAX {
            known.push((code, reason.to_owned()));
        }
        // One broker out of several may be away; all of them are told of as such.
        !is_known && !matches!(code, BrokerTransportFailure)
    }

    /// Brokers answer.
    pub(crate) fn is_over(&self) {
        lock(&self.known).clear();
        if self.is_told.swap(false, Ordering::Relaxed) {
            tracing::info!("Kafka: brokers answer again");
        }
    }

    /// Whether waiting helps nothing: somebody has to mend our settings, or theirs.
    pub(crate) fn is_refusal(&self) -> bool {
        use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed};
        self.worst().is_some_and(|(code, _)| {
            matches!(code, Authentication | SSL | SaslAuthenticationFailed)
        })
    }

    /// What is behind it, rather than what follows from it.
    pub(crate) fn worst(&self) -> Option<(RDKafkaErrorCode, String)> {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, SSL, SaslAuthenticationFailed};
        let weight = |code: &RDKafkaErrorCode| match code {
            Authentication | SaslAuthenticationFailed => 0,
            SSL => 1,
            AllBrokersDown => 3,
            _ => 2,
        };
        lock(&self.known).iter().min_by_key(|(code, _)| weight(code)).cloned()
    }
}

/// Tokens for Amazon MSK, of the AWS identity that is found as the AWS tools find it.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub region: Option<String>,
    pub runtime: Handle,
}

impl Tokens {
    /// Called by the thread that serves Kafka, which may wait.
    fn next(&self) -> Result<OAuthToken, Box<dyn Error>> {
        const TIME: Duration = Duration::from_secs(10);
        self.runtime.block_on(async {
            let settings = aws_config::defaults(BehaviorVersion::latest());
            let settings = match &self.region {
                Some(region) => settings.region(Region::new(region.clone())),
                None => settings,
            };
            let made = tokio::time::timeout(TIME, async {
                let settings = settings.load().await;
                let region = settings
                    .region()
                    .cloned()
                    .ok_or("no AWS region is set; `sasl.region:` sets it")?;
                let identity = settings.credentials_provider().ok_or("there is no AWS identity")?;
                let identity = identity.provide_credentials().await?;
                let ends = identity.expiry();
                let token = aws_msk_iam_sasl_signer::generate_auth_token_from_credentials_provider(
                    region,
                    SharedCredentialsProvider::new(identity),
                );
                let (token, lifetime_ms) = token.await?;
                Ok::<_, Box<dyn Error>>((token, lifetime(lifetime_ms, ends)))
            });
            let (token, lifetime_ms) = made.await??;
            // Brokers tell who it is by the token; the name is for logs.
            Ok(OAuthToken { token, principal_name: "pinhost".to_owned(), lifetime_ms })
        })
    }
}

/// Until when a token is good. Brokers end what was signed by a temporary identity with that identity,
/// which the signer doesn't know.
fn lifetime(signed_until_ms: i64, identity_ends: Option<SystemTime>) -> i64 {
    let ends = identity_ends.and_then(|ends| ends.duration_since(UNIX_EPOCH).ok());
    let ends_ms = ends.map(|ends| i64::try_from(ends.as_millis()).unwrap_or(i64::MAX));
    ends_ms.map_or(signed_until_ms, |ends_ms| ends_ms.min(signed_until_ms))
}
