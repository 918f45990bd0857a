//! How often a shard is asked, and how far its readers have come: of all readers that a lane had in this
//! process.
//!
//! A shard answers five times a second, to all who read it together. Whoever takes it over waits for a
//! second, in which the one before may have asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::record::{Lane, Position};

/// Between two questions about a shard that has more.
const FLOOR: Duration = Duration::from_millis(250);

/// What is asked so long after another process may have asked is of another second.
const SECOND: Duration = Duration::from_secs(1);

/// For as long it is certain that what came behind a record is kept: a stream keeps records for a day at
/// least.
const KEPT: Duration = Duration::from_secs(3_600);

/// Places of one lane that are remembered: as many as come before one of them is committed.
const TIPS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Paces {
    poll: Duration,
    lanes: Mutex<HashMap<Lane, LanePace>>,
}

#[derive(Debug, Default)]
struct LanePace {
    asked: Option<Instant>,
    /// Places behind which there was nothing, and when that was.
    tips: BTreeMap<Position, Instant>,
}

impl Paces {
    pub fn new(poll: Duration) -> Self {
        Self { poll, lanes: Mutex::default() }
    }

    /// How many shards are read here.
    pub fn lanes(&self) -> usize {
        lock(&self.lanes).len()
    }

    /// When a shard may be asked first by a new reader.
    pub fn first(&self, lane: &Lane, is_new: bool, now: Instant) -> Instant {
        match lock(&self.lanes).get(lane).and_then(|pace| pace.asked) {
            // Nobody else can have had it in between.
            Some(asked) if now < asked + SECOND => asked + FLOOR,
            _ if is_new => now,
            _ => now + SECOND,
        }
    }

    /// It is asked now; this is when it may be asked again.
    pub fn asks(&self, lane: &Lane, now: Instant) {
        lock(&self.lanes).entry(lane.clone()).or_default().asked = Some(now);
    }

    /// How long to wait after an answer.
    pub fn wait(&self, has_more: bool) -> Duration {
        if has_more { FLOOR.min(self.poll) } else { self.poll }
    }

    /// Nothing lies behind this place at the moment.
    pub fn at_tip(&self, lane: &Lane, at: Position, now: Instant) {
        let mut lanes = lock(&self.lanes);
        let tips = &mut lanes.entry(lane.clone()).or_default().tips;
        tips.insert(at, now);
        if tips.len() > TIPS_MAX {
            tips.pop_first();
        }
    }

    pub fn committed(&self, lane: &Lane, to: Position) {
        let mut lanes = lock(&self.lanes);
        if to == Position::End {
            lanes.remove(lane);
        } else if let Some(pace) = lanes.get_mut(lane) {
            pace.tips = pace.tips.split_off(&to);
        }
    }

    /// Whether nothing that came behind this place can have been removed: a shard may be quiet for longer
    /// than its records are kept.
    pub fn is_whole(&self, lane: &Lane, at: Position, now: Instant) -> bool {
        let lanes = lock(&self.lanes);
        let seen = lanes.get(lane).and_then(|pace| pace.tips.get(&at));
        seen.is_some_and(|seen| now.duration_since(*seen) < KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_asked_five_times_a_second_at_most() {
        let (paces, lane) = (Paces::new(Duration::from_secs(1)), Lane::new("a"));
        let now = Instant::now();
        assert_eq!(paces.first(&lane, true, now), now);
        assert_eq!(paces.first(&lane, false, now), now + SECOND, "another one may have asked");
        paces.asks(&lane, now);
        assert_eq!(paces.first(&lane, false, now), now + FLOOR);
        assert_eq!(paces.first(&lane, false, now + SECOND), now + SECOND * 2);
        assert_eq!((paces.wait(true), paces.wait(false)), (FLOOR, SECOND));
    }

    #[test]
    fn a_quiet_shard_is_whole() {
        let (paces, lane) = (Paces::new(SECOND), Lane::new("a"));
        let (now, at) = (Instant::now(), Position::number);
        assert!(!paces.is_whole(&lane, at(3), now));
        paces.at_tip(&lane, at(3), now);
        paces.at_tip(&lane, at(7), now);
        assert!(paces.is_whole(&lane, at(3), now) && !paces.is_whole(&lane, at(4), now));
        assert!(!paces.is_whole(&lane, at(3), now + KEPT), "nobody looked for too long");
        paces.committed(&lane, at(7));
        assert!(!paces.is_whole(&lane, at(3), now) && paces.is_whole(&lane, at(7), now));
    }
}
