//! What a record means and how it is cleaned.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::record::Kind;
use crate::record::json::JsonRow;

/// A rule file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A rule of pinhost", extend("required" = ["fields"]))]
pub struct RuleConfig {
    /// A record's fields, by the names of the columns that they become. What is not declared is
    /// skipped.
    #[serde(default)]
    pub fields: Fields,
    /// What is done to rows, one step after the other.
    #[serde(default)]
    pub steps: Vec<StepConfig>,
    /// The columns of a row in their order; left out, all columns as the last step leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Vec<OutputColumn>>,
    /// Rules whose records turn up here by mistake, as paths: a dead letter that has the fields of
    /// one says `looks like a geo record`, by the name of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// Records, and what they have to become.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestConfig>,
}

/// Fields in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(pub Vec<(String, FieldConfig)>);

/// A field of a record. `title: text` is short for `title: { type: text }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FieldConfig {
    #[serde(rename = "type")]
    pub kind: Kind,
    /// A record without the field is a dead letter. Null is enough.
    #[serde(default)]
    pub required: bool,
    /// Tells which row it is rather than what is in it: a record of which nothing but key fields
    /// could be read is a dead letter.
    #[serde(default)]
    pub key: bool,
    /// Other keys under which records may have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// `"12.5"` is taken for 12.5; for text, a number as it stands in the JSON.
    #[serde(default)]
    pub coerce: bool,
    /// Where it stands in nested objects, like `offer.price`; left out, under its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Taken from the record's surroundings: `$key`, `$topic`, `$partition`, `$offset`,
    /// `$timestamp`, `$sequence`, `$shard`, `$headers.NAME`; or `$rest`, the fields that are not declared, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// One plugin at its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// The step's stable name in metrics, lineage and dead letters; left out, the plugin's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One that comes with pinhost (`pinhost plugin list`), or the path of a component.
    pub plugin: String,
    /// The plugin's configuration (`pinhost plugin inspect NAME`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
}

/// `title`, or `{ tags: tag_list }`: the column `tag_list` under the name `tags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    pub name: String,
    pub column: String,
}

/// Records that go through the rule together, and what has to come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestConfig {
    pub name: String,
    /// Each is a record's text, or an object that stands for its JSON. Of their surroundings
    /// (`$key` and the like) records of a test have none.
    pub records: Vec<TestRecord>,
    /// The rows that come out, in order. Columns that a row does not name are not compared.
    #[serde(default)]
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub rows: Vec<JsonRow>,
    /// How many records are dropped on purpose.
    #[serde(default)]
    pub dropped: u64,
    /// The dead letters that come out, in order.
    #[serde(default)]
    pub rejects: Vec<TestReject>,
}

/// A record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRecord(pub String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestReject {
    /// The record, counted from 0.
    pub record: u32,
    pub reason: String,
    /// Left out, it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl FieldConfig {
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            required: false,
            key: false,
            aliases: Vec::new(),
            coerce: false,
            path: None,
            from: None,
        }
    }
}

impl<'de> Deserialize<'de> for FieldConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The long form, read by serde.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, remote = "FieldConfig")]
        struct Long {
            #[serde(rename = "type")]
            kind: Kind,
            #[serde(default)]
            required: bool,
            #[serde(default)]
            key: bool,
            #[serde(default)]
            aliases: Vec<String>,
            #[serde(default)]
            coerce: bool,
            #[serde(default)]
            path: Option<String>,
            #[serde(default)]
            from: Option<String>,
        }

        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = FieldConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type, like text, or { type: text, required: true }")
            }

            fn visit_str<E: serde::de::Error>(self, kind: &str) -> Result<FieldConfig, E> {
                Kind::deserialize(kind.into_deserializer()).map(FieldConfig::of)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldConfig, A::Error> {
                Long::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields and their types, like { title: text }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Written)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl JsonSchema for Fields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = generator.subschema_for::<Kind>();
        let field = generator.subschema_for::<FieldConfig>();
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": { "anyOf": [kind, field] },
        })
    }
}

impl<'de> Deserialize<'de> for OutputColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = OutputColumn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column, like title, or under another name { tags: tag_list }")
            }

            fn visit_str<E: serde::de::Error>(self, column: &str) -> Result<OutputColumn, E> {
                Ok(OutputColumn { name: column.to_owned(), column: column.to_owned() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OutputColumn, A::Error> {
                let one = map.next_entry::<String, String>()?;
                let (name, column) = one.ok_or_else(|| A::Error::custom("no column is named"))?;
                if map.next_entry::<String, String>()?.is_some() {
                    return Err(A::Error::custom(
                        "each column stands by itself: [{ tags: tag_list }, { n: count }]",
                    ));
                }
                Ok(OutputColumn { name, column })
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl Serialize for OutputColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.name == self.column {
            return serializer.serialize_str(&self.name);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.name, &self.column)?;
        map.end()
    }
}

impl JsonSchema for OutputColumn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OutputColumn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`title`, or `{ tags: tag_list }`: the column `tag_list` under the name `tags`.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": { "type": "string" },
                },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for TestRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = TestRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record's text in quotes, or an object that stands for its JSON")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TestRecord, E> {
                Ok(TestRecord(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TestRecord, A::Error> {
                // Its members stay in their order: `$rest` keeps them.
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Value, Value>()? {
                    members.push(format!("{name}:{value}"));
                }
                Ok(TestRecord(format!("{{{}}}", members.join(","))))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl Serialize for TestRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for TestRecord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TestRecord".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "object"] })
    }
}
