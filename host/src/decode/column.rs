//! Columns that grow row by row, can be cut back to a row, and become Arrow arrays without a copy.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Float64Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};

use crate::record::{Kind, item};

/// Values for the rows so far, and which of them are null.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) values: Values,
    /// Ascending. Most columns have few nulls or none, and this makes a value that is not null free.
    nulls: Vec<u32>,
}

#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    Text(Texts),
    Timestamp(Vec<i64>),
    TextList { ends: Vec<i32>, items: Texts },
    FloatList { ends: Vec<i32>, items: Vec<f64> },
}

/// Texts one after the other. Whoever appends says where one ends; what stands behind the last end is
/// a text in the making.
#[derive(Debug)]
pub(super) struct Texts {
    /// Starts with a 0, as Arrow's offsets do.
    ends: Vec<i32>,
    /// A `String`, so that the compiler keeps it UTF-8.
    text: String,
}

impl Texts {
    fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self { ends: ends_with_capacity(texts), text: String::with_capacity(bytes) }
    }

    /// The text in the making is appended to this.
    pub(super) fn open(&mut self) -> &mut String {
        &mut self.text
    }

    pub(super) fn end(&mut self) {
        self.ends.push(offset(self.text.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn truncate(&mut self, texts: usize) {
        self.ends.truncate(texts + 1);
        self.text.truncate(last(&self.ends));
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> StringArray {
        let next = Self::with_capacity(roomier(self.len()), roomier(self.text.len()));
        let Self { ends, text } = mem::replace(self, next);
        let nulls_fit = nulls.as_ref().is_none_or(|nulls| nulls.len() == ends.len() - 1);
        assert!(nulls_fit, "a text for every row");
        let offsets = OffsetBuffer::new(ends.into());
        let bytes = Buffer::from(text.into_bytes());
        #[expect(unsafe_code, reason = "validating UTF-8 again would cost as much as decoding")]
        // SAFETY: the bytes were a `String`, and each offset was its length at some time, as only
        // `end` adds offsets and only `truncate` shortens, both together; so every offset lies within
        // the bytes and between two characters. The offsets ascend from 0 (checked by `OffsetBuffer::new`), and
        // there is a null bit for each text (checked above).
        unsafe {
            StringArray::new_unchecked(offsets, bytes, nulls)
        }
    }
}

impl Column {
    pub(super) fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            Kind::Integer => Values::Integer(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Text => Values::Text(Texts::with_capacity(0, 0)),
            Kind::Timestamp => Values::Timestamp(Vec::new()),
            Kind::TextList => {
                Values::TextList { ends: ends_with_capacity(0), items: Texts::with_capacity(0, 0) }
            }
            Kind::FloatList => Values::FloatList { ends: ends_with_capacity(0), items: Vec::new() },
        };
        Self { values, nulls: Vec::new() }
    }

    pub(super) fn push_null(&mut self, row: usize) {
        self.nulls.push(row as u32);
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Integer(values) | Values::Timestamp(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Text(texts) => texts.end(),
            Values::TextList { ends, items } => ends.push(offset(items.len())),
            Values::FloatList { ends, items } => ends.push(offset(items.len())),
        }
    }

    /// Cuts back to `rows` rows, and whatever of a row was begun.
    pub(super) fn truncate(&mut self, rows: usize) {
        while self.nulls.last().is_some_and(|&row| row as usize >= rows) {
            self.nulls.pop();
        }
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Integer(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float(values) => values.truncate(rows),
            Values::Text(texts) => texts.truncate(rows),
            Values::TextList { ends, items } => {
                ends.truncate(rows + 1);
                items.truncate(last(ends));
            }
            Values::FloatList { ends, items } => {
                ends.truncate(rows + 1);
                items.truncate(last(ends));
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let texts = |texts: &Texts| size_of_val(&*texts.ends) + texts.text.len();
        let values = match &self.values {
            Values::Boolean(values) => values.len().div_ceil(8),
            Values::Integer(values) | Values::Timestamp(values) => size_of_val(&**values),
            Values::Float(values) => size_of_val(&**values),
            Values::Text(values) => texts(values),
            Values::TextList { ends, items } => size_of_val(&**ends) + texts(items),
            Values::FloatList { ends, items } => size_of_val(&**ends) + size_of_val(&**items),
        };
        values + size_of_val(&*self.nulls)
    }

    /// The rows so far as an array. What comes next finds room for as many.
    pub(super) fn finish(&mut self, rows: usize) -> ArrayRef {
        let nulls = null_buffer(&self.nulls, rows);
        self.nulls.clear();
        match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Integer(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Values::Float(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Values::Text(texts) => Arc::new(texts.finish(nulls)),
            Values::Timestamp(values) => {
                let values = TimestampMicrosecondArray::new(take(values).into(), nulls);
                Arc::new(values.with_timezone("UTC"))
            }
            Values::TextList { ends, items } => list(ends, items.finish(None), nulls),
            Values::FloatList { ends, items } => {
                list(ends, Float64Array::new(take(items).into(), None), nulls)
            }
        }
    }
}

fn list(ends: &mut Vec<i32>, items: impl Array + 'static, nulls: Option<NullBuffer>) -> ArrayRef {
    let next = ends_with_capacity(roomier(ends.len()));
    let offsets = OffsetBuffer::new(mem::replace(ends, next).into());
    let field = item(items.data_type().clone());
    Arc::new(ListArray::new(field, offsets, Arc::new(items), nulls))
}

fn null_buffer(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    for &row in nulls {
        valid.set_bit(row as usize, false);
    }
    Some(NullBuffer::new(valid.finish()))
}

fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(roomier(values.len()));
    mem::replace(values, next)
}

fn ends_with_capacity(values: usize) -> Vec<i32> {
    let mut ends = Vec::with_capacity(values + 1);
    ends.push(0);
    ends
}

/// A length as an offset.
pub(super) fn offset(len: usize) -> i32 {
    i32::try_from(len).expect("a batch stays below 2 GiB")
}

fn last(ends: &[i32]) -> usize {
    ends[ends.len() - 1] as usize
}

/// Batches of one lane are much alike; a little more than the last one needed spares most of them
/// from growing, which would copy.
fn roomier(len: usize) -> usize {
    len + len / 8
}
