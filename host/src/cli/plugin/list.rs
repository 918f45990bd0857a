//! `pinhost plugin list`.

use clap::Args;
use serde_json::json;

use super::subject::{Subject, sandbox};
use crate::cli::{CliError, Exit, output};
use crate::plugin::{Plugin, standard};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> Result<Exit, CliError> {
    let sandbox = sandbox()?;
    let plugins: Vec<Plugin> = standard::names()
        .map(|name| Subject::Standard(name).load(&sandbox))
        .collect::<Result<_, _>>()?;
    if args.json {
        let plugins: Vec<_> = plugins
            .iter()
            .map(|plugin| {
                json!({
                    "name": plugin.name(),
                    "version": plugin.version(),
                    "summary": plugin.summary(),
                    "digest": plugin.file().digest().to_string(),
                })
            })
            .collect();
        output::json(&plugins)?;
    } else {
        let rows = plugins
            .iter()
            .map(|plugin| [plugin.name(), plugin.version(), plugin.summary()].map(str::to_owned));
        output::result(output::lines(&output::table(rows), ""))?;
    }
    Ok(Exit::Done)
}
