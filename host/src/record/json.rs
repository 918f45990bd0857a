//! Rows as JSON values: read from tests and samples, compared, shown to people.
//!
//! Not here: rows for sinks, which `ndjson` writes without making values of them, and records as sources
//! hand them over, which `decode` turns into columns likewise.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use arrow::array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::fmt::temporal::DateTimeParser;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use super::{Batch, Field, Kind, Rfc3339, item};

/// Raised when the same row is written otherwise: it is part of a generation.
pub const VERSION: u32 = 1;

/// A row as somebody wrote it: names and values in that order. A column that is not named is null.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JsonRow(pub Vec<(String, Value)>);

impl JsonRow {
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de> Deserialize<'de> for JsonRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;

        impl<'de> Visitor<'de> for Row {
            type Value = JsonRow;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row: columns and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRow, A::Error> {
                let mut row = JsonRow::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if row.get(&name).is_some() {
                        return Err(A::Error::custom(format!("column `{name}` is there twice")));
                    }
                    row.0.push((name, value));
                }
                Ok(row)
            }
        }

        deserializer.deserialize_map(Row)
    }
}

impl Serialize for JsonRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Why rows do not become columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` {fault}")]
pub struct JsonRowError {
    /// Counted from 0.
    pub row: usize,
    pub column: String,
    pub fault: ValueFault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    #[error("has an object, which no column can hold")]
    Object,
    #[error("is {here} here and {before} in a row before")]
    Mixed { here: Kind, before: Kind },
    #[error("is {kind}, which `{value}` is not")]
    Misfit { kind: Kind, value: String },
    #[error("is timestamp, and `{value}` is not RFC 3339, like 2020-08-28T03:52:47Z")]
    Timestamp { value: String },
    #[error("has a list with a null in it")]
    NullItem,
}

/// What columns these rows have: those declared are of the kind declared, others of the kind of their
/// values. A whole number is an integer unless its column has others, a list is a text-list unless it
/// holds numbers; where all values are null it is text.
pub fn infer(rows: &[JsonRow], declared: &[(String, Kind)]) -> Result<Arc<[Field]>, JsonRowError> {
    let mut found: Vec<(&str, Option<Kind>)> = Vec::new();
    for (row, values) in rows.iter().enumerate() {
        for (name, value) in &values.0 {
            let at = found.iter().position(|(column, _)| column == name).unwrap_or_else(|| {
                found.push((name, None));
                found.len() - 1
            });
            if declared.iter().any(|(column, _)| column == name) {
                continue;
            }
            let error = |fault| JsonRowError { row, column: name.clone(), fault };
            let Some(here) = kind_of(value).map_err(error)? else { continue };
            let kind = &mut found[at].1;
            *kind = Some(match (*kind, here) {
                (None, here) => here,
                (Some(before), here) if before == here => here,
                (Some(Kind::Integer | Kind::Float), Kind::Integer | Kind::Float) => Kind::Float,
                // An empty list is of either kind.
                (Some(Kind::TextList), Kind::FloatList) if only_empty(&rows[..row], name) => here,
                (Some(Kind::FloatList), Kind::TextList) if is_empty(value) => Kind::FloatList,
                (Some(before), here) => return Err(error(ValueFault::Mixed { here, before })),
            });
        }
    }
    for (name, _) in declared {
        if !found.iter().any(|(column, _)| column == name) {
            found.push((name, None));
        }
    }
    let fields = found.into_iter().map(|(name, kind)| {
        let declared = declared.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
        Field::new(name, declared.or(kind).unwrap_or(Kind::Text))
    });
    Ok(fields.collect())
}

fn kind_of(value: &Value) -> Result<Option<Kind>, ValueFault> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() => Kind::Integer,
        Value::Number(_) => Kind::Float,
        Value::String(_) => Kind::Text,
        Value::Array(items) if items.first().is_some_and(Value::is_number) => Kind::FloatList,
        Value::Array(_) => Kind::TextList,
        Value::Object(_) => return Err(ValueFault::Object),
    }))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn only_empty(rows: &[JsonRow], column: &str) -> bool {
    rows.iter().filter_map(|row| row.get(column)).all(|value| value.is_null() || is_empty(value))
}

/// Rows as columns. Values of columns that are not among `fields` are left out.
pub fn batch(rows: &[impl Borrow<JsonRow>], fields: &Arc<[Field]>) -> Result<Batch, JsonRowError> {
    let columns = fields.iter().map(|field| {
        let mut column = Builder::new(field.kind);
        for (row, values) in rows.iter().enumerate() {
            let value = values.borrow().get(&field.name).unwrap_or(&Value::Null);
            column.push(value).map_err(|fault| JsonRowError {
                row,
                column: field.name.to_string(),
                fault,
            })?;
        }
        Ok(column.finish())
    });
    Ok(Batch::new(rows.len(), Arc::clone(fields), columns.collect::<Result<_, _>>()?))
}

enum Builder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TextList(ListBuilder<StringBuilder>),
    FloatList(ListBuilder<Float64Builder>),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::Integer => Self::Integer(Int64Builder::new()),
            Kind::Float => Self::Float(Float64Builder::new()),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Timestamp => Self::Timestamp(
                TimestampMicrosecondBuilder::new().with_data_type(Kind::Timestamp.data_type()),
            ),
            Kind::TextList => Self::TextList(
                ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8)),
            ),
            Kind::FloatList => Self::FloatList(
                ListBuilder::new(Float64Builder::new()).with_field(item(DataType::Float64)),
            ),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Timestamp(_) => Kind::Timestamp,
            Self::TextList(_) => Kind::TextList,
            Self::FloatList(_) => Kind::FloatList,
        }
    }

    fn push(&mut self, value: &Value) -> Result<(), ValueFault> {
        let misfit = |kind| ValueFault::Misfit { kind, value: value.to_string() };
        let kind = self.kind();
        let some = !value.is_null();
        let given = |fits: bool| if fits || !some { Ok(()) } else { Err(misfit(kind)) };
        match self {
            Self::Boolean(column) => {
                given(value.is_boolean())?;
                column.append_option(value.as_bool());
            }
            Self::Integer(column) => {
                given(value.is_i64())?;
                column.append_option(value.as_i64());
            }
            Self::Float(column) => {
                given(value.is_number())?;
                column.append_option(value.as_f64());
            }
            Self::Text(column) => {
                given(value.is_string())?;
                column.append_option(value.as_str());
            }
            Self::Timestamp(column) => {
                given(value.is_string())?;
                let micros = value.as_str().map(|text| {
                    micros(text).ok_or_else(|| ValueFault::Timestamp { value: text.to_owned() })
                });
                column.append_option(micros.transpose()?);
            }
            Self::TextList(column) => {
                given(value.is_array())?;
                for item in value.as_array().into_iter().flatten() {
                    let text = item.as_str();
                    column.values().append_value(text.ok_or_else(|| misfit_item(item, kind))?);
                }
                column.append(some);
            }
            Self::FloatList(column) => {
                given(value.is_array())?;
                for item in value.as_array().into_iter().flatten() {
                    let number = item.as_f64();
                    column.values().append_value(number.ok_or_else(|| misfit_item(item, kind))?);
                }
                column.append(some);
            }
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut column) => Arc::new(column.finish()),
            Self::Integer(mut column) => Arc::new(column.finish()),
            Self::Float(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Timestamp(mut column) => Arc::new(column.finish()),
            Self::TextList(mut column) => Arc::new(column.finish()),
            Self::FloatList(mut column) => Arc::new(column.finish()),
        }
    }
}

fn misfit_item(item: &Value, kind: Kind) -> ValueFault {
    if item.is_null() {
        return ValueFault::NullItem;
    }
    ValueFault::Misfit { kind, value: format!("[{item}]") }
}

/// A value as it would be read back from a column of this kind: 1 is 1.0 among floats. What does not
/// fit stays as it is.
pub fn canonical(value: &Value, kind: Kind) -> Value {
    let mut column = Builder::new(kind);
    match column.push(value) {
        Ok(()) => self::value(kind, &column.finish(), 0),
        Err(_) => value.clone(),
    }
}

/// The value of a column in one row.
pub fn value(kind: Kind, column: &ArrayRef, row: usize) -> Value {
    serde_json::to_value(Cell { kind, column, row }).expect("a value of a kind that JSON has")
}

/// The value of a column in one row, as it stands in a written row.
pub(crate) fn written(kind: Kind, column: &ArrayRef, row: usize) -> String {
    serde_json::to_string(&Cell { kind, column, row }).expect("a value of a kind that JSON has")
}

struct Cell<'a> {
    kind: Kind,
    column: &'a ArrayRef,
    row: usize,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { kind, column, row } = *self;
        if column.is_null(row) {
            return serializer.serialize_none();
        }
        match kind {
            Kind::Boolean => serializer.serialize_bool(column.as_boolean().value(row)),
            Kind::Integer => {
                serializer.serialize_i64(column.as_primitive::<Int64Type>().value(row))
            }
            Kind::Float => {
                serializer.serialize_f64(column.as_primitive::<Float64Type>().value(row))
            }
            Kind::Text => serializer.serialize_str(text(column, row)),
            Kind::Timestamp => {
                let column = column.as_primitive::<TimestampMicrosecondType>();
                serializer.collect_str(&Rfc3339(column.value(row)))
            }
            Kind::TextList => {
                let items = column.as_list::<i32>().value(row);
                serializer.collect_seq((0..items.len()).map(|at| text(&items, at)))
            }
            Kind::FloatList => {
                let items = column.as_list::<i32>().value(row);
                serializer.collect_seq(items.as_primitive::<Float64Type>().values())
            }
        }
    }
}

/// A text column stands in one of two forms, see [`Kind::fits`].
pub(crate) fn text(column: &ArrayRef, row: usize) -> &str {
    match column.as_string_opt::<i32>() {
        Some(plain) => plain.value(row),
        None => column.as_string_view().value(row),
    }
}

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// Microseconds since 1970, read.
fn micros(text: &str) -> Option<i64> {
    let pieces = DateTimeParser::new().parse_pieces(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let is_rfc3339 = text.as_bytes().get(10).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'T'))
        && pieces.time_zone_annotation().is_none();
    let time = pieces.date().to_datetime(pieces.time().filter(|_| is_rfc3339)?);
    let utc = time.checked_sub(SignedDuration::from_secs(i64::from(offset.seconds()))).ok()?;
    let first = date(1, 1, 1).at(0, 0, 0, 0);
    (utc >= first).then(|| i64::try_from(utc.duration_since(EPOCH).as_micros()).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::ndjson;

    fn rows(json: Value) -> Vec<JsonRow> {
        serde_json::from_value(json).unwrap()
    }

    fn inferred(json: Value, declared: &[(&str, Kind)]) -> Result<Vec<(String, Kind)>, String> {
        let declared: Vec<_> =
            declared.iter().map(|(name, kind)| (name.to_string(), *kind)).collect();
        infer(&rows(json), &declared)
            .map(|fields| fields.iter().map(|f| (f.name.to_string(), f.kind)).collect())
            .map_err(|error| format!("row {}: {error}", error.row))
    }

    #[test]
    fn kinds_are_told_by_values_and_otherwise_declared() {
        let json = json!([
            {"a": true}, {"b": 1, "c": 1}, {"c": 1.5, "d": "x"}, {"e": [], "f": []},
            {"e": ["x"], "f": [1], "g": null, "h": "2020-01-01T00:00:00Z"},
        ]);
        let kinds = inferred(json, &[("h", Kind::Timestamp), ("i", Kind::Float)]).unwrap();
        let kinds: Vec<_> = kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(
            kinds,
            [
                ("a", Kind::Boolean),
                ("b", Kind::Integer),
                ("c", Kind::Float),
                ("d", Kind::Text),
                ("e", Kind::TextList),
                ("f", Kind::FloatList),
                ("g", Kind::Text),
                ("h", Kind::Timestamp),
                ("i", Kind::Float),
            ]
        );
    }

    #[test]
    fn what_is_no_column_is_refused_by_row_and_name() {
        for (json, said) in [
            (
                json!([{"a": 1}, {"a": "x"}]),
                "row 1: column `a` is text here and integer in a row before",
            ),
            (json!([{"a": {}}]), "row 0: column `a` has an object, which no column can hold"),
            (
                json!([{"a": [1]}, {"a": ["x"]}]),
                "row 1: column `a` is text-list here and float-list in a row before",
            ),
        ] {
            assert_eq!(inferred(json, &[]).unwrap_err(), said);
        }
    }

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let fields: Arc<[Field]> =
            Kind::ALL.iter().map(|kind| Field::new(kind.name(), *kind)).collect();
        let written = concat!(
            r#"{"boolean":true,"integer":-9223372036854775808,"float":0.1,"text":"Wörter","#,
            r#""timestamp":"9999-12-31T23:59:59.999999Z","text-list":["a",""],"float-list":[1.0,1e+300]}"#
        );
        let nulls = concat!(
            r#"{"boolean":null,"integer":null,"float":null,"text":null,"#,
            r#""timestamp":null,"text-list":null,"float-list":null}"#
        );
        let read: Vec<JsonRow> =
            [written, nulls].map(|row| serde_json::from_str(row).unwrap()).into();
        let batch = batch(&read, &fields).unwrap();
        let lines = String::from_utf8(ndjson::encode(&batch)).unwrap();
        assert_eq!(lines.lines().collect::<Vec<_>>(), [written, nulls]);
    }

    #[test]
    fn values_that_do_not_fit_their_column_are_refused() {
        for (kind, value, said) in [
            (Kind::Integer, json!("46k"), "column `c` is integer, which `\"46k\"` is not"),
            (Kind::Integer, json!(1.0), "column `c` is integer, which `1.0` is not"),
            (
                Kind::Integer,
                json!(u64::MAX),
                "column `c` is integer, which `18446744073709551615` is not",
            ),
            (Kind::Text, json!(1), "column `c` is text, which `1` is not"),
            (Kind::TextList, json!([null]), "column `c` has a list with a null in it"),
            (Kind::FloatList, json!(["x"]), "column `c` is float-list, which `[\"x\"]` is not"),
            (
                Kind::Timestamp,
                json!("today"),
                "column `c` is timestamp, and `today` is not RFC 3339, like 2020-08-28T03:52:47Z",
            ),
        ] {
            let rows = rows(json!([{"c": value}]));
            let error = batch(&rows, &[Field::new("c", kind)].into()).unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_and_written_in_utc() {
        for (text, written) in [
            ("2020-08-28T03:52:47Z", Some("2020-08-28T03:52:47Z")),
            ("2020-08-28T03:52:47.500+02:00", Some("2020-08-28T01:52:47.5Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("0001-01-01T00:00:00+01:00", None),
            ("2020-08-28 03:52:47Z", None),
            ("2020-08-28T03:52:47", None),
            ("2020-08-28", None),
        ] {
            let written = written.map(str::to_owned);
            assert_eq!(micros(text).map(|micros| Rfc3339(micros).to_string()), written, "{text}");
        }
    }
}
