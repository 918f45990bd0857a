//! What is committed in one atomic step.

use std::sync::Arc;

use bytes::Bytes;

use super::{Batch, Digest, Lane, Position, RawBatch};

/// Rows, dead letters, and the lane's move `from → to`; cleaned by one generation.
#[derive(Debug, Clone)]
pub struct Unit {
    pub lane: Lane,
    pub from: Position,
    pub to: Position,
    /// The digest of the generation.
    pub generation: Digest,
    /// In the order of the lane.
    pub parts: Vec<UnitPart>,
    /// So many of its dead letters were accepted beforehand, and use that up.
    pub accepted_rejects: u64,
    /// So many of its rows may be refused by the sink. If there are more, the records are not at fault.
    pub refusals_max: u64,
    /// Somebody waits for what becomes of each record.
    pub wants_receipts: bool,
}

/// What became of one batch.
#[derive(Debug, Clone)]
pub struct UnitPart {
    pub raw: Arc<RawBatch>,
    pub rows: Rows,
    /// For each row its record, as an index into `raw.records`; ascending.
    pub origins: Vec<u32>,
    /// None if no record has told to delete a row.
    pub deletes: Option<Deletes>,
    /// How many records the rule took out on purpose.
    pub dropped: u64,
    /// By record, ascending.
    pub dead_letters: Vec<DeadLetter>,
}

#[derive(Debug, Clone)]
pub enum Rows {
    /// As the rule's output says.
    Columns(Batch),
    /// As the sink asked for them.
    Encoded(Vec<EncodedRows>),
    /// As the sink asked for them, each row by itself.
    Bytes(RowBytes),
    /// There is no rule: the records themselves, each origin's value.
    Raw,
}

/// Rows that are to go, by their keys.
#[derive(Debug, Clone)]
pub struct Deletes {
    /// The columns of the sink's `key:`, then that of its `newest:`; in the form that the sink asked for.
    pub keys: Rows,
    /// For each key its record, as an index into `raw.records`; ascending.
    pub origins: Vec<u32>,
}

/// Rows as bytes, ready to be written.
#[derive(Debug, Clone)]
pub struct EncodedRows {
    /// The folder that they belong into, like `category=art/`; empty without partitions.
    pub partition: Arc<str>,
    pub rows: u32,
    pub bytes: Bytes,
}

/// Rows as bytes that can be written in any order, and the columns that they were made of.
#[derive(Debug, Clone)]
pub struct RowBytes {
    pub columns: Batch,
    pub bytes: Bytes,
    /// Where each row ends in `bytes`; the next one begins there.
    pub ends: Vec<u32>,
    /// Rows that have no such form, ascending, and why.
    pub refused: Vec<(u32, String)>,
}

impl RowBytes {
    pub fn row(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start as usize..self.ends[row] as usize]
    }
}

/// A record that a step took out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedRecord {
    /// As an index into the records of its batch.
    pub record: u32,
    /// The id of the step.
    pub step: Arc<str>,
}

/// A record that could not be cleaned or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As an index into the records of its batch.
    pub record: u32,
    /// The id of the step that rejected it; none if it could not be decoded or stored.
    pub step: Option<Arc<str>>,
    pub reason: String,
    pub detail: Option<String>,
}

impl Unit {
    pub fn records(&self) -> u64 {
        self.parts.iter().map(|part| part.raw.records.len() as u64).sum()
    }

    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.origins.len() as u64).sum()
    }

    pub fn deletes(&self) -> u64 {
        self.parts.iter().map(UnitPart::deletes).sum()
    }

    pub fn dropped(&self) -> u64 {
        self.parts.iter().map(|part| part.dropped).sum()
    }

    pub fn dead_letters(&self) -> u64 {
        self.parts.iter().map(|part| part.dead_letters.len() as u64).sum()
    }

    /// Every record of it ends in exactly one place (invariant 1).
    pub fn is_balanced(&self) -> bool {
        self.records() == self.rows() + self.deletes() + self.dropped() + self.dead_letters()
    }
}

impl UnitPart {
    pub fn deletes(&self) -> u64 {
        self.deletes.as_ref().map_or(0, |deletes| deletes.origins.len() as u64)
    }
}
