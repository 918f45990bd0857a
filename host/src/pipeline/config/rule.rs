//! What a record means and how it is cleaned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::record::Kind;
use crate::record::json::JsonRow;

/// A rule file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A record's fields, by the names of the columns that they become. What is not declared is skipped.
    #[serde(deserialize_with = "super::rule::in_order")]
    #[schemars(with = "std::collections::BTreeMap<String, FieldConfigOrKind>")]
    pub fields: Vec<(String, FieldConfig)>,
    /// What is done to rows, one step after the other.
    #[serde(default)]
    pub steps: Vec<StepConfig>,
    /// The columns of a row in their order; left out, all columns as the last step leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Vec<OutputColumn>>,
    /// Records, and what they have to become.
    #[serde(default)]
    pub tests: Vec<TestConfig>,
}

/// A field of a record. `title: text` is short for `title: { type: text }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldConfig {
    #[serde(rename = "type")]
    pub kind: Kind,
    /// A record without the field is a dead letter. Null is enough.
    #[serde(default)]
    pub required: bool,
    /// Tells which row it is rather than what is in it: a record of which nothing but key fields could be
    /// read is a dead letter.
    #[serde(default)]
    pub key: bool,
    /// Other keys under which records may have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// `"12.5"` is taken for 12.5; for text, a number as it stands in the JSON.
    #[serde(default)]
    pub coerce: bool,
    /// Where it stands in nested objects, like `offer.price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Taken from the record's surroundings: `$key`, `$topic`, `$partition`, `$offset`, `$timestamp`,
    /// `$headers.NAME`; or `$rest`, the fields that are not declared, as JSON.
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
    #[serde(default)]
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
    /// Each is a record's text, or an object that stands for its JSON.
    pub records: Vec<Value>,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestReject {
    /// The record, counted from 0.
    pub record: u32,
    pub reason: String,
}
