//! `pinhost run`: pipelines from their sources to their sinks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::signals::drain_on_signal;
use super::summary::Summary;
use super::{CliError, Exit, log, output, threads};
use crate::connect::Ends;
use crate::observe::{Observed, Progress, Server, Stats};
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::ConnectorError;
use crate::run::{Halt, Listener, Phase, PipelineError, PipelineRun, Pool};
use crate::sink::stdout::StdoutSinkError;
use crate::swap::{self, Control, ControlError, Request};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Pipeline files. They run side by side in one process, each for itself.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End when everything is read that there is when the run begins, also where more may come. Exit code 1
    /// if a lane is halted by its records or the rule for limits.halt_time, or if more records died than
    /// dead_letters.max_ratio allows; 3 if the source or the sink did not answer for as long.
    #[arg(long)]
    until_end: bool,
    /// Serve /metrics, /livez and /readyz on this address, like 127.0.0.1:9090.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Cleaning threads; one for each core if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let pipelines = load(&args.files, &sandbox)?;
    let threads = threads::count(args.threads);
    let runtime = threads::runtime()?;
    let pool = threads::pool(threads)?;
    let exit = runtime.block_on(run_all(args, pipelines, pool, sandbox));
    // What still runs is of no use any more: a read of the standard input, say.
    runtime.shutdown_background();
    exit
}

fn load(files: &[PathBuf], sandbox: &Sandbox) -> Result<Vec<Arc<Pipeline>>, CliError> {
    let mut names = BTreeSet::new();
    let loaded: Result<Vec<_>, CliError> = files
        .iter()
        .map(|file| {
            let pipeline = Pipeline::load(file, sandbox)?;
            if !names.insert(pipeline.name.clone()) {
                return Err(CliError::input(format!(
                    "two of these pipelines are called `{}`",
                    pipeline.name
                ))
                .help("progress is kept under a pipeline's name: give each its own"));
            }
            Ok(Arc::new(pipeline))
        })
        .collect();
    let pipelines = loaded?;
    Pipeline::distinct(pipelines.iter().map(|pipeline| &**pipeline))?;
    Ok(pipelines)
}

/// One pipeline with its figures.
pub(super) struct Running {
    pub pipeline: Arc<Pipeline>,
    pub stats: Arc<Stats>,
}

async fn run_all(
    args: &RunArgs,
    pipelines: Vec<Arc<Pipeline>>,
    pool: Pool,
    sandbox: Sandbox,
) -> Result<Exit, CliError> {
    let running: Vec<_> =
        pipelines.into_iter().map(|pipeline| Running { pipeline, stats: Arc::default() }).collect();
    let _server = match &args.listen {
        Some(address) => Some(listen(address, &running).await?),
        None => None,
    };
    for Running { pipeline, .. } in &running {
        open(pipeline);
    }
    let drain = CancellationToken::new();
    let signalled = drain_on_signal(drain.clone())?;
    let mut runs = JoinSet::new();
    let mut controls = Vec::new();
    for (number, Running { pipeline, stats }) in running.iter().enumerate() {
        let run = PipelineRun {
            pipeline: Arc::clone(pipeline),
            listener: Arc::clone(stats) as Arc<dyn Listener>,
            pool: pool.clone(),
            source: None,
            replaces: false,
            until_end: args.until_end || has_an_end(pipeline),
            has_committed: false,
            drain: drain.clone(),
        };
        let (requests, asked) = mpsc::channel(1);
        controls.extend(control(pipeline, requests).await);
        let sandbox = sandbox.clone();
        runs.spawn(async move { (number, swap::run(run, sandbox, asked).await) });
    }
    drop(pool);
    let stats: Vec<_> = running.iter().map(|running| Arc::clone(&running.stats)).collect();
    let progress = Progress::new(count(&running));
    let mut exit = Exit::Done;
    let ended = async {
        while let Some(ended) = runs.join_next().await {
            let (number, end) = ended.unwrap_or_else(|panic| {
                std::panic::resume_unwind(panic.into_panic());
            });
            let Running { pipeline, stats } = &running[number];
            match end {
                Err(error) if !is_enough(&error) => {
                    stats.phase(Phase::Failed);
                    let told = told(pipeline, &error);
                    told.print();
                    exit = worse(exit, told.exit());
                }
                Ok(()) | Err(_) => {}
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = progress.follow(&stats) => {}
    }
    drop(progress);
    for running in &running {
        Summary::new(running, drain.is_cancelled()).tell();
    }
    Ok(signalled.exit().unwrap_or(exit))
}

/// Takes requests from other processes of this user, if that can be had.
async fn control(pipeline: &Pipeline, requests: mpsc::Sender<Request>) -> Option<Control> {
    let control = Control::start(&pipeline.path, requests).await;
    let told = |error: &ControlError| {
        tracing::warn!(pipeline = %pipeline.name, "nobody can ask this process to swap a plugin: {error}");
    };
    control.inspect_err(told).ok()
}

async fn listen(address: &str, running: &[Running]) -> Result<Server, CliError> {
    let observed = running.iter().map(|running| Observed {
        pipeline: Arc::clone(&running.pipeline.name),
        stats: Arc::clone(&running.stats),
    });
    const WRITTEN: &str = "an address is written like 127.0.0.1:9090";
    if !address.contains(':') {
        return Err(CliError::input(format!("`{address}` is no address")).help(WRITTEN));
    }
    let server = Server::start(address, observed.collect())
        .await
        .map_err(|error| CliError::environment("").because(&error).help(WRITTEN))?;
    tracing::info!("metrics are served at {server}");
    Ok(server)
}

fn open(pipeline: &Pipeline) {
    let (name, delivery) = (&pipeline.name, pipeline.delivery());
    if log::is_json() {
        tracing::info!(pipeline = %name, %delivery, "starting");
    } else {
        output::talk(format!("{name}\n  delivery: {delivery}"));
    }
}

/// Whether a source ends by itself.
fn has_an_end(pipeline: &Pipeline) -> bool {
    pipeline.source.facts().ends != Ends::Never
}

/// How many records there will be, if all sources know.
fn count(running: &[Running]) -> Option<u64> {
    running
        .iter()
        .map(|running| match running.pipeline.source.facts().ends {
            Ends::After { records } => records,
            Ends::Never => None,
        })
        .sum()
}

pub(super) fn told(pipeline: &Pipeline, error: &PipelineError) -> CliError {
    let message = format!("pipeline {}: {error}", pipeline.name);
    let told = by_fault(error, message).because(error);
    match error.help(&pipeline.args()) {
        Some(help) => told.help(help),
        None => told,
    }
}

/// What is outside is for somebody else to mend than what is inside.
pub(super) fn by_fault(error: &PipelineError, message: String) -> CliError {
    if error.is_outside() { CliError::environment(message) } else { CliError::failed(message) }
}

/// A reader of the standard output that has seen enough is no error.
pub(super) fn is_enough(error: &PipelineError) -> bool {
    matches!(error.cause(), Some(Halt::Sink(error)) if is_closed(error))
}

/// Its reader has seen enough.
fn is_closed(error: &ConnectorError) -> bool {
    matches!(error.cause(), Some(StdoutSinkError::Closed))
}

/// What is a failure of one pipeline is one of the command; a broken promise counts most.
fn worse(a: Exit, b: Exit) -> Exit {
    match (a, b) {
        (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
        (Exit::Done, other) | (other, _) => other,
    }
}
