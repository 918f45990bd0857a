//! What a plugin answers, on its way out: hostile until every sentence of the contract has been
//! checked, then columns that share what has not changed.
//!
//! Promise: whatever the answer is, this ends with a sound batch or with a breach; it neither panics
//! nor reads beyond what it was given. `tests::any_answer_is_taken_or_refused` drives it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bytesize::ByteSize;

use super::contract::types as t;
use crate::plugin::failure::{Fault, REASON_BYTES_MAX};
use crate::plugin::log::readable;
use crate::plugin::plan::{Plan, Write};
use crate::plugin::{Cleaned, Rejection};
use crate::record::text::{PieceSource, TextsError, offsets, texts, with_nulls};
use crate::record::{Batch, DETAIL_BYTES_MAX, Kind, item};

/// Microseconds of 0001-01-01T00:00:00Z and of 10000-01-01T00:00:00Z.
const YEARS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Why an answer is not taken.
#[derive(Debug)]
enum Refused {
    /// It breaks this sentence of the contract.
    Breach(String),
    /// It is small, but what it says is larger than a plugin may return.
    Output,
}

impl From<&str> for Refused {
    fn from(breach: &str) -> Self {
        Self::Breach(breach.to_owned())
    }
}

impl From<String> for Refused {
    fn from(breach: String) -> Self {
        Self::Breach(breach)
    }
}

impl From<TextsError> for Refused {
    fn from(error: TextsError) -> Self {
        Self::Breach(error.to_string())
    }
}

impl From<ArrowError> for Refused {
    fn from(error: ArrowError) -> Self {
        Self::Breach(error.to_string())
    }
}

impl Refused {
    /// Says of which part of the answer it is said.
    fn of(self, part: impl Display) -> Self {
        match self {
            Self::Breach(breach) => Self::Breach(format!("{part}: {breach}")),
            Self::Output => Self::Output,
        }
    }
}

/// Checks `answer` and applies it to the batch that it answers. Rows that are dropped or rejected are
/// still in the batch that comes out.
pub fn apply(
    plan: &Plan,
    batch: &Batch,
    answer: t::Cleaned,
    output_max: ByteSize,
) -> Result<Cleaned, Fault> {
    checked(plan, batch, answer, output_max).map_err(|refused| match refused {
        Refused::Breach(breach) => Fault::Breach(breach),
        Refused::Output => Fault::Output,
    })
}

fn checked(
    plan: &Plan,
    batch: &Batch,
    answer: t::Cleaned,
    output_max: ByteSize,
) -> Result<Cleaned, Refused> {
    let rows = batch.rows();
    if answer.changes.len() != plan.writes.len() {
        let (changes, writes) = (answer.changes.len(), plan.writes.len());
        return Err(format!("{changes} changes for {writes} columns").into());
    }
    let dropped = ascending(answer.dropped, rows).map_err(|refused| refused.of("dropped"))?;
    let mut rejected = rejections(answer.rejected, rows, &dropped)?;
    if answer.tallies.len() != plan.tallies.len() {
        let (given, wanted) = (answer.tallies.len(), plan.tallies.len());
        return Err(format!("{given} tallies for {wanted} names").into());
    }
    let kept = rows - dropped.len() - rejected.len();
    if answer.tallies.iter().any(|tally| *tally as usize > kept) {
        return Err("a tally of more rows than are kept".into());
    }

    let mut columns = batch.columns().to_vec();
    columns.reserve_exact(plan.output.len() - columns.len());
    let pieces_left = Cell::new(output_max.as_u64());
    let mut unfit = BTreeMap::new();
    for (write, change) in plan.writes.iter().zip(answer.changes) {
        let name = &plan.output[write.to].name;
        let before = Columns { plan, batch, write, pieces_left: &pieces_left };
        let changed = before.changed(change);
        let changed = changed.map_err(|refused| refused.of(format_args!("column {name}")))?;
        let Some(changed) = changed else { continue };
        find_unfit(write.kind, &changed, name, &mut unfit);
        if write.to < columns.len() {
            columns[write.to] = changed;
        } else {
            // New columns are written in the order in which the plan appends them.
            columns.push(changed);
        }
    }
    let tallies = if unfit.is_empty() {
        answer.tallies
    } else {
        let before = rejected.len();
        reject_unfit(unfit, &dropped, &mut rejected);
        // Which of its rows a tally counted is not known: it is cut to what can be true.
        let kept = (kept + before - rejected.len()) as u32;
        answer.tallies.into_iter().map(|tally| tally.min(kept)).collect()
    };
    let batch = Batch::new(rows, Arc::clone(&plan.output), columns);
    Ok(Cleaned { batch, dropped, rejected, tallies })
}

