//! `pinhost pipe`: a pipeline or a rule as a function.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::run::{by_fault, is_enough};
use super::signals::drain_on_signal;
use super::{CliError, Exit, output, threads};
use crate::connect::{Sink, SinkContext};
use crate::observe::{Stats, Totals};
use crate::pipeline::{Document, Pipeline};
use crate::plugin::{CacheFolder, Sandbox};
use crate::run::{Halt, Listener, PipelineError, PipelineRun, Pool, piped};
use crate::sink::stdout::{LetterOutput, StdoutFormat, StdoutSink, StdoutSinkError};
use crate::source::Source;
use crate::source::arrow::ArrowSource;
use crate::source::stdin::{StdinSource, StdinSourceConfig};

/// Reasons that are told; a file of dead letters has all.
const REASONS_MAX: usize = 5;

#[derive(Debug, Args)]
#[command(after_long_help = ARROW)]
pub(super) struct PipeArgs {
    /// A pipeline, whose source and sink are left alone, or a rule.
    file: PathBuf,
    /// What goes in and comes out.
    #[arg(long, value_name = "FORMAT", default_value = "ndjson")]
    format: Format,
    /// Write dead letters to this file, as NDJSON. Left out, they are counted on stderr.
    #[arg(long, value_name = "PATH")]
    dead_letters: Option<PathBuf>,
    /// Cleaning threads; one for each core if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON objects in any form, also gzip or zstd; rows as NDJSON.
    Ndjson,
    /// An Arrow IPC stream each way.
    Arrow,
}

const ARROW: &str = "\
With --format arrow, columns of the stream become the rule's fields by their names, or by the
fields' aliases; others are left out. Integers and floats of any width, text and lists of any
layout, dictionaries, and timestamps of any unit fit (without a zone they are in UTC), and text
fits a timestamp if it is RFC 3339. A column of another type, or a required field without a
column, is refused before the first row. A field that has no column is null. What stands for a
record's surroundings, like `from: $timestamp`, is a column of the field's name as well.

Rows come out in the order in which they went in, as soon as the input pauses; those that are
rejected or dropped are left out.";

pub(super) fn run(args: &PipeArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let pipeline = Arc::new(piped(Document::load(&args.file, &sandbox)?));
    let threads = threads::count(args.threads);
    let runtime = threads::runtime()?;
    let pool = threads::pool(threads)?;
    let exit = runtime.block_on(pipe(args, pipeline, pool));
    // A read of the standard input is of no use any more.
    runtime.shutdown_background();
    exit
}

async fn pipe(args: &PipeArgs, pipeline: Arc<Pipeline>, pool: Pool) -> Result<Exit, CliError> {
    let letters = match &args.dead_letters {
        Some(path) => LetterOutput::Written(BufWriter::new(created(path)?)),
        None => LetterOutput::Counted,
    };
    let drain = CancellationToken::new();
    let signalled = drain_on_signal(drain.clone())?;
    let source = source(args.format, &pipeline);
    let Some(source) = drain.run_until_cancelled(source).await else {
        return Ok(signalled.exit().unwrap_or(Exit::Done));
    };
    let source = source?;
    let sink = match sink(args.format, letters, &pipeline) {
        Ok(sink) => Arc::new(sink),
        Err(StdoutSinkError::Closed) => return Ok(Exit::Done),
        Err(error) => return Err(CliError::environment("").because(&error)),
    };
    let stats = Arc::new(Stats::default());
    let run = PipelineRun {
        pipeline: Arc::clone(&pipeline),
        listener: Arc::clone(&stats) as Arc<dyn Listener>,
        pool,
        source: None,
        replaces: false,
        until_end: true,
        has_committed: false,
        drain,
    };
    let piped = run.run_between(source, Arc::clone(&sink) as Arc<dyn Sink>).await;
    let closed = sink
        .close()
        .await
        .map_err(|error| PipelineError::Fatal { cause: Arc::new(Halt::Sink(error)) });
    // What came out of a run that ends with an error counts too.
    let exit = match piped.and(closed) {
        Ok(()) => Ok(signalled.exit().unwrap_or(Exit::Done)),
        Err(error) if is_enough(&error) => Ok(Exit::Done),
        Err(error) => Err(by_fault(&error, pipeline.name.to_string()).because(&error)),
    };
    if let Some(told) = told(&stats.totals(), args.dead_letters.as_deref()) {
        output::talk(told);
    }
    exit
}

fn created(path: &Path) -> Result<File, CliError> {
    File::create(path)
        .map_err(|error| CliError::io(format!("{} cannot be written", path.display()), &error))
}

async fn source(format: Format, pipeline: &Pipeline) -> Result<Arc<dyn Source>, CliError> {
    let limits = pipeline.limits.to_decode_limits();
    match (format, &pipeline.rule) {
        (Format::Ndjson, _) => {
            let config = StdinSourceConfig::default();
            Ok(Arc::new(StdinSource::new(&config, limits.record_bytes_max)))
        }
        (Format::Arrow, Some(rule)) => Ok(Arc::new(ArrowSource::open(&rule.fields, limits).await?)),
        (Format::Arrow, None) => Err(CliError::input(format!(
            "pipeline {} has no rule, and an Arrow stream needs one",
            pipeline.name
        ))),
    }
}

fn sink(
    format: Format,
    letters: LetterOutput,
    pipeline: &Pipeline,
) -> Result<StdoutSink, StdoutSinkError> {
    let format = match format {
        Format::Ndjson => StdoutFormat::Ndjson,
        Format::Arrow => StdoutFormat::Arrow,
    };
    let context = SinkContext {
        pipeline: Arc::clone(&pipeline.name),
        source: None,
        has_rule: pipeline.rule.is_some(),
        keep_dead_letters: None,
        replaces: false,
        replay_into: None,
    };
    let columns = pipeline.rule.as_ref().map(|rule| rule.columns());
    let columns = columns.map_or(&[][..], |columns| columns);
    StdoutSink::of(format, columns, letters, context)
}

/// What did not come out, if anything.
fn told(totals: &Totals, letters: Option<&Path>) -> Option<String> {
    let mut told = Vec::new();
    for (step, rows) in &totals.dropped {
        told.push(format!("{} dropped by {step}", output::number(*rows)));
    }
    if totals.dead() > 0 {
        let mut dead = output::count(totals.dead() as usize, "dead letter");
        if let Some(path) = letters {
            let _ = write!(dead, " in {}", path.display());
        }
        told.push(dead);
        let mut reasons: Vec<_> = totals.dead_letters.iter().collect();
        reasons.sort_by_key(|(reason, records)| (std::cmp::Reverse(**records), *reason));
        for (reason, records) in reasons.iter().take(REASONS_MAX) {
            told.push(format!("  {} {reason}", output::number(**records)));
        }
        if let Some(more) = reasons.len().checked_sub(REASONS_MAX).filter(|more| *more > 0) {
            told.push(format!("  and {more} more reasons"));
        }
    }
    (!told.is_empty()).then(|| told.join("\n"))
}
