//! When so many records are dead letters that it is rarely the records.

use std::collections::VecDeque;

use super::halt::CommonReasons;

/// What is too much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakerLimits {
    /// So large a share of the last records may be dead letters.
    pub ratio_max: f64,
    /// Fewer records say nothing.
    pub records_min: u64,
}

impl BreakerLimits {
    pub(crate) fn new(ratio_max: f64) -> Self {
        Self { ratio_max, records_min: 1_000 }
    }
}

/// Watches the share of dead letters among the last records of a lane, for as long as the lane is kept: what
/// it has seen counts when a halted lane is tried again.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    limits: BreakerLimits,
    /// (records, dead letters, and why) of the last batches: as few as hold enough records.
    window: VecDeque<(u64, u64, CommonReasons)>,
    records: u64,
    dead: u64,
    is_tripped: bool,
}

/// The share was too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    pub records: u64,
    pub dead: u64,
}

impl Breaker {
    pub(super) fn new(limits: BreakerLimits) -> Self {
        Self { limits, window: VecDeque::new(), records: 0, dead: 0, is_tripped: false }
    }

    /// What trips it is not taken for seen: it will come again.
    pub(super) fn note(
        &mut self,
        records: u64,
        dead: u64,
        reasons: CommonReasons,
    ) -> Result<(), (Tripped, CommonReasons)> {
        let mut next = self.clone();
        next.add(records, dead, reasons);
        let is_enough = self.is_tripped || next.records >= self.limits.records_min;
        let most = self.limits.ratio_max * next.records.max(self.limits.records_min) as f64;
        // A batch without dead letters is not at fault for those before.
        if dead > 0 && is_enough && next.dead as f64 > most {
            self.is_tripped = true;
            let tripped = Tripped { records: next.records, dead: next.dead };
            return Err((tripped, next.reasons()));
        }
        next.is_tripped &= next.records < self.limits.records_min;
        *self = next;
        Ok(())
    }

    /// How many dead letters more a unit may have, all of whose records were seen: `dead` of its `records`
    /// are some already.
    pub(super) fn room(&self, records: u64, dead: u64) -> u64 {
        let (records, dead) = if records >= self.limits.records_min {
            (records, dead)
        } else if self.is_tripped || self.records >= self.limits.records_min {
            (self.records.max(self.limits.records_min), self.dead)
        } else {
            return u64::MAX;
        };
        ((self.limits.ratio_max * records as f64) as u64).saturating_sub(dead)
    }

    /// So many of the records that were seen are dead letters as well: there was room for them.
    pub(super) fn note_refused(&mut self, dead: u64) {
        self.add(0, dead, CommonReasons::default());
    }

    /// It was, and too little was seen since to say that it is over. Few records are then enough to trip it
    /// again, if as many of a thousand would be.
    pub(super) fn is_tripped(&self) -> bool {
        self.is_tripped
    }

    fn reasons(&self) -> CommonReasons {
        let mut sum = CommonReasons::default();
        self.window.iter().for_each(|(_, _, reasons)| sum.add(reasons));
        sum
    }

    fn add(&mut self, records: u64, dead: u64, reasons: CommonReasons) {
        self.window.push_back((records, dead, reasons));
        self.records += records;
        self.dead += dead;
        while let Some(&(oldest, its_dead, _)) = self.window.front()
            && self.records - oldest >= self.limits.records_min
        {
            self.window.pop_front();
            self.records -= oldest;
            self.dead -= its_dead;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Breaker {
        fn note_some(&mut self, records: u64, dead: u64) -> Result<(), Tripped> {
            let noted = self.note(records, dead, CommonReasons::default());
            noted.map_err(|(tripped, _)| tripped)
        }
    }

    #[test]
    fn a_few_records_say_nothing() {
        let mut breaker = Breaker::new(BreakerLimits::new(0.05));
        assert_eq!(breaker.note_some(998, 998), Ok(()));
        assert_eq!(breaker.note_some(1, 0), Ok(()));
        assert_eq!(breaker.note_some(1, 1), Err(Tripped { records: 1_000, dead: 999 }));
    }

    #[test]
    fn old_records_are_forgotten() {
        let mut breaker = Breaker::new(BreakerLimits::new(0.05));
        for _ in 0..100 {
            assert_eq!(breaker.note_some(1_000, 50), Ok(()));
        }
        assert_eq!(breaker.note_some(1_000, 51), Err(Tripped { records: 1_000, dead: 51 }));
        assert_eq!(breaker.note_some(1_000, 0), Ok(()));
    }

    #[test]
    fn small_batches_are_counted_together() {
        let mut breaker = Breaker::new(BreakerLimits::new(0.05));
        for _ in 0..500 {
            assert_eq!(breaker.note_some(10, 0), Ok(()));
        }
        let tripped = (0..100).map(|_| breaker.note_some(10, 10)).find_map(Result::err);
        assert_eq!(tripped, Some(Tripped { records: 1_000, dead: 60 }));
    }

    #[test]
    fn what_tripped_it_trips_it_again_however_small_its_pieces() {
        let mut breaker = Breaker::new(BreakerLimits::new(0.05));
        assert_eq!(breaker.note_some(1_000, 900), Err(Tripped { records: 1_000, dead: 900 }));
        let passed: u64 = (0..100).filter(|_| breaker.note_some(10, 10).is_ok()).map(|_| 10).sum();
        assert_eq!(passed, 50, "as many as of a thousand records may be");
        for _ in 0..100 {
            assert_eq!(breaker.note_some(10, 0), Ok(()), "it goes on once the records are good");
        }
        assert!(!breaker.is_tripped());
    }

    #[test]
    fn there_is_room_for_as_many_as_do_not_trip_it() {
        let mut breaker = Breaker::new(BreakerLimits::new(0.05));
        assert_eq!(breaker.note_some(300, 10), Ok(()));
        assert_eq!(breaker.room(300, 10), u64::MAX, "few records say nothing");
        assert_eq!(breaker.note_some(700, 10), Ok(()));
        assert_eq!(breaker.room(700, 10), 30);
        assert_eq!(breaker.room(50_000, 100), 2_400, "a large unit stands for itself");
        breaker.note_refused(30);
        assert_eq!(breaker.room(700, 10), 0);
        assert_eq!(breaker.note_some(10, 1), Err(Tripped { records: 1_010, dead: 51 }));
    }

    #[test]
    fn a_ratio_of_one_lets_everything_pass() {
        assert_eq!(Breaker::new(BreakerLimits::new(1.0)).note_some(5_000, 5_000), Ok(()));
    }
}
