//! What became of a commit.

use std::collections::BTreeMap;

use crate::record::{Digest, Lane, RowReceipt, UnitPart};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    Done(Stored),
    /// Another owner has the lane, or this claim is older than what is stored.
    Fenced,
    /// Somebody found the unit's generation to be bad, and this process has not heard of it yet. Nothing of
    /// the unit is committed.
    Condemned,
    /// More rows are refused than the unit allows, by reason as far as that was looked into. Nothing of the
    /// unit is committed.
    Refused(BTreeMap<String, u64>),
}

/// What became of a unit's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    pub rows: u64,
    /// Rows that did not take the place of a newer one of the same key.
    pub superseded: u64,
    /// Rows that the sink refused, by reason: they are dead letters.
    pub refused: BTreeMap<String, u64>,
    /// If the unit wants receipts, and if it is known what the attempt did that counted: those of all rows
    /// that are not simply stored, or whose places are known.
    pub receipts: Option<Vec<RowReceipt>>,
}

/// Dead letters that went through the rule again.
#[derive(Debug, Clone)]
pub struct Retry {
    pub generation: Digest,
    pub letters: Vec<RetriedLetter>,
}

#[derive(Debug, Clone)]
pub struct RetriedLetter {
    pub id: String,
    /// What `attempts` was when it was read.
    pub attempts: u32,
    pub lane: Lane,
    /// Its single record, and what became of it.
    pub part: UnitPart,
}
