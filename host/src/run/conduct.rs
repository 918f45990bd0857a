//! How generations behave, and whether a new one may go on. No clock, no I/O.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::pipeline::config::ProbationConfig;

/// Fewer records say little: their dead letters are counted as if there were so many.
const RECORDS_MIN: u64 = 1_000;

/// What came before the last so many records is forgotten.
const WINDOW_RECORDS: u64 = 10_000;

/// Batches that it takes to say how long a record takes: the first ones also wait for instances.
const BATCHES_MIN: u64 = 8;

/// Whoever takes less is never slow.
const FAST: Duration = Duration::from_micros(20);

/// What came of some batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conduct {
    pub batches: u64,
    pub records: u64,
    /// Dead letters.
    pub rejects: u64,
    /// Calls into plugins that gave no answer.
    pub failed_calls: u64,
    /// On cleaning threads.
    pub took: Duration,
}

impl Conduct {
    fn time_per_record(&self) -> Duration {
        let nanos = self.took.as_nanos() / u128::from(self.records.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Of 1,000 records.
    fn rejects_per_1000(&self) -> f64 {
        self.rejects as f64 * 1_000.0 / self.records.max(1) as f64
    }

    /// Whether the same records fared better here than there.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.failed_calls < other.failed_calls || self.rejects < other.rejects
    }
}

impl AddAssign for Conduct {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.records += other.records;
        self.rejects += other.rejects;
        self.failed_calls += other.failed_calls;
        self.took += other.took;
    }
}

impl SubAssign for Conduct {
    fn sub_assign(&mut self, other: Self) {
        self.batches -= other.batches;
        self.records -= other.records;
        self.rejects -= other.rejects;
        self.failed_calls -= other.failed_calls;
        self.took -= other.took;
    }
}

/// The same, counted by many lanes at once.
#[derive(Debug, Default)]
pub(super) struct Account {
    batches: AtomicU64,
    records: AtomicU64,
    rejects: AtomicU64,
    failed_calls: AtomicU64,
    nanos: AtomicU64,
}

impl Account {
    pub(super) fn add(&self, conduct: &Conduct) {
        let nanos = u64::try_from(conduct.took.as_nanos()).unwrap_or(u64::MAX);
        for (sum, more) in [
            (&self.batches, conduct.batches),
            (&self.records, conduct.records),
            (&self.rejects, conduct.rejects),
            (&self.failed_calls, conduct.failed_calls),
            (&self.nanos, nanos),
        ] {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn sum(&self) -> Conduct {
        Conduct {
            batches: self.batches.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            rejects: self.rejects.load(Ordering::Relaxed),
            failed_calls: self.failed_calls.load(Ordering::Relaxed),
            took: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// Why a generation has to go.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Trouble {
    #[error(
        "{failed} of its calls failed where the one before comes through, and \
         limits.probation.traps allows {allowed}"
    )]
    Traps { failed: u64, allowed: u64 },
    #[error(
        "{rejects} of its last {records} records are dead letters, and before it were {before:.1} \
         of 1,000 (limits.probation.extra_rejects allows {allowed} more)"
    )]
    Rejects { rejects: u64, records: u64, before: f64, allowed: u64 },
    #[error(
        "a record takes it {now:?}, and took {before:?} before \
         (limits.probation.slowdown allows {allowed} times as long)"
    )]
    Slow { now: Duration, before: Duration, allowed: u32 },
    /// A lane does not go on with it.
    #[error("{0}")]
    Halted(String),
    #[error("another process found: {0}")]
    Elsewhere(String),
    #[error("somebody asked for it")]
    Asked,
}

/// What a generation did lately, and what it may do.
#[derive(Debug)]
pub(super) struct Watched {
    limits: ProbationConfig,
    /// With the patience that there was for each.
    batches: VecDeque<(Conduct, u32)>,
    sum: Conduct,
}

impl Watched {
    pub(super) fn new(limits: &ProbationConfig) -> Self {
        Self { limits: limits.clone(), batches: VecDeque::new(), sum: Conduct::default() }
    }

    /// What is wrong with it, if one more batch went like this.
    pub(super) fn trouble(
        &self,
        next: &Conduct,
        before: &Conduct,
        patience: u32,
    ) -> Option<Trouble> {
        let mut sum = self.sum;
        sum += *next;
        let patience = self.batches.iter().map(|(_, patience)| *patience).fold(patience, u32::max);
        trouble(&self.limits, &sum, before, patience)
    }

    pub(super) fn add(&mut self, next: Conduct, patience: u32) {
        self.sum += next;
        self.batches.push_back((next, patience));
        while let Some((oldest, _)) = self.batches.front()
            && self.sum.records - oldest.records >= WINDOW_RECORDS
        {
            self.sum -= *oldest;
            self.batches.pop_front();
        }
    }

    pub(super) fn limits(&self) -> &ProbationConfig {
        &self.limits
    }
}

