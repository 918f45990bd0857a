//! Columns of another engine become the columns of a rule.
//!
//! They are mapped by name, once for a stream; columns that no field asks for are left out. What becomes
//! of a row is what would become of a JSON object with these members. Columns that have the Arrow type
//! of their field are taken as they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field as ArrowField, Float64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;

use super::column::{Column, Values, offset};
use super::reject::{Reject, shown};
use super::value::{Misfit, push_text};
use super::{DeclaredField, DecodeLimits, Origin, timestamp};
use crate::record::text::text_bytes;
use crate::record::{Batch, Field, Kind};

/// How the columns of a stream become those of a rule.
#[derive(Debug)]
pub struct Intake {
    fields: Arc<[Field]>,
    columns: Vec<Taken>,
    limits: DecodeLimits,
    /// Whether a row has to have a value besides its key fields.
    needs_value: bool,
}

/// Where the values of a field come from.
#[derive(Debug)]
struct Taken {
    /// None is a field that the stream does not have.
    column: Option<(usize, How)>,
    /// Whether its value makes a row more than a key.
    is_value: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    AsItIs,
    Cast,
    /// From text, as if it stood in JSON.
    Parse,
    Items,
}

/// Why a stream is none for a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeFault {
    #[error("there is no column {field}, which the rule requires")]
    Missing { field: Arc<str> },
    #[error("column {column} is {found}, and the field {field} is {kind}")]
    Misfit { column: String, found: String, field: Arc<str>, kind: Kind },
    #[error("columns {column} and {other} are both the field {field}")]
    Twice { column: String, other: String, field: Arc<str> },
}

/// Rows, and what is wrong with some of them: those mean nothing.
#[derive(Debug)]
pub struct TakenIn {
    pub batch: Batch,
    /// For each row.
    pub rejects: Vec<Option<Box<Reject>>>,
}

impl Intake {
    /// # Errors
    /// All that is wrong.
    pub fn new(
        declared: &[DeclaredField],
        schema: &Schema,
        limits: DecodeLimits,
    ) -> Result<Self, Vec<IntakeFault>> {
        let mut faults = Vec::new();
        let columns = declared.iter().map(|field| {
            let column = column_of(field, schema, &mut faults);
            let is_value = matches!(field.from, Origin::Value(_)) && !field.key;
            Taken { column, is_value }
        });
        let columns: Vec<_> = columns.collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let fields = declared.iter().map(|field| Field::new(Arc::clone(&field.name), field.kind));
        let needs_value = columns.iter().any(|taken| taken.is_value);
        Ok(Self { fields: fields.collect(), columns, limits, needs_value })
    }

    pub fn take(&self, given: &RecordBatch) -> TakenIn {
        let rows = given.num_rows();
        let mut rejects = Rejects(vec![None; rows]);
        let mut has_value = vec![!self.needs_value; rows];
        let columns = self.fields.iter().zip(&self.columns).map(|(field, taken)| {
            let Some((column, how)) = taken.column else {
                return new_null_array(&field.kind.data_type(), rows);
            };
            let column = given.column(column);
            if taken.is_value {
                let nulls = column.logical_nulls();
                for (row, has_value) in has_value.iter_mut().enumerate() {
                    *has_value |= nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                }
            }
            converted(column, how, field, &mut rejects)
        });
        let batch = Batch::new(rows, Arc::clone(&self.fields), columns.collect());
        self.check_sizes(&batch, &mut rejects);
        for (row, has_value) in has_value.into_iter().enumerate() {
            if !has_value {
                rejects.add(row, || Reject::new("all fields are null", None, None));
            }
        }
        TakenIn { batch, rejects: rejects.0 }
    }

    fn check_sizes(&self, batch: &Batch, rejects: &mut Rejects) {
        let bytes = |batch: &Batch| batch.columns().iter().map(text_bytes).sum::<u64>();
        let bytes_max = self.limits.record_bytes_max as u64;
        if bytes(batch) <= bytes_max {
            return;
        }
        for row in 0..batch.rows() {
            let bytes = bytes(&batch.slice(row, 1));
            if bytes > bytes_max {
                let detail = format!("{bytes} bytes; the limit is {bytes_max}");
                rejects.add(row, || Reject::new("record is too large", detail, None));
            }
        }
    }
}

