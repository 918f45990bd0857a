//! A batch on its way through the steps of a rule, on one thread.
//!
//! A call that fails only ends the call: the batch runs once more on a new instance, and if that fails
//! too it is bisected. A row is rejected only by its own failure, alone, on a new instance, counted in
//! instructions and not in time. The other rows come out as if nothing had happened.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::compute::{cast, concat, filter};

use super::bisect::{Alone, Attempts, GivenUp, Part, bisect};
use crate::plugin::{Cleaned, Cleaner, Failure, Fault, Rejection, Step, Uncleaned};
use crate::record::Batch;
use crate::record::text::text_bytes;

/// How much of one batch may fail before the lane halts instead: rows of one step, and time.
const GUILTY_MAX: usize = 100;
const SEARCH_MAX: Duration = Duration::from_secs(5);

/// Even a small part of a batch gets this long.
const PART_TIME_MIN: Duration = Duration::from_millis(100);

/// The steps of a rule, for one thread.
#[derive(Debug)]
pub struct Chain {
    cleaners: Vec<Cleaner>,
}

/// What the steps made of a batch.
#[derive(Debug)]
pub struct Chained {
    /// The rows that are left, with the columns as the last step leaves them.
    pub batch: Batch,
    /// Where each of those rows stood in the batch that went in; `None` if all of them are left.
    pub rows: Option<Vec<u32>>,
    /// Rows that steps took out on purpose.
    pub dropped: Vec<Dropped>,
    /// Rows that could not be cleaned.
    pub rejected: Vec<Rejected>,
    pub tallies: Vec<StepTally>,
    /// Calls that gave no answer. A call that only took too long is not counted, as a machine may be
    /// slow, unless it did so again.
    pub failed_calls: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The step, counted from 0.
    pub step: usize,
    /// Its place in the batch that went in.
    pub row: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The step, counted from 0.
    pub step: usize,
    /// Its place in the batch that went in.
    pub row: u32,
    pub reason: String,
    pub detail: Option<String>,
}

/// What one step counted, in the order of its plan's tallies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTally {
    pub step: usize,
    pub counts: Vec<u32>,
}

/// So much of a batch fails that it is not a matter of single records.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} fails on a batch, and {why}; the batch failed with: {failure}")]
pub struct ChainHalted {
    /// The step, counted from 0.
    pub step: usize,
    pub plugin: String,
    /// What the batch as a whole failed with.
    pub failure: Failure,
    pub why: HaltReason,
}

/// Why the search for single faulty rows was given up.
#[derive(Debug, thiserror::Error)]
pub enum HaltReason {
    #[error("more than {GUILTY_MAX} of its rows do alone ({0})")]
    TooManyRows(Failure),
    #[error("looking for the rows that cause it took more than {} s", SEARCH_MAX.as_secs())]
    TookTooLong,
    #[error("which rows cause it cannot be found out ({0})")]
    Unjudged(Failure),
    #[error("its parts return more than limits.plugin.output")]
    Output,
}

impl Chain {
    pub fn new<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        Self { cleaners: steps.into_iter().map(Step::cleaner).collect() }
    }

    /// Takes a batch through all steps. Nothing of it has gone anywhere if that fails.
    pub fn clean(&mut self, batch: &Batch) -> Result<Chained, Box<ChainHalted>> {
        let mut chained = Chained {
            batch: batch.clone(),
            rows: None,
            dropped: Vec::new(),
            rejected: Vec::new(),
            tallies: Vec::with_capacity(self.cleaners.len()),
            failed_calls: 0,
        };
        for (step, cleaner) in self.cleaners.iter_mut().enumerate() {
            if chained.batch.rows() == 0 {
                // Nothing is left to clean, but the columns are those that the steps make.
                chained.batch = empty(cleaner.step());
                continue;
            }
            let (cleaned, failed_calls) = clean(step, cleaner, &chained.batch)?;
            chained.failed_calls += failed_calls;
            chained.take(step, cleaned);
        }
        Ok(chained)
    }
}

impl Chained {
    fn take(&mut self, step: usize, cleaned: Cleaned) {
        let Cleaned { batch, dropped, rejected, tallies } = cleaned;
        let origin = |row: u32| self.rows.as_ref().map_or(row, |rows| rows[row as usize]);
        let lost: Vec<u32> =
            dropped.iter().copied().chain(rejected.iter().map(|rejection| rejection.row)).collect();
        self.dropped.extend(dropped.into_iter().map(|row| Dropped { step, row: origin(row) }));
        self.rejected.extend(rejected.into_iter().map(|Rejection { row, reason, detail }| {
            Rejected { step, row: origin(row), reason, detail }
        }));
        self.tallies.push(StepTally { step, counts: tallies });
        if lost.is_empty() {
            self.batch = batch;
            return;
        }
        let mut kept = vec![true; batch.rows()];
        for row in lost {
            kept[row as usize] = false;
        }
        let rows = (0..batch.rows() as u32).filter(|row| kept[*row as usize]).map(origin).collect();
        self.rows = Some(rows);
        self.batch = only(&batch, kept);
    }
}

/// The rows of which `kept` is true.
pub(super) fn only(batch: &Batch, kept: Vec<bool>) -> Batch {
    let rows = kept.iter().filter(|kept| **kept).count();
    let kept = BooleanArray::from(kept);
    let columns = batch.columns().iter().map(|column| {
        filter(column, &kept).expect("a filter with a bit for each row, on a kind that we make")
    });
    Batch::new(rows, Arc::clone(batch.fields()), columns.collect())
}

