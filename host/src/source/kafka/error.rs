//! What can go wrong between us and a Kafka cluster.

use std::io;
use std::sync::Arc;

use rdkafka::error::KafkaError;
use uuid::Uuid;

use crate::kafka::ClusterError;
use crate::record::lift::{Move, PipelineArgs};
use crate::record::{ConnectorError, ErrorClass, Lane, Position};

#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("librdkafka refuses its settings: {0}")]
    Settings(KafkaError),
    #[error("the thread that serves Kafka cannot be started")]
    Thread(#[source] io::Error),

    #[error("consumer group {group} is not allowed")]
    GroupDenied { group: String },
    #[error("the others in consumer group {group} share partitions in another way")]
    Stranger { group: String },
    #[error("consumer group {group} cannot go on: {reason}")]
    Group { group: String, reason: String },
    #[error("a record came that is of no lane")]
    NoLane,

    #[error("lane {lane} is no partition of {topics}")]
    OtherLane { lane: Lane, topics: String },
    #[error("partition {lane} is being read already")]
    Busy { lane: Lane },
    #[error("lane {lane} cannot be read from: {reason}")]
    Fetch { lane: Lane, reason: String },
    #[error("lane {lane} stands at {from}, which is no place in a partition")]
    OtherPosition { lane: Lane, from: Position },
    #[error("pipeline {pipeline} has read {known} until now, and is to read {here}")]
    OtherTopics { pipeline: Arc<str>, known: String, here: String },

    #[error(
        "topic {topic} was deleted and made anew: lane {lane} stands in the one with id {was}, and this is {is}"
    )]
    Recreated { args: PipelineArgs, lane: Lane, topic: String, was: Uuid, is: Uuid },
    #[error(
        "records are gone before lane {lane} has read them: it stands at {at}, and the partition begins at {begins}"
    )]
    Removed { args: PipelineArgs, lane: Lane, at: i64, begins: i64 },
    #[error(
        "partition {lane} ends at {ends}, and the lane stands at {at}: records were lost that it had read"
    )]
    Beyond { args: PipelineArgs, lane: Lane, at: i64, ends: i64 },
    #[error(
        "partition {lane} was cut back by a change of its leader: what lane has read before {at} is not what is there"
    )]
    Truncated { args: PipelineArgs, lane: Lane, at: i64 },
}

impl KafkaSourceError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Cluster(error) => error.class(),
            Self::Busy { .. } | Self::Fetch { .. } => ErrorClass::Transient,
            Self::GroupDenied { .. }
            | Self::Stranger { .. }
            | Self::Recreated { .. }
            | Self::Removed { .. }
            | Self::Beyond { .. }
            | Self::Truncated { .. } => ErrorClass::Systemic,
            Self::Settings(_)
            | Self::Thread(_)
            | Self::Group { .. }
            | Self::NoLane
            | Self::OtherLane { .. }
            | Self::OtherPosition { .. }
            | Self::OtherTopics { .. } => ErrorClass::Fatal,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Cluster(error) => return error.help("topics"),
            Self::GroupDenied { group } => {
                format!("let us read group {group}, in the access lists of the cluster")
            }
            Self::Stranger { .. } => {
                "somebody else uses the group: name another one by `group:`".to_owned()
            }
            Self::Group { .. } => "is there another process with the same `instance:`?".to_owned(),
            Self::OtherTopics { .. } => {
                "give the pipeline another `name:`; under it, it starts anew".to_owned()
            }
            Self::Recreated { args, lane, .. }
            | Self::Removed { args, lane, .. }
            | Self::Beyond { args, lane, .. }
            | Self::Truncated { args, lane, .. } => {
                let to = "earliest".to_owned();
                let lift = Move { pipeline: args.clone(), lane: lane.clone(), to };
                format!("to go on with the oldest record that there is: {lift}")
            }
            Self::Settings(_)
            | Self::Thread(_)
            | Self::NoLane
            | Self::OtherLane { .. }
            | Self::Busy { .. }
            | Self::Fetch { .. }
            | Self::OtherPosition { .. } => return None,
        })
    }
}

impl From<KafkaSourceError> for ConnectorError {
    fn from(error: KafkaSourceError) -> Self {
        let help = error.help();
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}
