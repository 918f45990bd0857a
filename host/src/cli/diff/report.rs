//! What `pinhost diff` found, as `--json` prints it. Names are a promise.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::diff::Diff;
use crate::pipeline::Pipeline;
use crate::record::Rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub pipeline: &'a str,
    /// The URL or the folder.
    pub from: &'a str,
    pub read: Read,
    pub rules: RulesReport,
    /// Whether anything below is another one.
    pub differs: bool,
    #[serde(flatten)]
    pub diff: &'a Diff,
}

/// What was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Read {
    pub objects: u64,
    /// As they are stored.
    pub bytes: u64,
    /// Of the records; where those have no times, of the objects.
    pub first: Option<String>,
    pub last: Option<String>,
    /// None if it was all there is.
    pub sample: Option<Sampled>,
}

impl Read {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn set_times(&mut self, (first, last): (i64, i64)) {
        self.first = Some(Rfc3339(first).to_string());
        self.last = Some(Rfc3339(last).to_string());
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "unit", rename_all = "snake_case")]
pub(super) enum Sampled {
    Objects { taken: u64, of: u64 },
    Records { taken: u64, of: u64, every: u64 },
}

#[derive(Debug, Serialize)]
pub(super) struct RulesReport {
    pub old: RuleReport,
    pub new: RuleReport,
    /// Where the two differ.
    pub changes: Vec<RuleChange>,
}

#[derive(Debug, Serialize)]
pub(super) struct RuleReport {
    pub file: String,
    /// The digest of everything that decides what becomes of a record.
    pub generation: String,
    /// To decode and clean it, on one thread; none if there was no record.
    pub nanoseconds_per_record: Option<f64>,
}

impl RuleReport {
    pub fn new(pipeline: &Pipeline, took: Duration, records: u64) -> Self {
        let per_record = took.as_nanos() as f64 / records as f64;
        Self {
            file: pipeline.path.display().to_string(),
            generation: pipeline.generation().digest.to_string(),
            nanoseconds_per_record: per_record.is_finite().then_some(per_record),
        }
    }
}

/// Something that is written otherwise.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct RuleChange {
    /// `step tags: with.as`
    pub what: String,
    /// Null if it is not there.
    pub old: Value,
    pub new: Value,
}
