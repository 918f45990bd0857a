//! The figures of one pipeline in this process. What is counted here is committed: a batch that is cleaned
//! twice counts once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Histogram;
use crate::connect::Stored;
use crate::record::{Digest, ErrorClass, Lane, Position};
use crate::run::{Example, LaneHealth, LaneStep, Listener, News, Phase, SwapResult, UnitFigures};

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
    /// Dead letters that steps have made, by the step's id.
    pub rejected: BTreeMap<String, u64>,
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
    pub failures: BTreeMap<(LaneStep, ErrorClass), u64>,
    pub claims: u64,
    pub fences: u64,
    /// Lanes that the source gave to another process.
    pub given_away: u64,
    /// What records hold that are on their way, and what they may.
    pub memory_bytes: u64,
    pub memory_most: u64,
    /// What commits took.
    pub commits: Histogram,
    /// What batches took to be cleaned.
    pub batches: Histogram,
    /// From the time of each unit's latest record to its commit.
    pub ends: Histogram,
    /// Rows and deletes that sinks were given.
    given: u64,
    /// Of those, the ones that sinks refused.
    refused: u64,
}

#[derive(Debug, Clone)]
pub struct LaneStatus {
    pub health: LaneHealth,
    /// Where the lane stood when it was claimed.
    pub claimed_at: Option<Position>,
    pub position: Option<Position>,
    /// Records that are not committed, if the source knows.
    pub behind: Option<u64>,
    /// When it was committed last, in seconds since 1970.
    pub committed_at: Option<f64>,
    /// The time of the record committed last.
    pub latest_micros: Option<i64>,
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

    pub fn phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    fn committed(
        &self,
        lane: &Lane,
        to: Position,
        unit: UnitFigures,
        stored: &Stored,
        took: Duration,
    ) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut totals = self.lock();
        totals.commits.note(took);
        for took in unit.batch_times {
            totals.batches.note(took);
        }
        if let Some(micros) = unit.latest_micros.and_then(|micros| u64::try_from(micros).ok()) {
            totals.ends.note(now.saturating_sub(Duration::from_micros(micros)));
        }
        totals.given += unit.rows;
        totals.refused += stored.refused.values().sum::<u64>();
        for (step, rows) in unit.rejected {
            *totals.rejected.entry(step).or_default() += rows;
        }
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
        status.committed_at = Some(now.as_secs_f64());
        status.latest_micros = unit.latest_micros.or(status.latest_micros);
    }

    fn claimed(&self, lane: &Lane, at: Position) {
        let mut totals = self.lock();
        totals.claims += 1;
        let status = totals.lane(lane);
        status.claimed_at.get_or_insert(at);
        status.position = Some(at);
        // One that is halted is only tried.
        if !matches!(status.health, LaneHealth::Halted { .. }) {
            status.health = LaneHealth::Running;
        }
    }

    /// Nothing panics while it holds the lock but an assertion of ours; figures are worth showing then too.
    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Stats {
    fn hear(&self, news: News) {
        match news {
            News::Phase(phase) => self.phase(phase),
            News::Claimed { lane, at } => self.claimed(&lane, at),
            News::Committed { lane, to, figures, stored, took } => {
                self.committed(&lane, to, *figures, &stored, took);
            }
            News::Health { lane, health } => self.lock().lane(&lane).health = health,
            News::Behind { lane, records } => self.lock().lane(&lane).behind = Some(records),
            News::Failed { step, class, .. } => {
                *self.lock().failures.entry((step, class)).or_default() += 1;
            }
            News::Fenced(_) => self.lock().fences += 1,
            News::Memory { bytes, most } => {
                let mut totals = self.lock();
                (totals.memory_bytes, totals.memory_most) = (bytes, most);
            }
            News::Gone(lane) => {
                let mut totals = self.lock();
                totals.given_away += 1;
                totals.lanes.remove(&lane);
            }
            News::Generation(live) => self.lock().generation = Some(live),
            News::Swapped { result, live } => {
                let mut totals = self.lock();
                *totals.swaps.entry(result).or_default() += 1;
                totals.generation = Some(live);
            }
        }
    }
}

impl LaneStatus {
    /// How old the record is that was committed last, in seconds; nothing is late if nothing is behind it.
    pub fn lag_seconds(&self, now: f64) -> Option<f64> {
        if self.behind == Some(0) {
            return Some(0.0);
        }
        self.latest_micros.map(|micros| (now - micros as f64 / 1e6).max(0.0))
    }
}

impl Totals {
    fn lane(&mut self, lane: &Lane) -> &mut LaneStatus {
        self.lanes.entry(lane.clone()).or_insert(LaneStatus {
            health: LaneHealth::Starting,
            claimed_at: None,
            position: None,
            behind: None,
            committed_at: None,
            latest_micros: None,
        })
    }

    /// Committed records of which nobody knows how they ended: none, or the law that each record ends in one
    /// place is broken.
    pub fn unaccounted(&self) -> u64 {
        let cleaned = self.given + self.dropped() + self.dead() - self.refused;
        let stored = self.rows + self.superseded + self.refused;
        self.records.abs_diff(cleaned) + self.given.abs_diff(stored)
    }

    pub fn dead(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}
