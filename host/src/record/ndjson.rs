//! Rows as NDJSON: a JSON object a line.
//!
//! A row has every column, in order, nulls too; a timestamp is RFC 3339 with `Z` and a fraction only if
//! it is not zero; a float is the shortest text that reads back as the same number, and null if it is not
//! finite. What is written reads back as the same row, given its columns.
//!
//! Columns go in and rows come out, without a value for each in between: what a cell begins with is made
//! once a batch, and most text is copied as it is.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde::Serialize;

use super::{Batch, Field, Kind, Rfc3339, special};

/// All rows of a batch.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let writer = RowWriter::new(batch);
    // What the columns hold, and for each cell its name and what stands around it.
    let held: usize =
        batch.columns().iter().map(|column| super::text::text_bytes(column) as usize).sum();
    let named: usize = batch.fields().iter().map(|field| field.name.len() + 16).sum();
    let mut out = Vec::with_capacity(held + held / 16 + batch.rows() * (named + 2));
    for row in 0..batch.rows() {
        writer.write(row, &mut out);
    }
    out
}

/// Writes rows of one batch.
#[derive(Debug)]
pub struct RowWriter<'a> {
    cells: Vec<Cell<'a>>,
}

impl<'a> RowWriter<'a> {
    pub fn new(batch: &'a Batch) -> Self {
        Self::of(batch, |_| true)
    }

    /// Only the columns that `keep` names.
    pub fn of(batch: &'a Batch, keep: impl Fn(&Field) -> bool) -> Self {
        let columns = batch.fields().iter().zip(batch.columns()).filter(|(field, _)| keep(field));
        let cells = columns.enumerate().map(|(at, (field, column))| {
            let values = Values::new(field.kind, column);
            let mut name = vec![if at == 0 { b'{' } else { b',' }];
            text(&field.name, &mut name);
            name.push(b':');
            let null = Snippet::new([&name, &b"null"[..]].concat());
            let quote = matches!(values, Values::Text(_) | Values::Timestamp(_));
            name.extend(quote.then_some(b'"'));
            Cell { name: Snippet::new(name), null, nulls: column.nulls(), values }
        });
        Self { cells: cells.collect() }
    }

    /// Appends a row, with its line break.
    ///
    /// # Panics
    /// If the batch has no such row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.cells.is_empty() {
            out.push(b'{');
        }
        for cell in &self.cells {
            cell.write(row, out);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// A column, and what its cells begin with.
#[derive(Debug)]
struct Cell<'a> {
    /// `,"title":`, and the quote of a value that has one.
    name: Snippet,
    null: Snippet,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

#[derive(Debug)]
enum Values<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a ScalarBuffer<i64>),
    Float(&'a ScalarBuffer<f64>),
    Text(Texts<'a>),
    Timestamp(&'a ScalarBuffer<i64>),
    TextList(&'a OffsetBuffer<i32>, Texts<'a>),
    FloatList(&'a OffsetBuffer<i32>, &'a ScalarBuffer<f64>),
}

/// The two forms in which text stands, see [`Kind::fits`].
#[derive(Debug)]
enum Texts<'a> {
    Plain(&'a StringArray),
    Views(&'a StringViewArray),
}

impl Cell<'_> {
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return self.null.write(out);
        }
        self.name.write(out);
        match &self.values {
            Values::Text(texts) => {
                escaped(texts.value(row), out);
                out.push(b'"');
            }
            Values::Integer(values) => json(&values[row], out),
            Values::Boolean(values) => json(&values.value(row), out),
            Values::Float(values) => json(&values[row], out),
            Values::Timestamp(values) => {
                timestamp(values[row], out);
                out.push(b'"');
            }
            Values::TextList(offsets, items) => {
                list(offsets, row, out, |item, out| text(items.value(item), out));
            }
            Values::FloatList(offsets, items) => {
                list(offsets, row, out, |item, out| json(&items[item], out));
            }
        }
    }
}

impl<'a> Values<'a> {
    fn new(kind: Kind, column: &'a ArrayRef) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(column.as_boolean()),
            Kind::Integer => Self::Integer(column.as_primitive::<Int64Type>().values()),
            Kind::Float => Self::Float(column.as_primitive::<Float64Type>().values()),
            Kind::Text => Self::Text(Texts::new(column)),
            Kind::Timestamp => {
                Self::Timestamp(column.as_primitive::<TimestampMicrosecondType>().values())
            }
            Kind::TextList => {
                let lists = column.as_list::<i32>();
                Self::TextList(lists.offsets(), Texts::new(lists.values()))
            }
            Kind::FloatList => {
                let lists = column.as_list::<i32>();
                let items = lists.values().as_primitive::<Float64Type>().values();
                Self::FloatList(lists.offsets(), items)
            }
        }
    }
}

impl<'a> Texts<'a> {
    fn new(column: &'a ArrayRef) -> Self {
        match column.as_string_opt() {
            Some(plain) => Self::Plain(plain),
            None => Self::Views(column.as_string_view()),
        }
    }

    #[inline]
    fn value(&self, at: usize) -> &'a str {
        match self {
            Self::Plain(texts) => texts.value(at),
            Self::Views(texts) => texts.value(at),
        }
    }
}

fn list(
    offsets: &OffsetBuffer<i32>,
    row: usize,
    out: &mut Vec<u8>,
    item: impl Fn(usize, &mut Vec<u8>),
) {
    out.push(b'[');
    for at in offsets[row]..offsets[row + 1] {
        if at > offsets[row] {
            out.push(b',');
        }
        item(at as usize, out);
    }
    out.push(b']');
}

/// Numbers and booleans: what serde_json makes of them is what others write too.
#[inline]
fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a number, into memory");
}

fn timestamp(micros: i64, out: &mut Vec<u8>) {
    let time = Rfc3339(micros);
    if !time.write(out) {
        out.extend_from_slice(time.to_string().as_bytes());
    }
}

/// Appends a text with its quotes.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

#[inline]
fn escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let end = special::find(bytes, 0);
    out.extend_from_slice(&bytes[..end]);
    if end < bytes.len() {
        escape_from(bytes, end, out);
    }
}

#[cold]
fn escape_from(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    while let Some(&byte) = bytes.get(at) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => b'u',
        };
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
            out.extend_from_slice(&[b'0', b'0', high, low]);
        }
        let next = special::find(bytes, at + 1);
        out.extend_from_slice(&bytes[at + 1..next]);
        at = next;
    }
}

/// A few bytes that are written over and over: copied in one step whatever their number, if there are
/// few enough.
#[derive(Debug)]
struct Snippet {
    bytes: Vec<u8>,
    padded: [u8; Self::STEP],
}

impl Snippet {
    const STEP: usize = 32;

    fn new(bytes: Vec<u8>) -> Self {
        let mut padded = [0; Self::STEP];
        if let Some(padded) = padded.get_mut(..bytes.len()) {
            padded.copy_from_slice(&bytes);
        }
        Self { bytes, padded }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        let length = self.bytes.len();
        if length <= Self::STEP {
            out.extend_from_slice(&self.padded);
            out.truncate(out.len() - Self::STEP + length);
        } else {
            out.extend_from_slice(&self.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