fn ascending(list: Vec<u32>, rows: usize) -> Result<Vec<u32>, Refused> {
    if list.last().is_some_and(|row| *row as usize >= rows) {
        return Err("a row number that is out of range".into());
    }
    if list.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("row numbers that do not ascend".into());
    }
    Ok(list)
}

fn rejections(
    list: Vec<t::Rejection>,
    rows: usize,
    dropped: &[u32],
) -> Result<Vec<Rejection>, Refused> {
    let numbers = ascending(list.iter().map(|rejection| rejection.row).collect(), rows)
        .map_err(|refused| refused.of("rejected"))?;
    if numbers.iter().any(|row| dropped.binary_search(row).is_ok()) {
        return Err("a row that is both dropped and rejected".into());
    }
    list.into_iter()
        .map(|rejection| {
            if rejection.reason.is_empty() {
                return Err("a rejection without a reason".into());
            }
            Ok(Rejection {
                row: rejection.row,
                reason: readable(&rejection.reason, REASON_BYTES_MAX),
                detail: rejection.detail.map(|detail| readable(&detail, DETAIL_BYTES_MAX)),
            })
        })
        .collect()
}

/// What a change to one column can refer to.
struct Columns<'a> {
    plan: &'a Plan,
    batch: &'a Batch,
    write: &'a Write,
    /// Bytes that pieces of all columns together may still come to.
    pieces_left: &'a Cell<u64>,
}

