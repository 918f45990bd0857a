//! A new generation on the records that came last, beside the one that cleans: what would be another row,
//! and whether it keeps to what every rule has to. Nothing of it has an effect.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;

use crate::diff::{Comparison, Diff};
use crate::pipeline::Rule;
use crate::pipeline::config::ProbationConfig;
use crate::plugin::ConfigureError;
use crate::record::{Position, RawBatch};
use crate::run::{ChainHalted, CleanRows, Conduct, Live, Trouble, Worker, trouble};

/// It ends at whichever comes first; one batch is tried in any case.
const RECORDS_MAX: u64 = 8_192;
const TIME_MAX: Duration = Duration::from_millis(200);

/// Of each kind of change.
const EXAMPLES_MAX: usize = 1;

/// Why a new generation is not fit to clean.
#[derive(Debug, thiserror::Error)]
pub enum TrialFault {
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    #[error("it cannot clean the records at {at}, which the one that cleans can: {cause}")]
    Halted {
        at: Position,
        #[source]
        cause: Box<ChainHalted>,
    },
    /// How it comes out in the batch, and in a part of it.
    #[error(
        "what becomes of the record at {at} depends on those beside it: with fewer of them {told}"
    )]
    Parts { at: String, told: String },
    #[error("on the last {records} records {trouble}")]
    Worse { records: u64, trouble: Trouble },
}

/// What a trial found.
#[derive(Debug, Default)]
pub struct Tried {
    pub records: u64,
    /// What the new generation makes otherwise; none if one of the two has no rule.
    pub diff: Option<Diff>,
    pub took: Duration,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.records == 0 {
            return f.write_str("no records came yet to try it on");
        }
        write!(f, "on the last {} records: ", HumanCount(self.records))?;
        match &self.diff {
            Some(diff) => f.write_str(&diff.in_a_line()),
            None => f.write_str("without a rule before and after there is nothing to compare"),
        }
    }
}

/// Two generations that have rules.
struct Compared<'a> {
    old: &'a Rule,
    new: &'a Rule,
    comparison: Comparison,
}

impl<'a> Compared<'a> {
    fn new(old: &'a Live, new: &'a Live) -> Option<Self> {
        let (old, new) = (old.rule.as_deref()?, new.rule.as_deref()?);
        let comparison = Comparison::new(old.columns(), new.columns(), [], EXAMPLES_MAX);
        Some(Self { old, new, comparison })
    }

    fn compare(&self, raw: &RawBatch, old: &CleanRows, new: &CleanRows) -> Diff {
        let by_rule = "a rule gives columns";
        let was = old.outcome(self.old).expect(by_rule);
        let is = new.outcome(self.new).expect(by_rule);
        let place = |record: u32| raw.records[record as usize].position.place().to_string();
        self.comparison.compare(raw.records.len(), &was, &is, &place)
    }
}

/// Runs `next` beside `live` on batches, the newest first.
pub(super) fn trial(
    live: &Live,
    next: &Live,
    batches: &[Arc<RawBatch>],
    limits: &ProbationConfig,
) -> Result<Tried, TrialFault> {
    let began = Instant::now();
    let (live, next) = (live.apart()?, next.apart()?);
    let (mut by_live, mut by_next) = (Worker::new(&live), Worker::new(&next));
    let mut in_parts = Worker::new(&next);
    let (with_live, with_itself) = (Compared::new(&live, &next), Compared::new(&next, &next));
    let diff = with_live.as_ref().map(|compared| compared.comparison.nothing());
    let mut found = Tried { diff, ..Tried::default() };
    let (mut was, mut is) = (Conduct::default(), Conduct::default());
    for raw in batches {
        if found.records > 0 && (found.records >= RECORDS_MAX || began.elapsed() > TIME_MAX) {
            break;
        }
        let before = timed(raw, &mut was, || by_live.rows(raw));
        let whole = match (timed(raw, &mut is, || by_next.rows(raw)), before.is_err()) {
            (Ok(whole), _) => whole,
            // Nobody can clean these: the new one is no worse.
            (Err(_), true) => continue,
            (Err(cause), false) => return Err(TrialFault::Halted { at: raw.from, cause }),
        };
        if let Some(compared) = &with_itself {
            agree(raw, &whole, &mut in_parts, compared)?;
        }
        if let (Ok(before), Some(compared), Some(diff)) = (&before, &with_live, &mut found.diff) {
            diff.add(compared.compare(raw, before, &whole), EXAMPLES_MAX);
        }
        found.records += raw.records.len() as u64;
    }
    found.took = began.elapsed();
    // What the one that cleans fails on too is not the new one's fault.
    is.failed_calls = is.failed_calls.saturating_sub(was.failed_calls);
    match trouble(limits, &is, &was, next.patience()) {
        Some(trouble) => Err(TrialFault::Worse { records: found.records, trouble }),
        None => Ok(found),
    }
}

fn timed(
    raw: &RawBatch,
    conduct: &mut Conduct,
    clean: impl FnOnce() -> Result<CleanRows, Box<ChainHalted>>,
) -> Result<CleanRows, Box<ChainHalted>> {
    let began = Instant::now();
    let cleaned = clean()?;
    *conduct += Conduct {
        batches: 1,
        records: raw.records.len() as u64,
        rejects: cleaned.dead_letters.len() as u64,
        failed_calls: cleaned.failed_calls,
        took: began.elapsed(),
    };
    Ok(cleaned)
}

/// Whether the same comes out where a batch is cut otherwise.
fn agree(
    raw: &RawBatch,
    whole: &CleanRows,
    in_parts: &mut Worker,
    with_itself: &Compared<'_>,
) -> Result<(), TrialFault> {
    for range in parts(raw.records.len()) {
        let at = raw.records[range.start].position;
        let part = raw.slice(range.clone());
        let apart = in_parts.rows(&part).map_err(|cause| TrialFault::Halted { at, cause })?;
        let diff = with_itself.compare(&part, &whole.slice(range), &apart);
        if let Some((at, told)) = diff.example() {
            return Err(TrialFault::Parts { at: at.to_owned(), told });
        }
    }
    Ok(())
}

/// A third, most of the rest, and one record alone.
fn parts(records: usize) -> Vec<Range<usize>> {
    let cuts = [0, records / 3, records.saturating_sub(1), records];
    cuts.windows(2).map(|cut| cut[0]..cut[1]).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_into_parts_of_which_one_is_a_record_alone() {
        assert_eq!(parts(10), [0..3, 3..9, 9..10]);
        assert_eq!(parts(2), [0..1, 1..2]);
        let alone = 0..1;
        assert_eq!(parts(1), [alone]);
    }
}
