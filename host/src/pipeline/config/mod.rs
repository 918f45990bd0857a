//! What a user may write in a pipeline or rule file: these types are the manual, and the JSON
//! Schema for editors is made of them.
//!
//! What may be written of a source or a sink is the affair of its kind: it stands in the
//! connector's folder.
//!
//! Values are as they were written, with variables and defaults filled in. Paths are not resolved,
//! names are not looked up, and nothing is checked beyond its type: that is the next stage's work.
//! What a file cannot be without is optional here, so that the lack of one thing does not hide what
//! is wrong with others.

mod kind;
mod limits;
mod rule;
mod watch;

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use self::kind::{AnyLedger, AnySink, AnySource, elsewhere, ends_are_required};
use crate::connect::{PipelineLedger, PipelineSink, PipelineSource};

pub use limits::{
    DeadLettersConfig, LimitsConfig, PluginLimitsConfig, ProbationConfig, UnitConfig,
};
pub use rule::{
    FieldConfig, Fields, OutputColumn, RuleConfig, StepConfig, TestConfig, TestRecord, TestReject,
};
pub use watch::WatchConfig;

/// A pipeline file: where records come from, the rule that cleans them, where rows go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A pipeline of pinhost", transform = ends_are_required)]
pub struct PipelineConfig {
    /// What the pipeline is called in positions, metrics and dead letters. Progress is kept under
    /// it: a copied file needs another one.
    #[schemars(required, regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"))]
    pub name: Option<String>,
    /// Where records come from.
    #[serde(default, deserialize_with = "elsewhere", skip_serializing_if = "Option::is_none")]
    #[schemars(required, with = "Option<AnySource>")]
    pub source: Option<PipelineSource>,
    /// The path of a rule file, or the rule itself. Left out, records are passed on as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleConfigOrPath>,
    /// Where rows go.
    #[serde(default, deserialize_with = "elsewhere", skip_serializing_if = "Option::is_none")]
    #[schemars(required, with = "Option<AnySink>")]
    pub sink: Option<PipelineSink>,
    /// What keeps progress, dead letters and lineage, for a sink that keeps none: a stream.
    #[serde(default, deserialize_with = "elsewhere", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<AnyLedger>")]
    pub ledger: Option<PipelineLedger>,
    #[serde(default)]
    pub dead_letters: DeadLettersConfig,
    #[serde(default)]
    pub unit: UnitConfig,
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Whether changes of these files and of plugins are taken over while the pipeline runs.
    #[serde(default)]
    pub watch: WatchConfig,
}

/// `rule: rules/pin.yaml`, or a rule's keys below `rule:`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RuleConfigOrPath {
    Path(String),
    Inline(Box<RuleConfig>),
}

impl<'de> Deserialize<'de> for RuleConfigOrPath {
    // Not by `untagged`, which would lose the places of what is wrong with an inline rule.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = RuleConfigOrPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a rule file, or a rule's keys")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<RuleConfigOrPath, E> {
                Ok(RuleConfigOrPath::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleConfigOrPath, A::Error> {
                let rule = RuleConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RuleConfigOrPath::Inline(Box::new(rule)))
            }
        }

        deserializer.deserialize_any(Written)
    }
}
