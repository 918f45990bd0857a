//! What was written becomes what will run.
//!
//! A file is read to a tree that knows where everything stands ([`written`](crate::written)); the
//! tree becomes a [`config`], which is what may be written; and that becomes a [`Pipeline`] or a
//! [`Rule`], with paths resolved, plugins found and configured, and everything checked that can be
//! checked before the first record. All mistakes are told at once, as [`Findings`] with their
//! places. Nothing here talks to a source or a sink, and nothing asks which kind it is: what has to
//! be known of it are its [facts](crate::connect).

pub mod config;
mod delivery;
mod difference;
mod document;
mod field;
mod fit;
mod generation;
mod load;
mod outline;
mod output;
mod piped;
mod resolved;
mod restored;
mod rule;
mod step;
mod strays;
mod surroundings;
mod tombstones;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{DeadLettersConfig, LimitsConfig, PipelineConfig, UnitConfig, WatchConfig};

use crate::connect::{PipelineSink, PipelineSource, Surrounding};
use crate::record::lift::{PipelineArgs, ReplayOf};
use crate::source::SourceOptions;
use crate::written::{Finding, Findings, Place, Templates};

pub use delivery::{Delivery, Guarantee};
pub use difference::Change;
pub use load::Document;
pub use output::Projection;
pub use restored::{RestoreError, unwrap_of};
pub use rule::{Rule, RuleTest, Workshop};
pub use step::{PluginSwap, RuleStep};
pub use tombstones::{Deleted, Tombstones};

/// A source, a rule, a sink: sound, as far as can be told without running it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub name: Arc<str>,
    /// The file that it was read from.
    pub path: PathBuf,
    /// If this is no pipeline itself, but a replay of one.
    replay: Option<Box<ReplayOf>>,
    /// Paths in it are resolved against the file.
    pub source: PipelineSource,
    pub sink: PipelineSink,
    /// None passes records on as they came.
    pub rule: Option<Arc<Rule>>,
    pub unit: UnitConfig,
    pub limits: LimitsConfig,
    pub dead_letters: DeadLettersConfig,
    pub watch: WatchConfig,
    /// What may not be as it was meant.
    pub warnings: Vec<Finding>,
    name_place: Place,
    /// As it was written, with defaults.
    config: PipelineConfig,
    templates: Templates,
}

impl Pipeline {
    /// As commands are given it.
    pub fn args(&self) -> PipelineArgs {
        PipelineArgs { file: self.path.clone(), replay: self.replay.clone() }
    }

    /// Makes it a replay of itself, into its own sink or that of another one.
    pub fn replay(&mut self, run_id: &str, sink_of: Option<&Self>) {
        let into = Arc::clone(sink_of.map_or(&self.name, |other| &other.name));
        self.name = self.replay_name(run_id).into();
        if let Some(other) = sink_of {
            self.sink = other.sink.clone();
        }
        let sink_of = sink_of.map(|other| other.path.clone());
        self.replay = Some(Box::new(ReplayOf { run_id: run_id.into(), sink_of, into }));
    }

    /// The pipeline into whose rows it writes, if it is a replay.
    pub fn replay_into(&self) -> Option<Arc<str>> {
        self.replay.as_ref().map(|replay| Arc::clone(&replay.into))
    }

    /// Under which progress of a replay is kept: its lanes are its own.
    pub fn replay_name(&self, run_id: &str) -> String {
        format!("{}.replay-{run_id}", self.name)
    }

    /// Progress is kept under a pipeline's name: those that run in one process have different ones.
    pub fn distinct<'a>(pipelines: impl IntoIterator<Item = &'a Self>) -> Result<(), Findings> {
        let mut known: Vec<&Self> = Vec::new();
        let mut found = Vec::new();
        for pipeline in pipelines {
            match known.iter().find(|known| known.name == pipeline.name) {
                Some(other) => {
                    let other = other.path.display();
                    let message =
                        format!("the pipeline in {other} is called `{}` too", pipeline.name);
                    let told = Finding::new(message).at(pipeline.name_place.clone());
                    found.push(told.help("progress is kept under the name; give it another one"));
                }
                None => {
                    let rival =
                        known.iter().find_map(|known| Some((known, known.rivalry(pipeline)?)));
                    if let Some((other, (shared, help))) = rival {
                        let told = Finding::new(format!("pipeline {} {shared}", other.name));
                        found.push(told.at(pipeline.name_place.clone()).help(help));
                    }
                    known.push(pipeline);
                }
            }
        }
        match found.first() {
            None => Ok(()),
            Some(_) => Err(Findings::sorted(Path::new(""), &found)),
        }
    }

    /// What both of them read in one group, if there is something, and what to do about it.
    fn rivalry(&self, other: &Self) -> Option<(String, &'static str)> {
        let (one, another) = (self.source.facts().group?, other.source.facts().group?);
        let shared = one.shared.iter().find(|shared| another.shared.contains(shared))?;
        let group = &one.group;
        ((&one.cluster, group) == (&another.cluster, &another.group))
            .then(|| (format!("reads {shared} {}, `{group}`", one.told), one.help))
    }

    /// What the rule's fields are taken from besides a record's own bytes, and whether the field is required.
    pub fn surroundings(&self) -> impl Iterator<Item = (Surrounding, String, bool)> {
        let fields = self.rule.iter().flat_map(|rule| &rule.fields);
        fields.filter_map(|field| {
            let written = surroundings::written(&field.from)?;
            Some((surroundings::of(&field.from)?, written, field.required))
        })
    }

    /// What a run of it asks of its source.
    pub fn source_options(&self, until_end: bool) -> SourceOptions {
        /// What is on its way further on has the rest.
        const PREFETCH_SHARE: u64 = 8;
        let limits = &self.limits;
        SourceOptions {
            pipeline: Arc::clone(&self.name),
            args: self.args(),
            until_end,
            record_bytes_max: usize::try_from(limits.record.0).unwrap_or(usize::MAX),
            prefetch_bytes: limits.memory.0 / PREFETCH_SHARE,
        }
    }
}
