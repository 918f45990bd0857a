//! A few values before and after, for people: what the rule does to real data.

use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::Array as _;

use crate::pipeline::Rule;
use crate::record::Batch;
use crate::record::json::value;

/// A value that the rule changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The output's column.
    pub column: String,
    /// As JSON.
    pub before: String,
    pub after: String,
}

/// Rows of a batch that are looked at; the dirt that people ask about is not that rare.
const ROWS_MAX: usize = 256;

/// Longer values say no more to a reader.
const CHARS_MAX: usize = 60;

/// Looks at the first batches of a run only, so that it costs nothing afterwards.
#[derive(Debug)]
pub struct Examples {
    batches_left: AtomicU32,
}

impl Examples {
    pub fn of_batches(batches: u32) -> Self {
        Self { batches_left: AtomicU32::new(batches) }
    }

    /// One value of each column that was changed in this batch. `rows` says where the rows of `after`
    /// stand in `before`; none if they are all there.
    pub(super) fn take(
        &self,
        rule: &Rule,
        before: &Batch,
        rows: Option<&[u32]>,
        after: &Batch,
    ) -> Vec<Example> {
        let take_one = |left: u32| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.batches_left.fetch_update(set, get, take_one).is_err() {
            return Vec::new();
        }
        let columns = after.fields().iter().zip(after.columns()).zip(rule.origins());
        let changed = columns.filter_map(|((field, after), origin)| {
            let at = before.fields().iter().position(|field| field.name == *origin)?;
            let (was, before) = (before.fields()[at].kind, &before.columns()[at]);
            let kinds = (was, field.kind);
            (0..after.len().min(ROWS_MAX)).find_map(|row| {
                let origin = rows.map_or(row, |rows| rows[row] as usize);
                // That an empty text became null surprises nobody.
                let (was, is) = (value(kinds.0, before, origin), value(kinds.1, after, row));
                let is_telling = was != is && was != "" && !was.is_null();
                let (was, is) = (was.to_string(), is.to_string());
                let is_short = was.chars().count().max(is.chars().count()) <= CHARS_MAX;
                (is_telling && is_short).then(|| Example {
                    column: field.name.to_string(),
                    before: was,
                    after: is,
                })
            })
        });
        changed.collect()
    }
}
