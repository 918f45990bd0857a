//! `sqlite`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{SQLITE_NAMES, SqliteSink, SqliteSinkConfig};
use crate::connect::{
    Commits, ConfigFile, Positions, Sink, SinkConfig, SinkContext, SinkFacts, SinkKind,
    WantedColumns,
};
use crate::record::ConnectorError;
use crate::record::lift::Word;
use crate::sink::table::{TableColumns, check_newest, check_table, look_at};
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Sqlite;

impl SinkKind for Sqlite {
    fn key(&self) -> &'static str {
        "sqlite"
    }

    fn summary(&self) -> &'static str {
        "A table in a file"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<SqliteSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<SqliteSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for SqliteSinkConfig {
    fn facts(&self) -> SinkFacts {
        let columns = TableColumns { key: &self.key, newest: self.newest.as_deref() };
        let (table, path) = (&self.table, &self.path);
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
            names: Some(&SQLITE_NAMES),
            columns: WantedColumns { because: Some("a table has columns"), named: columns.named() },
            not_with_rule: Vec::new(),
            unit_floor: Duration::ZERO,
            place: format!("in table {table} of {path}"),
            shows_rows: Some(format!("sqlite3 {} {}", Word::from(&**path), look_at(table))),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check_newest(self.newest.as_deref(), &self.key, at, found);
        check_table(SQLITE_NAMES.table(&self.table), at, found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        file.complete(&mut self.path);
    }

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(SqliteSink::open(self, context)?))
    }
}
