//! How a pipeline ends otherwise than it should.

use std::sync::Arc;

use super::super::halt::Halt;
use crate::record::Lane;
use crate::record::lift::PipelineArgs;

/// Why a pipeline ended otherwise than it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PipelineError {
    /// Nothing was ever committed, or what it is connected with does not answer.
    #[error("{cause}")]
    NotStarted {
        #[source]
        cause: Arc<Halt>,
    },
    /// With an end in sight, waiting for somebody to mend it has one too.
    #[error("lane {lane} is halted: {cause}")]
    Halted {
        lane: Lane,
        #[source]
        cause: Arc<Halt>,
    },
    #[error("{cause}")]
    Fatal {
        #[source]
        cause: Arc<Halt>,
    },
    /// Nobody reads what the run was to see read.
    #[error("{} not read to the end that {} when the run began, and nobody goes on reading: {}", are(.lanes), had(.lanes), list(.lanes))]
    Unread { lanes: Vec<Lane> },
    /// What was committed stays.
    #[error("{dead} of {records} records are dead letters, more than dead_letters.max_ratio allows: {}", told(.reasons))]
    TooManyDead { dead: u64, records: u64, reasons: Vec<(String, u64)> },
}

fn are(lanes: &[Lane]) -> &'static str {
    if lanes.len() == 1 { "a lane is" } else { "lanes are" }
}

fn had(lanes: &[Lane]) -> &'static str {
    if lanes.len() == 1 { "it had" } else { "they had" }
}

fn list(lanes: &[Lane]) -> String {
    lanes.iter().map(Lane::name).collect::<Vec<_>>().join(", ")
}

fn told(reasons: &[(String, u64)]) -> String {
    let reasons = reasons.iter().map(|(reason, count)| format!("{count} × {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

impl PipelineError {
    /// What lifts it, for this pipeline.
    pub fn help(&self, pipeline: &PipelineArgs) -> Option<String> {
        match self {
            Self::Halted { lane, cause } => cause.help(pipeline, lane),
            Self::NotStarted { cause } | Self::Fatal { cause } => cause.help_of_connector(),
            Self::Unread { .. } => {
                Some(format!("`pinhost lanes {pipeline}` shows who has them, and how far they are"))
            }
            Self::TooManyDead { .. } => Some(format!(
                "`pinhost dead-letters {pipeline} list` shows them; `dead_letters: {{ max_ratio: 1 }}` \
                 says that it is meant"
            )),
        }
    }

    /// What a lane or a connector said.
    pub fn cause(&self) -> Option<&Halt> {
        match self {
            Self::NotStarted { cause } | Self::Halted { cause, .. } | Self::Fatal { cause } => {
                Some(cause)
            }
            Self::Unread { .. } | Self::TooManyDead { .. } => None,
        }
    }

    /// Whether the environment is at fault: neither the records nor the rule are.
    pub fn is_outside(&self) -> bool {
        match self {
            Self::NotStarted { cause } | Self::Halted { cause, .. } => cause.is_outside(),
            Self::Unread { .. } => true,
            Self::Fatal { .. } | Self::TooManyDead { .. } => false,
        }
    }
}
