//! `pinhost versions`: by what a row of a table is newer than another one of its key.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::which::Which;
use super::{CliError, Exit, output, sinks};
use crate::connect::Rebased;

#[derive(Debug, Subcommand)]
pub(super) enum VersionsCommand {
    /// Make the versions of all rows anew, by what the pipeline says of them now.
    ///
    /// Versions of one meaning cannot be compared with those of another: after `newest:` or `key:` was changed,
    /// the pipeline does not start until this is done. It takes one transaction, in which nobody else writes to
    /// the table. Where a row does not hold what tells how new it is, whatever comes next is newer.
    Rebase(RebaseArgs),
}

#[derive(Debug, Args)]
pub(super) struct RebaseArgs {
    #[command(flatten)]
    which: Which,
}

impl VersionsCommand {
    pub(super) fn run(&self) -> Result<Exit, CliError> {
        match self {
            Self::Rebase(args) => rebase(args),
        }
    }
}

fn rebase(args: &RebaseArgs) -> Result<Exit, CliError> {
    let pipeline = args.which.load()?;
    let none = || {
        let error = format!("rows of pipeline {} have no versions", pipeline.name);
        CliError::input(error).help("only rows of a table with a `key:` have some")
    };
    let columns = pipeline.rule.as_ref().map(|rule| Arc::clone(rule.columns())).ok_or_else(none)?;
    let rebased = sinks::small_runtime()?.block_on(async {
        sinks::open(&pipeline).await?.rebase(columns).await.map_err(sinks::told)
    })?;
    let Rebased { rows, deletes, meaning } = rebased.ok_or_else(none)?;
    let place = pipeline.sink.facts().place;
    output::talk(format!(
        "{} {place} have new versions: {meaning}",
        output::count(rows as usize, "row")
    ));
    if deletes > 0 {
        output::talk(format!(
            "{} are forgotten: an older record that comes again brings its row back",
            output::count(deletes as usize, "delete")
        ));
    }
    Ok(Exit::Done)
}
