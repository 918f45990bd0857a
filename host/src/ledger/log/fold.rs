//! What a lane's log comes to: where the lane stands, who owns it, and how it got there. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::records::Record;
use crate::ledger::model::extended;
use crate::ledger::{LaneState, LineageRange, LineageSums, Stored};
use crate::objects::as_text;
use crate::record::provenance::LaneSources;
use crate::record::{Digest, Lane, Position, SourceId};

/// What happens to a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum LaneEvent {
    /// Always the first, and the first claim too.
    Opened {
        lane: String,
        source: String,
        /// What shape its rows have: readers of a folder meet one only.
        target: String,
        #[serde(with = "as_text")]
        start: Position,
    },
    Claimed,
    Committed(UnitRecord),
    /// An entry of the journal, which is an object of its own.
    Journaled {
        key: String,
        #[serde(with = "as_text")]
        digest: Digest,
    },
    /// Somebody moved the lane by hand.
    Moved {
        #[serde(with = "as_text")]
        from: Position,
        #[serde(with = "as_text")]
        to: Position,
    },
    /// Somebody let so many dead letters through. The owner writes on.
    RejectsAccepted {
        records: u64,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnitRecord {
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub to: Position,
    #[serde(with = "as_text")]
    pub generation: Digest,
    pub sums: LineageSums,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accepted_rejects: u64,
    pub objects: Vec<StagedObject>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// An object that is written, and where it belongs once the record that names it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StagedObject {
    pub staged: String,
    pub key: String,
    pub rows: u64,
    pub bytes: u64,
    #[serde(with = "as_text")]
    pub digest: Digest,
}

impl UnitRecord {
    pub fn stored(&self) -> Stored {
        let LineageSums { stored: rows, superseded, .. } = self.sums;
        Stored { rows, superseded, refused: self.refused.clone(), receipts: None }
    }
}

/// All records up to `next`, folded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneFold {
    /// The number of the next record.
    pub next: u64,
    pub lane: String,
    pub source: String,
    pub target: String,
    #[serde(with = "as_text")]
    pub position: Position,
    #[serde(with = "as_text")]
    pub owner: Uuid,
    /// The record that made it the owner.
    pub claimed_by: u64,
    #[serde(with = "as_text")]
    pub claimed: Timestamp,
    #[serde(with = "as_text")]
    pub moved: Timestamp,
    /// The last unit, whose objects may not all be where they belong. Those of the units before
    /// are: a unit is only committed after that.
    pub last: Option<UnitRecord>,
    pub journal: Vec<Entry>,
    pub lineage: Vec<Range>,
    #[serde(default)]
    pub accepted_rejects: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub key: String,
    /// Who wrote it.
    #[serde(with = "as_text")]
    pub claim: Uuid,
    #[serde(with = "as_text")]
    pub digest: Digest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Range {
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub to: Position,
    #[serde(with = "as_text::option")]
    pub generation: Option<Digest>,
    pub sums: LineageSums,
}

impl Range {
    fn of(&self, lane: &Lane) -> LineageRange {
        let Self { from, to, generation, sums } = *self;
        LineageRange { lane: lane.clone(), from, to, generation, sums }
    }
}

/// A record that cannot be the next one of its log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    #[error("the log does not begin with the opening of its lane")]
    NotOpened,
    #[error("the lane is opened a second time")]
    OpenedAgain,
    #[error("it moves the lane from {from}, which stands at {position}")]
    Elsewhere { from: String, position: String },
}

impl LaneFold {
    pub fn open(record: &Record<LaneEvent>) -> Result<Self, LogFault> {
        let LaneEvent::Opened { lane, source, target, start } = &record.event else {
            return Err(LogFault::NotOpened);
        };
        Ok(Self {
            next: 1,
            lane: lane.clone(),
            source: source.clone(),
            target: target.clone(),
            position: *start,
            owner: record.claim,
            claimed_by: 0,
            claimed: record.time,
            moved: record.time,
            last: None,
            journal: Vec::new(),
            lineage: Vec::new(),
            accepted_rejects: 0,
        })
    }

    /// Takes the record with the number `next`.
    pub fn apply(&mut self, record: Record<LaneEvent>) -> Result<(), LogFault> {
        match record.event {
            LaneEvent::Opened { .. } => return Err(LogFault::OpenedAgain),
            LaneEvent::Claimed => self.own(record.claim, record.time),
            LaneEvent::Committed(unit) => {
                let UnitRecord { from, to, generation, sums, accepted_rejects, .. } = unit;
                self.accepted_rejects = self.accepted_rejects.saturating_sub(accepted_rejects);
                self.go(from, to, record.time)?;
                self.extend(Range { from, to, generation: Some(generation), sums });
                self.last = Some(unit);
            }
            LaneEvent::Journaled { key, digest } => {
                self.journal.push(Entry { key, claim: record.claim, digest });
            }
            LaneEvent::Moved { from, to } => {
                self.go(from, to, record.time)?;
                self.extend(Range { from, to, generation: None, sums: LineageSums::default() });
                // Nobody's token: whoever had the lane has to look where it stands now.
                self.own(record.claim, record.time);
            }
            LaneEvent::RejectsAccepted { records } => {
                self.accepted_rejects = self.accepted_rejects.saturating_add(records);
            }
        }
        self.next += 1;
        Ok(())
    }

    fn own(&mut self, token: Uuid, time: Timestamp) {
        (self.owner, self.claimed, self.claimed_by) = (token, time, self.next);
    }

    fn go(&mut self, from: Position, to: Position, time: Timestamp) -> Result<(), LogFault> {
        if from != self.position {
            let (from, position) = (from.to_string(), self.position.to_string());
            return Err(LogFault::Elsewhere { from, position });
        }
        (self.position, self.moved) = (to, time);
        Ok(())
    }

    fn extend(&mut self, next: Range) {
        let lane = Lane::new(self.lane.as_str());
        let last = self.lineage.last().map(|last| last.of(&lane));
        match last.and_then(|last| extended(&last, &next.of(&lane))) {
            Some(LineageRange { from, to, generation, sums, .. }) => {
                self.lineage.pop();
                self.lineage.push(Range { from, to, generation, sums });
            }
            None => self.lineage.push(next),
        }
    }

    /// The unit if it is the last thing that moved this lane: an answer was lost, and it is offered
    /// again.
    pub fn is_last(&self, from: Position, to: Position, generation: Digest) -> Option<&UnitRecord> {
        self.last.as_ref().filter(|last| {
            self.position == to && (last.from, last.to, last.generation) == (from, to, generation)
        })
    }

    /// What the lane was read from, one source after the other.
    pub fn sources(&self) -> LaneSources {
        let known = self.lineage.iter().flat_map(|range| [range.from, range.to]);
        LaneSources::new(known.chain([self.position]))
    }

    pub fn state(&self) -> LaneState {
        LaneState {
            lane: Lane::new(self.lane.as_str()),
            source: SourceId::new(self.source.as_str()),
            position: self.position,
            owner: self.owner,
            member: None,
            claimed: self.claimed.into(),
            moved: self.moved.into(),
            accepted_rejects: self.accepted_rejects,
            halted: None,
        }
    }

    /// A gap that somebody made is no unit.
    pub fn has_committed(&self) -> bool {
        self.lineage.iter().any(|range| range.generation.is_some())
    }

    pub fn lineage(&self) -> impl Iterator<Item = LineageRange> {
        let lane = Lane::new(self.lane.as_str());
        self.lineage.iter().map(move |range| range.of(&lane))
    }
}
