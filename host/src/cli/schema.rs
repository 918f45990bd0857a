//! `pinhost schema`.

use clap::{Args, ValueEnum};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::{CliError, Exit, output};
use crate::pipeline::config::{PipelineConfig, RuleConfig};

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// What the files are that an editor is to check.
    #[arg(default_value = "pipeline")]
    of: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    Pipeline,
    Rule,
}

pub(super) fn run(args: &SchemaArgs) -> Result<Exit, CliError> {
    output::json(&match args.of {
        Of::Pipeline => schema::<PipelineConfig>(),
        Of::Rule => schema::<RuleConfig>(),
    })?;
    Ok(Exit::Done)
}

/// In the dialect that editors' YAML servers know.
fn schema<T: JsonSchema>() -> Schema {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(or_variable).transform(&mut schema);
    schema
}

/// A key that may be left out is not written with nothing behind it.
fn without_null(schema: &mut Schema) {
    let is_null = |kind: &Value| *kind == "null" || *kind == json!({ "type": "null" });
    for keyword in ["type", "anyOf"] {
        let Some(Value::Array(kinds)) = schema.get_mut(keyword) else { continue };
        kinds.retain(|kind| !is_null(kind));
        if keyword == "type"
            && let [kind] = &kinds[..]
        {
            let kind = kind.clone();
            schema.insert(keyword.to_owned(), kind);
        }
    }
}

/// A number may stand there as `${NAME}`, which for an editor is text.
fn or_variable(schema: &mut Schema) {
    let kind = schema.get("type").and_then(Value::as_str).map(str::to_owned);
    if let Some(kind) = kind
        && matches!(kind.as_str(), "integer" | "number" | "boolean")
    {
        schema.insert("type".to_owned(), json!([kind, "string"]));
        schema.insert("pattern".to_owned(), json!(r"\$\{"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use super::*;

    /// Those checked in are what editors read. `PINHOST_UPDATE=1` writes them.
    #[test]
    fn the_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
        for (name, schema) in [
            ("pipeline.schema.json", schema::<PipelineConfig>()),
            ("rule.schema.json", schema::<RuleConfig>()),
        ] {
            let path = folder.join(name);
            let mut text = serde_json::to_string_pretty(&schema).unwrap();
            text.push('\n');
            if env::var_os("PINHOST_UPDATE").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let written = fs::read_to_string(&path).unwrap_or_default();
            assert!(written == text, "{name} is not up to date: set PINHOST_UPDATE=1");
        }
    }
}
