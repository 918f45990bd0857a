//! What the versions of a table's rows mean: by what one is newer than another. It is stored with the table,
//! as versions of another meaning cannot be compared with those that are there: each update would lose
//! against rows that it never met.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::fault::TableFault;
use super::target::Target;
use super::version::push_version;
use crate::record::provenance::lane_in;
use crate::record::{Field, Position};

/// How versions are written as bytes.
const FORMAT: u32 = 1;

/// What `newest:` and `key:` say, with the types of their columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meaning {
    format: u32,
    key: Vec<MeantColumn>,
    /// The record's own time, if there is none.
    newest: Option<MeantColumn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MeantColumn {
    column: String,
    kind: String,
}

impl MeantColumn {
    fn of(Field { name, kind }: &Field) -> Self {
        Self { column: name.to_string(), kind: kind.name().to_owned() }
    }
}

impl Meaning {
    /// None if rows are appended, and have no versions.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        let column = |at: &usize| MeantColumn::of(&target.columns[*at]);
        let (key, newest) = (target.key.iter().map(column).collect(), target.newest.as_ref());
        let meaning = Self { format: FORMAT, key, newest: newest.map(column) };
        (!target.key.is_empty()).then_some(meaning)
    }

    /// Under which name the ledger keeps it.
    pub(crate) fn name(table: &str) -> String {
        format!("versions of {table}")
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts")
    }

    pub(crate) fn is(&self, stored: &str) -> bool {
        serde_json::from_str(stored).is_ok_and(|stored: Self| stored == *self)
    }

    /// Rows are there, whose versions mean this.
    pub(crate) fn refusal(&self, table: &str, stored: &str) -> TableFault {
        let known = match serde_json::from_str::<Self>(stored) {
            Ok(known) if known.format <= FORMAT => known.to_string(),
            Ok(_) | Err(_) => "in a way that a newer pinhost knows".to_owned(),
        };
        TableFault::OtherVersions { table: table.to_owned(), known, here: self.to_string() }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |column: &MeantColumn| format!("{} ({})", column.column, column.kind);
        match &self.newest {
            Some(newest) => write!(f, "by {}", shown(newest))?,
            None => f.write_str("by the time of records")?,
        }
        write!(f, " for the key {}", self.key.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

/// A value that was read from a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FoundValue {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970.
    Timestamp(i64),
}

impl FoundValue {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(*value),
            Self::Integer(value) => Cell::Integer(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Timestamp(micros) => Cell::Timestamp(*micros),
        }
    }
}

/// The version of a row that is there, as its record would have it today. `lane` and `place` are what the row
/// says of itself, if it does.
pub(crate) fn version_of_row(
    newest: &FoundValue,
    lane: Option<&str>,
    place: Option<&str>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let place = place.and_then(|place| place.parse().ok()).unwrap_or(Position::at(&[0]));
    push_version(&mut bytes, newest.cell(), lane.map_or("", lane_in), place);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(key: &str, newest: Option<&str>) -> Meaning {
        let column =
            |name: &str| MeantColumn { column: name.to_owned(), kind: "integer".to_owned() };
        Meaning { format: FORMAT, key: vec![column(key)], newest: newest.map(column) }
    }

    #[test]
    fn what_is_stored_is_the_same_or_is_told() {
        let (by_time, by_column) = (meaning("id", None), meaning("id", Some("seen")));
        assert!(by_time.is(&by_time.to_json()) && !by_time.is(&by_column.to_json()));
        let told = |stored: &str| by_time.refusal("t", stored).to_string();
        let expected = "versions of rows in table t are by seen (integer) for the key id (integer), and the pipeline \
                        has them by the time of records for the key id (integer)";
        assert_eq!(told(&by_column.to_json()), expected);
        let newer = Meaning { format: FORMAT + 1, ..by_column };
        assert!(told(&newer.to_json()).contains("newer pinhost"));
        assert!(told("{").contains("newer pinhost"));
    }

    #[test]
    fn the_version_of_a_row_is_that_of_its_record() {
        let mut expected = Vec::new();
        push_version(&mut expected, Cell::Integer(7), "pin-0", Position::number(42));
        let found = FoundValue::Integer(7);
        for name in ["pins/pin-0", "pins/pin-0#2", "pins/pin-0#1a2b3c4d"] {
            assert_eq!(version_of_row(&found, Some(name), Some("42")), expected, "{name}");
        }
        assert!(version_of_row(&found, None, None) < expected);
    }
}
