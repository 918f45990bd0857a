//! What goes wrong between a sink and a Kafka cluster, and what to do about it.

use std::io;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use crate::kafka::ClusterError;
use crate::ledger::LedgerFault;
use crate::record::{ConnectorError, ErrorClass, Lane};

#[derive(Debug, thiserror::Error)]
pub enum KafkaSinkError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error("librdkafka refuses its settings: {0}")]
    Settings(KafkaError),
    #[error("the thread that reads the ledger cannot be started")]
    Thread(#[source] io::Error),
    #[error("the thread that writes to Kafka ended")]
    Ended,

    #[error("topic {topic} is read and written by this pipeline, which would never end")]
    Circle { topic: String },
    #[error("the ledger {topic} has {found}, and it has to have {wanted}")]
    LedgerSettings { topic: String, found: String, wanted: String },
    #[error("the ledger {topic} cannot be read: {reason}")]
    Unread { topic: String, reason: String },
    #[error("the ledger holds at {key} what cannot be read")]
    Unreadable {
        key: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error(
        "partition 0 of the ledger {topic} has a transaction that is open for more than {}",
        crate::written::Duration(*.waited)
    )]
    OpenTransaction { topic: String, waited: Duration },
    #[error(
        "the ledger {topic} does not know pipeline {pipeline}, whose rows are in topic {target}"
    )]
    LostLedger { topic: String, pipeline: String, target: String },
    #[error(
        "topic {topic} was deleted and made anew: rows of lane {lane} went to the one with id {was}, and this is \
         {is}"
    )]
    Recreated { lane: Lane, topic: String, was: Uuid, is: Uuid },

    #[error(
        "topic {topic} has {partitions} partitions, and a record is to go to partition {partition}"
    )]
    NoPartition { topic: String, partition: i32, partitions: usize },
    #[error("transactional id {id} is not allowed")]
    IdDenied { id: String },
    #[error("writing to topic {topic} is not allowed")]
    WriteDenied { topic: String },
    #[error("the brokers take no transactions of {}", crate::written::Duration(*.timeout))]
    Timeout { timeout: Duration },
    #[error("the transaction of lane {lane} was taken back: {reason}")]
    TakenBack { lane: String, reason: String },
    #[error("the producer of lane {lane} cannot be opened: {reason}")]
    NotOpened { lane: String, reason: String },
    #[error("the producer of lane {lane} was lost: {reason}")]
    Lost { lane: String, reason: String },
    #[error("somebody opened a producer of lane {lane} at the same time")]
    Contended { lane: String },
    #[error("topics refuse messages together that they take one by one: {code}")]
    Together { code: RDKafkaErrorCode },
    #[error("piece {number} of dead letter {id} is missing in the ledger")]
    LostPiece { id: String, number: u32 },
    #[error("rows came in a form that this sink has not made")]
    OtherRows,
    #[error("the ledger {topic} did not take an entry: {reason}")]
    Note { topic: String, reason: String },
    #[error("writing to the ledger {topic} is not allowed")]
    NoteDenied { topic: String },
}

impl KafkaSinkError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Cluster(error) => error.class(),
            Self::Ledger(fault) => fault.class(),
            Self::Ended
            | Self::Unread { .. }
            | Self::OpenTransaction { .. }
            | Self::TakenBack { .. }
            | Self::NotOpened { .. }
            | Self::Lost { .. }
            | Self::Contended { .. }
            | Self::Note { .. } => ErrorClass::Transient,
            Self::LedgerSettings { .. }
            | Self::Unreadable { .. }
            | Self::LostLedger { .. }
            | Self::LostPiece { .. }
            | Self::Recreated { .. }
            | Self::NoPartition { .. }
            | Self::IdDenied { .. }
            | Self::WriteDenied { .. }
            | Self::Timeout { .. }
            | Self::Together { .. }
            | Self::NoteDenied { .. } => ErrorClass::Systemic,
            Self::Settings(_) | Self::Thread(_) | Self::Circle { .. } | Self::OtherRows => {
                ErrorClass::Fatal
            }
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Cluster(error) => return error.help("topic"),
            Self::Ledger(fault) => return fault.help(),
            Self::Circle { .. } => "write to another topic".to_owned(),
            Self::LedgerSettings { topic, wanted, .. } if wanted.contains('=') => format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {wanted}"
            ),
            Self::LedgerSettings { .. } => "name another topic by `ledger:`".to_owned(),
            Self::OpenTransaction { topic, .. } => format!(
                "`kafka-transactions.sh describe-producers --topic {topic} --partition 0` names its producer, \
                 and `kafka-transactions.sh abort` ends it"
            ),
            Self::LostLedger { .. } => {
                "restore the ledger; or give the pipeline another `name:`, under which it starts anew"
                    .to_owned()
            }
            Self::Recreated { lane, .. } => format!(
                "to go on with the new topic: pinhost lanes move PIPELINE {lane} --to POSITION --accept-gap; \
                 `earliest` writes everything again that is still there"
            ),
            Self::NoPartition { .. } => {
                "give it as many partitions as the topic that is read, or leave out `partition: same`"
                    .to_owned()
            }
            Self::IdDenied { id } => format!(
                "let us write and describe transactional ids that begin like {id}, in the access lists of the \
                 cluster"
            ),
            Self::WriteDenied { topic } | Self::NoteDenied { topic } => {
                format!("let us write to topic {topic}, in the access lists of the cluster")
            }
            Self::Timeout { .. } => {
                "see `transaction_timeout:`, and `transaction.max.timeout.ms` of the brokers".to_owned()
            }
            Self::Unreadable { .. } => {
                "use the pinhost that wrote it; or give the pipeline another `name:`".to_owned()
            }
            Self::Settings(_)
            | Self::Thread(_)
            | Self::Ended
            | Self::Unread { .. }
            | Self::TakenBack { .. }
            | Self::NotOpened { .. }
            | Self::Lost { .. }
            | Self::Contended { .. }
            | Self::Together { .. }
            | Self::OtherRows
            | Self::LostPiece { .. }
            | Self::Note { .. } => return None,
        })
    }
}

impl From<KafkaSinkError> for ConnectorError {
    fn from(error: KafkaSinkError) -> Self {
        let help = error.help();
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}
