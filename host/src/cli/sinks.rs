//! What commands do with a pipeline's sink while nothing runs.

use std::sync::Arc;

use tokio::runtime::{self, Runtime};

use super::CliError;
use crate::connect::{Sink, SinkContext};
use crate::pipeline::Pipeline;
use crate::record::ConnectorError;

/// For commands that ask a few questions and end.
pub(super) fn small_runtime() -> Result<Runtime, CliError> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::environment("the runtime cannot be started").because(&error))
}

/// The sink, not to claim anything.
pub(super) async fn open(pipeline: &Pipeline) -> Result<Arc<dyn Sink>, CliError> {
    open_of(pipeline, Arc::clone(&pipeline.name)).await
}

/// The same as the pipeline of this name sees it.
pub(super) async fn open_of(
    pipeline: &Pipeline,
    name: Arc<str>,
) -> Result<Arc<dyn Sink>, CliError> {
    let context = SinkContext {
        pipeline: name,
        source: None,
        has_rule: pipeline.rule.is_some(),
        keep_dead_letters: pipeline.dead_letters.keep.map(|keep| keep.0),
        replaces: false,
        replay_into: None,
    };
    pipeline.sink.open(context).await.map_err(told)
}

pub(super) fn told(error: ConnectorError) -> CliError {
    let told = CliError::environment("").because(&error);
    match error.help {
        Some(help) => told.help(help),
        None => told,
    }
}