/// The first fault of each row.
struct Rejects(Vec<Option<Box<Reject>>>);

impl Rejects {
    fn add(&mut self, row: usize, reject: impl FnOnce() -> Box<Reject>) {
        self.0[row].get_or_insert_with(reject);
    }
}

fn column_of(
    field: &DeclaredField,
    schema: &Schema,
    faults: &mut Vec<IntakeFault>,
) -> Option<(usize, How)> {
    let mut named = names(field).filter_map(|name| Some((schema.column_with_name(name)?.0, name)));
    let Some((at, column)) = named.next() else {
        if field.required {
            faults.push(IntakeFault::Missing { field: Arc::clone(&field.name) });
        }
        return None;
    };
    let column = column.to_owned();
    if let Some((_, other)) = named.next() {
        let (other, field) = (other.to_owned(), Arc::clone(&field.name));
        faults.push(IntakeFault::Twice { column, other, field });
        return None;
    }
    let found = schema.field(at).data_type();
    match how(field.kind, found, field.coerce) {
        Some(how) => Some((at, how)),
        None => {
            let (found, kind) = (found.to_string(), field.kind);
            faults.push(IntakeFault::Misfit {
                column,
                found,
                field: Arc::clone(&field.name),
                kind,
            });
            None
        }
    }
}

/// What a field may be called: by its own name, and by its aliases.
fn names(field: &DeclaredField) -> impl Iterator<Item = &str> {
    let paths = match &field.from {
        Origin::Value(paths) => &paths[..],
        _ => &[],
    };
    let aliases = paths.iter().filter_map(|path| match path.keys() {
        [key] if **key != *field.name => Some(key.as_str()),
        _ => None,
    });
    std::iter::once(&*field.name).chain(aliases)
}

fn how(kind: Kind, found: &DataType, coerce: bool) -> Option<How> {
    let found = match found {
        DataType::Dictionary(_, values) => &**values,
        found => found,
    };
    let is_text = |found: &DataType| {
        matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    };
    let is_number = |found: &DataType| found.is_integer() || found.is_floating();
    let fits = match kind {
        _ if *found == DataType::Null => true,
        Kind::Boolean => *found == DataType::Boolean,
        Kind::Integer => found.is_integer(),
        Kind::Float => is_number(found),
        Kind::Text => {
            is_text(found) || coerce && (found.is_integer() || *found == DataType::Boolean)
        }
        Kind::Timestamp => matches!(found, DataType::Timestamp(..)),
        Kind::TextList | Kind::FloatList => {
            let (DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)) = found
            else {
                return None;
            };
            let item = item.data_type();
            let fits = if kind == Kind::TextList { is_text(item) } else { is_number(item) };
            return (fits || *item == DataType::Null).then_some(How::Items);
        }
    };
    match fits {
        true if kind.fits(found) => Some(How::AsItIs),
        true => Some(How::Cast),
        false if is_text(found) && (coerce || kind == Kind::Timestamp) => Some(How::Parse),
        false => None,
    }
}

fn converted(column: &ArrayRef, how: How, field: &Field, rejects: &mut Rejects) -> ArrayRef {
    let column = match how {
        How::AsItIs if field.kind.fits(column.data_type()) => Arc::clone(column),
        // It stands in a dictionary.
        How::AsItIs | How::Cast => cast(column, field, rejects),
        How::Parse => parsed(column, field, rejects),
        How::Items => return with_items(column, field, rejects),
    };
    let mut out_of_range = |row: usize, seen: String| {
        let reject = || Misfit::OutOfRange.reject(&field.name, field.kind, &seen, None);
        rejects.add(row, reject);
    };
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        for (row, float) in floats.iter().enumerate() {
            if let Some(float) = float.filter(|float| !float.is_finite()) {
                out_of_range(row, float.to_string());
            }
        }
    }
    if let Some(timestamps) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        for (row, micros) in timestamps.iter().enumerate() {
            if let Some(micros) = micros.filter(|micros| !timestamp::is_in_range(*micros)) {
                out_of_range(row, micros.to_string());
            }
        }
    }
    column
}

