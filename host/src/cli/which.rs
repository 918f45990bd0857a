//! The pipeline that a command is about.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};

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
    pub(super) fn load(&self) -> Result<Pipeline, CliError> {
        self.replay.load(&self.file)
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
