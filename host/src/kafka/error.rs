//! What can go wrong between us and a Kafka cluster, whatever we want of it.

use std::io;
use std::path::PathBuf;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::record::{ConnectorError, ErrorClass};

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("cannot read {path}", path = .path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("librdkafka refuses its settings: {0}")]
    Settings(KafkaError),
    #[error("no broker of {brokers} answers: {reason}")]
    Unreachable { brokers: String, reason: String },
    #[error("the brokers of {brokers} do not let us in: {reason}")]
    Denied { brokers: String, reason: String },
    #[error("a certificate or key is not as the brokers of {brokers} or we want it: {reason}")]
    Tls { brokers: String, reason: String },
    #[error("{brokers} did not answer in time, or not well: {code}")]
    Request { brokers: String, code: RDKafkaErrorCode },
    #[error("there is no topic {topic}")]
    NoTopic { topic: String },
    #[error("reading topic {topic} is not allowed")]
    TopicDenied { topic: String },
    #[error("there is no topic {topic}, and we may not make it")]
    NotMade { topic: String },
}

impl ClusterError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::Request { .. } => ErrorClass::Transient,
            Self::File { .. }
            | Self::Denied { .. }
            | Self::Tls { .. }
            | Self::NoTopic { .. }
            | Self::TopicDenied { .. }
            | Self::NotMade { .. } => ErrorClass::Systemic,
            Self::Settings(_) => ErrorClass::Fatal,
        }
    }

    /// What to do about it, where `named` is the key that names topics.
    pub(crate) fn help(&self, named: &str) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "see whether `brokers:` is right, and whether they want `tls:` or `sasl:`"
                    .to_owned()
            }
            Self::Denied { .. } => {
                "see `sasl:`: the mechanism, the user and the password".to_owned()
            }
            Self::Tls { .. } => {
                "see `tls:`; `ca:` names the certificates to trust, if not those of the machine"
                    .to_owned()
            }
            Self::NoTopic { .. } => format!("make it, or correct `{named}:`"),
            Self::TopicDenied { topic } => {
                format!(
                    "let us read and describe topic {topic}, in the access lists of the cluster"
                )
            }
            Self::NotMade { topic } => {
                format!("let us make topic {topic}, or make it as our page says")
            }
            Self::File { .. } | Self::Settings(_) | Self::Request { .. } => return None,
        })
    }
}

/// As sources meet it.
impl From<ClusterError> for ConnectorError {
    fn from(error: ClusterError) -> Self {
        let help = error.help("topics");
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}
