//! `pinhost replay`: a pipeline's rule over objects, into its sink or another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::history::{self, HistoryArgs};
use super::run::{Running, told};
use super::signals::drain_on_signal;
use super::summary::Summary;
use super::{CliError, Exit, output, sinks, threads};
use crate::connect::{PipelineSource, Surrounding};
use crate::ledger::Ledger;
use crate::observe::Progress;
use crate::pipeline::{Pipeline, PluginSwap};
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::Digest;
use crate::run::{Listener, PipelineRun};
use crate::source::objects::{
    Meant, MeantRange, Objects, ObjectsSource, ObjectsSourceConfig, ReplayPlan, StreamLanes,
};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The pipeline's file: its rule and its sink count, its source does not.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// Where the objects are: a folder, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    history: HistoryArgs,
    /// Only records that this generation has cleaned, by the beginning of its digest (`pinhost generations`):
    /// of one that was bad, say. The objects have to be an archive that pinhost has written.
    #[arg(long, value_name = "DIGEST")]
    cleaned_by: Option<String>,
    /// Write into the sink of this other pipeline.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Another plugin in the step with this id; may be given several times.
    #[arg(long = "plugin", value_name = "STEP=FILE")]
    plugins: Vec<PluginSwap>,
    /// Delete what the same records gave before, in the transaction that writes the new rows. Only for
    /// archives with their indexes, and tables whose rows tell which record they were made of.
    #[arg(long, conflicts_with = "overwrite")]
    replace: bool,
    /// Let records of which nobody knows when they were made take the place of rows that are there. Left
    /// out, they only fill in rows that are missing.
    #[arg(long)]
    overwrite: bool,
    /// A name for it; left out, that of what is read, how and into what. Given again it goes on, with what
    /// has come since.
    #[arg(long, value_name = "ID", value_parser = run_id)]
    run_id: Option<String>,
    /// Say what would be read, and end.
    #[arg(long)]
    dry_run: bool,
    /// Cleaning threads; one for each core if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// A part of the name of a pipeline.
fn run_id(id: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=40).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(id.to_owned());
    }
    Err("letters, digits, `_` and `-`, 40 at most".to_owned())
}

pub(super) fn run(args: &ReplayArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let mut pipeline = Pipeline::load_with(&args.file, &sandbox, &args.plugins)?;
    let ranges = match &args.cleaned_by {
        Some(digest) => Some(cleaned_by(&pipeline, digest)?),
        None => None,
    };
    let sink_of = match &args.to {
        Some(other) => Some(Pipeline::load(other, &sandbox)?),
        None => None,
    };
    let config = args.history.source(&args.from, &pipeline);
    pipeline.source = PipelineSource::new(&Objects, config.clone());
    let runtime = threads::runtime()?;
    let exit = runtime.block_on(replay(args, pipeline, sink_of, &config, ranges));
    runtime.shutdown_background();
    exit
}

impl ReplayArgs {
    /// What is read, how it is cleaned and where it goes: the same is the same replay.
    fn id(&self, plan: &ReplayPlan, pipeline: &Pipeline) -> String {
        let sink = serde_json::to_string(&pipeline.sink).expect("a sink's keys are text");
        let generation = pipeline.generation().digest.to_string();
        let plan = plan.digest().to_string();
        let how = format!("replace {}, overwrite {}", self.replace, self.overwrite);
        Digest::of_pieces([&plan, &generation, &sink, &how].map(String::as_bytes)).short()
    }
}

