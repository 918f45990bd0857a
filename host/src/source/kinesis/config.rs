//! Which streams are read, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connect::StartConfig;
use crate::kinesis::AwsConfig;
use crate::written::Duration;

/// Streams of Amazon Kinesis. Each shard is a lane; how far it has come is kept by the sink, and so
/// is who reads which shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KinesisSourceConfig {
    /// What is read.
    #[schemars(length(min = 1))]
    pub streams: Vec<String>,
    /// Where shards start when the pipeline first runs. Those that come later start at their
    /// beginning.
    #[serde(default)]
    pub start: StartConfig,
    /// Which records are read; the others are counted, and dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<KinesisOnly>,
    /// How often a shard that has nothing new is asked. All readers of a shard together may ask it
    /// five times a second.
    #[serde(default = "poll")]
    pub poll: Duration,
    /// How long a process may be silent before the others take its shards over.
    #[serde(default = "session_timeout")]
    pub session_timeout: Duration,
    #[serde(default, skip_serializing_if = "AwsConfig::is_default")]
    pub aws: AwsConfig,
    /// Take the record out of this member of each record's object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}

/// Which records are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KinesisOnly {
    /// Those whose partition key matches, like `streaming-*-pin`.
    pub key: String,
}

fn poll() -> Duration {
    Duration::secs(1)
}

fn session_timeout() -> Duration {
    Duration::secs(12)
}
