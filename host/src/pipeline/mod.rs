//! What was written becomes what will run.
//!
//! A file is read to a tree that knows where everything stands ([`tree`]), with variables filled in
//! ([`variables`]); the tree becomes a [`config`], which is what may be written; and that becomes a
//! [`Pipeline`] or a [`Rule`], with paths resolved, plugins found and configured, and everything checked
//! that can be checked before the first record. All mistakes are told at once, as [`Findings`] with their
//! places. Nothing here talks to a source or a sink.

pub mod config;
mod delivery;
mod difference;
mod document;
mod field;
mod finding;
mod fit;
mod generation;
mod load;
pub mod nearest;
mod outline;
mod output;
mod piped;
mod resolved;
mod restored;
mod rule;
pub mod secrets;
mod step;
mod strays;
mod surroundings;
mod tombstones;
mod tree;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{
    DeadLettersConfig, LimitsConfig, PipelineConfig, SinkConfig, SourceConfig, UnitConfig,
    WatchConfig,
};

use tree::Templates;

use crate::record::lift::{PipelineArgs, ReplayOf};

pub use delivery::{Delivery, Guarantee};
pub use difference::Change;
pub(crate) use finding::{ERROR, HELP};
pub use finding::{Finding, Findings, Gate, Place, Severity};
pub use load::Document;
pub use output::Projection;
pub use restored::RestoreError;
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
    pub source: SourceConfig,
    pub sink: SinkConfig,
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
                    if let Some((other, shared)) = rival {
                        let told = Finding::new(format!("pipeline {} {shared}", other.name));
                        found.push(told.at(pipeline.name_place.clone()).help(
                            "each would get some of the partitions only; give one of them another `group:`",
                        ));
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

    /// Which topic of one consumer group both of them read, if there is one.
    fn rivalry(&self, other: &Self) -> Option<String> {
        let (SourceConfig::Kafka(one), SourceConfig::Kafka(another)) =
            (&self.source, &other.source)
        else {
            return None;
        };
        let (group, others) = (one.group(&self.name), another.group(&other.name));
        let topic = one.topics.iter().find(|topic| another.topics.contains(topic))?;
        (group == others && one.brokers == another.brokers)
            .then(|| format!("reads topic {topic} in the same group, `{group}`"))
    }
}
