//! `pinhost diff`: what another rule would change, over history.

mod history;
mod report;
mod rules;
mod sample;
mod told;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args};

use self::history::History;
use self::report::{Report, RuleReport, RulesReport};
use super::history::HistoryArgs;
use super::{CliError, Exit, output, sinks, threads};
use crate::pipeline::{Pipeline, PluginSwap};
use crate::plugin::{CacheFolder, Sandbox};
use crate::run::Beside;
use crate::source::objects::{Meant, ObjectsSourceConfig};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("new").required(true))]
pub(super) struct DiffArgs {
    /// The pipeline's file: its rule is the old one.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// Where the objects are: a folder, or s3://BUCKET/PREFIX. Left out, what the pipeline itself reads, if
    /// that is objects.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    #[command(flatten)]
    history: HistoryArgs,
    /// The new rule has another plugin in the step with this id; may be given several times.
    #[arg(long = "plugin", value_name = "STEP=FILE", group = "new")]
    plugins: Vec<PluginSwap>,
    /// The new rule is the one in this file, or that of the pipeline in it.
    #[arg(long, value_name = "FILE", group = "new")]
    against: Option<PathBuf>,
    /// Only so many objects, spread evenly over all of them; or so many records at most, if there are no
    /// more objects than that.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Examples of each kind of change in each column.
    #[arg(long, value_name = "N", default_value_t = 3)]
    limit: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// End with 4 if anything differs.
    #[arg(long)]
    exit_code: bool,
    /// Cleaning threads; one for each core if left out.
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

pub(super) fn run(args: &DiffArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let old = Pipeline::load(&args.file, &sandbox)?;
    let new = match &args.against {
        Some(file) => old.load_other(file, &sandbox)?,
        None => Pipeline::load_with(&args.file, &sandbox, &args.plugins)?,
    };
    let source = args.source(&old)?;
    let examples_max = usize::from(args.limit);
    let Some(beside) = Beside::new(&old, &new, key(&old), examples_max)? else {
        let without = if old.rule.is_none() { &old } else { &new };
        let error = format!("{} has no rule, and there is nothing to compare", without.name);
        return Err(CliError::input(error));
    };
    let threads = threads::count(args.threads);
    let runtime = threads::runtime()?;
    let compared = runtime.block_on(async {
        let meant = Meant { times: args.history.times(), ..Meant::default() };
        let opened = History::open(&old, &source, meant, args.sample).await;
        let history = opened.map_err(|error| match &args.from {
            Some(_) => super::history::told(error),
            None => sinks::told(error.into()),
        })?;
        history.compare(Arc::new(beside), threads, examples_max).await
    });
    runtime.shutdown_background();
    let compared = compared?;

    let changes = rules::changes(&old, &new);
    let rule = |pipeline: &Pipeline, took| RuleReport::new(pipeline, took, compared.diff.records);
    let report = Report {
        pipeline: &old.name,
        from: &source.url,
        read: compared.read,
        rules: RulesReport {
            old: rule(&old, compared.old_took),
            new: RuleReport { file: args.new_file(&new), ..rule(&new, compared.new_took) },
            changes,
        },
        differs: !compared.diff.is_empty(),
        diff: &compared.diff,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::result(told::Told(&report))?;
    }
    Ok(if args.exit_code && report.differs { Exit::Differs } else { Exit::Done })
}

impl DiffArgs {
    fn source(&self, pipeline: &Pipeline) -> Result<ObjectsSourceConfig, CliError> {
        if let Some(from) = &self.from {
            return Ok(self.history.source(from, pipeline));
        }
        let Some(own) = pipeline.source.facts().objects else {
            let (name, kind) = (&pipeline.name, pipeline.source.kind());
            let error = format!("{name} reads from {kind}, not from objects");
            return Err(CliError::input(error).help(
                "say where its records of the past are: `--from URL`, a folder or a bucket",
            ));
        };
        Ok(self.history.source_of(own, pipeline))
    }

    /// Where the new rule is written.
    fn new_file(&self, new: &Pipeline) -> String {
        match &self.against {
            Some(file) => file.display().to_string(),
            None => {
                let swaps = self.plugins.iter();
                let swaps = swaps.map(|swap| format!("{}={}", swap.step, swap.file.display()));
                format!("{} with {}", new.path.display(), swaps.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The columns that tell which row it is: those of the sink's key, or the first.
fn key(pipeline: &Pipeline) -> Vec<String> {
    if let Some(upsert) = pipeline.sink.facts().upsert {
        return upsert.key;
    }
    let first = pipeline.rule.as_ref().and_then(|rule| rule.columns().first());
    first.map(|field| field.name.to_string()).into_iter().collect()
}
