//! `pinhost lineage`: which rule cleaned which records, and which one made a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::output::{FAINT, STRONG};
use super::which::Which;
use super::{CliError, Exit, output, sinks};
use crate::pipeline::Pipeline;
use crate::record::{Digest, Generation};
use crate::sink::{LineageRange, RowOrigin, Sink};

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
    let pipeline = args.of.load()?;
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(&pipeline).await?;
        let ranges = sink.lineage().await.map_err(sinks::told)?;
        match &args.which {
            None => list(&pipeline, &ranges, args.json),
            Some(which) => {
                let (column, value) = which.split_once('=').ok_or_else(|| {
                    CliError::input(format!("`{which}` names no column and value"))
                        .help("they are written as `ind=8304`")
                })?;
                rows(&*sink, &pipeline, &ranges, (column, value), args.json).await
            }
        }
    })
}

fn list(pipeline: &Pipeline, ranges: &[LineageRange], as_json: bool) -> Result<Exit, CliError> {
    if as_json {
        output::json(&ranges)?;
    } else if ranges.is_empty() {
        output::talk(format!("{} has no lineage yet: it never ran on this sink", pipeline.name));
    } else {
        let head = ["lane", "from", "to", "generation", "read", "stored", "dead letters"];
        let lines = ranges.iter().map(|range| {
            let generation = range.generation.map_or_else(|| "a gap".to_owned(), |it| it.short());
            let count = output::number;
            [
                range.lane.to_string(),
                range.from.place().to_string(),
                range.to.place().to_string(),
                generation,
                count(range.sums.read),
                count(range.sums.stored),
                count(range.sums.dead),
            ]
        });
        let table = output::table([head.map(str::to_owned)].into_iter().chain(lines));
        output::result(output::lines(&table, ""))?;
    }
    Ok(Exit::Done)
}

async fn rows(
    sink: &dyn Sink,
    pipeline: &Pipeline,
    ranges: &[LineageRange],
    (column, value): (&str, &str),
    as_json: bool,
) -> Result<Exit, CliError> {
    let Some(rows) = sink.origins(column, value).await.map_err(sinks::told)? else {
        return Err(CliError::input(format!(
            "rows of {} do not tell where they come from",
            pipeline.name
        ))
        .help("tables that pinhost makes do, unless the sink says `provenance: false`"));
    };
    if rows.is_empty() {
        return Err(CliError::failed(format!("no row has {value} in column {column}")));
    }
    let mut generations: BTreeMap<String, Option<Generation>> = BTreeMap::new();
    let mut found = Vec::new();
    for row in &rows {
        // A lane that was moved back was read twice: what came last has made the row.
        let generation =
            ranges.iter().rev().find(|range| range.made(row)).and_then(|range| range.generation);
        if let Some(digest) = generation
            && !generations.contains_key(&digest.to_string())
        {
            let kept = sink.generation(digest).await.map_err(sinks::told)?;
            generations.insert(digest.to_string(), kept);
        }
        found.push((row, generation));
    }
    if as_json {
        let rows: Vec<_> = found.iter().map(|(row, digest)| as_value(row, *digest)).collect();
        let rules: BTreeMap<_, _> = generations
            .iter()
            .map(|(digest, kept)| (digest, kept.as_ref().and_then(resolved)))
            .collect();
        output::json(&json!({ "rows": rows, "generations": rules }))?;
        return Ok(Exit::Done);
    }
    tell_replays(sink, pipeline).await?;
    let lines = found.iter().map(|(row, digest)| {
        let generation = digest.map_or_else(|| "not known".to_owned(), |digest| digest.short());
        [row.lane.to_string(), row.written.clone(), generation]
    });
    let head = ["lane", "record", "generation"].map(str::to_owned);
    let mut told = output::lines(&output::table([head].into_iter().chain(lines)), "");
    for (digest, kept) in &generations {
        let _ = write!(told, "\n\n{STRONG}{}{STRONG:#}", &digest[..12]);
        match kept.as_ref().and_then(resolved) {
            Some(resolved) => {
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
            None => told += "\n  it is not kept",
        }
    }
    output::result(told)?;
    Ok(Exit::Done)
}

/// A row that a replay has made keeps the place of its record, so that the place alone does not tell.
async fn tell_replays(sink: &dyn Sink, pipeline: &Pipeline) -> Result<(), CliError> {
    let writers = sink.writers().await.map_err(sinks::told)?;
    let replays = pipeline.replay_name("");
    let ids: Vec<_> = writers.iter().filter_map(|writer| writer.strip_prefix(&replays)).collect();
    if let [first, ..] = ids[..] {
        let (all, file) = (ids.join(", "), pipeline.path.display());
        output::talk(format!(
            "rows that a replay has made since are of its rule, whatever is said here; there were {all}: pinhost \
             lineage {file} --run-id {first}"
        ));
    }
    Ok(())
}

fn resolved(generation: &Generation) -> Option<Value> {
    serde_json::from_str(&generation.resolved).ok()
}

fn as_value(row: &RowOrigin, generation: Option<Digest>) -> Value {
    json!({
        "lane": row.lane.name(),
        "record": row.written,
        "generation": generation.map(|digest| digest.to_string()),
    })
}
