//! How a Kafka cluster is reached and read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

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
}

/// As it was written: text or a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Brokers {
    Text(String),
    List(Vec<String>),
}

impl Brokers {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match self {
            Self::Text(text) => (Some(text.as_str()), &[][..]),
            Self::List(list) => (None, &list[..]),
        };
        text.into_iter()
            .flat_map(|text| text.split(','))
            .chain(list.iter().map(String::as_str))
            .map(str::trim)
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(","))
    }
}

impl<'de> Deserialize<'de> for Brokers {
    // Not by `untagged`, which would lose the places of what is wrong in it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Brokers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("brokers, like localhost:9092")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Brokers, E> {
                Ok(Brokers::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Brokers, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Brokers::List(list))
            }
        }

        deserializer.deserialize_any(Written)
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

/// Encrypted connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTlsConfig {
    /// The certificates that are trusted: a PEM file, relative to the pipeline's file. Left out,
    /// those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Our own certificate, a PEM file, if the brokers ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its private key, a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the private key is encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_password: Option<String>,
    /// Whether a broker's certificate has to be for the name that it was reached by.
    pub verify_hostname: bool,
}

impl Default for KafkaTlsConfig {
    fn default() -> Self {
        Self { ca: None, certificate: None, key: None, key_password: None, verify_hostname: true }
    }
}

/// How we say who we are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSaslConfig {
    pub mechanism: KafkaMechanism,
    /// All but `msk-iam` want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// All but `msk-iam` want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The AWS region of the cluster, for `msk-iam`; left out, what the AWS settings of the machine
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Without its password.
impl fmt::Debug for KafkaSaslConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, password: _, region } = self;
        f.debug_struct("KafkaSaslConfig")
            .field("mechanism", mechanism)
            .field("username", username)
            .field("region", region)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaMechanism {
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// The AWS identity of the machine or the environment, for Amazon MSK.
    MskIam,
}

impl KafkaMechanism {
    /// As Kafka has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::MskIam => "OAUTHBEARER",
        }
    }
}