async fn replay(
    args: &ReplayArgs,
    mut pipeline: Pipeline,
    sink_of: Option<Pipeline>,
    config: &ObjectsSourceConfig,
    ranges: Option<Arc<[MeantRange]>>,
) -> Result<Exit, CliError> {
    let options = pipeline.source_options(true);
    let stream = match args.replace {
        true => stream_of(sink_of.as_ref().unwrap_or(&pipeline)).await?,
        false => None,
    };
    let meant = Meant { times: args.history.times(), ranges, stream: stream.clone() };
    let opened = ObjectsSource::replay(config, &options, meant, args.overwrite).await;
    let (source, plan) = opened.map_err(history::told)?;
    check_surroundings(&pipeline, &plan, &args.from)?;
    if let Some(other) = &sink_of {
        pipeline.sink = other.sink.clone();
    }
    let id = args.run_id.clone().unwrap_or_else(|| args.id(&plan, &pipeline));
    if args.replace {
        check_replace(&pipeline, &plan)?;
    } else {
        refuse_repeats(&pipeline, &id).await?;
    }
    tell(args, &pipeline, &plan, &id)?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    pipeline.replay(&id, sink_of.as_ref());
    let source = source.called(pipeline.args());

    let threads = threads::count(args.threads);
    let pool = threads::pool(threads)?;
    let drain = CancellationToken::new();
    let signalled = drain_on_signal(drain.clone())?;
    let is_undated = !plan.is_archive()
        && !args.overwrite
        && pipeline.sink.facts().upsert.is_some_and(|upsert| upsert.newest.is_none());
    let running = Running { pipeline: Arc::new(pipeline), stats: Arc::default() };
    let run = PipelineRun {
        pipeline: Arc::clone(&running.pipeline),
        listener: Arc::clone(&running.stats) as Arc<dyn Listener>,
        pool,
        source: Some(Arc::new(source)),
        replaces: args.replace,
        until_end: true,
        has_committed: false,
        drain: drain.clone(),
    };
    let progress = Progress::of_objects(plan.objects());
    let stats = [Arc::clone(&running.stats)];
    let ended = tokio::select! {
        ended = run.run() => ended,
        () = progress.follow(&stats) => unreachable!("it follows until it is dropped"),
    };
    drop(progress);
    let exit = match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            let told = told(&running.pipeline, &error);
            told.print();
            told.exit()
        }
    };
    let left = stream.map_or(0, |stream| stream.left());
    Summary::new(&running, drain.is_cancelled()).undated(is_undated).left(left).tell();
    Ok(signalled.exit().unwrap_or(exit))
}

/// How far the stream has come into whose rows a replay writes, if both append: what the stream has still to
/// read would be there twice. Rows with a key are one row, whoever writes them.
async fn stream_of(into: &Pipeline) -> Result<Option<Arc<StreamLanes>>, CliError> {
    if !into.sink.facts().appends {
        return Ok(None);
    }
    let sink = sinks::open(into).await?;
    let Ledger { claims, archive, .. } = sink.ledger();
    let lanes = claims.lanes().await.map_err(sinks::told)?;
    if lanes.is_empty() {
        tracing::warn!(
            "pipeline {} has not run here yet: what is replayed now it would append once more",
            into.name
        );
        return Ok(None);
    }
    let lineage = archive.lineage().await.map_err(sinks::told)?;
    Ok(Some(Arc::new(StreamLanes::new(lanes, &lineage))))
}

/// What a generation has cleaned, as the pipeline's own sink knows it.
fn cleaned_by(pipeline: &Pipeline, digest: &str) -> Result<Arc<[MeantRange]>, CliError> {
    let lineage = sinks::small_runtime()?.block_on(async {
        sinks::open(pipeline).await?.ledger().archive.lineage().await.map_err(sinks::told)
    })?;
    let of_it = lineage.iter().filter(|range| {
        range.generation.is_some_and(|generation| generation.to_string().starts_with(digest))
    });
    let ranges: Arc<[_]> =
        of_it.map(|range| MeantRange::new(&range.lane, range.from, range.to)).collect();
    if ranges.is_empty() {
        let error =
            format!("no generation `{digest}` of pipeline {} has cleaned anything", pipeline.name);
        return Err(CliError::input(error)
            .help(format!("`pinhost generations {}` lists them", pipeline.path.display())));
    }
    Ok(ranges)
}

