//! A ledger in memory: what it holds, and nothing of how it is reached.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::script::Time;
use super::world::{position, record};
use crate::ledger::model::LaneModel;
use crate::ledger::{Claim, FirstRun, Judgement, Verdict};
use crate::record::{Digest, Lane, Position, RowReceipt};

#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub lanes: BTreeMap<usize, LedgerLane>,
    pub judgements: Vec<(Time, Judgement)>,
    pub first_run: Option<FirstRun>,
    /// When each member beat last, and with what.
    pub beats: Beats,
}

pub(super) type Beats = BTreeMap<Uuid, (Time, String)>;

#[derive(Debug, Clone)]
pub(super) struct LedgerLane {
    pub model: LaneModel,
    pub claimed: Time,
    pub moved: Time,
    pub units: Vec<Applied>,
}

impl LedgerLane {
    pub fn stands(&self) -> u64 {
        record(self.model.position)
    }
}

/// What a unit has left.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub at: Time,
    pub by: usize,
    /// When its client sent it.
    pub sent: Time,
    pub from: u64,
    pub to: u64,
    /// None for a gap that somebody made.
    pub generation: Option<Digest>,
    pub records: u64,
    pub rows: Vec<u64>,
    pub dropped: u64,
    pub dead: Vec<u64>,
    pub refused: Vec<u64>,
}

/// A unit on its way.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub lane: usize,
    pub token: Uuid,
    pub unit: Applied,
    /// Rows that the sink refuses.
    pub bad_rows: Vec<u64>,
    pub refusals_max: u64,
    pub accepted_rejects: u64,
    /// What becomes of rows that the sink refuses, if the unit wants to know.
    pub receipts: Option<Vec<RowReceipt>>,
    /// So many verdicts its process has heard; none if they are not compared.
    pub heard: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landed {
    Done { refused: u64, rows: u64 },
    Fenced,
    Condemned,
    Refused(u64),
}

impl Ledger {
    pub fn claim(&mut self, now: Time, lane: usize, token: Uuid, start: Position) -> Claim {
        let stored = self.lanes.entry(lane).or_insert_with(|| LedgerLane {
            model: LaneModel::opened(start, token, None),
            claimed: now,
            moved: now,
            units: Vec::new(),
        });
        stored.model.claim(token, None);
        stored.claimed = now;
        stored.model.claimed(&Lane::new(format!("l{lane}")))
    }

    pub fn commit(&mut self, now: Time, sent: &Sent) -> Landed {
        let Some(lane) = self.lanes.get(&sent.lane) else { return Landed::Fenced };
        let mut model = lane.model.clone();
        let way = (position(sent.unit.from), position(sent.unit.to));
        if !model.commit(sent.token, way, sent.accepted_rejects) {
            return Landed::Fenced;
        }
        if sent.heard.is_some_and(|heard| self.has_condemned(sent.unit.generation, heard)) {
            return Landed::Condemned;
        }
        let Some(lane) = self.lanes.get_mut(&sent.lane) else { return Landed::Fenced };
        let refused = sent.bad_rows.len() as u64;
        if refused > sent.refusals_max {
            return Landed::Refused(refused);
        }
        let mut unit = sent.unit.clone();
        unit.at = now;
        unit.rows.retain(|row| !sent.bad_rows.contains(row));
        unit.refused.clone_from(&sent.bad_rows);
        lane.model = model;
        lane.moved = now;
        let rows = unit.rows.len() as u64;
        lane.units.push(unit);
        Landed::Done { refused, rows }
    }

    /// Where a lane stands.
    pub fn stands(&self, lane: usize) -> Option<u64> {
        self.lanes.get(&lane).map(LedgerLane::stands)
    }

    pub fn is_bad(&self, generation: Digest) -> bool {
        self.has_condemned(Some(generation), 0)
    }

    /// Whether there is such a verdict behind so many others.
    fn has_condemned(&self, generation: Option<Digest>, heard: usize) -> bool {
        let is_its = |(_, it): &(Time, Judgement)| {
            Some(it.generation) == generation && it.verdict == Verdict::RolledBack
        };
        self.judgements.iter().skip(heard).any(is_its)
    }

    pub fn has_committed(&self) -> bool {
        self.lanes.values().any(|lane| lane.units.iter().any(|unit| unit.generation.is_some()))
    }
}
