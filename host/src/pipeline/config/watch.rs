//! Whether what a pipeline is made of is watched while it runs.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// `auto`, `poll` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchConfig {
    /// The system tells about changes, and they are looked for now and then as well.
    #[default]
    Auto,
    /// They are looked for: network file systems tell nothing.
    Poll,
    Off,
}

impl Serialize for WatchConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Poll => serializer.serialize_str("poll"),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for WatchConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = WatchConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `poll` or `false`")
            }

            fn visit_bool<E: serde::de::Error>(self, is_on: bool) -> Result<WatchConfig, E> {
                Ok(if is_on { WatchConfig::Auto } else { WatchConfig::Off })
            }

            fn visit_str<E: serde::de::Error>(self, written: &str) -> Result<WatchConfig, E> {
                match written {
                    "auto" => Ok(WatchConfig::Auto),
                    "poll" => Ok(WatchConfig::Poll),
                    other => Err(E::unknown_variant(other, &["auto", "poll", "false"])),
                }
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for WatchConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WatchConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto`: the system tells about changes; `poll`: they are looked for, as \
                            network file systems tell nothing; `false`: changes are for the next run.",
            "enum": ["auto", "poll", false],
        })
    }
}
