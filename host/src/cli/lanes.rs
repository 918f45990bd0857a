//! `pinhost lanes`: how far a pipeline has come, and moving a lane on request.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::which::{OfReplay, Which};
use super::{CliError, Exit, output, sinks};
use crate::ledger::{Claims, LaneState};
use crate::pipeline::Pipeline;
use crate::record::{Lane, Position, Start};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct LanesArgs {
    /// The pipeline's file.
    #[arg(required = true, value_name = "PIPELINE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    replay: OfReplay,
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
    /// Let dead letters through in a lane that halted because there were too many of them.
    ///
    /// The lane's next dead letters do not count for `dead_letters.max_ratio`, so many more of them. It is
    /// kept with the lane: a process that runs the pipeline goes on within half a minute, and the next run
    /// does as well.
    Resume(ResumeArgs),
}

#[derive(Debug, Args)]
struct MoveArgs {
    #[command(flatten)]
    which: Which,
    lane: String,
    /// The next record to read, as `pinhost lanes` shows positions; or `earliest`, `latest` or a time like
    /// 2026-01-31T00:00:00Z, if the source knows what that is.
    #[arg(long, value_name = "POSITION")]
    to: Position,
    /// Records in between are not read by this pipeline, or are read twice. That stands in the lineage.
    #[arg(long, required = true)]
    accept_gap: bool,
}

#[derive(Debug, Args)]
struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    lane: String,
    /// How many.
    #[arg(long, value_name = "N", required = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    accept_rejects: u64,
}

pub(super) fn run(args: &LanesArgs) -> Result<Exit, CliError> {
    match (&args.command, &args.file) {
        (Some(LanesCommand::Move(args)), _) => move_lane(args),
        (Some(LanesCommand::Resume(args)), _) => resume(args),
        (None, Some(file)) => list(&args.replay.load(file)?, args.json),
        (None, None) => Err(CliError::input("which pipeline?").help("pinhost lanes PIPELINE")),
    }
}

fn list(pipeline: &Pipeline, as_json: bool) -> Result<Exit, CliError> {
    let lanes = sinks::small_runtime()?.block_on(async {
        sinks::open(pipeline).await?.ledger().claims.lanes().await.map_err(sinks::told)
    })?;
    if as_json {
        output::json(&lanes)?;
    } else if lanes.is_empty() {
        output::talk(format!("{} has no lane yet: it never ran on this sink", pipeline.name));
    } else {
        let head = ["lane", "position", "moved", "owner", "source", ""].map(str::to_owned);
        let rows = lanes.iter().map(|lane| {
            let moved = SystemTime::now().duration_since(lane.moved).unwrap_or_default();
            [
                lane.lane.to_string(),
                lane.position.to_string(),
                output::age(moved),
                lane.owner.simple().to_string()[..OWNER_CHARS].to_owned(),
                lane.source.to_string(),
                remarks(lane),
            ]
        });
        let table = output::table([head].into_iter().chain(rows));
        output::result(output::lines(&table, ""))?;
    }
    Ok(Exit::Done)
}

/// Enough of a claim's token to tell one owner from another.
const OWNER_CHARS: usize = 8;

fn remarks(lane: &LaneState) -> String {
    let halted = lane.halted.as_ref().map(|reason| format!("halted: {reason}"));
    let accepted = (lane.accepted_rejects > 0).then(|| {
        format!(
            "the next {} are accepted",
            output::count(lane.accepted_rejects as usize, "dead letter")
        )
    });
    halted.into_iter().chain(accepted).collect::<Vec<_>>().join("; ")
}

fn move_lane(args: &MoveArgs) -> Result<Exit, CliError> {
    let pipeline = args.which.load()?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let lanes = sink.ledger().claims.lanes().await.map_err(sinks::told)?;
        let known = find(&pipeline, &args.lane, &lanes)?;
        let to = resolved(&pipeline, known, args.to).await?;
        moved(&*sink.ledger().claims, known, to).await
    })
}

fn find<'a>(
    pipeline: &Pipeline,
    lane: &str,
    lanes: &'a [LaneState],
) -> Result<&'a LaneState, CliError> {
    let known = lanes.iter().find(|known| known.lane.name() == lane);
    known.ok_or_else(|| no_lane(pipeline, lane, lanes))
}

/// Asks the source, if need be. What it says counts, also if the lane's topic was made anew.
async fn resolved(
    pipeline: &Pipeline,
    known: &LaneState,
    to: Position,
) -> Result<Position, CliError> {
    if let Position::At(_) = to {
        let to = to.marked_as(&known.position);
        if known.position.is_comparable(&to) {
            return Ok(to);
        }
    }
    let (lane, at) = (&known.lane, known.position);
    let other = || {
        let error = format!("`{to}` is no position of lane {lane}, which stands at {at}");
        CliError::input(error)
    };
    let (Position::Start(_) | Position::End) = to else {
        return Err(other());
    };
    let options = pipeline.source_options(true);
    let source = pipeline.source.open_aside(&options).await.map_err(sinks::told)?;
    if let Position::Start(Start::Time(time)) = to {
        let found = source.at_time(lane, time).await.map_err(sinks::told)?;
        return found.ok_or_else(|| {
            let kind = pipeline.source.kind();
            CliError::input(format!(
                "where lane {lane} stood at {time} is not known: {kind} cannot tell"
            ))
            .help("name a position, as `pinhost lanes` shows them")
        });
    }
    let bounds = source.bounds(&known.lane).await.map_err(sinks::told)?;
    let (bound, name) = match to {
        Position::Start(Start::Earliest) => (bounds.earliest, "begins"),
        _ => (bounds.latest, "ends"),
    };
    // Only a source that says so has an end for good.
    if to == Position::End && bound != Some(to) {
        return Err(other());
    }
    bound.ok_or_else(|| {
        CliError::input(format!("where lane {} {name} is not known", known.lane))
            .help("name a position, as `pinhost lanes` shows them")
    })
}

fn resume(args: &ResumeArgs) -> Result<Exit, CliError> {
    let pipeline = args.which.load()?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let lanes = sink.ledger().claims.lanes().await.map_err(sinks::told)?;
        let lane = &find(&pipeline, &args.lane, &lanes)?.lane;
        if !sink
            .ledger()
            .claims
            .accept_rejects(lane, args.accept_rejects)
            .await
            .map_err(sinks::told)?
        {
            return Err(no_lane(&pipeline, &args.lane, &[]));
        }
        let rejects = output::count(args.accept_rejects as usize, "more dead letter");
        output::talk(format!("{lane}: {rejects} will be let through"));
        Ok(Exit::Done)
    })
}

async fn moved(claims: &dyn Claims, known: &LaneState, to: Position) -> Result<Exit, CliError> {
    let lane = Lane::new(known.lane.name());
    if !claims.move_lane(&lane, known.position, to).await.map_err(sinks::told)? {
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
