//! What can go wrong between a lane and its shard.

use std::sync::Arc;

use jiff::Timestamp;

use crate::kinesis::KinesisError;
use crate::record::lift::{Move, PipelineArgs};
use crate::record::{ConnectorError, ErrorClass, Lane, Position};

#[derive(Debug, thiserror::Error)]
pub enum KinesisSourceError {
    #[error(transparent)]
    Service(#[from] KinesisError),
    #[error("`{0}` is no pattern")]
    Pattern(String),
    #[error("lane {lane} is no shard of {streams}")]
    OtherLane { lane: Lane, streams: String },
    #[error("lane {lane} stands at {from}, which is no place in a shard")]
    OtherPosition { args: PipelineArgs, lane: Lane, from: Box<Position> },
    #[error("pipeline {pipeline} has read {known} until now, and is to read {here}")]
    OtherStreams { pipeline: Arc<str>, known: String, here: String },
    #[error("Kinesis tells a sequence number that is none: `{0}`")]
    NoSequence(String),

    #[error(
        "stream {stream} was deleted and made anew, at {created}: lane {lane} was read in the one before"
    )]
    Renewed { args: PipelineArgs, lane: Lane, stream: String, created: Timestamp },
    #[error(
        "shard {lane} is gone before the lane has read it to its end: it stands at {at}; its records were \
         older than the stream keeps them"
    )]
    Gone { args: PipelineArgs, lane: Lane, at: Box<Position> },
    #[error(
        "the record that lane {lane} has read last, {at}, is gone: it was older than the stream keeps them, \
         and so may others be that came behind it"
    )]
    Removed { args: PipelineArgs, lane: Lane, at: Box<Position> },
    #[error("Kinesis does not know the place where lane {lane} stands, {at}: {reason}")]
    Unknown { args: PipelineArgs, lane: Lane, at: Box<Position>, reason: String },
}

impl KinesisSourceError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Service(error) => error.class(),
            Self::NoSequence(_) => ErrorClass::Transient,
            Self::OtherPosition { .. }
            | Self::Renewed { .. }
            | Self::Gone { .. }
            | Self::Removed { .. }
            | Self::Unknown { .. } => ErrorClass::Systemic,
            Self::Pattern(_) | Self::OtherLane { .. } | Self::OtherStreams { .. } => {
                ErrorClass::Fatal
            }
        }
    }

    fn help(&self) -> Option<String> {
        let to = |to: &str, args: &PipelineArgs, lane: &Lane| Move {
            pipeline: args.clone(),
            lane: lane.clone(),
            to: to.to_owned(),
        };
        Some(match self {
            Self::Service(error) => return error.help(),
            Self::OtherStreams { .. } => {
                "give the pipeline another `name:`; under it, it starts anew".to_owned()
            }
            Self::OtherPosition { args, lane, .. }
            | Self::Renewed { args, lane, .. }
            | Self::Removed { args, lane, .. }
            | Self::Unknown { args, lane, .. } => {
                let lift = to("earliest", args, lane);
                format!("to go on with the oldest record that there is: {lift}")
            }
            Self::Gone { args, lane, .. } => {
                format!("to go on with the shards that came of it: {}", to("end", args, lane))
            }
            Self::Pattern(_) | Self::OtherLane { .. } | Self::NoSequence(_) => return None,
        })
    }
}

impl From<KinesisSourceError> for ConnectorError {
    fn from(error: KinesisSourceError) -> Self {
        let help = error.help();
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}
