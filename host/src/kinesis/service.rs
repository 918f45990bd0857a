//! Questions to Kinesis about streams and their shards.

use std::env;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Builder;
use aws_sdk_kinesis::types::Shard;
use jiff::Timestamp;
use uuid::Uuid;

use super::clock::{Clock, ClockReader};
use super::{AwsConfig, KinesisError};
use crate::record::Digest;

/// A server that is not there is known by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer may hold 10 MiB.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Kinesis as one pipeline asks it. Nothing is tried again here: whoever asks has a pace to keep.
#[derive(Clone)]
pub struct Service {
    pub client: Client,
    clock: Arc<Clock>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// A stream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    pub arn: String,
    /// Of this stream and of no other that had its name before.
    pub id: Uuid,
    pub created: Timestamp,
}

/// A shard as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFacts {
    pub id: Arc<str>,
    /// Those that it was made of.
    pub parents: Vec<Arc<str>>,
    /// The hashes of partition keys that it takes.
    pub hashes: RangeInclusive<u128>,
    /// Where it begins: a sequence number.
    pub begins: String,
    pub is_open: bool,
}

impl Service {
    pub async fn open(config: &AwsConfig) -> Result<Self, KinesisError> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = config
            .endpoint
            .clone()
            .or_else(|| variable("AWS_ENDPOINT_URL_KINESIS"))
            .or_else(|| variable("AWS_ENDPOINT_URL"));
        if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !config.allows(endpoint)) {
            return Err(KinesisError::PlainHttp { endpoint: endpoint.clone() });
        }
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_timeout(ANSWER_TIMEOUT)
                    .build(),
            );
        if let Some(profile) = &config.profile {
            loader = loader.profile_name(profile);
        }
        let is_set = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        // Servers that are not AWS's take any. Asking a cloud for it would only take time.
        let any = || endpoint.as_ref().filter(|_| is_set().is_none()).map(|_| "us-east-1".into());
        if let Some(region) = config.region.clone().or_else(any) {
            loader = loader.region(Region::new(region));
        }
        let aws = loader.load().await;
        if aws.region().is_none() {
            return Err(KinesisError::NoRegion);
        }
        let clock = Arc::<Clock>::default();
        let mut builder = Builder::from(&aws).interceptor(ClockReader(Arc::clone(&clock)));
        if let Some(role) = &config.role {
            let role = AssumeRoleProvider::builder(role).session_name("pinhost").configure(&aws);
            builder = builder.credentials_provider(role.build().await);
        }
        // Not for STS, which is asked elsewhere.
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Ok(Self { client: Client::from_conf(builder.build()), clock })
    }

    /// As late as it is for the service, once it has answered anything.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn stream(&self, name: &str) -> Result<StreamFacts, KinesisError> {
        let asked = self.client.describe_stream_summary().stream_name(name).send().await;
        let told = asked.map_err(|error| KinesisError::of("see the summary", name, &error))?;
        let Some(summary) = told.stream_description_summary() else {
            return Err(odd(name, "its description is empty"));
        };
        let arn = summary.stream_arn().to_owned();
        let created = summary.stream_creation_timestamp();
        let created = created.to_millis().ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let created = created.ok_or_else(|| odd(name, "nobody knows when it was made"))?;
        let made = created.as_millisecond().to_be_bytes();
        let [high, low] = Digest::of_pieces([arn.as_bytes(), &made[..]]).words();
        Ok(StreamFacts { arn, id: Uuid::from_u64_pair(high, low), created })
    }

    /// All shards that are there, also those that take nothing any more: parents come before children.
    pub async fn shards(&self, name: &str) -> Result<Vec<ShardFacts>, KinesisError> {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let request = self.client.list_shards();
            let request = match token {
                Some(token) => request.next_token(token),
                None => request.stream_name(name),
            };
            let asked = request.send().await;
            let page = asked.map_err(|error| KinesisError::of("list the shards", name, &error))?;
            for shard in page.shards() {
                all.push(ShardFacts::of(shard).ok_or_else(|| odd(name, "a shard has no range"))?);
            }
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }
}

fn odd(stream: &str, reason: &str) -> KinesisError {
    let (action, stream) = ("see the description", stream.to_owned());
    KinesisError::Failed { action, stream, reason: reason.to_owned() }
}

impl ShardFacts {
    /// None if the answer lacks what every shard has.
    fn of(shard: &Shard) -> Option<Self> {
        let hashes = shard.hash_key_range()?;
        let (from, to) = (hashes.starting_hash_key(), hashes.ending_hash_key());
        let numbers = shard.sequence_number_range()?;
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        Some(Self {
            id: shard.shard_id().into(),
            parents: parents.into_iter().flatten().map(Into::into).collect(),
            hashes: from.parse().ok()?..=to.parse().ok()?,
            begins: numbers.starting_sequence_number().to_owned(),
            is_open: numbers.ending_sequence_number().is_none(),
        })
    }
}
