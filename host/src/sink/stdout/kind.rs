//! `stdout`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{StdoutSink, StdoutSinkConfig};
use crate::connect::{
    Commits, ConfigFile, Positions, Sink, SinkConfig, SinkContext, SinkFacts, SinkKind,
    WantedColumns,
};
use crate::record::ConnectorError;
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Stdout;

impl SinkKind for Stdout {
    fn key(&self) -> &'static str {
        "stdout"
    }

    fn summary(&self) -> &'static str {
        "Lines of JSON"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<StdoutSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<StdoutSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for StdoutSinkConfig {
    fn facts(&self) -> SinkFacts {
        SinkFacts {
            positions: Positions::ForOneRun { because: "stdout keeps no position" },
            commits: Commits::Apart { because: "what was written cannot be taken back" },
            upsert: None,
            deletes: false,
            appends: false,
            replaces: false,
            traces: false,
            names: None,
            columns: WantedColumns { because: None, named: Vec::new() },
            not_with_rule: Vec::new(),
            unit_floor: Duration::ZERO,
            place: "on the standard output".to_owned(),
            shows_rows: None,
            objects: None,
        }
    }

    fn check(&self, _: Cursor<'_>, _: &mut Vec<Finding>) {}

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(StdoutSink::open(self, context)?))
    }
}
