//! What may be written below `objects:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::{Compression, S3Config};
use crate::written::Duration;

/// Records in objects: of an S3 bucket, or files of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSourceConfig {
    /// A folder or a file, relative to the pipeline's file, or `s3://bucket/prefix`.
    pub url: String,
    #[serde(default, skip_serializing_if = "S3Config::is_default")]
    pub s3: S3Config,
    /// The archive that the objects are a part of, if that begins above `url`: its indexes tell
    /// what the records were. Indexes elsewhere above `url` are not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Only objects whose key below the URL matches, like `**/*.json`.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// How an object is compressed; `auto` tells by its first bytes.
    #[serde(default)]
    pub compression: Compression,
    /// Take the record out of this member of each record's object; one without it is taken as it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
    /// What to do about an object that is another one than when it was read.
    #[serde(default)]
    pub changed: Changed,
    /// How long a local file has to rest before it is read: it may still be written. The same holds
    /// for what Kafka Connect writes to a bucket, as keys and headers come after values.
    #[serde(default = "settle")]
    pub settle: Duration,
    /// How often to look for new objects.
    #[serde(default = "poll")]
    pub poll: Duration,
}

fn settle() -> Duration {
    Duration::secs(5)
}

fn poll() -> Duration {
    Duration::secs(10)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// Say so, and go on without it.
    #[default]
    Report,
    /// Read it again, as a new object.
    Reread,
}
