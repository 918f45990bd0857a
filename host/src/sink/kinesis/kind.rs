//! `kinesis`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{KinesisSink, KinesisSinkConfig};
use crate::connect::{
    ColumnRole, Commits, ConfigFile, LedgerStore, NamedColumns, Positions, Sink, SinkConfig,
    SinkContext, SinkFacts, SinkKind, WantedColumns,
};
use crate::kinesis::{check_aws, check_stream};
use crate::record::{ConnectorError, ErrorClass};
use crate::written::{Cursor, Finding, ReadError, Written};

/// What a stream can be set to take.
const RECORD_MAX: u64 = 10 << 20;

#[derive(Debug)]
pub struct Kinesis;

impl SinkKind for Kinesis {
    fn key(&self) -> &'static str {
        "kinesis"
    }

    fn summary(&self) -> &'static str {
        "A stream of Amazon Kinesis"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<KinesisSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<KinesisSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for KinesisSinkConfig {
    fn facts(&self) -> SinkFacts {
        let named = |setting, name: &Option<String>| {
            let names = name.iter().cloned().collect();
            NamedColumns { setting, names, role: ColumnRole::Key }
        };
        SinkFacts {
            positions: Positions::Kept,
            commits: Commits::Apart {
                because: "rows are put into the stream before the ledger knows of them: a failure repeats \
                          at most one unit of each lane",
            },
            upsert: None,
            deletes: false,
            appends: true,
            replaces: false,
            traces: false,
            names: None,
            columns: WantedColumns {
                because: None,
                named: vec![named("key", &self.key), named("hash_key", &self.hash_key)],
            },
            not_with_rule: Vec::new(),
            unit_floor: Duration::ZERO,
            place: format!("in stream {}", self.stream),
            shows_rows: None,
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check_stream(&self.stream, at.key("stream"), found);
        if self.record.0 == 0 || self.record.0 > RECORD_MAX {
            let told = at.key("record").finding("no stream takes records of this size");
            found.push(told.help("1MiB, or up to 10MiB if the stream is set so"));
        }
        check_aws(&self.aws, at.key("aws"), found);
    }

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    fn wants_ledger(&self) -> Option<String> {
        Some(format!("stream {}", self.stream))
    }

    async fn open(&self, _: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::new(ErrorClass::Fatal, "a stream keeps no ledger")
            .help("name one, like `ledger: { sqlite: { path: ledger.db } }`"))
    }

    async fn open_with(
        &self,
        _: SinkContext,
        ledger: Arc<dyn LedgerStore>,
    ) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(KinesisSink::open(self, ledger).await?))
    }
}