/// Whether what a generation did is too much worse than what the one before did. It may take so many times
/// longer than the limit says: `patience`, 1 if its code is as good as that one's.
pub fn trouble(
    limits: &ProbationConfig,
    now: &Conduct,
    before: &Conduct,
    patience: u32,
) -> Option<Trouble> {
    let allowed = u64::from(limits.traps);
    if now.failed_calls > allowed {
        return Some(Trouble::Traps { failed: now.failed_calls, allowed });
    }
    let rate = before.rejects_per_1000();
    let allowed = u64::from(limits.extra_rejects);
    let most = (rate + allowed as f64) * now.records.max(RECORDS_MIN) as f64 / 1_000.0;
    if now.rejects as f64 > most {
        let Conduct { rejects, records, .. } = *now;
        return Some(Trouble::Rejects { rejects, records, before: rate, allowed });
    }
    let is_enough = |it: &Conduct| it.batches >= BATCHES_MIN && it.records >= RECORDS_MIN;
    if is_enough(now) && is_enough(before) {
        let (now, before) = (now.time_per_record(), before.time_per_record());
        let allowed = limits.slowdown.saturating_mul(patience);
        if now > FAST && now > before * allowed {
            return Some(Trouble::Slow { now, before, allowed });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct(batches: u64, records: u64, rejects: u64, failed_calls: u64) -> Conduct {
        let took = Duration::from_micros(records);
        Conduct { batches, records, rejects, failed_calls, took }
    }

    fn limits() -> ProbationConfig {
        ProbationConfig::default()
    }

    #[test]
    fn what_is_no_worse_than_before_is_no_trouble() {
        let before = conduct(100, 100_000, 3_000, 0);
        assert_eq!(trouble(&limits(), &conduct(1, 1_000, 30, 0), &before, 1), None);
        assert_eq!(trouble(&limits(), &conduct(1, 1_000, 40, 0), &before, 1), None);
        let rejects = Trouble::Rejects { rejects: 41, records: 1_000, before: 30.0, allowed: 10 };
        assert_eq!(trouble(&limits(), &conduct(1, 1_000, 41, 0), &before, 1), Some(rejects));
    }

    #[test]
    fn few_records_are_judged_as_if_there_were_more() {
        let before = Conduct::default();
        assert_eq!(trouble(&limits(), &conduct(1, 10, 10, 0), &before, 1), None);
        let found = trouble(&limits(), &conduct(1, 11, 11, 0), &before, 1);
        assert!(matches!(found, Some(Trouble::Rejects { rejects: 11, .. })), "{found:?}");
    }

    #[test]
    fn a_call_that_fails_is_one_too_many_unless_some_are_allowed() {
        let now = conduct(1, 1_000, 0, 1);
        let found = trouble(&limits(), &now, &Conduct::default(), 1);
        assert_eq!(found, Some(Trouble::Traps { failed: 1, allowed: 0 }));
        let limits = ProbationConfig { traps: 1, ..limits() };
        assert_eq!(trouble(&limits, &now, &Conduct::default(), 1), None);
    }

    #[test]
    fn batches_of_code_that_was_made_in_a_hurry_are_judged_as_such() {
        let before = conduct(100, 100_000, 0, 0);
        let took = Duration::from_micros(30) * 1_024;
        let (slow, good) = (Conduct { took, ..conduct(1, 1_024, 0, 0) }, conduct(1, 1_024, 0, 0));
        let after = |patience| {
            let mut watched = Watched::new(&limits());
            for _ in 0..20 {
                watched.add(slow, patience);
            }
            watched.trouble(&good, &before, 1)
        };
        assert!(matches!(after(1), Some(Trouble::Slow { .. })));
        assert_eq!(after(10), None, "it is good by now");
    }

    #[test]
    fn slow_is_what_takes_many_times_as_long_for_a_while() {
        let before = conduct(100, 100_000, 0, 0);
        let slow = |batches| {
            let took = Duration::from_micros(30) * 1_024 * u32::try_from(batches).unwrap();
            Conduct { took, ..conduct(batches, batches * 1_024, 0, 0) }
        };
        assert_eq!(trouble(&limits(), &slow(7), &before, 1), None, "it may only have begun");
        let found = trouble(&limits(), &slow(8), &before, 1);
        assert!(matches!(found, Some(Trouble::Slow { allowed: 5, .. })), "{found:?}");
        let as_slow = Conduct { took: Duration::from_secs(3), ..before };
        assert_eq!(trouble(&limits(), &slow(8), &as_slow, 1), None);
        assert_eq!(trouble(&limits(), &slow(8), &conduct(1, 1_000, 0, 0), 1), None, "who knows");
        assert_eq!(
            trouble(&limits(), &slow(8), &before, 100),
            None,
            "its code was made in a hurry"
        );
    }

    #[test]
    fn what_was_long_ago_makes_up_for_nothing() {
        let mut watched = Watched::new(&limits());
        let before = Conduct::default();
        for _ in 0..1_000 {
            assert_eq!(watched.trouble(&conduct(1, 1_000, 10, 0), &before, 1), None);
            watched.add(conduct(1, 1_000, 0, 0), 1);
        }
        for _ in 0..10 {
            watched.add(conduct(1, 1_000, 20, 0), 1);
        }
        assert!(watched.trouble(&conduct(1, 1_000, 20, 0), &before, 1).is_some());
    }
}
