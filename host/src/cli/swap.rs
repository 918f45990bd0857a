//! `pinhost swap`, `rollback` and `generations`: what is asked of a pipeline that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::{CliError, Exit, output, sinks};
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::Digest;
use crate::sink::{Judgement, LineageSums, Verdict};
use crate::swap::{Answer, Asked, ControlError, GenerationStatus, ask};

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
        Answer::Generations { .. } => Err(CliError::failed("it answered something else")),
    }
}

/// What is known of a generation.
#[derive(Debug, Default, Serialize)]
struct Known {
    /// What was found out about it last.
    verdict: Option<Verdict>,
    reason: Option<String>,
    judged: Option<SystemTime>,
    /// What became of the records that it cleaned, in whichever process.
    #[serde(flatten)]
    sums: LineageSums,
    /// In the process that runs the pipeline.
    running: Option<GenerationStatus>,
}

pub(super) fn generations(args: &GenerationsArgs) -> Result<Exit, CliError> {
    let pipeline = Pipeline::load(&args.file, &Sandbox::new(&CacheFolder::Usual)?)?;
    let (judgements, lineage) = sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let judgements = sink.judgements().await.map_err(sinks::told)?;
        Ok::<_, CliError>((judgements, sink.lineage().await.map_err(sinks::told)?))
    })?;
    let running = match asked(&args.file, &Asked::Generations) {
        Ok(Answer::Generations { generations }) => generations,
        // What the sink knows is worth showing by itself.
        Ok(_) | Err(_) => Vec::new(),
    };
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut of = |digest: &str| {
        if !order.iter().any(|known| known == digest) {
            order.push(digest.to_owned());
        }
    };
    for range in &lineage {
        let Some(generation) = range.generation.map(|it: Digest| it.to_string()) else { continue };
        of(&generation);
        let known = known.entry(generation).or_default();
        known.sums = known.sums + range.sums;
    }
    for Judgement { generation, verdict, reason, time } in judgements {
        let generation = generation.to_string();
        of(&generation);
        let known = known.entry(generation).or_default();
        (known.verdict, known.reason, known.judged) = (Some(verdict), reason, Some(time));
    }
    for status in running {
        of(&status.digest);
        let known = known.entry(status.digest.clone()).or_default();
        known.running = Some(status);
    }
    if args.json {
        let told: Vec<_> = order
            .iter()
            .map(|digest| serde_json::json!({ "generation": digest, "known": known.get(digest) }))
            .collect();
        output::json(&told)?;
        return Ok(Exit::Done);
    }
    if order.is_empty() {
        output::talk(format!("{} has no generation yet: it never ran on this sink", pipeline.name));
        return Ok(Exit::Done);
    }
    let head = ["generation", "state", "judged", "records", "dead letters", ""];
    let rows = order.iter().filter_map(|digest| Some((digest, known.get(digest)?)));
    let rows = rows.map(|(digest, known)| {
        let verdict = known.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        let state =
            known.running.as_ref().map_or(verdict, |running| format!("{}, runs", running.state));
        let judged = known.judged.map(|time| {
            let ago = SystemTime::now().duration_since(time).unwrap_or_default();
            format!("{} ago", output::time(ago))
        });
        [
            digest[..12].to_owned(),
            state,
            judged.unwrap_or_default(),
            output::number(known.sums.read),
            output::number(known.sums.dead),
            known.reason.clone().unwrap_or_default(),
        ]
    });
    let table = output::table([head.map(str::to_owned)].into_iter().chain(rows));
    output::result(output::lines(&table, ""))?;
    Ok(Exit::Done)
}
