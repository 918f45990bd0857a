//! Differences of several batches become one, in bounded memory.

use serde_json::Value;

use super::{Change, ColumnDiff, Diff, Ends, Example, Fate, FateDiff, TallyDiff};

/// Pairs of ends that are told apart: a plugin that makes up a new reason for each row must not fill the
/// memory.
const FATES_MAX: usize = 500;
const OTHER_REASONS: &str = "other reasons";

/// Rows whose values are looked at for examples, for each that is wanted: most differ in the same way.
const LOOKED_AT: u64 = 64;

/// Of an example's text, and items of its list.
const CHARS_MAX: usize = 500;
const ITEMS_MAX: usize = 50;

impl Diff {
    /// Whether a row, an end of a record or a count is another one.
    pub fn is_empty(&self) -> bool {
        !self.reordered
            && self.columns.iter().all(ColumnDiff::is_empty)
            && self.fates.is_empty()
            && self.tallies.iter().all(|tally| tally.old == tally.new)
    }

    /// Adds those of later records, compared by the same rules. Of examples the earlier ones stay.
    pub fn add(&mut self, later: Self, examples_max: usize) {
        self.records += later.records;
        self.old.add(later.old);
        self.new.add(later.new);
        self.compared += later.compared;
        self.changed += later.changed;
        for (column, later) in self.columns.iter_mut().zip(later.columns) {
            column.add(later, examples_max);
        }
        for fate in later.fates {
            add_fate(&mut self.fates, fate, examples_max);
        }
        add_tallies(&mut self.tallies, later.tallies);
    }
}

impl Ends {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.deletes += other.deletes;
        self.dropped += other.dropped;
        self.rejected += other.rejected;
    }
}

impl ColumnDiff {
    /// Rows in which it is another one.
    pub fn rows(&self) -> u64 {
        self.null_to_value + self.value_to_null + self.value_to_other
    }

    /// Whether it is the same column with the same values.
    pub fn is_empty(&self) -> bool {
        self.old_type == self.new_type && self.rows() == 0
    }

    pub fn of(&self, change: Change) -> u64 {
        match change {
            Change::NullToValue => self.null_to_value,
            Change::ValueToNull => self.value_to_null,
            Change::ValueToOther => self.value_to_other,
        }
    }

    pub(super) fn count(&mut self, change: Change) {
        match change {
            Change::NullToValue => self.null_to_value += 1,
            Change::ValueToNull => self.value_to_null += 1,
            Change::ValueToOther => self.value_to_other += 1,
        }
    }

    /// Keeps a change that was counted as an example, if there is need of one and none is like it.
    pub(super) fn show(
        &mut self,
        change: Change,
        examples_max: usize,
        example: impl FnOnce() -> Example,
    ) {
        let is_early = self.of(change) <= LOOKED_AT.saturating_mul(examples_max as u64);
        if is_early && self.has_room(change, examples_max) {
            self.keep(example());
        }
    }

    fn has_room(&self, change: Change, examples_max: usize) -> bool {
        self.examples.iter().filter(|known| known.change == change).count() < examples_max
    }

    fn keep(&mut self, example: Example) {
        let is_like = |known: &Example| {
            (known.change, &known.old, &known.new) == (example.change, &example.old, &example.new)
        };
        if !self.examples.iter().any(is_like) {
            self.examples.push(example);
        }
    }

    fn add(&mut self, later: Self, examples_max: usize) {
        self.null_to_value += later.null_to_value;
        self.value_to_null += later.value_to_null;
        self.value_to_other += later.value_to_other;
        for example in later.examples {
            if self.has_room(example.change, examples_max) {
                self.keep(example);
            }
        }
    }
}

pub(super) fn add_fate(fates: &mut Vec<FateDiff>, mut other: FateDiff, examples_max: usize) {
    let place = |fates: &[FateDiff], other: &FateDiff| {
        fates.binary_search_by(|known| (&known.old, &known.new).cmp(&(&other.old, &other.new)))
    };
    let mut at = place(fates, &other);
    if at.is_err() && fates.len() >= FATES_MAX {
        for fate in [&mut other.old, &mut other.new] {
            if let Fate::Rejected { reason, .. } = fate {
                OTHER_REASONS.clone_into(reason);
            }
        }
        at = place(fates, &other);
    }
    match at {
        Ok(at) => {
            let known = &mut fates[at];
            known.records += other.records;
            let room = examples_max.saturating_sub(known.examples.len());
            known.examples.extend(other.examples.into_iter().take(room));
        }
        Err(at) => fates.insert(at, other),
    }
}

pub(super) fn add_tallies(
    tallies: &mut Vec<TallyDiff>,
    later: impl IntoIterator<Item = TallyDiff>,
) {
    let sum = |known: Option<u64>, later: Option<u64>| match (known, later) {
        (Some(known), Some(later)) => Some(known + later),
        (known, later) => known.or(later),
    };
    for later in later {
        let is_same = |it: &&mut TallyDiff| (&it.step, &it.tally) == (&later.step, &later.tally);
        match tallies.iter_mut().find(is_same) {
            Some(known) => {
                known.old = sum(known.old, later.old);
                known.new = sum(known.new, later.new);
            }
            None => tallies.push(later),
        }
    }
}

/// As much of a value as an example has to show.
pub(super) fn short(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
                text.truncate(end);
                text.push('…');
            }
            Value::String(text)
        }
        Value::Array(mut items) => {
            let rest = items.len().saturating_sub(ITEMS_MAX);
            items.truncate(ITEMS_MAX);
            let mut items: Vec<_> = items.into_iter().map(short).collect();
            if rest > 0 {
                items.push(Value::String(format!("… and {rest} more")));
            }
            Value::Array(items)
        }
        value => value,
    }
}
