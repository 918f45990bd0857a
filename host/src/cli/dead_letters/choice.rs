//! Chooses the dead letters that a command is about.

use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;

use crate::ledger::StoredDeadLetter;

#[derive(Debug, Clone, Default, Args)]
pub(super) struct Choice {
    /// Only those whose reason contains this text, in any case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those that this step rejected; `read` for records that could not be read at all.
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// Only those that died at this time or later, like 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only those that died before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Stands for the step of records that could not be read, and so reached none.
pub(super) const READ: &str = "read";

impl Choice {
    pub fn takes_all(&self) -> bool {
        let Self { reason, step, since, until } = self;
        reason.is_none() && step.is_none() && since.is_none() && until.is_none()
    }

    pub fn takes(&self, letter: &StoredDeadLetter) -> bool {
        let has = |text: &String| letter.reason.to_lowercase().contains(&text.to_lowercase());
        let is_of = |step: &String| letter.step.as_deref().unwrap_or(READ) == *step;
        self.reason.as_ref().is_none_or(has)
            && self.step.as_ref().is_none_or(is_of)
            && self.since.is_none_or(|since| letter.time >= SystemTime::from(since))
            && self.until.is_none_or(|until| letter.time < SystemTime::from(until))
    }
}
