//! A value as somebody types it, and as files hold it.

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::file::statistics::Statistics;
use serde_json::Value;

use crate::record::{Kind, json};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// As JSON.
    List(Value),
}

impl Wanted {
    /// None if no value of the kind is written like this.
    pub(super) fn new(kind: Kind, written: &str) -> Option<Self> {
        Some(match kind {
            Kind::Boolean => Self::Boolean(written.parse().ok()?),
            Kind::Integer => Self::Integer(written.parse().ok()?),
            Kind::Float => Self::Float(written.parse().ok()?),
            Kind::Text => Self::Text(written.to_owned()),
            Kind::Timestamp => Self::Timestamp(micros(written)?),
            Kind::TextList | Kind::FloatList => Self::List(serde_json::from_str(written).ok()?),
        })
    }

    /// Whether a value of a column of this kind is the one.
    pub(super) fn is_in(&self, kind: Kind, column: &ArrayRef, row: usize) -> bool {
        if column.is_null(row) {
            return false;
        }
        match self {
            Self::Boolean(wanted) => column.as_boolean().value(row) == *wanted,
            Self::Integer(wanted) => column.as_primitive::<Int64Type>().value(row) == *wanted,
            Self::Float(wanted) => column.as_primitive::<Float64Type>().value(row) == *wanted,
            Self::Text(wanted) => json::text(column, row) == wanted,
            Self::Timestamp(wanted) => {
                column.as_primitive::<TimestampMicrosecondType>().value(row) == *wanted
            }
            Self::List(wanted) => serde_json::from_str::<Value>(&json::written(kind, column, row))
                .is_ok_and(|value| value == *wanted),
        }
    }

    /// Whether a row group with these statistics may have it. Texts may be cut in them: the least is then
    /// less than all values, and the greatest greater.
    pub(super) fn may_be_in(&self, statistics: Option<&Statistics>) -> bool {
        fn between<T: PartialOrd + ?Sized>(min: Option<&T>, value: &T, max: Option<&T>) -> bool {
            min.is_none_or(|min| min <= value) && max.is_none_or(|max| value <= max)
        }
        match (self, statistics) {
            (Self::Boolean(value), Some(Statistics::Boolean(of))) => {
                between(of.min_opt(), value, of.max_opt())
            }
            (Self::Integer(value) | Self::Timestamp(value), Some(Statistics::Int64(of))) => {
                between(of.min_opt(), value, of.max_opt())
            }
            (Self::Float(value), Some(Statistics::Double(of))) => {
                between(of.min_opt(), value, of.max_opt())
            }
            (Self::Text(value), Some(all @ Statistics::ByteArray(_))) => {
                between(all.min_bytes_opt(), value.as_bytes(), all.max_bytes_opt())
            }
            _ => true,
        }
    }
}

/// Whether a value of a line, which does not tell of what kind it is, is written like this.
pub(super) fn is_written(value: &Value, written: &str) -> bool {
    match value {
        Value::Null | Value::Object(_) => false,
        Value::Bool(value) => written.parse() == Ok(*value),
        Value::Number(number) => match (number.as_i64(), written.parse::<i64>()) {
            (Some(value), Ok(wanted)) => value == wanted,
            _ => number.as_f64().is_some_and(|value| written.parse() == Ok(value)),
        },
        Value::String(text) => {
            let is_time = || micros(text).is_some_and(|time| micros(written) == Some(time));
            text == written || is_time()
        }
        Value::Array(_) => serde_json::from_str::<Value>(written).is_ok_and(|it| it == *value),
    }
}

fn micros(written: &str) -> Option<i64> {
    Some(written.parse::<jiff::Timestamp>().ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_however_it_is_written() {
        let is = |written: &str, value: Value| is_written(&value, written);
        assert!(is("8304", 8304.into()));
        assert!(is("46", 46.0.into()));
        assert!(is("true", true.into()));
        assert!(is("46", "46".into()));
        assert!(!is("46.5", 46.into()));
        assert!(is("2020-08-28T03:52:47.500Z", "2020-08-28T03:52:47.5Z".into()));
        assert!(is(r#"["a", "b"]"#, ["a", "b"].into_iter().collect()));
        assert!(!is("null", Value::Null));
        assert_eq!(Wanted::new(Kind::Integer, "a lot"), None);
    }
}
