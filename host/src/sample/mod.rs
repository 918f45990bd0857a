//! What a handful of records says about all the others: names, types, keys, and which of the standard
//! plugins help.
//!
//! Records go in as bytes and a [`Proposal`] comes out; nothing is read or written in between. It is
//! careful: where a reading could be wrong without anybody noticing it, the column stays text and a note
//! says why. What no column can hold, such as a list of objects, is kept as JSON in one column.

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
    /// Those that are objects of JSON.
    pub records: u64,
    /// The others.
    pub unreadable: u64,
    /// The member of each record's object in which the record stands.
    pub unwrap: Option<String>,
    pub fields: Vec<ProposedField>,
    pub steps: Vec<ProposedStep>,
    /// The column that tells which row it is.
    pub key: Option<String>,
    /// What concerns no single field.
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
    /// In how many of the records it has a value.
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
    /// Whether it is only mentioned: a matter of taste.
    pub is_idea: bool,
}

impl Proposal {
    /// The columns that rows have.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.fields.iter().map(|field| (field.name.as_str(), field.becomes))
    }
}
