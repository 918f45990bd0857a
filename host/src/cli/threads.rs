//! The threads of commands that clean records.

use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

use super::CliError;
use crate::run::Pool;

/// How many clean: one for each core if nobody says.
pub(super) fn count(asked: Option<u16>) -> usize {
    asked.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from)
}

pub(super) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::environment("the threads of the runtime cannot be started").because(&error)
    })
}

pub(super) fn pool(threads: usize) -> Result<Pool, CliError> {
    Pool::start(threads).map_err(|error| {
        CliError::environment("the cleaning threads cannot be started").because(&error)
    })
}