impl Columns<'_> {
    /// The column that is read as well as written.
    fn edited(&self) -> Result<&ArrayRef, Refused> {
        let read = self.write.edits.ok_or("it is changed, but not read, or not as this kind")?;
        Ok(&self.batch.columns()[self.plan.reads[read]])
    }

    /// The text column that pieces are taken of.
    fn text(&self, read: u32) -> Result<&ArrayRef, Refused> {
        let at = self.plan.reads.get(read as usize).ok_or("pieces of a column that is not read")?;
        if self.batch.fields()[*at].kind != Kind::Text {
            return Err("pieces of a column that is no text".into());
        }
        Ok(&self.batch.columns()[*at])
    }

    /// Pieces take no room now, but will when they are gathered.
    fn count(&self, bytes: u64) -> Result<(), Refused> {
        let left = self.pieces_left.get().checked_sub(bytes).ok_or(Refused::Output)?;
        self.pieces_left.set(left);
        Ok(())
    }

    /// The column as it is from now on; `None` if it is as it was.
    fn changed(&self, change: t::Change) -> Result<Option<ArrayRef>, Refused> {
        match change {
            t::Change::Unchanged => self.edited().map(|_| None),
            t::Change::Nulls(bits) => {
                let array = self.edited()?;
                let nulls = fewer_valid(array, bits)?;
                Ok(Some(with_nulls(array, nulls)))
            }
            t::Change::Patched(patch) => self.patched(patch).map(Some),
            t::Change::Slices(slices) => self.sliced(slices).map(Some),
            t::Change::ListSlices(slices) => self.list_sliced(slices).map(Some),
            t::Change::Replaced(data) => array(self.write.kind, data, self.batch.rows()).map(Some),
        }
    }

    fn patched(&self, patch: t::Patch) -> Result<ArrayRef, Refused> {
        let before = self.edited()?;
        let rows = ascending(patch.rows, before.len())?;
        let mut after = array(self.write.kind, patch.data, rows.len())?;
        if after.data_type() != before.data_type() {
            // The column consists of pieces.
            after = cast(&after, before.data_type())?;
        }
        let mut from: Vec<_> = (0..before.len()).map(|row| (0, row)).collect();
        for (at, row) in rows.iter().enumerate() {
            from[*row as usize] = (1, at);
        }
        Ok(interleave(&[before, &after], &from)?)
    }

    fn sliced(&self, slices: t::Slices) -> Result<ArrayRef, Refused> {
        if self.write.kind != Kind::Text {
            return Err("slices for a column that is no text".into());
        }
        let source = self.text(slices.column)?;
        let rows = source.len();
        if slices.starts.len() != rows || slices.ends.len() != rows {
            return Err("not one slice for each row".into());
        }
        let nulls = pieces_nulls(source, slices.valid)?;
        let mut pieces = PieceSource::new(source, rows);
        let mut bytes = 0;
        for (row, (start, end)) in slices.starts.into_iter().zip(slices.ends).enumerate() {
            pieces.push(row, start, end).ok_or(NO_PIECE)?;
            bytes += u64::from(end - start);
        }
        self.count(bytes)?;
        Ok(Arc::new(pieces.finish(nulls)))
    }

    fn list_sliced(&self, slices: t::ListSlices) -> Result<ArrayRef, Refused> {
        if self.write.kind != Kind::TextList {
            return Err("list slices for a column that is no text list".into());
        }
        let source = self.text(slices.column)?;
        let rows = source.len();
        let items = slices.starts.len();
        if slices.ends.len() != items {
            return Err("not as many ends of slices as starts".into());
        }
        let offsets = offsets(slices.offsets, rows, items)?;
        let nulls = pieces_nulls(source, slices.valid)?;
        let mut pieces = PieceSource::new(source, items);
        // The same piece may come again and again, and each will take its room in the end.
        let mut bytes = 0;
        let mut ranges = slices.starts.into_iter().zip(slices.ends);
        for (row, length) in offsets.lengths().enumerate() {
            for (start, end) in ranges.by_ref().take(length) {
                pieces.push(row, start, end).ok_or(NO_PIECE)?;
                bytes += u64::from(end - start);
            }
        }
        self.count(bytes)?;
        let items = Arc::new(pieces.finish(None));
        Ok(Arc::new(ListArray::new(item(DataType::Utf8View), offsets, items, nulls)))
    }
}

const NO_PIECE: &str = "a slice that is no piece of its row's text";

/// Bits as Arrow has them; `None` if all rows are valid.
fn nulls(bits: Vec<u8>, rows: usize) -> Result<Option<NullBuffer>, Refused> {
    if bits.len() != rows.div_ceil(8) {
        return Err("not one bit for each row".into());
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows));
    Ok((nulls.null_count() > 0).then_some(nulls))
}

/// Nulls that may only grow in number.
fn fewer_valid(before: &ArrayRef, bits: Vec<u8>) -> Result<NullBuffer, Refused> {
    let rows = before.len();
    let after = nulls(bits, rows)?.unwrap_or_else(|| NullBuffer::new_valid(rows));
    if before.nulls().is_some_and(|before| !after.contains(before)) {
        return Err("a null that turned into a value".into());
    }
    Ok(after)
}

fn pieces_nulls(source: &ArrayRef, valid: Option<Vec<u8>>) -> Result<Option<NullBuffer>, Refused> {
    let nulls = match valid {
        Some(bits) => Some(fewer_valid(source, bits)?),
        None => source.nulls().cloned(),
    };
    Ok(nulls.filter(|nulls| nulls.null_count() > 0))
}

