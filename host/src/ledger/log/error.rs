//! What goes wrong with logs, and what to do about it.

use super::fold::LogFault;
use crate::record::{ConnectorError, ErrorClass};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// As the store told it.
    #[error(transparent)]
    Store(#[from] ConnectorError),
    #[error("cannot read log record {key}")]
    Unreadable {
        key: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("log record {key} was written by a newer pinhost")]
    Newer { key: String },
    #[error("log record {key} is missing")]
    Gap { key: String },
    #[error("log record {key} contradicts those before it")]
    Contradiction {
        key: String,
        #[source]
        fault: LogFault,
    },
    #[error("{folder} has no log, but other things of a lane")]
    LostLog { folder: String },
    #[error("{object} was written by this pipeline, whose log is gone")]
    LostLogOf { object: String },
    #[error("a pipeline of this name has read {stored} so far, and is now to read {given}")]
    OtherSource { stored: String, given: String },
    #[error("a pipeline of this name has written {stored} so far, and is now to write {given}")]
    OtherTarget { stored: String, given: String },
    #[error("journal entry {key} is missing")]
    LostJournal { key: String },
    #[error("cannot read dead letters in {key}")]
    UnreadableLetters {
        key: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("a unit of lane {lane} does not account for each of its records once")]
    Unbalanced { lane: String },
}

impl LogError {
    /// What the runtime does about it: design.md, section 5.
    fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class,
            Self::Unreadable { .. }
            | Self::Newer { .. }
            | Self::Gap { .. }
            | Self::LostLog { .. }
            | Self::LostLogOf { .. }
            | Self::LostJournal { .. }
            | Self::UnreadableLetters { .. } => ErrorClass::Systemic,
            Self::OtherSource { .. }
            | Self::OtherTarget { .. }
            | Self::Contradiction { .. }
            | Self::Unbalanced { .. } => ErrorClass::Fatal,
        }
    }

    fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreadable { .. } | Self::Gap { .. } => {
                "restore it from a backup; it says where its lane stands, and which rows are committed"
            }
            Self::Newer { .. } => "use the newer pinhost",
            Self::LostLog { .. } | Self::LostLogOf { .. } => {
                "restore `_pinhost`, or give the pipeline another name or another folder"
            }
            Self::OtherSource { .. } | Self::OtherTarget { .. } => {
                "give this pipeline a `name:` of its own, or write to another folder"
            }
            Self::LostJournal { .. } | Self::UnreadableLetters { .. } => "restore it from a backup",
            Self::Store(_) | Self::Contradiction { .. } | Self::Unbalanced { .. } => return None,
        })
    }
}

impl From<LogError> for ConnectorError {
    fn from(error: LogError) -> Self {
        let (class, help) = (error.class(), error.help());
        match error {
            LogError::Store(error) => error,
            error => {
                let told = Self::new(class, error);
                match help {
                    Some(help) => told.help(help),
                    None => told,
                }
            }
        }
    }
}
