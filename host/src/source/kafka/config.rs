//! How a Kafka cluster is reached and read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

use crate::kafka::{Brokers, Connection, KafkaSaslConfig, KafkaTlsConfig};
use crate::written::Duration;

/// Topics of a Kafka cluster. Each partition is a lane; how far it has come is kept by the sink,
/// and committed to the consumer group only for those who look at lag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSourceConfig {
    /// Where the cluster is first asked, like `localhost:9092`; several in a list, or with commas.
    pub brokers: Brokers,
    /// What is read.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// The consumer group whose members share the partitions. Left out, `pinhost.` and the
    /// pipeline's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where partitions start when the pipeline first runs. Those that come later start at their
    /// beginning.
    #[serde(default)]
    pub start: KafkaStart,
    /// The name of this process in the group, if it is to get its partitions back after a restart
    /// without the group being shared out anew. No two processes have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// How long a process may be out of reach before the others take its partitions over.
    #[serde(default = "session_timeout")]
    pub session_timeout: Duration,
    /// Left out, connections are not encrypted, unless `sasl` wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTlsConfig>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSaslConfig>,
    /// More settings for librdkafka, as its documentation has them. Those that a promise rests on
    /// cannot be changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Take the record out of this member of each record's object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}

fn session_timeout() -> Duration {
    Duration::secs(6)
}

impl KafkaSourceConfig {
    pub fn group(&self, pipeline: &str) -> String {
        self.group.clone().unwrap_or_else(|| format!("pinhost.{pipeline}"))
    }

    pub(super) fn connection(&self) -> Connection<'_> {
        Connection {
            brokers: &self.brokers,
            tls: self.tls.as_ref(),
            sasl: self.sasl.as_ref(),
            properties: &self.properties,
        }
    }
}

/// `earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaStart {
    #[default]
    Earliest,
    Latest,
    /// The first record of that time or later.
    Time(Timestamp),
}

impl Serialize for KafkaStart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::Time(time) => serializer.collect_str(time),
        }
    }
}

impl<'de> Deserialize<'de> for KafkaStart {
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

impl JsonSchema for KafkaStart {
    fn schema_name() -> Cow<'static, str> {
        "KafkaStart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.",
            "type": "string",
            "examples": ["earliest", "latest", "2026-01-31T00:00:00Z"],
        })
    }
}
