//! What cleaned the rows.

use serde_json::json;

use crate::record::Generation;

/// Names and digests of its plugins, as JSON.
pub(crate) fn plugins(generation: &Generation) -> String {
    let plugins = generation.plugins.iter();
    let plugins: Vec<_> = plugins
        .map(|plugin| json!({ "name": plugin.name, "digest": plugin.digest.to_string() }))
        .collect();
    json!(plugins).to_string()
}
