//! Golden cases: rows that go into a plugin, and what is expected to come out.
//!
//! A [`Case`] is what was written ([`file`]), an [`Outcome`] is what came of it ([`trial`]), and
//! [`diff`] says where they differ; [`update`] writes the one into the file of the other.

pub(super) mod diff;
pub(super) mod file;
pub(super) mod trial;
pub(super) mod update;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::plugin::Finding;
use crate::record::Field;
use crate::record::json::JsonRow;
use crate::run::RowOutcome;

/// A file of cases, as it was read.
#[derive(Debug)]
pub(super) struct CaseFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) config: Value,
    pub(super) fields: Arc<[Field]>,
    pub(super) rows: Vec<JsonRow>,
    pub(super) expect: Option<Expect>,
    /// Where in the text the case and what is expected of it start, in bytes.
    pub(super) starts: usize,
    pub(super) expect_starts: Option<usize>,
}

/// What should come out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expect {
    Cleaned(ExpectCleaned),
    /// The configuration is refused.
    Refused(Vec<ExpectFinding>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ExpectCleaned {
    /// Those kept, in order.
    pub(super) rows: Vec<JsonRow>,
    pub(super) dropped: Vec<u32>,
    pub(super) rejected: Vec<ExpectRejection>,
    /// Those named are compared; none if left out.
    pub(super) tallies: Option<Vec<(String, u32)>>,
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectRejection {
    /// Counted from 0, among the rows that go in.
    pub(super) row: u32,
    pub(super) reason: String,
    /// Not compared if left out.
    #[serde(default)]
    pub(super) detail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectFinding {
    pub(super) pointer: String,
    pub(super) message: String,
    /// Not compared if left out.
    #[serde(default)]
    pub(super) help: Option<String>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Cleaned(Cleaning),
    Refused(Vec<Finding>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cleaning {
    pub(super) fields: Arc<[Field]>,
    /// One for each row that went in.
    pub(super) rows: Vec<RowOutcome>,
    pub(super) tallies: Vec<(String, u32)>,
}
