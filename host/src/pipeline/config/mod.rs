//! What a user may write in a pipeline or rule file: these types are the manual, and the JSON Schema for
//! editors is made of them.
//!
//! Values are as they were written, with defaults filled in. Paths are not resolved, names are not looked
//! up, and nothing is checked beyond its type: that is the next stage's work.

mod limits;
mod rule;
mod sink;
mod source;
mod values;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use limits::{DeadLettersConfig, LimitsConfig, PluginLimitsConfig, UnitConfig};
pub use rule::{FieldConfig, OutputColumn, RuleConfig, StepConfig, TestConfig, TestReject};
pub use sink::{
    Newest, ObjectsSinkConfig, Provenance, RowFormat, SinkConfig, SqliteSinkConfig, StdoutSinkConfig,
};
pub use source::{
    Changed, Compression, GenerateProfile, GenerateSourceConfig, ObjectsSourceConfig, SourceConfig,
    StdinSourceConfig,
};
pub use values::{Duration, Size};

/// A pipeline file: where records come from, the rule that cleans them, where rows go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// What the pipeline is called in positions, metrics and dead letters. Progress is kept under it: a
    /// copied file needs another one.
    pub name: String,
    pub source: SourceConfig,
    /// The path of a rule file, or the rule itself. Left out, records are passed on as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleConfigOrPath>,
    pub sink: SinkConfig,
    #[serde(default)]
    pub dead_letters: DeadLettersConfig,
    #[serde(default)]
    pub unit: UnitConfig,
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// `rule: rules/pin.yaml`, or a rule's keys below `rule:`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RuleConfigOrPath {
    Path(String),
    Inline(Box<RuleConfig>),
}
