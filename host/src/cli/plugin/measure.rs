//! What a step costs: time, memory and instructions, on rows repeated to a batch of usual size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;

use crate::plugin::{Cleaner, Failure, Step, Uncleaned};
use crate::record::{Batch, Field, Kind};

/// Nanoseconds a row, in several rounds.
#[derive(Debug, Clone)]
pub(super) struct Speed {
    sorted: Vec<f64>,
}

impl Speed {
    pub(super) fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    /// Nine of ten rounds were between these.
    pub(super) fn spread(&self) -> (f64, f64) {
        let at =
            |share: f64| self.sorted[((self.sorted.len() - 1) as f64 * share).round() as usize];
        (at(0.05), at(0.95))
    }
}

/// Cleans the batch again and again for about `time`, after a warm-up of a tenth of it.
pub(super) fn speed(
    cleaner: &mut Cleaner,
    batch: &Batch,
    time: Duration,
) -> Result<Speed, Failure> {
    const ROUNDS: u32 = 30;
    let (began, mut calls) = (Instant::now(), 0_u32);
    while calls < 2 || began.elapsed() < time / 10 {
        cleaner.clean(batch)?;
        calls += 1;
    }
    let call = began.elapsed() / calls;
    let calls = (time / ROUNDS).div_duration_f64(call).max(1.0) as u32;
    let mut sorted = Vec::new();
    let began = Instant::now();
    while sorted.len() < 3 || (sorted.len() < ROUNDS as usize && began.elapsed() < time) {
        let began = Instant::now();
        for _ in 0..calls {
            cleaner.clean(batch)?;
        }
        let rows = f64::from(calls) * batch.rows() as f64;
        sorted.push(began.elapsed().as_nanos() as f64 / rows);
    }
    sorted.sort_by(f64::total_cmp);
    Ok(Speed { sorted })
}

/// Instructions a row, about: those of a whole batch shared out.
pub(super) fn instructions(step: &Step, batch: &Batch) -> Result<f64, Failure> {
    let judged =
        step.judge(batch, Duration::from_secs(10)).map_err(|uncleaned| match uncleaned {
            Uncleaned::Guilty(failure) | Uncleaned::Unjudged(failure) => failure,
        })?;
    Ok(judged.fuel as f64 / batch.rows() as f64)
}

/// The rows again and again, until there are as many as asked for.
pub(super) fn repeated(batch: &Batch, rows: usize) -> Batch {
    let picked: UInt32Array = (0..rows).map(|row| (row % batch.rows()) as u32).collect();
    let columns = batch.columns().iter();
    let columns = columns.map(|column| take(column, &picked, None).expect("rows that are there"));
    Batch::new(rows, Arc::clone(batch.fields()), columns.collect())
}

/// Bytes of the values in the columns that the step reads.
pub(super) fn bytes_read(step: &Step, batch: &Batch) -> u64 {
    let reads = step.plan().reads.iter();
    reads.map(|at| bytes_of(&batch.fields()[*at], &batch.columns()[*at])).sum()
}

fn bytes_of(field: &Field, column: &ArrayRef) -> u64 {
    use arrow::array::AsArray as _;

    let texts = |column: &ArrayRef| column.as_string::<i32>().value_data().len();
    let bytes = match field.kind {
        Kind::Boolean => column.len().div_ceil(8),
        Kind::Integer | Kind::Float | Kind::Timestamp => column.len() * 8,
        Kind::Text => texts(column),
        Kind::TextList => texts(column.as_list::<i32>().values()),
        Kind::FloatList => column.as_list::<i32>().values().len() * 8,
    };
    bytes as u64
}
