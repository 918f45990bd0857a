//! Infers a rule from a sample of records: names, types, keys, and which standard plugins help.
//!
//! Records go in as bytes and a [`Proposal`] comes out; there is no I/O in between. It is careful: where a
//! guess could be wrong without anybody noticing, the column stays text and a note says why. Values that no
//! column can hold, such as lists of objects, are kept as JSON in one column.

mod column;
mod cover;
mod document;
mod json;
mod key;
mod name;
mod propose;
mod seen;
#[cfg(test)]
mod tests;
mod text;
mod time;

use serde_json::{Map, Value};

use crate::record::Kind;

pub use self::cover::cover;
pub use self::document::{EndOfRecord, TestOfSample, rule_text};
pub use self::propose::{propose, wrapper};

/// A rule that fits the records.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// How many were JSON objects.
    pub records: u64,
    /// How many were not.
    pub unreadable: u64,
    /// The member of each object that holds the record, if there is an envelope.
    pub unwrap: Option<String>,
    pub fields: Vec<ProposedField>,
    pub steps: Vec<ProposedStep>,
    /// The column that identifies a row.
    pub key: Option<String>,
    /// Remarks about the rule as a whole.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ProposedField {
    pub name: String,
    pub from: FieldPlace,
    /// What it is read as.
    pub kind: Kind,
    /// What it is after the steps.
    pub becomes: Kind,
    pub coerce: bool,
    pub required: bool,
    pub key: bool,
    /// How many records have a value for it.
    pub values: u64,
    pub note: Option<String>,
}

/// Where a field stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPlace {
    /// Under its own name.
    Name,
    /// Under these keys, from the outermost object in; none has a point in it.
    Path(Vec<String>),
    /// Under a key that cannot be written as a path.
    Alias(String),
    /// What is not declared, as JSON.
    Rest,
}

/// A standard plugin with its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedStep {
    /// None for the plugin's own name.
    pub id: Option<String>,
    pub plugin: &'static str,
    pub with: Map<String, Value>,
    /// What it is for.
    pub note: String,
    /// Whether it is only suggested, in a comment: a matter of taste.
    pub is_idea: bool,
}

impl Proposal {
    /// The columns that rows have.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.fields.iter().map(|field| (field.name.as_str(), field.becomes))
    }
}
