//! So many records a second, evenly.

use std::time::{Duration, Instant};

/// A reader that was held up this long makes up for no more.
const LAG_MAX: Duration = Duration::from_secs(1);
/// How often records come, if there are that many.
const TICKS_PER_SECOND: u64 = 50;

/// When records are due.
#[derive(Debug)]
pub(super) struct Pace {
    records_per_second: u64,
    since: Instant,
    /// Handed out since then.
    records: u64,
}

impl Pace {
    /// # Panics
    /// If the rate is 0: a bug of ours, as a pipeline is checked when it is loaded.
    pub(super) fn new(records_per_second: u64, now: Instant) -> Self {
        assert!(records_per_second > 0, "a rate is at least one record a second");
        Self { records_per_second, since: now, records: 0 }
    }

    /// When there is something to hand out again: a few records at once if they come fast.
    pub(super) fn next(&self) -> Instant {
        self.at(self.records + (self.records_per_second / TICKS_PER_SECOND).max(1))
    }

    /// How many records may be handed out.
    pub(super) fn due(&mut self, now: Instant) -> u64 {
        let past = now.saturating_duration_since(self.at(self.records));
        if past > LAG_MAX {
            (self.since, self.records) = (now - LAG_MAX, 0);
        }
        let nanos = now.saturating_duration_since(self.since).as_nanos();
        let all = nanos * u128::from(self.records_per_second) / 1_000_000_000;
        u64::try_from(all).unwrap_or(u64::MAX).saturating_sub(self.records)
    }

    pub(super) fn took(&mut self, records: u64) {
        self.records += records;
    }

    /// When the record before this one ends, counted from `since`.
    fn at(&self, records: u64) -> Instant {
        let nanos = (u128::from(records) * 1_000_000_000).div_ceil(self.records_per_second.into());
        self.since + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records by tick, for a reader that wakes up when it is told.
    fn ticks(pace: &mut Pace, ticks: usize) -> Vec<(Duration, u64)> {
        let start = pace.since;
        let tick = |_| {
            let now = pace.next();
            let due = pace.due(now);
            pace.took(due);
            (now - start, due)
        };
        (0..ticks).map(tick).collect()
    }

    #[test]
    fn records_come_evenly() {
        let now = Instant::now();
        let expected = [(Duration::from_millis(500), 1), (Duration::from_secs(1), 1)];
        assert_eq!(ticks(&mut Pace::new(2, now), 2), expected);
        let fast = ticks(&mut Pace::new(1_000_000, now), 50);
        assert_eq!(fast[0], (Duration::from_millis(20), 20_000));
        assert_eq!(fast.last().unwrap().0, Duration::from_secs(1));
        let odd = ticks(&mut Pace::new(333, now), 111);
        assert_eq!(odd.iter().map(|(_, due)| due).sum::<u64>(), 666);
        assert!(odd.iter().all(|(_, due)| *due == 6), "{odd:?}");
    }

    #[test]
    fn a_reader_that_was_held_up_makes_up_for_a_little() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(pace.due(now + Duration::from_millis(300)), 300);
        assert_eq!(pace.due(now + Duration::from_secs(3600)), 1000);
        pace.took(1000);
        assert_eq!(pace.due(now + Duration::from_secs(3600)), 0);
    }
}
