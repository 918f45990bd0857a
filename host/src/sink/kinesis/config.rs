//! What may be written below `kinesis:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinesis::AwsConfig;
use crate::written::Size;

/// A stream of Amazon Kinesis: rows as JSON, or records as they came where there is no rule. Kinesis
/// keeps no progress: `ledger:` names what does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KinesisSinkConfig {
    pub stream: String,
    /// The column that is the partition key: rows of one key keep their order. Left out, the key of
    /// the record that the row was made of; or each row has a key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The column that says which shard a row goes to, instead of its key: a number of 128 bits,
    /// written in decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<String>,
    /// What the stream takes as one record: 10 MiB, if it is set so. Rows that are larger are dead
    /// letters.
    #[serde(default = "record")]
    pub record: Size,
    #[serde(default, skip_serializing_if = "AwsConfig::is_default")]
    pub aws: AwsConfig,
}

fn record() -> Size {
    Size(1 << 20)
}
