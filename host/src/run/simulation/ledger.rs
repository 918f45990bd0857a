//! A ledger in memory: what it holds, and nothing of how it is reached.

use std::collections::BTreeMap;

use super::script::Time;
use crate::ledger::{Judgement, Verdict};
use crate::record::Digest;

#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub lanes: BTreeMap<usize, LedgerLane>,
    pub judgements: Vec<(Time, Judgement)>,
}

#[derive(Debug, Clone)]
pub(super) struct LedgerLane {
    pub position: u64,
    pub token: u128,
    pub claimed: Time,
    pub moved: Time,
    pub accepted_rejects: u64,
    pub units: Vec<Applied>,
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
    pub token: u128,
    pub unit: Applied,
    /// Rows that the sink refuses.
    pub bad_rows: Vec<u64>,
    pub refusals_max: u64,
    pub accepted_rejects: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landed {
    Done { refused: u64, rows: u64 },
    Fenced,
    Refused(u64),
}

impl Ledger {
    pub fn claim(&mut self, now: Time, lane: usize, token: u128) -> (u64, u64) {
        let lane = self.lanes.entry(lane).or_insert(LedgerLane {
            position: 0,
            token,
            claimed: now,
            moved: now,
            accepted_rejects: 0,
            units: Vec::new(),
        });
        lane.token = token;
        lane.claimed = now;
        (lane.position, lane.accepted_rejects)
    }

    pub fn commit(&mut self, now: Time, sent: &Sent) -> Landed {
        let Some(lane) = self.lanes.get_mut(&sent.lane) else { return Landed::Fenced };
        if lane.token != sent.token || lane.position != sent.unit.from {
            return Landed::Fenced;
        }
        let refused = sent.bad_rows.len() as u64;
        if refused > sent.refusals_max {
            return Landed::Refused(refused);
        }
        let mut unit = sent.unit.clone();
        unit.at = now;
        unit.rows.retain(|row| !sent.bad_rows.contains(row));
        unit.refused.clone_from(&sent.bad_rows);
        lane.position = unit.to;
        lane.moved = now;
        lane.accepted_rejects = lane.accepted_rejects.saturating_sub(sent.accepted_rejects);
        let rows = unit.rows.len() as u64;
        lane.units.push(unit);
        Landed::Done { refused, rows }
    }

    pub fn is_bad(&self, generation: Digest) -> bool {
        let is_its = |it: &(Time, Judgement)| {
            it.1.generation == generation && it.1.verdict == Verdict::RolledBack
        };
        self.judgements.iter().any(is_its)
    }

    pub fn has_committed(&self) -> bool {
        self.lanes.values().any(|lane| lane.units.iter().any(|unit| unit.generation.is_some()))
    }
}
