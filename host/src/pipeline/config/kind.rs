//! Of which kinds a source and a sink may be.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::{Value, json};

use crate::sink::{LEDGERS, SINKS};
use crate::source::SOURCES;

/// What is below it is read by the kind that it names, from the same file (`load`).
pub(super) fn elsewhere<'de, D: Deserializer<'de>, T>(from: D) -> Result<Option<T>, D::Error> {
    Option::<IgnoredAny>::deserialize(from)?;
    Ok(None)
}

/// For the schema: what is read elsewhere has a default here, and may be left out no more than the
/// name.
pub(super) fn ends_are_required(schema: &mut Schema) {
    schema.insert("required".to_owned(), json!(["name", "source", "sink"]));
}

/// For the schema: the kind is the key.
pub(super) struct AnySource;

impl JsonSchema for AnySource {
    fn schema_name() -> Cow<'static, str> {
        "SourceConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_of(SOURCES.iter().map(|kind| (kind.key(), kind.schema(generator))).collect())
    }
}

/// For the schema: the kind is the key.
pub(super) struct AnySink;

impl JsonSchema for AnySink {
    fn schema_name() -> Cow<'static, str> {
        "SinkConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_of(SINKS.iter().map(|kind| (kind.key(), kind.schema(generator))).collect())
    }
}

/// For the schema: the kind is the key.
pub(super) struct AnyLedger;

impl JsonSchema for AnyLedger {
    fn schema_name() -> Cow<'static, str> {
        "LedgerConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_of(LEDGERS.iter().map(|kind| (kind.key(), kind.schema(generator))).collect())
    }
}

fn one_of(kinds: Vec<(&'static str, Schema)>) -> Schema {
    let kinds: Vec<Value> = kinds
        .into_iter()
        .map(|(key, schema)| {
            json!({
                "type": "object",
                "properties": { key: schema },
                "required": [key],
                "additionalProperties": false,
            })
        })
        .collect();
    json_schema!({ "description": "The kind is the key.", "oneOf": kinds })
}
