//! What two rules make otherwise of the same records: plain values in, counts and a few examples out.
//!
//! Rows are matched by the record that they stem from, columns by their names. Values are compared where
//! they stand, column by column; only those of examples are written out. Numbers are compared by value, and
//! what is not a number is the same as what is not one either. Of a record that is rejected, the step and
//! the reason count; the detail does not.
//!
//! The sum of the differences of batches is that of all their records, however they were cut.

mod column;
mod fate;
mod sum;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;

use serde::Serialize;

use self::column::{Matched, Pair, Side};
pub use self::fate::{Fate, FateDiff, FateExample};
pub use self::told::{cut, focused};
use crate::record::json::{self, JsonRow};
use crate::record::{Batch, DeadLetter, DroppedRecord, Field, Kind};

/// What a rule made of a batch of records.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    pub rows: &'a Batch,
    /// For each row its record; ascending, and none twice.
    pub origins: &'a [u32],
    /// The keys of rows that are to go, and for each its record, in the same order.
    pub deletes: Option<(&'a Batch, &'a [u32])>,
    pub dropped: &'a [DroppedRecord],
    pub dead_letters: &'a [DeadLetter],
    /// Of each step what it counts, and how often it was true.
    pub tallies: Vec<(&'a str, &'a str, u64)>,
}

/// Two rules, as far as that is needed to compare what they make.
#[derive(Debug, Clone)]
pub struct Comparison {
    columns: Vec<Column>,
    key: Vec<String>,
    is_reordered: bool,
    examples_max: usize,
}

/// A column of either rule or of both.
#[derive(Debug, Clone)]
struct Column {
    name: Arc<str>,
    old: Option<Kind>,
    new: Option<Kind>,
}

/// What two rules make otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Diff {
    /// That both were given.
    pub records: u64,
    /// What became of them.
    pub old: Ends,
    pub new: Ends,
    /// Records of which both make a row, or both a delete.
    pub compared: u64,
    /// How many of those differ in a column that both have.
    pub changed: u64,
    /// Of the columns that both have, some stand in another order.
    pub reordered: bool,
    /// All columns, those of the old rule first.
    pub columns: Vec<ColumnDiff>,
    /// Records that come to another end.
    pub fates: Vec<FateDiff>,
    /// All that steps count.
    pub tallies: Vec<TallyDiff>,
}

/// What becomes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ends {
    pub rows: u64,
    /// Records without a value, which delete a row.
    pub deletes: u64,
    pub dropped: u64,
    pub rejected: u64,
}

/// A column of the rows that both rules make.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDiff {
    pub name: String,
    /// None if the old rule does not have it: all of its values are null then.
    pub old_type: Option<Kind>,
    pub new_type: Option<Kind>,
    pub null_to_value: u64,
    pub value_to_null: u64,
    /// Values of another type are other ones.
    pub value_to_other: u64,
    pub examples: Vec<Example>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    NullToValue,
    ValueToNull,
    ValueToOther,
}

/// A value that is another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    pub change: Change,
    /// Where the record stands.
    pub record: String,
    pub key: JsonRow,
    pub old: serde_json::Value,
    pub new: serde_json::Value,
}

/// What a step counts; none where there is no such step, or it does not count that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TallyDiff {
    pub step: String,
    pub tally: String,
    pub old: Option<u64>,
    pub new: Option<u64>,
}

impl Comparison {
    /// Of rules with these columns. Examples show the columns of `key`; of each kind of change there are
    /// as many as `examples_max`.
    pub fn new(
        old: &[Field],
        new: &[Field],
        key: impl IntoIterator<Item = String>,
        examples_max: usize,
    ) -> Self {
        let kind = |fields: &[Field], name: &str| {
            fields.iter().find(|field| *field.name == *name).map(|field| field.kind)
        };
        let of_old = old.iter().map(|field| Column {
            name: Arc::clone(&field.name),
            old: Some(field.kind),
            new: kind(new, &field.name),
        });
        let added = new.iter().filter(|field| kind(old, &field.name).is_none());
        let added = added.map(|field| Column {
            name: Arc::clone(&field.name),
            old: None,
            new: Some(field.kind),
        });
        let common = |of: &[Field], other: &[Field]| -> Vec<Arc<str>> {
            let both = of.iter().filter(|field| kind(other, &field.name).is_some());
            both.map(|field| Arc::clone(&field.name)).collect()
        };
        Self {
            columns: of_old.chain(added).collect(),
            key: key.into_iter().collect(),
            is_reordered: common(old, new) != common(new, old),
            examples_max,
        }
    }

