//! When so many records are dead letters that it is rarely the records.

use std::collections::VecDeque;

/// Fewer records say nothing.
const RECORDS_MIN: u64 = 1_000;

/// Watches the share of dead letters among the last records of a lane.
#[derive(Debug)]
pub(super) struct Breaker {
    ratio_max: f64,
    /// (records, dead letters) of the last batches: as few as hold enough records.
    window: VecDeque<(u64, u64)>,
    records: u64,
    dead: u64,
}

/// The share was too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    pub records: u64,
    pub dead: u64,
}

impl Breaker {
    pub(super) fn new(ratio_max: f64) -> Self {
        Self { ratio_max, window: VecDeque::new(), records: 0, dead: 0 }
    }

    pub(super) fn note(&mut self, records: u64, dead: u64) -> Result<(), Tripped> {
        self.window.push_back((records, dead));
        self.records += records;
        self.dead += dead;
        while let Some(&(oldest, its_dead)) = self.window.front()
            && self.records - oldest >= RECORDS_MIN
        {
            self.window.pop_front();
            self.records -= oldest;
            self.dead -= its_dead;
        }
        let is_too_high = self.dead as f64 > self.records as f64 * self.ratio_max;
        if self.records >= RECORDS_MIN && is_too_high {
            return Err(Tripped { records: self.records, dead: self.dead });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_records_say_nothing() {
        let mut breaker = Breaker::new(0.05);
        assert_eq!(breaker.note(999, 999), Ok(()));
        assert_eq!(breaker.note(1, 0), Err(Tripped { records: 1_000, dead: 999 }));
    }

    #[test]
    fn old_records_are_forgotten() {
        let mut breaker = Breaker::new(0.05);
        for _ in 0..100 {
            assert_eq!(breaker.note(1_000, 50), Ok(()));
        }
        assert_eq!(breaker.note(1_000, 51), Err(Tripped { records: 1_000, dead: 51 }));
        assert_eq!(breaker.note(1_000, 0), Ok(()));
    }

    #[test]
    fn small_batches_are_counted_together() {
        let mut breaker = Breaker::new(0.05);
        for _ in 0..500 {
            assert_eq!(breaker.note(10, 0), Ok(()));
        }
        let tripped = (0..100).map(|_| breaker.note(10, 10)).find_map(Result::err);
        assert_eq!(tripped, Some(Tripped { records: 1_000, dead: 60 }));
    }

    #[test]
    fn a_ratio_of_one_lets_everything_pass() {
        assert_eq!(Breaker::new(1.0).note(5_000, 5_000), Ok(()));
    }
}
