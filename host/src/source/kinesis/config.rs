//! Which streams are read, and how.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    pub start: KinesisStart,
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

/// `earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KinesisStart {
    /// The oldest record that the stream still has.
    #[default]
    Earliest,
    Latest,
    /// The first record that arrived at that time or later.
    Time(Timestamp),
}

impl Serialize for KinesisStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::Time(time) => serializer.collect_str(time),
        }
    }
}

impl<'de> Deserialize<'de> for KinesisStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        match &*text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| {
                serde::de::Error::custom(format_args!(
                    "`{text}` is no start; it is earliest, latest, or a time like 2026-01-31T00:00:00Z"
                ))
            }),
        }
    }
}

impl JsonSchema for KinesisStart {
    fn schema_name() -> Cow<'static, str> {
        "KinesisStart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.",
            "type": "string",
            "examples": ["earliest", "latest", "2026-01-31T00:00:00Z"],
        })
    }
}