/// A column in full.
fn array(kind: Kind, data: t::ColumnDataResult, rows: usize) -> Result<ArrayRef, Refused> {
    let nulls = match data.valid {
        Some(bits) => nulls(bits, rows)?,
        None => None,
    };
    let length = |values: usize| {
        if values == rows { Ok(()) } else { Err(format!("{values} values for {rows} rows")) }
    };
    Ok(match (kind, data.values) {
        (Kind::Boolean, t::ValuesResult::Boolean(bits)) => {
            if bits.len() != rows.div_ceil(8) {
                return Err("not one bit for each row".into());
            }
            let bits = BooleanBuffer::new(Buffer::from_vec(bits), 0, rows);
            Arc::new(BooleanArray::new(bits, nulls))
        }
        (Kind::Integer, t::ValuesResult::Integer(values)) => {
            length(values.len())?;
            Arc::new(Int64Array::new(values.into(), nulls))
        }
        (Kind::Float, t::ValuesResult::Float(values)) => {
            length(values.len())?;
            Arc::new(Float64Array::new(values.into(), nulls))
        }
        (Kind::Timestamp, t::ValuesResult::Timestamp(values)) => {
            length(values.len())?;
            let array = TimestampMicrosecondArray::new(values.into(), nulls);
            Arc::new(array.with_timezone("UTC"))
        }
        (Kind::Text, t::ValuesResult::Text(given)) => {
            Arc::new(texts(given.offsets, given.bytes, rows, nulls)?)
        }
        (Kind::TextList, t::ValuesResult::TextList(given)) => {
            let items = given.items.offsets.len().saturating_sub(1);
            let offsets = offsets(given.offsets, rows, items)?;
            let items = texts(given.items.offsets, given.items.bytes, items, None)?;
            Arc::new(ListArray::new(item(DataType::Utf8), offsets, Arc::new(items), nulls))
        }
        (Kind::FloatList, t::ValuesResult::FloatList(given)) => {
            let offsets = offsets(given.offsets, rows, given.items.len())?;
            let items = Arc::new(Float64Array::from(given.items));
            Arc::new(ListArray::new(item(DataType::Float64), offsets, items, nulls))
        }
        _ => return Err(format!("values that are not of kind {kind}").into()),
    })
}

/// Rows with a value that no sink could hold: reason and detail. Of several columns the first counts.
type Unfit = BTreeMap<u32, (String, String)>;

fn find_unfit(kind: Kind, array: &ArrayRef, name: &str, unfit: &mut Unfit) {
    let mut found = |row: usize, fault: &str, value: &dyn Display| {
        let why = || (format!("{name} {fault}"), value.to_string());
        unfit.entry(row as u32).or_insert_with(why);
    };
    match kind {
        Kind::Float => {
            let floats = array.as_primitive::<Float64Type>();
            // Nearly always all are finite, nulls too: one pass without branches.
            if floats.values().iter().fold(true, |all, value| all & value.is_finite()) {
                return;
            }
            for (row, value) in floats.iter().enumerate() {
                if let Some(value) = value.filter(|value| !value.is_finite()) {
                    found(row, "is not a finite number", &value);
                }
            }
        }
        Kind::FloatList => {
            let lists = array.as_list::<i32>();
            let items = lists.values().as_primitive::<Float64Type>().values();
            if items.iter().fold(true, |all, value| all & value.is_finite()) {
                return;
            }
            for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
                let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
                let list = &items[from as usize..to as usize];
                if let Some(value) = list.iter().find(|value| !value.is_finite()) {
                    found(row, "holds a number that is not finite", value);
                }
            }
        }
        Kind::Timestamp => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            for (row, value) in times.iter().enumerate() {
                if let Some(value) = value.filter(|value| !YEARS.contains(value)) {
                    found(row, "lies outside the years 1 to 9999", &format_args!("{value} µs"));
                }
            }
        }
        Kind::Boolean | Kind::Integer | Kind::Text | Kind::TextList => {}
    }
}

/// Rejects these rows too, unless the plugin has dropped or rejected them itself.
fn reject_unfit(unfit: Unfit, dropped: &[u32], rejected: &mut Vec<Rejection>) {
    for (row, (reason, detail)) in unfit {
        let Err(at) = rejected.binary_search_by_key(&row, |rejection| rejection.row) else {
            continue;
        };
        if dropped.binary_search(&row).is_err() {
            let reason = readable(&reason, REASON_BYTES_MAX);
            rejected.insert(at, Rejection { row, reason, detail: Some(detail) });
        }
    }
}

#[cfg(test)]
mod tests;
