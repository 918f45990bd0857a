//! What may be written below `postgres:`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::written::Duration;
use crate::written::secrets::mask;

/// A table in a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSinkConfig {
    /// Like `postgres://me:${PASSWORD}@db.example.com:5432/pins`. What encrypts the connection is
    /// part of it: `?sslmode=verify-full&sslrootcert=ca.pem`.
    pub url: DatabaseUrl,
    /// `pin`, or `lake.pin` in a schema of its own. Names are taken as they are written, upper case
    /// and lower case too.
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
    #[serde(default)]
    pub create: bool,
    /// Keep with each row of a table that pinhost makes which record it was made of.
    #[serde(default = "yes")]
    pub provenance: bool,
    #[serde(default)]
    pub nul: NulCharacters,
    /// Connections at most. A commit holds one; lanes beyond that wait for their turn.
    #[serde(default = "pool")]
    pub pool: u32,
}

impl PostgresSinkConfig {
    /// What a URL may say behind its `?`.
    pub const PARAMETERS: [&str; 11] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "options",
    ];

    pub fn has_scheme(&self) -> bool {
        let url = self.url.reveal();
        ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
    }

    /// What the URL says else: what is misspelt would be left out without a word, and with it the
    /// encryption that it asks for.
    pub fn unknown_parameter(&self) -> Option<&str> {
        let (_, parameters) = self.url.reveal().split_once('?')?;
        let mut names =
            parameters.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        names.find(|name| !Self::PARAMETERS.contains(name))
    }
}

fn keep_deletes() -> Duration {
    Duration::secs(7 * 24 * 60 * 60)
}

fn pool() -> u32 {
    8
}

/// What becomes of texts with a U+0000, which PostgreSQL does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NulCharacters {
    /// The row is a dead letter.
    #[default]
    Reject,
    /// It is left out.
    Strip,
}

fn yes() -> bool {
    true
}

/// Where a database is. It may hold a password, and shows none.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// With its password.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(***)")
    }
}
