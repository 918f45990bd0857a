//! How a Kafka cluster is reached and read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connect::StartConfig;
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
    pub start: StartConfig,
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