/// Objects without an index say little of their records. Where a rule cannot do without the rest, each of them
/// would be a dead letter.
fn check_surroundings(pipeline: &Pipeline, plan: &ReplayPlan, from: &str) -> Result<(), CliError> {
    const HELP: &str = "`--archive URL` names the archive that they are a part of";
    if plan.objects() == 0 || plan.is_archive() {
        return Ok(());
    }
    let has_pairs = plan.has_pairs();
    let is_unknown = |surrounding: &Surrounding| match surrounding {
        // Kafka Connect keeps these beside its objects.
        Surrounding::Key | Surrounding::Headers => !has_pairs,
        _ => true,
    };
    let mut lacking = BTreeMap::<_, bool>::new();
    for (_, name, is_required) in pipeline.surroundings().filter(|(what, ..)| is_unknown(what)) {
        *lacking.entry(name).or_default() |= is_required;
    }
    let names = |is_meant: fn(bool) -> bool| {
        let names = lacking.iter().filter(|(_, is_required)| is_meant(**is_required));
        names.map(|(name, _)| &**name).collect::<Vec<_>>().join(", ")
    };
    let (required, all) = (names(|is_required| is_required), names(|_| true));
    if !required.is_empty() {
        let error =
            format!("the objects of {from} have no index, and the rule requires {required}");
        return Err(CliError::input(error).help(HELP));
    }
    if !all.is_empty() {
        tracing::warn!("the objects of {from} have no index: {all} will be null; {HELP}");
    }
    Ok(())
}

/// What is deleted has to be known.
fn check_replace(pipeline: &Pipeline, plan: &ReplayPlan) -> Result<(), CliError> {
    if !pipeline.sink.facts().replaces {
        let error = format!("`--replace` deletes rows, and {} keeps them", pipeline.sink.kind());
        return Err(CliError::input(error).help("write to another place: `--to FILE`"));
    }
    if !plan.is_archive() {
        let error = "`--replace` needs to know where records were read first, and here is no index";
        return Err(CliError::input(error).help(
            "replay what pinhost itself has archived; with a `key:`, `--overwrite` replaces row by row",
        ));
    }
    Ok(())
}

/// What this pipeline has appended already, or another replay of it, would be there twice.
async fn refuse_repeats(pipeline: &Pipeline, run_id: &str) -> Result<(), CliError> {
    let facts = pipeline.sink.facts();
    if !facts.appends {
        return Ok(());
    }
    let sink = sinks::open(pipeline).await?;
    let writers = sink.ledger().claims.pipelines().await.map_err(sinks::told)?;
    let (own, replays) = (&*pipeline.name, pipeline.replay_name(""));
    let name = pipeline.replay_name(run_id);
    let is_ours = |writer: &&String| **writer == own || writer.starts_with(&replays);
    let Some(writer) = writers.iter().filter(is_ours).find(|writer| **writer != name) else {
        return Ok(());
    };
    let error = format!(
        "{writer} has written into this sink, where rows are appended: a replay would repeat them"
    );
    let help = match writer.strip_prefix(&replays) {
        Some(id) => format!("`--run-id {id}` goes on with what is new since then"),
        None if facts.replaces => {
            "`--replace` deletes what the same records gave before".to_owned()
        }
        None => {
            return Err(CliError::input(error).help("write to another place: `--to FILE`"));
        }
    };
    Err(CliError::input(error).help(format!("write to another place, `--to FILE`; or {help}")))
}

fn tell(
    args: &ReplayArgs,
    pipeline: &Pipeline,
    plan: &ReplayPlan,
    id: &str,
) -> Result<(), CliError> {
    let ends = match plan.ends() {
        Some((first, last)) if first != last => format!("{first} to {last}"),
        Some((only, _)) => only.to_owned(),
        None => "there are none".to_owned(),
    };
    let lines = [
        [
            "objects",
            &format!("{}, {}", output::number(plan.objects()), output::bytes(plan.bytes())),
        ],
        ["keys", &ends],
        ["generation", &pipeline.generation().digest.short()],
        ["delivery", &pipeline.delivery().to_string()],
        ["run id", id],
    ];
    let table = output::table(lines.map(|line| line.map(str::to_owned)));
    let told = format!("{} from {}\n{}", pipeline.name, args.from, output::lines(&table, "  "));
    if args.dry_run {
        return output::result(told);
    }
    output::talk(told);
    Ok(())
}