/// The same values as another type. What it cannot hold is out of range.
fn cast(column: &ArrayRef, field: &Field, rejects: &mut Rejects) -> ArrayRef {
    let to = match column.data_type() {
        // Only the unit: an instant is the same in every zone, and one without a zone is in UTC.
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => field.kind.data_type(),
    };
    let cast = cast_to(column, &to);
    if cast.null_count() > column.logical_null_count() {
        for row in (0..column.len()).filter(|row| cast.is_null(*row)) {
            if let Some(seen) = seen(column, row) {
                rejects
                    .add(row, || Misfit::OutOfRange.reject(&field.name, field.kind, &seen, None));
            }
        }
    }
    match cast.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(timestamps) => Arc::new(timestamps.clone().with_timezone("UTC")),
        None => cast,
    }
}

fn cast_to(column: &ArrayRef, to: &DataType) -> ArrayRef {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(column, to, &options).expect("a cast between types that were looked at")
}

/// A value that is not null, as people read it.
fn seen(column: &ArrayRef, row: usize) -> Option<String> {
    let is_null = column.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
    (!is_null).then(|| array_value_to_string(column, row).unwrap_or_default())
}

fn parsed(column: &ArrayRef, field: &Field, rejects: &mut Rejects) -> ArrayRef {
    let texts = cast_to(column, &DataType::Utf8);
    let mut parsed = Column::new(field.kind);
    for (row, text) in texts.as_string::<i32>().iter().enumerate() {
        let Some(text) = text else {
            parsed.push_null(row);
            continue;
        };
        if let Err(misfit) = push_text(&mut parsed.values, text) {
            rejects.add(row, || misfit.reject(&field.name, field.kind, text, None));
            parsed.push_null(row);
        }
    }
    parsed.finish(texts.len())
}

/// Lists, of which no item is null.
fn with_items(column: &ArrayRef, field: &Field, rejects: &mut Rejects) -> ArrayRef {
    let item = match field.kind {
        Kind::TextList => DataType::Utf8,
        _ => DataType::Float64,
    };
    let to = DataType::List(Arc::new(ArrowField::new_list_field(item, true)));
    let lists = cast_to(column, &to);
    let lists = lists.as_list::<i32>();
    let mut taken = Column::new(field.kind);
    for row in 0..lists.len() {
        if lists.is_null(row) {
            taken.push_null(row);
            continue;
        }
        let items = lists.value(row);
        if let Some(what) = what_is_wrong(&items) {
            let reason = format!("field {} has an item that is {what}", field.name);
            let seen = seen(column, row).map(|seen| shown(&seen));
            rejects.add(row, || Reject::new(reason, seen, None));
            taken.push_null(row);
            continue;
        }
        match &mut taken.values {
            Values::TextList { ends, items: texts } => {
                for item in items.as_string::<i32>().iter().flatten() {
                    texts.open().push_str(item);
                    texts.end();
                }
                ends.push(offset(texts.len()));
            }
            Values::FloatList { ends, items: floats } => {
                floats.extend(items.as_primitive::<Float64Type>().values());
                ends.push(offset(floats.len()));
            }
            _ => unreachable!("only lists have items"),
        }
    }
    taken.finish(lists.len())
}

fn what_is_wrong(items: &ArrayRef) -> Option<&'static str> {
    let floats = items.as_primitive_opt::<Float64Type>();
    if items.null_count() > 0 {
        Some("null")
    } else if floats.is_some_and(|floats| floats.values().iter().any(|float| !float.is_finite())) {
        Some("out of range")
    } else {
        None
    }
}
