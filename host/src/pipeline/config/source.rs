//! Where records come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, KafkaSourceConfig, S3Config};

/// The kind is the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceConfig {
    Generate(GenerateSourceConfig),
    Kafka(Box<KafkaSourceConfig>),
    Objects(ObjectsSourceConfig),
    Stdin(StdinSourceConfig),
}

impl SourceConfig {
    /// The key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Generate(_) => "generate",
            Self::Kafka(_) => "kafka",
            Self::Objects(_) => "objects",
            Self::Stdin(_) => "stdin",
        }
    }

    /// The member of each record's object in which the record stands.
    pub fn unwrap(&self) -> Option<&str> {
        match self {
            Self::Generate(source) => source.unwrap.as_deref(),
            Self::Kafka(source) => source.unwrap.as_deref(),
            Self::Objects(source) => source.unwrap.as_deref(),
            Self::Stdin(source) => source.unwrap.as_deref(),
        }
    }
}

/// Dirty Pinterest posts, made up as they are seen in reality. The same seed gives the same records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateSourceConfig {
    /// What the records are.
    pub profile: GenerateProfile,
    /// How many; left out, without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Records a second; left out, as fast as they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rate: Option<u64>,
    #[serde(default)]
    pub seed: u64,
    /// How many different `index` values there are, so that records repeat them; left out, a few of a
    /// hundred records repeat an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keys: Option<u64>,
    /// Take the record out of this member of each record's object; one without it is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateProfile {
    /// Posts.
    Pin,
    /// Where they were posted.
    Geo,
    /// Who posted them.
    User,
}

/// Records in objects: of an S3 bucket, or files of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSourceConfig {
    /// A folder, a file, or `s3://bucket/prefix`.
    pub url: String,
    #[serde(default, skip_serializing_if = "S3Config::is_default")]
    pub s3: S3Config,
    /// Only objects whose key below the URL matches, like `**/*.json`.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// How an object is compressed; `auto` tells by its first bytes.
    #[serde(default)]
    pub compression: Compression,
    /// Take the record out of this member of each record's object; one without it is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
    /// What to do about an object that is another one than when it was read.
    #[serde(default)]
    pub changed: Changed,
    /// How long a local file has to rest before it is read: it may still be written. The same holds for
    /// what Kafka Connect writes to a bucket, as keys and headers come after values.
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
pub enum Compression {
    #[default]
    Auto,
    None,
    Gzip,
    Zstd,
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

/// Records on the standard input. It has no position: each run starts anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdinSourceConfig {
    /// How the input is compressed; `auto` tells by its first bytes.
    pub compression: Compression,
    /// Take the record out of this member of each record's object; one without it is taken as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}
