//! Everything that decides what becomes of a record, and the digest that names it.

use serde_json::{Value, json};

use super::config::LimitsConfig;
use super::surroundings;
use super::{Pipeline, Rule};
use crate::decode::{self, DeclaredField, FieldPath, Origin};
use crate::plugin::v1;
use crate::record::{Digest, Generation, PluginBytes, json};

impl Pipeline {
    /// The generation that cleans what this pipeline reads. What only decides where rows go, or how
    /// fast, is no part of it.
    pub fn generation(&self) -> Generation {
        generation(self.rule.as_deref(), self.source.unwrap().as_deref(), &self.limits)
    }
}

fn generation(rule: Option<&Rule>, unwrap: Option<&str>, limits: &LimitsConfig) -> Generation {
    let plugin = &limits.plugin;
    let resolved = json!({
        "contract": v1::VERSION,
        "decoder": decode::VERSION,
        "formats": json::VERSION,
        "unwrap": unwrap,
        "limits": {
            "record_bytes": limits.record.0,
            "depth": limits.depth,
            "plugin": {
                "call_ms": plugin.call.0.as_millis() as u64,
                "memory_bytes": plugin.memory.0,
                "output_bytes": plugin.output.0,
                "table_entries": plugin.table_entries,
                "row_fuel": plugin.row_fuel,
            },
        },
        "rule": rule.map(told),
    });
    // Canonical: serde_json's maps are sorted by key.
    let resolved = resolved.to_string();
    Generation {
        digest: Digest::of(resolved.as_bytes()),
        resolved: resolved.into(),
        plugins: rule.map(plugins).unwrap_or_default(),
    }
}

fn told(rule: &Rule) -> Value {
    let output = rule.output.columns().map(|(name, from)| json!([name, from]));
    json!({
        "fields": rule.fields.iter().map(field).collect::<Vec<_>>(),
        "steps": rule.steps.iter().map(|step| json!({
            "id": &*step.id,
            "plugin": step.step.plugin().file().digest().to_string(),
            "with": serde_json::from_str::<Value>(step.step.config()).unwrap_or_default(),
        })).collect::<Vec<_>>(),
        "output": output.collect::<Vec<_>>(),
        "strays": rule.strays.told(),
    })
}

fn field(field: &DeclaredField) -> Value {
    let from = match &field.from {
        Origin::Value(paths) => json!(paths.iter().map(FieldPath::keys).collect::<Vec<_>>()),
        other => json!(surroundings::written(other)),
    };
    json!({
        "name": &*field.name,
        "type": field.kind.name(),
        "required": field.required,
        "key": field.key,
        "coerce": field.coerce,
        "from": from,
    })
}

/// Each once.
fn plugins(rule: &Rule) -> Vec<PluginBytes> {
    let mut plugins: Vec<PluginBytes> = Vec::new();
    for step in &rule.steps {
        let plugin = step.step.plugin();
        let digest = plugin.file().digest();
        if plugins.iter().all(|known| known.digest != digest) {
            let bytes = plugin.file().bytes().clone();
            plugins.push(PluginBytes { name: plugin.name().to_owned(), digest, bytes });
        }
    }
    plugins
}
