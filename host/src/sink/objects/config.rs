//! What may be written below `objects:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::S3Config;
use crate::written::Size;

/// Objects in a folder or in an S3 bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSinkConfig {
    /// A folder, relative to the pipeline's file, or `s3://bucket/prefix`.
    pub url: String,
    #[serde(default, skip_serializing_if = "S3Config::is_default")]
    pub s3: S3Config,
    #[serde(default)]
    pub format: RowFormat,
    /// How bytes are made smaller. NDJSON: `none`, `gzip` or `zstd`; Parquet: `none`, `snappy` or
    /// `zstd`. Left out: none for NDJSON, zstd for Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<SinkCompression>,
    /// Columns whose values name folders, like `category=art/`. They are not written in the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<String>,
    /// How objects are named where there is no rule, and records have a topic, a partition and an
    /// offset. Left out: `connect`.
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

/// Below `topics/<topic>/`, and each named by its first record:
/// `<topic>+<partition>+<offset>.json`.
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