fn empty(step: &Step) -> Batch {
    let output = step.output();
    let columns = output.iter().map(|field| new_null_array(&field.kind.data_type(), 0)).collect();
    Batch::new(0, Arc::clone(output), columns)
}

/// Cleans a batch by one step, whatever some of its rows do to the plugin; says how many calls failed.
fn clean(
    number: usize,
    cleaner: &mut Cleaner,
    batch: &Batch,
) -> Result<(Cleaned, u64), Box<ChainHalted>> {
    // The first failure may be another batch's fault, of which the instance still suffers.
    let first = match cleaner.clean(batch) {
        Ok(cleaned) => return Ok((cleaned, 0)),
        Err(failure) => failure,
    };
    let failure = match cleaner.clean(batch) {
        Ok(cleaned) => {
            let was_slow = matches!(first.fault, Fault::Time(_));
            return Ok((cleaned, u64::from(!was_slow)));
        }
        Err(failure) => failure,
    };
    let step = cleaner.step().clone();
    let plugin = step.plugin().name();
    tracing::debug!(plugin, "a batch failed twice: {failure}");
    let found = search(cleaner, batch, &step).map_err(|why| {
        Box::new(ChainHalted { step: number, plugin: plugin.to_owned(), failure, why })
    })?;
    Ok((found, 2))
}

/// Finds the rows that a failed batch owes its failure to.
fn search(cleaner: &mut Cleaner, batch: &Batch, step: &Step) -> Result<Cleaned, HaltReason> {
    // Before the clock starts: to compile a large plugin again takes a while.
    step.prepare_to_judge().map_err(HaltReason::Unjudged)?;
    let mut search = Search { cleaner, batch, began: Instant::now() };
    let parts =
        bisect(&mut search, batch.rows(), GUILTY_MAX).map_err(|given_up| match given_up {
            GivenUp::TooMany(failure) => HaltReason::TooManyRows(failure),
            GivenUp::Spent => HaltReason::TookTooLong,
            GivenUp::Unjudged(failure) => HaltReason::Unjudged(failure),
        })?;
    join(step, parts)
}

struct Search<'a> {
    cleaner: &'a mut Cleaner,
    batch: &'a Batch,
    began: Instant,
}

impl Attempts for Search<'_> {
    type Answer = Cleaned;
    type Failure = Failure;

    fn together(&mut self, rows: Range<usize>) -> Result<Cleaned, Failure> {
        // In proportion: a part that fails for want of time is only looked at more closely.
        let call = self.cleaner.step().plugin().limits().call;
        let share = call.mul_f64(rows.len() as f64 / self.batch.rows() as f64);
        let part = self.batch.slice(rows.start, rows.len());
        self.cleaner.clean_within(&part, share.max(PART_TIME_MIN.min(call)))
    }

    fn alone(&mut self, row: usize) -> Result<Cleaned, Alone<Failure>> {
        match self.cleaner.step().judge(&self.batch.slice(row, 1), SEARCH_MAX) {
            Ok(judged) => Ok(judged.cleaned),
            Err(Uncleaned::Guilty(failure)) => Err(Alone::Guilty(failure)),
            Err(Uncleaned::Unjudged(failure)) => Err(Alone::Unjudged(failure)),
        }
    }

    fn is_spent(&self) -> bool {
        self.began.elapsed() > SEARCH_MAX
    }
}

/// The parts as one answer; guilty rows are rejected.
fn join(step: &Step, parts: Vec<Part<Cleaned, Failure>>) -> Result<Cleaned, HaltReason> {
    let output = step.output();
    let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); output.len()];
    let mut dropped = Vec::new();
    let mut rejected = Vec::new();
    let mut tallies = vec![0; step.plan().tallies.len()];
    let mut rows = 0;
    for part in parts {
        match part {
            Part::Fine(range, cleaned) => {
                let from = range.start as u32;
                dropped.extend(cleaned.dropped.into_iter().map(|row| from + row));
                rejected.extend(
                    cleaned
                        .rejected
                        .into_iter()
                        .map(|rejection| Rejection { row: from + rejection.row, ..rejection }),
                );
                for (sum, tally) in tallies.iter_mut().zip(cleaned.tallies) {
                    *sum += tally;
                }
                for (pieces, column) in columns.iter_mut().zip(cleaned.batch.columns()) {
                    pieces.push(Arc::clone(column));
                }
                rows += range.len();
            }
            Part::Guilty(row, failure) => {
                let (row, reason, detail) = (row as u32, failure.reason(), failure.detail());
                rejected.push(Rejection { row, reason, detail });
                for (pieces, field) in columns.iter_mut().zip(output.iter()) {
                    pieces.push(new_null_array(&field.kind.data_type(), 1));
                }
                rows += 1;
            }
        }
    }
    // Each part is within the limit of one call, and all together shall be.
    let output_max = step.plugin().limits().output.as_u64();
    let written = step.plan().writes.iter().flat_map(|write| &columns[write.to]);
    if written.map(text_bytes).sum::<u64>() > output_max {
        return Err(HaltReason::Output);
    }
    let columns = columns.iter().zip(output.iter()).map(|(pieces, field)| {
        // Some parts may consist of pieces of other texts, and others of their own.
        let plain = field.kind.data_type();
        let pieces: Result<Vec<_>, _> = pieces.iter().map(|piece| cast(piece, &plain)).collect();
        let pieces = pieces.map_err(|_| HaltReason::Output)?;
        let pieces: Vec<_> = pieces.iter().map(AsRef::as_ref).collect();
        concat(&pieces).map_err(|_| HaltReason::Output)
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let batch = Batch::new(rows, Arc::clone(output), columns);
    Ok(Cleaned { batch, dropped, rejected, tallies })
}
