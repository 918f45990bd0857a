//! Why a lane does not go on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::breaker::Tripped;
use super::pool::Uncleanable;
use crate::record::lift::{Move, PipelineArgs, Resume};
use crate::record::{ConnectorError, DeadLetter, Digest, ErrorClass, Lane, Position, RawBatch};

/// Why a lane does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error("{cause}")]
    Clean {
        #[source]
        cause: Uncleanable,
        /// The position after the batch that is not cleaned.
        to: Position,
    },
    /// Whatever the batch.
    #[error(transparent)]
    Stopped(#[from] Uncleanable),
    #[error(
        "{} of the last {} records are dead letters, more than dead_letters.max_ratio allows{}",
        .tripped.dead, .tripped.records, .reasons
    )]
    TooManyDead { tripped: Tripped, reasons: CommonReasons },
    #[error("the sink refuses {} of {records} rows or more, and dead_letters.max_ratio allows fewer: {}", .reasons.values().sum::<u64>(), list(.reasons))]
    TooManyRefused { records: u64, reasons: BTreeMap<String, u64>, generation: Digest },
    #[error("the source cannot be read: {0}")]
    Source(#[source] ConnectorError),
    #[error("the sink cannot be written: {0}")]
    Sink(#[source] ConnectorError),
}

impl Halt {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Clean { .. }
            | Self::Stopped(_)
            | Self::TooManyDead { .. }
            | Self::TooManyRefused { .. } => ErrorClass::Systemic,
            Self::Source(error) | Self::Sink(error) => error.class,
        }
    }

    /// Whether somebody else than the rule or the records is at fault.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Sink(_)) && self.class() != ErrorClass::Fatal
    }

    /// What lifts it, for a lane of this pipeline.
    pub fn help(&self, pipeline: &PipelineArgs, lane: &Lane) -> Option<String> {
        match self {
            Self::Clean { to, .. } => {
                let (pipeline, lane) = (pipeline.clone(), lane.clone());
                let lift = Move { pipeline, lane, to: to.to_string() };
                Some(format!(
                    "mend the plugin or its configuration, and the lane goes on by itself; or leave \
                     these records out: {lift}"
                ))
            }
            Self::TooManyDead { tripped: Tripped { records, .. }, .. } => {
                let lift = Resume { pipeline, lane, records: *records };
                Some(format!(
                    "mend the rule, or raise dead_letters.max_ratio if the records are really like \
                     that; or let the next ones through: {lift}"
                ))
            }
            Self::TooManyRefused { records, .. } => {
                let lift = Resume { pipeline, lane, records: *records };
                Some(format!(
                    "mend what refuses them, and the lane goes on by itself; or let them become dead \
                     letters: {lift}"
                ))
            }
            Self::Stopped(_) | Self::Source(_) | Self::Sink(_) => self.help_of_connector(),
        }
    }

    /// What the source or the sink says about it.
    pub fn help_of_connector(&self) -> Option<String> {
        match self {
            Self::Source(error) | Self::Sink(error) => error.help.clone(),
            Self::Clean { .. }
            | Self::Stopped(_)
            | Self::TooManyDead { .. }
            | Self::TooManyRefused { .. } => None,
        }
    }
}

fn list(reasons: &BTreeMap<String, u64>) -> String {
    reasons.keys().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// Reasons that are told.
const TOLD_MAX: usize = 3;

/// Reasons of one batch that are told apart.
const KEPT_MAX: usize = 16;

/// What is shown of a record.
const EXCERPT_CHARS: usize = 80;

/// Why records are dead letters, the commonest first, with a record each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommonReasons(Vec<CommonReason>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonReason {
    pub reason: String,
    pub count: u64,
    /// Where the first such record stands.
    pub place: String,
    /// How it begins.
    pub excerpt: String,
}

impl CommonReasons {
    pub(super) fn of(raw: &RawBatch, dead: &[DeadLetter]) -> Self {
        let mut found: Vec<CommonReason> = Vec::new();
        for letter in dead {
            let record = letter.record as usize;
            if let Some(known) = found.iter_mut().find(|it| it.reason == letter.reason) {
                known.count += 1;
            } else if found.len() < KEPT_MAX {
                found.push(CommonReason {
                    reason: letter.reason.clone(),
                    count: 1,
                    place: raw.records[record].position.place().to_string(),
                    excerpt: excerpt(raw.value(record).as_deref()),
                });
            }
        }
        Self(found)
    }

    pub(super) fn add(&mut self, more: &Self) {
        for reason in &more.0 {
            match self.0.iter_mut().find(|it| it.reason == reason.reason) {
                Some(known) => known.count += reason.count,
                None => self.0.push(reason.clone()),
            }
        }
        self.0.sort_by_key(|reason| Reverse(reason.count));
    }

    pub fn told(&self) -> &[CommonReason] {
        &self.0[..self.0.len().min(TOLD_MAX)]
    }
}

impl fmt::Display for CommonReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, it) in self.told().iter().enumerate() {
            let CommonReason { reason, count, place, excerpt } = it;
            let begin = if at == 0 { ": " } else { "; " };
            write!(f, "{begin}{count} × {reason}, such as {place}: {excerpt}")?;
        }
        Ok(())
    }
}

fn excerpt(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "(no value)".to_owned() };
    let text = String::from_utf8_lossy(&value[..value.len().min(EXCERPT_CHARS * 4)]);
    let plain = |char: char| if char.is_control() { '·' } else { char };
    let mut shown: String = text.chars().take(EXCERPT_CHARS).map(plain).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
