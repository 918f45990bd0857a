//! `pinhost schema`.

use clap::{Args, ValueEnum};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

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
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>()
}
