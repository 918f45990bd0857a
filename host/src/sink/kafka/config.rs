//! What may be written below `kafka:`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::kafka::{Brokers, Connection, KafkaSaslConfig, KafkaTlsConfig};
use crate::written::Duration;

/// A topic of a Kafka cluster. Rows, dead letters and the lane's position are one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkConfig {
    /// Where the cluster is first asked, like `localhost:9092`; several in a list, or with commas.
    pub brokers: Brokers,
    /// Where rows go: a topic that is there; or `{ from: $topic, allow: [pin, geo] }`, the topic that the
    /// record came from, if it is one of these.
    pub topic: TargetTopic,
    /// The columns that are the message's key. Left out, rows have none. A key is no upsert: all rows of a key
    /// are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Columns that headers of their names hold as text, besides the message itself. A null has no header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Which partition a message goes to.
    #[serde(default)]
    pub partition: TargetPartition,
    /// Say in headers of each row which record it was made of and what made it: `_pinhost_lane`,
    /// `_pinhost_position`, `_pinhost_generation` and `_pinhost_version`.
    #[serde(default = "yes")]
    pub provenance: bool,
    #[serde(default)]
    pub compression: KafkaCompression,
    /// The topic for dead letters, which is made if it is not there. Left out, that of the ledger and
    /// `.dead-letters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<String>,
    /// The topic in which the pipeline keeps what it knows of itself, which is made if it is not there. Left
    /// out, `pinhost.` and the pipeline's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// How long a transaction may be open that nobody ends: readers of committed messages wait as long.
    #[serde(default = "transaction_timeout")]
    pub transaction_timeout: Duration,
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
}

fn yes() -> bool {
    true
}

fn transaction_timeout() -> Duration {
    Duration::secs(60)
}

impl KafkaSinkConfig {
    pub(super) fn connection(&self) -> Connection<'_> {
        Connection {
            brokers: &self.brokers,
            tls: self.tls.as_ref(),
            sasl: self.sasl.as_ref(),
            properties: &self.properties,
        }
    }

    /// The topic of the ledger. A replay's is that of its pipeline.
    pub(super) fn ledger_topic(&self, pipeline: &str) -> String {
        let pipeline = pipeline.split_once(".replay-").map_or(pipeline, |(pipeline, _)| pipeline);
        self.ledger.clone().unwrap_or_else(|| format!("pinhost.{pipeline}"))
    }

    pub(super) fn letters_topic(&self, pipeline: &str) -> String {
        let of_ledger = || format!("{}.dead-letters", self.ledger_topic(pipeline));
        self.dead_letters.clone().unwrap_or_else(of_ledger)
    }
}

/// A topic, or where its name comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TargetTopic {
    Named(String),
    Routed(RoutedTopic),
}

/// The topic that a record came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutedTopic {
    pub from: TopicOrigin,
    /// Those that there are to be written to. Records of others are dead letters.
    #[schemars(length(min = 1))]
    pub allow: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicOrigin {
    /// The topic, stream or route that the record came from.
    #[serde(rename = "$topic")]
    Topic,
}

impl TargetTopic {
    /// All topics that rows may go to.
    pub fn all(&self) -> &[String] {
        match self {
            Self::Named(topic) => std::slice::from_ref(topic),
            Self::Routed(routed) => &routed.allow,
        }
    }
}

impl fmt::Display for TargetTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.all().join(", "))
    }
}

impl<'de> Deserialize<'de> for TargetTopic {
    // Not by `untagged`, which would lose the places of what is wrong in it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = TargetTopic;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic, or { from: $topic, allow: [a topic] }")
            }

            fn visit_str<E: serde::de::Error>(self, topic: &str) -> Result<TargetTopic, E> {
                Ok(TargetTopic::Named(topic.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TargetTopic, A::Error> {
                let routed = RoutedTopic::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TargetTopic::Routed(routed))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for TargetTopic {
    fn schema_name() -> Cow<'static, str> {
        "TargetTopic".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let routed = generator.subschema_for::<RoutedTopic>();
        json_schema!({
            "description": "A topic, or where its name comes from.",
            "anyOf": [{ "type": "string" }, routed],
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetPartition {
    /// By the message's key, as Java's producers have it; without one, all messages of a lane go to one
    /// partition.
    #[default]
    Key,
    /// All messages of a lane go to one partition, whatever their keys are.
    Lane,
    /// The one with the number that the record's had.
    Same,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaCompression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

impl KafkaCompression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}
