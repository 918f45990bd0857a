//! `postgres`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::check::check;
use super::{POSTGRES_NAMES, PostgresSink, PostgresSinkConfig};
use crate::connect::{
    Commits, ConfigFile, Positions, Sink, SinkConfig, SinkContext, SinkFacts, SinkKind,
    WantedColumns,
};
use crate::record::ConnectorError;
use crate::sink::table::{TableColumns, look_at};
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Postgres;

impl SinkKind for Postgres {
    fn key(&self) -> &'static str {
        "postgres"
    }

    fn summary(&self) -> &'static str {
        "A table on a server"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<PostgresSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<PostgresSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for PostgresSinkConfig {
    fn facts(&self) -> SinkFacts {
        let columns = TableColumns { key: &self.key, newest: self.newest.as_deref() };
        SinkFacts {
            positions: Positions::Kept,
            commits: Commits::Together {
                because: "rows and position are committed in one transaction",
            },
            upsert: columns.upsert(),
            deletes: true,
            appends: self.key.is_empty(),
            replaces: true,
            traces: self.provenance,
            names: Some(&POSTGRES_NAMES),
            columns: WantedColumns { because: Some("a table has columns"), named: columns.named() },
            not_with_rule: Vec::new(),
            unit_floor: Duration::ZERO,
            place: format!("in table {}", self.table),
            shows_rows: Some(format!("psql \"{}\" -c {}", self.url, look_at(&self.table))),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check(self, at, found);
    }

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(PostgresSink::open(self, context)?))
    }
}
