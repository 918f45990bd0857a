//! What may be written below `sqlite:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::written::Duration;

/// A table in an SQLite database, which is made if it is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSinkConfig {
    /// The database file, relative to the pipeline's file.
    pub path: String,
    pub table: String,
    /// The columns that tell which row it is: a row whose key is there already takes its place.
    /// Left out, rows are appended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The column that tells which of two rows of one key is newer; left out, the record's time and
    /// place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// How long a delete is remembered, so that no older record brings the row back. A record
    /// without a value, Kafka's tombstone, deletes the row with its key if all columns of `key`
    /// come `from: $key` and no step writes them; otherwise it is a dead letter.
    #[serde(default = "keep_deletes")]
    pub keep_deletes: Duration,
    /// Make the table, and columns that the rule gains later.
    #[serde(default = "yes")]
    pub create: bool,
    /// Keep with each row which record it was made of.
    #[serde(default = "yes")]
    pub provenance: bool,
}

fn keep_deletes() -> Duration {
    Duration::secs(7 * 24 * 60 * 60)
}

fn yes() -> bool {
    true
}
