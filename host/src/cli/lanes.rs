//! `pinhost lanes`: how far a pipeline has come, and moving a lane on request.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::{CliError, Exit, output, sinks};
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::{Lane, Position};
use crate::sink::{LaneState, Sink};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct LanesArgs {
    /// The pipeline's file.
    #[arg(required = true, value_name = "PIPELINE")]
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<LanesCommand>,
}

#[derive(Debug, Subcommand)]
enum LanesCommand {
    /// Move a lane: what lies between is skipped, or read again.
    Move(MoveArgs),
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// The pipeline's file.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    lane: String,
    /// The next record to read, as `pinhost lanes` shows positions.
    #[arg(long, value_name = "POSITION")]
    to: Position,
    /// Records in between are not read by this pipeline, or are read twice. That stands in the lineage.
    #[arg(long, required = true)]
    accept_gap: bool,
}

pub(super) fn run(args: &LanesArgs) -> Result<Exit, CliError> {
    match (&args.command, &args.file) {
        (Some(LanesCommand::Move(args)), _) => move_lane(args),
        (None, Some(file)) => list(file, args.json),
        (None, None) => Err(CliError::input("which pipeline?").help("pinhost lanes PIPELINE")),
    }
}

fn load(file: &Path) -> Result<Pipeline, CliError> {
    Ok(Pipeline::load(file, &Sandbox::new(&CacheFolder::Usual)?)?)
}

fn list(file: &Path, as_json: bool) -> Result<Exit, CliError> {
    let pipeline = load(file)?;
    let lanes = sinks::small_runtime()?
        .block_on(async { sinks::open(&pipeline).await?.lanes().await.map_err(sinks::told) })?;
    if as_json {
        output::json(&lanes)?;
    } else if lanes.is_empty() {
        output::talk(format!("{} has no lane yet: it never ran on this sink", pipeline.name));
    } else {
        let head = ["lane", "position", "moved", "source"].map(str::to_owned);
        let rows = lanes.iter().map(|lane| {
            let moved = SystemTime::now().duration_since(lane.moved).unwrap_or_default();
            [
                lane.lane.to_string(),
                lane.position.to_string(),
                format!("{} ago", output::time(moved)),
                lane.source.to_string(),
            ]
        });
        let table = output::table([head].into_iter().chain(rows));
        output::result(output::lines(&table, ""))?;
    }
    Ok(Exit::Done)
}

fn move_lane(args: &MoveArgs) -> Result<Exit, CliError> {
    let pipeline = load(&args.file)?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let lanes = sink.lanes().await.map_err(sinks::told)?;
        let known = lanes.iter().find(|known| known.lane.name() == args.lane);
        let known = known.ok_or_else(|| no_lane(&pipeline, &args.lane, &lanes))?;
        if !known.position.is_comparable(&args.to) {
            return Err(CliError::input(format!(
                "`{}` is no position of lane {}, which stands at {}",
                args.to, known.lane, known.position
            )));
        }
        moved(&*sink, known, args.to).await
    })
}

async fn moved(sink: &dyn Sink, known: &LaneState, to: Position) -> Result<Exit, CliError> {
    let lane = Lane::new(known.lane.name());
    if !sink.move_lane(&lane, known.position, to).await.map_err(sinks::told)? {
        return Err(CliError::failed(format!(
            "lane {lane} moved on by itself in the meantime: a process runs this pipeline"
        ))
        .help("stop it first"));
    }
    output::talk(format!("{lane}: {} → {to}", known.position));
    Ok(Exit::Done)
}

fn no_lane(pipeline: &Pipeline, lane: &str, lanes: &[LaneState]) -> CliError {
    let error = CliError::input(format!("pipeline {} has no lane `{lane}`", pipeline.name));
    let names: Vec<_> = lanes.iter().map(|lane| lane.lane.name()).collect();
    if names.is_empty() { error } else { error.help(format!("it has {}", names.join(", "))) }
}
