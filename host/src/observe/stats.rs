//! The figures of one pipeline in this process. What is counted here is committed: a batch that is cleaned
//! twice counts once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connect::Stored;
use crate::record::{Digest, Lane, Position};
use crate::run::Example;

#[derive(Debug)]
pub struct Stats {
    totals: Mutex<Totals>,
    began: Instant,
}

#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub phase: Phase,
    pub records: u64,
    /// Of the records, as they came.
    pub bytes: u64,
    pub rows: u64,
    /// Rows of which a newer one was there already.
    pub superseded: u64,
    pub dropped: BTreeMap<String, u64>,
    /// By reason. There are few: a reason is the same for all records with a fault.
    pub dead_letters: BTreeMap<String, u64>,
    /// By step and what it counts.
    pub tallies: BTreeMap<(String, String), u64>,
    pub units: u64,
    /// On all cleaning threads together.
    pub cleaning: Duration,
    pub examples: Vec<Example>,
    pub lanes: BTreeMap<Lane, LaneStatus>,
    /// The generation that cleans.
    pub generation: Option<Digest>,
    pub swaps: BTreeMap<SwapResult, u64>,
}

/// How it ended that another generation was to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SwapResult {
    TookOver,
    Refused,
    RolledBack,
}

impl SwapResult {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TookOver => "took_over",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// How far a pipeline has come, of which no lane may be known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Its source or its sink is not reached yet.
    #[default]
    Starting,
    Running,
    /// It ended with an error; other pipelines of the process may go on.
    Failed,
}

#[derive(Debug, Clone)]
pub struct LaneStatus {
    pub health: LaneHealth,
    /// Where the lane stood when it was claimed.
    pub claimed_at: Option<Position>,
    pub position: Option<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneHealth {
    Starting,
    Running,
    /// Another process has it.
    Standby,
    /// It holds its position until somebody mends what the reason says.
    Halted {
        reason: String,
        help: Option<String>,
        since: Instant,
    },
    /// There is nothing more to read.
    Ended,
}

/// What became of a unit, beside what its sink says.
#[derive(Debug, Clone, Default)]
pub struct UnitFigures {
    pub records: u64,
    pub bytes: u64,
    pub dropped: BTreeMap<String, u64>,
    pub dead_letters: BTreeMap<String, u64>,
    pub tallies: BTreeMap<(String, String), u64>,
    pub cleaning: Duration,
    pub examples: Vec<Example>,
}

/// Reasons of one pipeline that are told apart; a plugin that makes up new ones for each row must not fill
/// the memory, or a metrics store.
const REASONS_MAX: usize = 200;
const OTHER_REASONS: &str = "other reasons";

impl Default for Stats {
    fn default() -> Self {
        Self { totals: Mutex::default(), began: Instant::now() }
    }
}

impl Stats {
    pub fn totals(&self) -> Totals {
        self.lock().clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn has_committed(&self) -> bool {
        self.lock().units > 0
    }

    pub fn phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// How far a lane has come.
    pub fn position(&self, lane: &Lane) -> Option<Position> {
        self.lock().lanes.get(lane)?.position
    }

    pub fn committed(&self, lane: &Lane, to: Position, unit: UnitFigures, stored: &Stored) {
        let mut totals = self.lock();
        totals.records += unit.records;
        totals.bytes += unit.bytes;
        totals.rows += stored.rows;
        totals.superseded += stored.superseded;
        totals.units += 1;
        totals.cleaning += unit.cleaning;
        for (step, rows) in unit.dropped {
            *totals.dropped.entry(step).or_default() += rows;
        }
        let refused = stored.refused.iter().map(|(reason, rows)| (reason.clone(), *rows));
        for (reason, records) in unit.dead_letters.into_iter().chain(refused) {
            let known = &mut totals.dead_letters;
            let is_one_too_many = known.len() >= REASONS_MAX && !known.contains_key(&reason);
            let reason = if is_one_too_many { OTHER_REASONS.to_owned() } else { reason };
            *known.entry(reason).or_default() += records;
        }
        for (tally, rows) in unit.tallies {
            *totals.tallies.entry(tally).or_default() += rows;
        }
        for example in unit.examples {
            if !totals.examples.iter().any(|known| known.column == example.column) {
                totals.examples.push(example);
            }
        }
        let status = totals.lane(lane);
        status.position = Some(to);
        status.health = LaneHealth::Running;
    }

    /// What cleans from now on.
    pub fn generation(&self, live: Digest) {
        self.lock().generation = Some(live);
    }

    pub fn swapped(&self, result: SwapResult, live: Digest) {
        let mut totals = self.lock();
        *totals.swaps.entry(result).or_default() += 1;
        totals.generation = Some(live);
    }

    pub fn claimed(&self, lane: &Lane, at: Position) {
        let mut totals = self.lock();
        let status = totals.lane(lane);
        status.claimed_at.get_or_insert(at);
        status.position = Some(at);
        status.health = LaneHealth::Running;
    }

    pub fn health(&self, lane: &Lane, health: LaneHealth) {
        let mut totals = self.lock();
        let status = totals.lane(lane);
        match (&status.health, &health) {
            // It is halted since it was halted first.
            (LaneHealth::Halted { since, .. }, LaneHealth::Halted { reason, help, .. }) => {
                let (reason, help, since) = (reason.clone(), help.clone(), *since);
                status.health = LaneHealth::Halted { reason, help, since };
            }
            _ => status.health = health,
        }
    }

    /// The lane is another process's now.
    pub fn gone(&self, lane: &Lane) {
        self.lock().lanes.remove(lane);
    }

    /// Nothing panics while it holds the lock but an assertion of ours; figures are worth showing then too.
    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn lane(&mut self, lane: &Lane) -> &mut LaneStatus {
        self.lanes.entry(lane.clone()).or_insert(LaneStatus {
            health: LaneHealth::Starting,
            claimed_at: None,
            position: None,
        })
    }

    pub fn dead(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}
