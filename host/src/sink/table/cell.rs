//! The values of a batch, one at a time, for sinks that write rows value by value.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Float64Type;

use crate::record::Kind;
use crate::record::json;

/// A column whose type has been looked at once and not for every value.
#[derive(Debug)]
pub(crate) enum CellColumn<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int64Array),
    Float(&'a Float64Array),
    Text(&'a StringArray),
    TextView(&'a StringViewArray),
    Timestamp(&'a TimestampMicrosecondArray),
    List(Kind, &'a ArrayRef),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
    /// Microseconds since 1970.
    Timestamp(i64),
    List(CellList<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CellList<'a> {
    kind: Kind,
    column: &'a ArrayRef,
    row: usize,
}

/// What a list holds.
#[derive(Debug)]
pub(crate) enum Items<'a> {
    Texts(&'a StringArray, Range<usize>),
    TextViews(&'a StringViewArray, Range<usize>),
    Floats(&'a [f64]),
}

impl<'a> CellList<'a> {
    pub(crate) fn json(&self) -> String {
        json::written(self.kind, self.column, self.row)
    }

    pub(crate) fn items(&self) -> Items<'a> {
        let lists = self.column.as_list::<i32>();
        let offsets = lists.value_offsets();
        let range = offsets[self.row] as usize..offsets[self.row + 1] as usize;
        let items = lists.values();
        match self.kind {
            Kind::FloatList => Items::Floats(&items.as_primitive::<Float64Type>().values()[range]),
            _ => match items.as_string_opt() {
                Some(plain) => Items::Texts(plain, range),
                None => Items::TextViews(items.as_string_view(), range),
            },
        }
    }
}

impl<'a> CellColumn<'a> {
    /// # Panics
    /// If the array is not of this kind, which `Batch` has checked.
    pub(crate) fn new(kind: Kind, array: &'a ArrayRef) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(array.as_boolean()),
            Kind::Integer => Self::Integer(array.as_primitive()),
            Kind::Float => Self::Float(array.as_primitive()),
            Kind::Text => match array.as_string_opt() {
                Some(plain) => Self::Text(plain),
                None => Self::TextView(array.as_string_view()),
            },
            Kind::Timestamp => Self::Timestamp(array.as_primitive()),
            Kind::TextList | Kind::FloatList => Self::List(kind, array),
        }
    }

    #[inline]
    pub(crate) fn cell(&self, row: usize) -> Cell<'a> {
        match *self {
            Self::Boolean(column) if column.is_valid(row) => Cell::Boolean(column.value(row)),
            Self::Integer(column) if column.is_valid(row) => Cell::Integer(column.value(row)),
            Self::Float(column) if column.is_valid(row) => Cell::Float(column.value(row)),
            Self::Text(column) if column.is_valid(row) => Cell::Text(column.value(row)),
            Self::TextView(column) if column.is_valid(row) => Cell::Text(column.value(row)),
            Self::Timestamp(column) if column.is_valid(row) => Cell::Timestamp(column.value(row)),
            Self::List(kind, column) if column.is_valid(row) => {
                Cell::List(CellList { kind, column, row })
            }
            _ => Cell::Null,
        }
    }
}
