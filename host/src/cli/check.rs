//! `pinhost check`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Exit, output};
use crate::pipeline::Document;
use crate::plugin::{CacheFolder, Sandbox};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Pipelines and rules.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    for file in &args.files {
        match Document::load(file, &sandbox)? {
            Document::Pipeline(pipeline) => {
                for warning in &pipeline.warnings {
                    output::talk(warning);
                }
                output::result(format!("ok {}", pipeline.delivery()))?;
                output::result(pipeline.generation().resolved)?;
            }
            Document::Rule(_) => output::result("ok")?,
        }
    }
    Ok(Exit::Done)
}
