//! Two columns of the same records, value by value.

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray, ListArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde_json::Value;

use super::sum::short;
use crate::record::{Batch, Kind, json};

#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<T> {
    pub old: T,
    pub new: T,
}

/// Rows of one side that have one on the other: those of the same records.
#[derive(Debug)]
pub(super) enum Matched {
    /// All of so many, each at the same place.
    All(usize),
    /// Row by row: where it stands among the old ones and among the new.
    Some(Vec<(u32, u32)>),
}

impl Matched {
    /// Both ascending.
    pub fn of(old: &[u32], new: &[u32]) -> Self {
        if old == new {
            return Self::All(old.len());
        }
        let mut pairs = Vec::with_capacity(old.len().min(new.len()));
        let (mut at_old, mut at_new) = (0, 0);
        while let (Some(was), Some(is)) = (old.get(at_old), new.get(at_new)) {
            if was == is {
                pairs.push((at_old as u32, at_new as u32));
            }
            at_old += usize::from(was <= is);
            at_new += usize::from(is <= was);
        }
        Self::Some(pairs)
    }

    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Some(pairs) => pairs.len(),
        }
    }

    /// Where one stands on each side.
    pub fn rows(&self, at: usize) -> (usize, usize) {
        match self {
            Self::All(_) => (at, at),
            Self::Some(pairs) => (pairs[at].0 as usize, pairs[at].1 as usize),
        }
    }

    /// Those that are not the same.
    fn without(&self, is_same: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        match self {
            Self::All(rows) => (0..*rows).filter(|row| !is_same(*row, *row)).collect(),
            Self::Some(pairs) => {
                let differ = |(old, new): &(u32, u32)| !is_same(*old as usize, *new as usize);
                let pairs = pairs.iter().enumerate();
                pairs.filter(|(_, pair)| differ(pair)).map(|(at, _)| at).collect()
            }
        }
    }
}

/// A column of one side; one that is not there is null everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a>(Option<(Kind, &'a ArrayRef)>);

impl<'a> Side<'a> {
    pub fn of(rows: &'a Batch, name: &str) -> Self {
        let at = rows.fields().iter().position(|field| *field.name == *name);
        Self(at.map(|at| (rows.fields()[at].kind, &rows.columns()[at])))
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.0.is_none_or(|(_, column)| column.is_null(row))
    }

    /// Long ones are cut.
    pub fn value(&self, row: usize) -> Value {
        self.0.map_or(Value::Null, |(kind, column)| short(json::value(kind, column, row)))
    }
}

/// The rows, counted among those that are matched, whose values differ.
pub(super) fn changed(old: &Side<'_>, new: &Side<'_>, rows: &Matched) -> Vec<usize> {
    let (Some((was, old_column)), Some((is, new_column))) = (old.0, new.0) else {
        return rows.without(|a, b| old.is_null(a) && new.is_null(b));
    };
    let values = Values { old: old_column, new: new_column, rows };
    if was != is {
        return values.differing(|_, _| false);
    }
    match is {
        Kind::Boolean => {
            let (old, new) = (old_column.as_boolean(), new_column.as_boolean());
            values.differing(|a, b| old.value(a) == new.value(b))
        }
        Kind::Integer => {
            let integers =
                |column: &'_ ArrayRef| column.as_primitive::<Int64Type>().values().clone();
            let (old, new) = (integers(old_column), integers(new_column));
            values.differing(|a, b| old[a] == new[b])
        }
        Kind::Timestamp => {
            let micros = |column: &ArrayRef| {
                column.as_primitive::<TimestampMicrosecondType>().values().clone()
            };
            let (old, new) = (micros(old_column), micros(new_column));
            values.differing(|a, b| old[a] == new[b])
        }
        Kind::Float => {
            let floats = |column: &ArrayRef| column.as_primitive::<Float64Type>().values().clone();
            let (old, new) = (floats(old_column), floats(new_column));
            values.differing(|a, b| same_float(&old[a], &new[b]))
        }
        Kind::Text => with_texts(old_column, new_column, values),
        Kind::TextList => {
            let (old, new) = (old_column.as_list::<i32>(), new_column.as_list::<i32>());
            with_texts(old.values(), new.values(), Items { old, new, values })
        }
        Kind::FloatList => {
            let (old, new) = (old_column.as_list::<i32>(), new_column.as_list::<i32>());
            let floats =
                |lists: &ListArray| lists.values().as_primitive::<Float64Type>().values().clone();
            let (old_items, new_items) = (floats(old), floats(new));
            Items { old, new, values }.differing(|a, b| same_float(&old_items[a], &new_items[b]))
        }
    }
}

fn same_float(old: &f64, new: &f64) -> bool {
    old == new || old.is_nan() && new.is_nan()
}

/// Two columns and their rows.
struct Values<'a> {
    old: &'a ArrayRef,
    new: &'a ArrayRef,
    rows: &'a Matched,
}

impl Values<'_> {
    /// `is_same` is asked about values that are not null.
    fn differing(&self, is_same: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let (old, new) = (self.old.nulls(), self.new.nulls());
        if old.is_none() && new.is_none() {
            return self.rows.without(is_same);
        }
        let is_null = |nulls: Option<&NullBuffer>, row| nulls.is_some_and(|it| it.is_null(row));
        self.rows.without(|a, b| match (is_null(old, a), is_null(new, b)) {
            (false, false) => is_same(a, b),
            (was, is) => was == is,
        })
    }
}

/// Two columns of lists and their rows.
struct Items<'a> {
    old: &'a ListArray,
    new: &'a ListArray,
    values: Values<'a>,
}

impl Items<'_> {
    /// `is_same` is asked about items, by their places among all of their column.
    fn differing(&self, is_same: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let (old, new) = (self.old.value_offsets(), self.new.value_offsets());
        self.values.differing(|a, b| {
            let was = old[a] as usize..old[a + 1] as usize;
            let is = new[b] as usize..new[b + 1] as usize;
            was.len() == is.len() && was.zip(is).all(|(a, b)| is_same(a, b))
        })
    }
}

/// What is asked about two columns of texts, in whichever of the two forms each stands.
trait AskTexts {
    fn ask<'a>(
        self,
        old: impl ArrayAccessor<Item = &'a str>,
        new: impl ArrayAccessor<Item = &'a str>,
    ) -> Vec<usize>;
}

/// The texts are the values.
impl AskTexts for Values<'_> {
    fn ask<'a>(
        self,
        old: impl ArrayAccessor<Item = &'a str>,
        new: impl ArrayAccessor<Item = &'a str>,
    ) -> Vec<usize> {
        self.differing(|a, b| old.value(a) == new.value(b))
    }
}

/// The texts are the items.
impl AskTexts for Items<'_> {
    fn ask<'a>(
        self,
        old: impl ArrayAccessor<Item = &'a str>,
        new: impl ArrayAccessor<Item = &'a str>,
    ) -> Vec<usize> {
        self.differing(|a, b| old.value(a) == new.value(b))
    }
}

fn with_texts(old: &ArrayRef, new: &ArrayRef, what: impl AskTexts) -> Vec<usize> {
    match (old.as_string_opt::<i32>(), new.as_string_opt::<i32>()) {
        (Some(old), Some(new)) => what.ask(old, new),
        (Some(old), None) => what.ask(old, new.as_string_view()),
        (None, Some(new)) => what.ask(old.as_string_view(), new),
        (None, None) => what.ask(old.as_string_view(), new.as_string_view()),
    }
}
