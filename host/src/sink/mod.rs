//! Sinks: what rows are written to, and where the ledger of a pipeline is kept beside them. What all of them
//! implement is in [`crate::connect`] and [`crate::ledger`].

pub(crate) mod columns;
#[cfg(test)]
mod conformance;
pub mod objects;
pub mod postgres;
pub mod sqlite;
pub mod stdout;
mod table;
mod trace;

use std::sync::Arc;

use self::objects::ObjectsSink;
use self::postgres::PostgresSink;
use self::sqlite::SqliteSink;
use self::stdout::StdoutSink;
pub use self::trace::{Trace, TracedRow, trace};
use crate::connect::{Sink, SinkContext};
use crate::pipeline::config::SinkConfig;
use crate::record::ConnectorError;

/// Opens the sink that a pipeline names.
pub async fn open(
    config: &SinkConfig,
    context: SinkContext,
) -> Result<Arc<dyn Sink>, ConnectorError> {
    Ok(match config {
        SinkConfig::Postgres(config) => Arc::new(PostgresSink::open(config, context)?),
        SinkConfig::Sqlite(config) => Arc::new(SqliteSink::open(config, context)?),
        SinkConfig::Objects(config) => Arc::new(ObjectsSink::open(config, context).await?),
        SinkConfig::Stdout(config) => Arc::new(StdoutSink::open(config, context)?),
    })
}
