//! Where rows go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{DatabaseNames, POSTGRES_NAMES, SQLITE_NAMES};
use super::{DatabaseUrl, Duration, S3Config, Size};

/// The kind is the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkConfig {
    Postgres(PostgresSinkConfig),
    Sqlite(SqliteSinkConfig),
    Objects(ObjectsSinkConfig),
    Stdout(StdoutSinkConfig),
}

impl SinkConfig {
    /// The key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Sqlite(_) => "sqlite",
            Self::Objects(_) => "objects",
            Self::Stdout(_) => "stdout",
        }
    }

    /// What its tables and columns can be called, if it has some.
    pub fn names(&self) -> Option<&'static DatabaseNames> {
        match self {
            Self::Postgres(_) => Some(&POSTGRES_NAMES),
            Self::Sqlite(_) => Some(&SQLITE_NAMES),
            Self::Objects(_) | Self::Stdout(_) => None,
        }
    }

    /// How a row takes another's place, if one can.
    pub fn upsert(&self) -> Option<Upsert<'_>> {
        let (key, newest) = match self {
            Self::Postgres(PostgresSinkConfig { key, newest, .. })
            | Self::Sqlite(SqliteSinkConfig { key, newest, .. }) => (key, newest),
            Self::Objects(_) | Self::Stdout(_) => return None,
        };
        (!key.is_empty()).then_some(Upsert { key, newest: newest.as_deref() })
    }
}

/// The columns that tell which row it is, and the one that tells which of two is newer.
#[derive(Debug, Clone, Copy)]
pub struct Upsert<'a> {
    pub key: &'a [String],
    pub newest: Option<&'a str>,
}

/// A table in a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSinkConfig {
    /// Like `postgres://me:${PASSWORD}@db.example.com:5432/pins`. What encrypts the connection is part of
    /// it: `?sslmode=verify-full&sslrootcert=ca.pem`.
    pub url: DatabaseUrl,
    /// `pin`, or `lake.pin` in a schema of its own. Names are taken as they are written, upper case and
    /// lower case too.
    pub table: String,
    /// The columns that tell which row it is: a row whose key is there already takes its place. Left out,
    /// rows are appended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The column that tells which of two rows of one key is newer; left out, the record's time and place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// How long a delete is remembered, so that no older record brings the row back. A record without a
    /// value, Kafka's tombstone, deletes the row with its key if all columns of `key` come `from: $key` and
    /// no step writes them; otherwise it is a dead letter.
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

    /// What the URL says else: what is misspelt would be left out without a word, and with it the encryption
    /// that it asks for.
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

/// A table in an SQLite database, which is made if it is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSinkConfig {
    /// The database file, from the folder in which pinhost is started.
    pub path: String,
    pub table: String,
    /// The columns that tell which row it is: a row whose key is there already takes its place. Left out,
    /// rows are appended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The column that tells which of two rows of one key is newer; left out, the record's time and place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// How long a delete is remembered, so that no older record brings the row back. A record without a
    /// value, Kafka's tombstone, deletes the row with its key if all columns of `key` come `from: $key` and
    /// no step writes them; otherwise it is a dead letter.
    #[serde(default = "keep_deletes")]
    pub keep_deletes: Duration,
    /// Make the table, and columns that the rule gains later.
    #[serde(default = "yes")]
    pub create: bool,
    /// Keep with each row which record it was made of.
    #[serde(default = "yes")]
    pub provenance: bool,
}

fn yes() -> bool {
    true
}

/// Objects in a folder or in an S3 bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSinkConfig {
    /// A folder, from the one in which pinhost is started, or `s3://bucket/prefix`.
    pub url: String,
    #[serde(default, skip_serializing_if = "S3Config::is_default")]
    pub s3: S3Config,
    #[serde(default)]
    pub format: RowFormat,
    /// How bytes are made smaller. NDJSON: `none`, `gzip` or `zstd`; Parquet: `none`, `snappy` or `zstd`.
    /// Left out: none for NDJSON, zstd for Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<SinkCompression>,
    /// Columns whose values name folders, like `category=art/`. They are not written in the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<String>,
    /// How objects are named where there is no rule, and records have a topic, a partition and an offset.
    /// Left out: `connect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyLayout>,
    /// Write behind the columns of each row which record it was made of and what made it: `_pinhost_lane`,
    /// `_pinhost_position` and `_pinhost_generation`. `pinhost lineage --where` needs them. Left out: yes for
    /// Parquet, no for NDJSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<bool>,
    /// Rows of a row group of Parquet at most.
    #[serde(default = "row_group_rows")]
    pub row_group_rows: u32,
    /// An object ends at about this size.
    #[serde(default = "object_size")]
    pub object_size: Size,
}

impl ObjectsSinkConfig {
    /// Whether rows say which record they were made of.
    pub fn has_provenance(&self) -> bool {
        self.provenance.unwrap_or(self.format == RowFormat::Parquet)
    }
}

fn row_group_rows() -> u32 {
    128 * 1024
}

fn object_size() -> Size {
    Size::mib(128)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// A JSON object a line.
    #[default]
    Ndjson,
    Parquet,
}

/// Below `topics/<topic>/`, and each named by its first record: `<topic>+<partition>+<offset>.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyLayout {
    /// `partition=<partition>/`, as the S3 sink of Kafka Connect has it.
    #[default]
    Connect,
    /// `year=2024/month=01/day=31/`, by the records' time in UTC.
    Daily,
    /// `year=2024/month=01/day=31/hour=23/`, by the records' time in UTC.
    Hourly,
    /// By the pipeline, the lane and a number, as rows are; not below `topics/`.
    Lane,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkCompression {
    None,
    Gzip,
    Snappy,
    Zstd,
}

/// Rows as NDJSON on the standard output.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutSinkConfig {}
