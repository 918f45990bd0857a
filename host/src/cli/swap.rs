//! `pinhost swap`, `rollback` and `generations`: what is asked of a pipeline that runs.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use super::{CliError, Exit, output, sinks, which};
use crate::diff::cut;
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::swap::{Answer, Asked, ControlError, KnownGeneration, ask, known};

/// Of a reason in a table; `--json` has all of it.
const REASON_CHARS_MAX: usize = 120;

#[derive(Debug, Args)]
pub(super) struct SwapArgs {
    /// The pipeline's file, as it was given to `pinhost run`.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// The id of the step.
    step: String,
    /// The plugin that is to take its place.
    #[arg(value_name = "FILE")]
    plugin: PathBuf,
    /// Try it on the last records, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The pipeline's file, as it was given to `pinhost run`.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// The id of a step that was another one before.
    step: String,
}

#[derive(Debug, Args)]
pub(super) struct GenerationsArgs {
    /// The pipeline's file.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn swap(args: &SwapArgs) -> Result<Exit, CliError> {
    let unreadable =
        |error| CliError::io(format!("{} cannot be read", args.plugin.display()), &error);
    let asked = Asked::Swap {
        step: args.step.clone(),
        file: args.plugin.canonicalize().map_err(unreadable)?,
        is_dry: args.dry_run,
    };
    let exit = told(&args.file, &asked)?;
    if !args.dry_run {
        output::talk(format!(
            "a process that begins anew runs what is written in {}: to keep this, put the plugin there",
            args.file.display()
        ));
    }
    Ok(exit)
}

pub(super) fn roll_back(args: &RollbackArgs) -> Result<Exit, CliError> {
    told(&args.file, &Asked::RollBack { step: args.step.clone() })
}

fn asked(file: &Path, asked: &Asked) -> Result<Answer, CliError> {
    let answer = sinks::small_runtime()?.block_on(ask(file, asked));
    answer.map_err(|error| {
        let told = CliError::environment("").because(&error);
        match error {
            ControlError::NobodyThere { file } => {
                told.help(format!("start it with `pinhost run {}`", file.display()))
            }
            ControlError::Taken { .. }
            | ControlError::NoSocket(_)
            | ControlError::NoAnswer { .. } => told,
        }
    })
}

fn told(file: &Path, what: &Asked) -> Result<Exit, CliError> {
    match asked(file, what)? {
        Answer::Done { told } => {
            for line in told {
                output::talk(line);
            }
            Ok(Exit::Done)
        }
        Answer::Refused { told, why } => {
            for line in told {
                output::talk(line);
            }
            Err(CliError::failed(format!("refused, and nothing has changed: {why}")))
        }
        Answer::Generations { .. } | Answer::Lineage { .. } | Answer::Traced { .. } => {
            Err(CliError::failed("it answered something else"))
        }
    }
}

pub(super) fn generations(args: &GenerationsArgs) -> Result<Exit, CliError> {
    let generations = match which::whoever_runs(&args.file, &Asked::Generations)? {
        Some(Answer::Generations { generations }) => generations,
        Some(_) | None => kept(&args.file)?,
    };
    if args.json {
        output::json(&generations)?;
        return Ok(Exit::Done);
    }
    if generations.is_empty() {
        let file = args.file.display();
        output::talk(format!("{file} has no generation yet: it never ran on this sink"));
        return Ok(Exit::Done);
    }
    let head = ["generation", "state", "judged", "records", "dead letters", ""];
    let rows = generations.into_iter().map(|KnownGeneration { generation, known }| {
        let verdict = match known.verdict {
            Some(verdict) => verdict.to_string(),
            None if known.sums.read == 0 => "replayed".to_owned(),
            None => String::new(),
        };
        let state =
            known.running.as_ref().map_or(verdict, |running| format!("{}, runs", running.state));
        let judged = known.judged.map(|time| {
            let ago = SystemTime::now().duration_since(time).unwrap_or_default();
            output::age(ago)
        });
        [
            generation[..12].to_owned(),
            state,
            judged.unwrap_or_default(),
            output::number(known.sums.read),
            output::number(known.sums.dead),
            cut(&known.reason.unwrap_or_default(), 0, REASON_CHARS_MAX),
        ]
    });
    let table = output::table([head.map(str::to_owned)].into_iter().chain(rows));
    output::result(output::lines(&table, ""))?;
    Ok(Exit::Done)
}

/// What the sink knows by itself.
fn kept(file: &Path) -> Result<Vec<KnownGeneration>, CliError> {
    let pipeline = Pipeline::load(file, &Sandbox::new(&CacheFolder::Usual)?);
    let pipeline = pipeline.map_err(|found| which::state_elsewhere(found.into()))?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        known(&*sink.ledger().archive, Vec::new()).await.map_err(sinks::told)
    })
}
