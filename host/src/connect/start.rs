//! Where a source starts, as it is written.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartConfig {
    #[default]
    Earliest,
    Latest,
    /// The first record of that time or later.
    Time(Timestamp),
}

impl Serialize for StartConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::Time(time) => serializer.collect_str(time),
        }
    }
}

impl<'de> Deserialize<'de> for StartConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        match &*text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| {
                serde::de::Error::custom(format_args!(
                    "`{text}` is no start; it is earliest, latest, or a time like 2026-01-31T00:00:00Z"
                ))
            }),
        }
    }
}

impl JsonSchema for StartConfig {
    fn schema_name() -> Cow<'static, str> {
        "StartConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`earliest`, `latest`, or a time: `2026-01-31T00:00:00Z`.",
            "type": "string",
            "examples": ["earliest", "latest", "2026-01-31T00:00:00Z"],
        })
    }
}
