//! Decoding: a record's JSON bytes straight into columns for the declared fields.
//!
//! One pass over the bytes, no tree in between. A record gives one row or one [`Reject`], and what it
//! gives depends on that record, the declared fields and the limits alone; nothing of a rejected
//! record stays in the columns. If a record has several faults, the first one in this order is told:
//! size, UTF-8, then whatever comes first in its bytes, then fields that are missing, then its
//! surroundings.
//!
//! Records are strict JSON (RFC 8259), also where nobody reads them: undeclared values are skipped
//! without being kept, but their grammar is checked.
//!
//! Not here: the YAML in which fields are declared, framing (a record is one JSON object and nothing
//! else), what a plugin does to text afterwards.

mod column;
mod cursor;
mod declare;
mod envelope;
mod intake;
mod likeness;
mod number;
mod reject;
mod row;
mod shape;
mod timestamp;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::record::{Batch, Field, Record};

use column::Column;
use cursor::Cursor;
pub use declare::{DeclarationError, DeclaredField, FieldPath, Origin, check};
pub use intake::{Intake, IntakeFault, TakenIn};
pub use likeness::{Likeness, likeness};
pub use reject::Reject;
use row::Row;
use shape::Shape;

/// Raised when the same fields make something else of the same record: it is part of a generation.
pub const VERSION: u32 = 2;

/// What a single record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Of a record's value; a GiB at most, whatever stands here.
    pub record_bytes_max: usize,
    /// Objects and arrays open at once; the record itself is the first.
    pub depth_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { record_bytes_max: 1 << 20, depth_max: 64 }
    }
}

/// Collects rows for one batch after the other.
pub struct Decoder {
    declared: Box<[DeclaredField]>,
    fields: Arc<[Field]>,
    limits: DecodeLimits,
    /// The member in which the record stands.
    unwrap: Option<Box<str>>,
    shape: Shape,
    columns: Box<[Column]>,
    /// The column of what is not declared, if there is one.
    rest: Option<usize>,
    /// Whether a row has to have a value besides its key fields.
    needs_value: bool,
    /// Memory for one record after the other: see [`Row`] and [`Cursor`].
    given: Box<[Option<u16>]>,
    scratch: String,
    open: Vec<u8>,
    rows: usize,
    /// Bytes of the records in this batch: no column has more bytes of text or items than this, which
    /// is what keeps Arrow's 32-bit offsets from overflowing.
    input_bytes: usize,
}

impl Decoder {
    /// # Panics
    /// If [`check`] finds a fault in `fields`: a bug of ours, as a rule is checked when it is loaded.
    pub fn new(fields: &[DeclaredField], limits: DecodeLimits) -> Self {
        let shape = match check(fields) {
            Ok(()) => Shape::new(fields).expect("checked fields have a shape"),
            Err(fault) => panic!("fields reach the decoder unchecked: {fault}"),
        };
        let record_bytes_max = limits.record_bytes_max.min(1 << 30);
        Self {
            declared: fields.into(),
            fields: fields
                .iter()
                .map(|field| Field::new(Arc::clone(&field.name), field.kind))
                .collect(),
            limits: DecodeLimits { record_bytes_max, ..limits },
            unwrap: None,
            columns: fields.iter().map(|field| Column::new(field.kind)).collect(),
            rest: fields.iter().position(|field| field.from == Origin::Rest),
            needs_value: fields
                .iter()
                .any(|field| matches!(field.from, Origin::Value(_)) && !field.key),
            given: vec![None; shape.slots()].into(),
            scratch: String::new(),
            open: Vec::new(),
            shape,
            rows: 0,
            input_bytes: 0,
        }
    }

    /// Takes each record out of this member of its object, if it has such a member. Bytes are then counted
    /// from there.
    #[must_use]
    pub fn unwrapping(self, member: Option<&str>) -> Self {
        Self { unwrap: member.map(Box::from), ..self }
    }

    /// Appends one row, or nothing.
    ///
    /// # Panics
    /// If there is no [room](Self::has_room) for the record: a bug of ours, as batches are cut long
    /// before.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        let pushed = self.push_value(record);
        pushed.map_err(|reject| likeness::explained(reject, record.value, &self.declared))
    }

    fn push_value(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        let mut text = reject::readable(record.value, self.limits.record_bytes_max)?;
        assert!(self.has_room(record), "a batch stays below 2 GiB");
        if let Some(member) = &self.unwrap {
            let cursor = Cursor::new(text, self.limits.depth_max, &mut self.open);
            let inside = envelope::inside(member, cursor, &mut self.scratch);
            if let Some(inside) = inside.map_err(|reject| *reject)? {
                text = &text[inside];
            }
        }
        self.append(Some(text), record)
    }

    /// Appends one row of a record that has no value, or nothing. What comes from the value is null.
    ///
    /// # Panics
    /// As [`push`](Self::push) does.
    pub fn push_surroundings(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        assert!(self.has_room(record), "a batch stays below 2 GiB");
        self.append(None, record)
    }

    fn append(&mut self, text: Option<&str>, record: &Record<'_>) -> Result<(), Reject> {
        let mut row = Row {
            cursor: Cursor::new(text.unwrap_or_default(), self.limits.depth_max, &mut self.open),
            declared: &self.declared,
            shape: &mut self.shape,
            columns: &mut self.columns,
            rest: self.rest,
            given: &mut self.given,
            scratch: &mut self.scratch,
            row: self.rows,
            needs_value: self.needs_value,
            has_value: false,
        };
        let read = match text {
            Some(_) => row.read(record),
            None => row.read_surroundings(record),
        };
        if let Err(reject) = read {
            for column in &mut self.columns {
                column.truncate(self.rows);
            }
            return Err(*reject);
        }
        self.rows += 1;
        self.input_bytes += input_bytes(record);
        Ok(())
    }

    /// Whether the record can still be part of this batch; if not, [`finish`](Self::finish) the batch
    /// first. An empty batch has room for any record.
    pub fn has_room(&self, record: &Record<'_>) -> bool {
        self.rows == 0 || self.input_bytes + input_bytes(record) <= i32::MAX as usize
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What the columns hold so far. Adds up all columns at each call.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// The rows so far as a batch; begins the next one, with room for as much as this one held.
    pub fn finish(&mut self) -> Batch {
        let rows = std::mem::take(&mut self.rows);
        self.input_bytes = 0;
        self.shape.forget_if_full();
        let columns = self.columns.iter_mut().map(|column| column.finish(rows)).collect();
        Batch::new(rows, Arc::clone(&self.fields), columns)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("fields", &self.fields)
            .field("limits", &self.limits)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// An upper bound of what any one column takes from the record.
fn input_bytes(record: &Record<'_>) -> usize {
    let headers: usize =
        record.headers.iter().map(|header| header.value.map_or(0, <[u8]>::len)).sum();
    record.value.map_or(0, <[u8]>::len)
        + record.key.map_or(0, <[u8]>::len)
        + record.topic.map_or(0, str::len)
        + headers
}