    /// The differences of no records at all.
    pub fn nothing(&self) -> Diff {
        let columns = self.columns.iter().map(|column| ColumnDiff {
            name: column.name.to_string(),
            old_type: column.old,
            new_type: column.new,
            null_to_value: 0,
            value_to_null: 0,
            value_to_other: 0,
            examples: Vec::new(),
        });
        Diff { reordered: self.is_reordered, columns: columns.collect(), ..Diff::default() }
    }

    /// Compares what became of one batch. `place` says where one of its records stands, for people.
    pub fn compare(
        &self,
        records: usize,
        old: &Outcome<'_>,
        new: &Outcome<'_>,
        place: &dyn Fn(u32) -> String,
    ) -> Diff {
        let mut diff = Diff {
            records: records as u64,
            old: Ends::of(old),
            new: Ends::of(new),
            tallies: tallies(old, new),
            ..self.nothing()
        };
        self.compare_rows(
            &mut diff,
            Pair { old: (old.rows, old.origins), new: (new.rows, new.origins) },
            place,
        );
        if let (Some(old), Some(new)) = (old.deletes, new.deletes) {
            self.compare_rows(&mut diff, Pair { old, new }, place);
        }
        let key = |record: u32| {
            let row = |outcome: &Outcome<'_>| {
                let row = outcome.origins.binary_search(&record).ok()?;
                Some(self.key_of(outcome.rows, row))
            };
            row(old).or_else(|| row(new)).unwrap_or_default()
        };
        diff.fates = fate::compare(old, new, self.examples_max, |record| FateExample {
            record: place(record),
            key: key(record),
            detail: None,
        });
        diff
    }

    /// Columns of the records that have a row on both sides.
    fn compare_rows(
        &self,
        diff: &mut Diff,
        rows: Pair<(&Batch, &[u32])>,
        place: &dyn Fn(u32) -> String,
    ) {
        let Pair { old: (old, old_origins), new: (new, new_origins) } = rows;
        let matched = Matched::of(old_origins, new_origins);
        let mut is_changed = vec![false; matched.len()];
        for (column, into) in self.columns.iter().zip(&mut diff.columns) {
            let (was, is) = (Side::of(old, &column.name), Side::of(new, &column.name));
            let changed = column::changed(&was, &is, &matched);
            for at in changed.iter().copied() {
                let (old_row, new_row) = matched.rows(at);
                let change = match (was.is_null(old_row), is.is_null(new_row)) {
                    (true, _) => Change::NullToValue,
                    (false, true) => Change::ValueToNull,
                    (false, false) => Change::ValueToOther,
                };
                into.count(change);
                is_changed[at] |= column.old.is_some() && column.new.is_some();
                into.show(change, self.examples_max, || Example {
                    change,
                    record: place(old_origins[old_row]),
                    key: self.key_of(old, old_row),
                    old: was.value(old_row),
                    new: is.value(new_row),
                });
            }
        }
        diff.compared += matched.len() as u64;
        diff.changed += is_changed.iter().filter(|changed| **changed).count() as u64;
    }

    fn key_of(&self, rows: &Batch, row: usize) -> JsonRow {
        let columns = self.key.iter().filter_map(|name| {
            let at = rows.fields().iter().position(|field| *field.name == **name)?;
            let value = json::value(rows.fields()[at].kind, &rows.columns()[at], row);
            Some((name.clone(), sum::short(value)))
        });
        JsonRow(columns.collect())
    }
}

fn tallies(old: &Outcome<'_>, new: &Outcome<'_>) -> Vec<TallyDiff> {
    let one = |(step, tally, count): &(&str, &str, u64), is_old: bool| TallyDiff {
        step: (*step).to_owned(),
        tally: (*tally).to_owned(),
        old: is_old.then_some(*count),
        new: (!is_old).then_some(*count),
    };
    let mut tallies: Vec<_> = old.tallies.iter().map(|tally| one(tally, true)).collect();
    sum::add_tallies(&mut tallies, new.tallies.iter().map(|tally| one(tally, false)));
    tallies
}

impl Ends {
    fn of(outcome: &Outcome<'_>) -> Self {
        Self {
            rows: outcome.origins.len() as u64,
            deletes: outcome.deletes.map_or(0, |(_, origins)| origins.len() as u64),
            dropped: outcome.dropped.len() as u64,
            rejected: outcome.dead_letters.len() as u64,
        }
    }
}
