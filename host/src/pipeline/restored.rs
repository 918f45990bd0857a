//! A generation as a sink has kept it becomes what will run: the way back from `generation.rs`.
//!
//! What was restored has to give the very digest that it was kept under, so nothing that decides a
//! row can get lost on the way.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::config::{LimitsConfig, PluginLimitsConfig, RuleConfig};
use super::output::Projection;
use super::strays::Strays;
use super::surroundings;
use super::{Pipeline, Rule, RuleStep};
use crate::connect::{PipelineSink, PipelineSource};
use crate::decode::{DeclaredField, FieldPath, Origin};
use crate::plugin::{
    ConfigureError, Origin as FileOrigin, Plugin, PluginError, PluginFile, PluginFileError,
    Sandbox, Step, traced,
};
use crate::record::{Digest, Field, Generation, Kind};
use crate::written::{Duration, Size, Templates};

/// Why a generation that was kept cannot run here and now.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("how it was kept cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0} of it makes no sense")]
    Nonsense(&'static str),
    #[error("a plugin of it is not kept")]
    NoPlugin,
    #[error(transparent)]
    File(#[from] PluginFileError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    #[error("this pinhost, or what is written of the source, reads records in another way by now")]
    Otherwise,
}

#[derive(Deserialize)]
struct KeptGeneration {
    limits: KeptLimits,
    rule: Option<KeptRule>,
}

#[derive(Deserialize)]
struct KeptLimits {
    record_bytes: u64,
    depth: usize,
    plugin: KeptPluginLimits,
}

#[derive(Deserialize)]
struct KeptPluginLimits {
    call_ms: u64,
    memory_bytes: u64,
    output_bytes: u64,
    table_entries: usize,
    row_fuel: u64,
}

#[derive(Deserialize)]
struct KeptRule {
    fields: Vec<KeptField>,
    steps: Vec<KeptStep>,
    output: Vec<(String, usize)>,
    strays: Vec<(String, Vec<Vec<String>>)>,
}

#[derive(Deserialize)]
struct KeptField {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    required: bool,
    key: bool,
    coerce: bool,
    from: KeptOrigin,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeptOrigin {
    Surroundings(String),
    Value(Vec<Vec<String>>),
}

#[derive(Deserialize)]
struct KeptStep {
    id: String,
    plugin: String,
    with: Value,
}

impl Pipeline {
    /// A generation between this source and this sink, without the pipeline that it belonged to.
    pub fn of_generation(
        kept: &Generation,
        source: PipelineSource,
        sink: PipelineSink,
        sandbox: &Sandbox,
    ) -> Result<Self, RestoreError> {
        let path = PathBuf::from(format!("generation {}", kept.digest.short()));
        Self::bare(path, None, source, sink).restored(kept, sandbox)
    }

    /// This pipeline as it was when `kept` was its generation. How the rule was written then is not
    /// known.
    pub fn restored(&self, kept: &Generation, sandbox: &Sandbox) -> Result<Self, RestoreError> {
        let KeptGeneration { limits, rule } = serde_json::from_str(&kept.resolved)?;
        let limits = self.limits_of(&limits);
        let rule = match rule {
            Some(rule) => Some(Arc::new(self.restored_rule(rule, kept, &limits, sandbox)?)),
            None => None,
        };
        let restored = Self { rule, limits, ..self.clone() };
        if restored.generation().digest == kept.digest {
            Ok(restored)
        } else {
            Err(RestoreError::Otherwise)
        }
    }

    fn limits_of(&self, kept: &KeptLimits) -> LimitsConfig {
        let KeptLimits { record_bytes, depth, plugin } = kept;
        LimitsConfig {
            record: Size(*record_bytes),
            depth: *depth,
            plugin: PluginLimitsConfig {
                call: Duration::millis(plugin.call_ms),
                memory: Size(plugin.memory_bytes),
                output: Size(plugin.output_bytes),
                table_entries: plugin.table_entries,
                row_fuel: plugin.row_fuel,
                ..self.limits.plugin.clone()
            },
            ..self.limits.clone()
        }
    }

    fn restored_rule(
        &self,
        rule: KeptRule,
        kept: &Generation,
        limits: &LimitsConfig,
        sandbox: &Sandbox,
    ) -> Result<Rule, RestoreError> {
        let KeptRule { fields, steps, output, strays } = rule;
        let fields: Vec<_> =
            fields.into_iter().map(DeclaredField::try_from).collect::<Result<_, _>>()?;
        crate::decode::check(&fields).map_err(|_| RestoreError::Nonsense("a field"))?;
        let mut columns: Arc<[Field]> =
            fields.iter().map(|field| Field::new(Arc::clone(&field.name), field.kind)).collect();
        let limits = Arc::new(limits.plugin.to_limits());
        let mut loaded: HashMap<Digest, Plugin> = HashMap::new();
        let mut restored: Vec<RuleStep> = Vec::new();
        for KeptStep { id, plugin, with } in steps {
            let digest: Digest =
                plugin.parse().map_err(|_| RestoreError::Nonsense("a plugin's digest"))?;
            let plugin = match loaded.get(&digest) {
                Some(plugin) => plugin.clone(),
                None => {
                    let bytes = kept.plugins.iter().find(|plugin| plugin.digest == digest);
                    let bytes = &bytes.ok_or(RestoreError::NoPlugin)?.bytes;
                    let origin = FileOrigin::Kept(digest);
                    let file = PluginFile::new(origin, Arc::clone(bytes))?;
                    Plugin::load(sandbox, file, &limits)?
                }
            };
            loaded.insert(digest, plugin.clone());
            let step = Step::new(&plugin, &with.to_string(), &columns, traced(&id))?;
            columns = Arc::clone(step.output());
            restored.push(RuleStep { id: id.into(), step });
        }
        let output = Projection::restored(&output, &columns)
            .ok_or(RestoreError::Nonsense("a column of the output"))?;
        let path = self.rule.as_ref().map_or(&self.path, |rule| &rule.path).clone();
        Ok(Rule {
            path,
            fields,
            steps: restored,
            output,
            tests: Vec::new(),
            strays: Strays::restored(strays),
            config: RuleConfig::default(),
            templates: Templates::default(),
        })
    }
}

/// The member of each object in which a generation finds the record.
pub fn unwrap_of(kept: &Generation) -> Result<Option<String>, RestoreError> {
    #[derive(Deserialize)]
    struct Kept {
        unwrap: Option<String>,
    }

    Ok(serde_json::from_str::<Kept>(&kept.resolved)?.unwrap)
}

impl TryFrom<KeptField> for DeclaredField {
    type Error = RestoreError;

    fn try_from(kept: KeptField) -> Result<Self, RestoreError> {
        let KeptField { name, kind, required, key, coerce, from } = kept;
        let from = match from {
            KeptOrigin::Surroundings(written) => surroundings::read(&written),
            KeptOrigin::Value(paths) => {
                paths.into_iter().map(FieldPath::of).collect::<Option<_>>().map(Origin::Value)
            }
        };
        let from = from.ok_or(RestoreError::Nonsense("where a field comes from"))?;
        Ok(Self { name: name.into(), kind, required, key, coerce, from })
    }
}
