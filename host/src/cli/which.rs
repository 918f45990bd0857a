//! The pipeline that a command is about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{CliError, sinks};
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::swap::{Answer, Asked, ask};

/// How long the process that runs a pipeline may take to answer what can be found out without it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The pipeline's file.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    #[command(flatten)]
    replay: OfReplay,
}

#[derive(Debug, Args)]
pub(super) struct OfReplay {
    /// Not the pipeline itself: its replay of this name.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// The pipeline into whose sink the replay writes, if that is another one: what `--to` was.
    #[arg(long, value_name = "FILE", requires = "run_id")]
    sink_of: Option<PathBuf>,
}

impl Which {
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn is_of_pipeline(&self) -> bool {
        self.replay.run_id.is_none()
    }

    /// What the process says that runs the pipeline. Nothing of a replay, which is another one.
    pub(super) fn asked(&self, what: &Asked) -> Result<Option<Answer>, CliError> {
        if self.is_of_pipeline() { whoever_runs(&self.file, what) } else { Ok(None) }
    }

    pub(super) fn load(&self) -> Result<Pipeline, CliError> {
        self.replay.load(&self.file)
    }

    /// To look at what its sink has.
    pub(super) fn load_to_look(&self) -> Result<Pipeline, CliError> {
        let loaded = self.load();
        if self.is_of_pipeline() { loaded.map_err(state_elsewhere) } else { loaded }
    }
}

impl OfReplay {
    pub(super) fn load(&self, file: &Path) -> Result<Pipeline, CliError> {
        let sandbox = Sandbox::new(&CacheFolder::Usual)?;
        let mut pipeline = Pipeline::load(file, &sandbox)?;
        if let Some(run_id) = &self.run_id {
            let sink_of = match &self.sink_of {
                Some(other) => Some(Pipeline::load(other, &sandbox)?),
                None => None,
            };
            pipeline.replay(run_id, sink_of.as_ref());
        }
        Ok(pipeline)
    }
}

/// What the process says that runs the pipeline in this file, whatever the file says by now; none if nobody
/// answers.
pub(super) fn whoever_runs(file: &Path, what: &Asked) -> Result<Option<Answer>, CliError> {
    let asked = async { tokio::time::timeout(PATIENCE, ask(file, what)).await.ok()?.ok() };
    Ok(sinks::small_runtime()?.block_on(asked))
}

/// Says what can be done as long as the file is broken that names the sink.
pub(super) fn state_elsewhere(error: CliError) -> CliError {
    error.help(
        "no process that runs it answers; what ran can be asked with any other version of the file, as only \
         its `name:` and its `sink:` count",
    )
}
