//! `kafka`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::check::check;
use super::{KafkaSink, KafkaSinkConfig};
use crate::connect::{
    ColumnRole, Commits, ConfigFile, NamedColumns, Positions, Sink, SinkConfig, SinkContext,
    SinkFacts, SinkKind, WantedColumns,
};
use crate::record::ConnectorError;
use crate::written::{Cursor, Finding, ReadError, Written};

/// A transaction is a handful of requests, one after the other.
const UNIT_FLOOR: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Kafka;

impl SinkKind for Kafka {
    fn key(&self) -> &'static str {
        "kafka"
    }

    fn summary(&self) -> &'static str {
        "A topic"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<KafkaSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<KafkaSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for KafkaSinkConfig {
    fn facts(&self) -> SinkFacts {
        let named =
            [("key", &self.key, ColumnRole::Key), ("headers", &self.headers, ColumnRole::Header)];
        let named = named.map(|(setting, names, role)| NamedColumns {
            setting,
            names: names.clone(),
            role,
        });
        let needs_columns = !self.key.is_empty() || !self.headers.is_empty();
        let (brokers, topic) = (&self.brokers, &self.topic);
        let first = self.topic.all().first().map_or("", String::as_str);
        SinkFacts {
            positions: Positions::Kept,
            commits: Commits::Together {
                because: "one Kafka transaction writes the rows and moves the position",
            },
            upsert: None,
            deletes: !self.key.is_empty(),
            appends: true,
            replaces: false,
            traces: false,
            names: None,
            columns: WantedColumns {
                because: needs_columns.then_some("keys and headers are columns"),
                named: named.into(),
            },
            not_with_rule: Vec::new(),
            unit_floor: UNIT_FLOOR,
            place: format!("in topic {topic}"),
            shows_rows: Some(format!(
                "kafka-console-consumer.sh --bootstrap-server {brokers} --topic {first} \
                 --from-beginning --isolation-level read_committed"
            )),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check(self, at, found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        if let Some(pipeline) = file.pipeline {
            self.ledger = Some(self.ledger_topic(pipeline));
            self.dead_letters = Some(self.letters_topic(pipeline));
        }
        if let Some(tls) = &mut self.tls {
            let files = [&mut tls.ca, &mut tls.certificate, &mut tls.key];
            files.into_iter().flatten().for_each(|path| file.complete(path));
        }
    }

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(KafkaSink::open(self, context)?))
    }
}
