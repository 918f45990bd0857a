//! `pinhost lineage`: which rule cleaned which records, and which one made a row.

use std::fmt::Write as _;

use clap::Args;

use super::output::{FAINT, STRONG};
use super::which::Which;
use super::{CliError, Exit, output, sinks};
use crate::ledger::LineageRange;
use crate::sink::{Trace, TracedRow, trace};
use crate::source::objects::LANE;
use crate::swap::{Answer, Asked};

#[derive(Debug, Args)]
pub(super) struct LineageArgs {
    #[command(flatten)]
    of: Which,
    /// Rows of which a column has this value, written as `ind=8304`: which rule made them.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    which: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LineageArgs) -> Result<Exit, CliError> {
    let Some(which) = &args.which else {
        let ranges = match args.of.asked(&Asked::Lineage)? {
            Some(Answer::Lineage { ranges }) => ranges,
            Some(_) | None => ranges(args)?,
        };
        return list(args, &ranges);
    };
    let (column, value) = which.split_once('=').ok_or_else(|| {
        CliError::input(format!("`{which}` names no column and value"))
            .help("they are written as `ind=8304`")
    })?;
    let asked = Asked::Trace { column: column.to_owned(), value: value.to_owned() };
    let trace = match args.of.asked(&asked)? {
        Some(Answer::Traced { trace }) => trace,
        Some(_) | None => traced(args, column, value)?,
    };
    let Some(trace) = trace else {
        let file = args.of.file().display();
        return Err(CliError::input(format!(
            "rows of the pipeline in {file} do not tell where they come from"
        ))
        .help(
            "tables that pinhost makes and Parquet do, unless the sink says `provenance: false`; NDJSON does \
             with `provenance: true`",
        ));
    };
    if trace.rows.is_empty() {
        return Err(CliError::failed(format!("no row has {value} in column {column}")));
    }
    rows(args, &trace)
}

fn ranges(args: &LineageArgs) -> Result<Vec<LineageRange>, CliError> {
    let pipeline = args.of.load_to_look()?;
    sinks::small_runtime()?.block_on(async {
        sinks::open(&pipeline).await?.ledger().archive.lineage().await.map_err(sinks::told)
    })
}

fn traced(args: &LineageArgs, column: &str, value: &str) -> Result<Option<Trace>, CliError> {
    let pipeline = args.of.load_to_look()?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let mut ranges = match pipeline.replay_into() {
            Some(into) => {
                let other = sinks::open_of(&pipeline, into).await?;
                other.ledger().archive.lineage().await.map_err(sinks::told)?
            }
            None => Vec::new(),
        };
        ranges.extend(sink.ledger().archive.lineage().await.map_err(sinks::told)?);
        trace(&*sink, &ranges, column, value).await.map_err(sinks::told)
    })
}

fn list(args: &LineageArgs, ranges: &[LineageRange]) -> Result<Exit, CliError> {
    if args.json {
        output::json(&ranges)?;
    } else if ranges.is_empty() {
        let file = args.of.file().display();
        output::talk(format!("{file} has no lineage yet: it never ran on this sink"));
    } else {
        let head = ["lane", "from", "to", "generation", "read", "stored", "dead letters"];
        let lines = ranges.iter().map(|range| {
            let generation = range.generation.map_or_else(|| "a gap".to_owned(), |it| it.short());
            let counts = match range.is_replayed() {
                true => ["replayed".to_owned(), String::new(), String::new()],
                false => [range.sums.read, range.sums.stored, range.sums.dead].map(output::number),
            };
            let [read, stored, dead] = counts;
            let (from, to) = (range.from.place().to_string(), range.to.place().to_string());
            [range.lane.to_string(), from, to, generation, read, stored, dead]
        });
        let table = output::table([head.map(str::to_owned)].into_iter().chain(lines));
        output::result(output::lines(&table, ""))?;
    }
    Ok(Exit::Done)
}

fn rows(args: &LineageArgs, trace: &Trace) -> Result<Exit, CliError> {
    if args.json {
        output::json(trace)?;
        return Ok(Exit::Done);
    }
    tell_replays(args, trace);
    let lines = trace.rows.iter().map(|row| {
        let TracedRow { lane, record, generation, is_from_row: _ } = row.clone();
        let generation = generation.map(|digest| digest[..12].to_owned());
        [lane, record, generation.unwrap_or_else(|| "not known".to_owned())]
    });
    let head = ["lane", "record", "generation"].map(str::to_owned);
    let mut told = output::lines(&output::table([head].into_iter().chain(lines)), "");
    for (digest, resolved) in &trace.generations {
        let _ = write!(told, "\n\n{STRONG}{}{STRONG:#}", &digest[..12]);
        let Some(resolved) = resolved else {
            told += "\n  it is not kept";
            continue;
        };
        for step in resolved["rule"]["steps"].as_array().into_iter().flatten() {
            let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
            let plugin: String = text("plugin").chars().take(12).collect();
            let _ = write!(
                told,
                "\n  {} {FAINT}(plugin {plugin}){FAINT:#} with {}",
                text("id"),
                step["with"]
            );
        }
    }
    output::result(told)?;
    Ok(Exit::Done)
}

/// Objects without an index do not tell where their records were read first: what a replay made of them
/// bears the places that they have there.
fn tell_replays(args: &LineageArgs, trace: &Trace) {
    let is_unclear =
        |row: &TracedRow| row.generation.is_none() || row.lane == LANE && !row.is_from_row;
    if let [first, ..] = &trace.replays[..]
        && args.of.is_of_pipeline()
        && trace.rows.iter().any(is_unclear)
    {
        let (all, file) = (trace.replays.join(", "), args.of.file().display());
        output::talk(format!(
            "rows of the lane `{LANE}` may also be of a replay of objects without an index, whatever is said \
             here; there were {all}: pinhost lineage {file} --run-id {first} --where …"
        ));
    }
}
