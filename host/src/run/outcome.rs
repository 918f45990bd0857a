//! What became of rows, and where that differs from what was expected, field by field: for golden cases
//! of plugins and for tests of rules.

use serde_json::Value;

use super::Chained;
use crate::record::json::{self, JsonRow};
use crate::record::{Batch, Field};

#[derive(Debug, Clone, PartialEq)]
pub enum RowOutcome {
    /// A value for each column.
    Kept(Vec<Value>),
    Dropped,
    Rejected {
        reason: String,
        detail: Option<String>,
    },
}

impl RowOutcome {
    /// For each of the rows that went into a chain. `kept` has those that are left, perhaps with other
    /// columns than the last step leaves.
    pub fn of(chained: &Chained, kept: &Batch, rows: usize) -> Vec<Self> {
        let mut outcomes = vec![Self::Dropped; rows];
        for rejected in &chained.rejected {
            let (reason, detail) = (rejected.reason.clone(), rejected.detail.clone());
            outcomes[rejected.row as usize] = Self::Rejected { reason, detail };
        }
        for at in 0..kept.rows() {
            let row = chained.rows.as_ref().map_or(at, |rows| rows[at] as usize);
            let columns = kept.fields().iter().zip(kept.columns());
            let values = columns.map(|(field, column)| json::value(field.kind, column, at));
            outcomes[row] = Self::Kept(values.collect());
        }
        outcomes
    }

    /// Whether it is the same in all that a row decides: a trap's detail is where it was and what was
    /// said, which is not the row's doing alone.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rejected { reason: one, .. }, Self::Rejected { reason: other, .. })
                if one.starts_with("plugin ") =>
            {
                one == other
            }
            _ => self == other,
        }
    }

    /// In a line.
    pub fn told(&self, fields: &[Field]) -> String {
        match self {
            Self::Kept(values) => {
                let names = fields.iter().map(|field| field.name.to_string());
                kept(&JsonRow(names.zip(values.iter().cloned()).collect()))
            }
            Self::Dropped => "dropped".to_owned(),
            Self::Rejected { reason, detail } => rejected(reason, detail.as_deref()),
        }
    }
}

pub fn kept(row: &JsonRow) -> String {
    format!("kept: {}", serde_json::to_string(row).expect("keys are text"))
}

pub fn rejected(reason: &str, detail: Option<&str>) -> String {
    let detail = detail.map_or_else(String::new, |detail| format!(" (detail: {detail})"));
    format!("rejected: {reason}{detail}")
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `row 1, follower_count`
    pub place: String,
    pub expected: String,
    pub got: String,
    /// What to do about it.
    pub help: Option<&'static str>,
}

impl Difference {
    pub fn new(
        place: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), expected: expected.into(), got: got.into(), help: None }
    }
}

/// Whether an expected row names all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    All,
    /// Columns that are not named are not compared.
    Some,
}

/// Where a row that was kept is another one.
pub fn row_differences(
    place: &str,
    expected: &JsonRow,
    named: Named,
    fields: &[Field],
    got: &[Value],
) -> Vec<Difference> {
    let mut found = Vec::new();
    for (field, got) in fields.iter().zip(got) {
        let place = format!("{place}, {}", field.name);
        match expected.get(&field.name).map(|value| json::canonical(value, field.kind)) {
            Some(expected) if expected == *got => {}
            Some(expected) => {
                found.push(Difference::new(place, expected.to_string(), got.to_string()));
            }
            None if named == Named::Some => {}
            None => found.push(Difference {
                help: Some("expected rows have all columns that there are after the step"),
                ..Difference::new(place, "no such column", got.to_string())
            }),
        }
    }
    for name in expected.names() {
        if !fields.iter().any(|field| &*field.name == name) {
            let value = expected.get(name).unwrap_or(&Value::Null);
            let place = format!("{place}, {name}");
            found.push(Difference::new(place, value.to_string(), "no such column"));
        }
    }
    found
}
