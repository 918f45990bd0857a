//! How a Kafka cluster is reached.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

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
