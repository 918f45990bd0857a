//! Which generation cleaned which range of a lane.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::objects::as_text;
use crate::record::provenance::is_name_of;
use crate::record::{Digest, Lane, Position};

/// A range of a lane that one generation cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineageRange {
    #[serde(with = "as_text")]
    pub lane: Lane,
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub to: Position,
    /// None for a gap that somebody made by moving the lane.
    #[serde(with = "as_text::option")]
    pub generation: Option<Digest>,
    #[serde(flatten)]
    pub sums: LineageSums,
}

impl LineageRange {
    /// Whether a replay has cleaned these records again: what it did with them is summed up in its own
    /// lineage.
    pub fn is_replayed(&self) -> bool {
        let is_empty = self.from.place() == self.to.place();
        self.generation.is_some() && !is_empty && self.sums == LineageSums::default()
    }

    /// Whether it is this range whose generation made the row.
    pub fn made(&self, row: &RowOrigin) -> bool {
        let (from, to) = (self.from.place(), self.to.place());
        is_name_of(row.lane.name(), self.lane.name())
            && from <= row.place
            && row.place < to
            && self.generation.is_some()
    }
}

/// The record that a row was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOrigin {
    pub lane: Lane,
    pub place: Position,
    /// As the row has it.
    pub written: String,
    /// What made the row, if the row says so.
    pub generation: Option<Digest>,
}

impl RowOrigin {
    /// None if that is no place.
    pub fn new(lane: &str, written: &str, generation: Option<&str>) -> Option<Self> {
        let place = written.parse::<Position>().ok()?.place();
        let generation = generation.and_then(|digest| digest.parse().ok());
        Some(Self { lane: Lane::new(lane), place, written: written.to_owned(), generation })
    }
}

/// What became of the records of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineageSums {
    pub read: u64,
    pub stored: u64,
    pub superseded: u64,
    pub dropped: u64,
    pub dead: u64,
}

impl Add for LineageSums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            stored: self.stored + other.stored,
            superseded: self.superseded + other.superseded,
            dropped: self.dropped + other.dropped,
            dead: self.dead + other.dead,
        }
    }
}

impl LineageSums {
    /// The conservation law: every record read ends in exactly one place.
    pub fn is_balanced(&self) -> bool {
        self.read == self.stored + self.superseded + self.dropped + self.dead
    }
}
