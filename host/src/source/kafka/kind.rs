//! `kafka`, as one of the kinds of sources.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use uuid::Uuid;

use super::check::check;
use super::{KafkaSource, KafkaSourceConfig};
use crate::connect::{
    ConfigFile, Ends, GroupShare, Positions, SourceConfig, SourceFacts, SourceKind, Spread,
    Surrounding, Surroundings,
};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Kafka;

impl SourceKind for Kafka {
    fn key(&self) -> &'static str {
        "kafka"
    }

    fn summary(&self) -> &'static str {
        "Topics"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<KafkaSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<KafkaSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for KafkaSourceConfig {
    fn facts(&self) -> SourceFacts {
        use Surrounding::{Headers, Key, Offset, Partition, Timestamp, Topic};
        SourceFacts {
            positions: Positions::Kept,
            surroundings: Surroundings {
                always: &[Key, Timestamp, Offset, Topic, Partition, Headers],
                in_archives: &[],
            },
            reopens: true,
            is_awaited: false,
            has_tombstones: true,
            ends: Ends::Never,
            spread: Spread::ByGroup,
            group: Some(GroupShare {
                cluster: self.brokers.to_string(),
                group: self.group.clone().unwrap_or_default(),
                told: "in the same group",
                help: "each would get a part of the records only; give one of them another `group:`",
                shared: self.topics.iter().map(|topic| format!("topic {topic}")).collect(),
            }),
            unwrap: self.unwrap.clone(),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check(self, at, found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        if let Some(pipeline) = file.pipeline {
            self.group = Some(self.group(pipeline));
        }
        if let Some(tls) = &mut self.tls {
            let files = [&mut tls.ca, &mut tls.certificate, &mut tls.key];
            files.into_iter().flatten().for_each(|path| file.complete(path));
        }
    }

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(KafkaSource::open(self, options)?))
    }

    /// In a group of its own, which is gone when nobody is left in it: partitions stay with those that
    /// have them.
    async fn open_aside(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        let id = Uuid::new_v4().simple().to_string();
        let group = format!("{}.look-{}", self.group(&options.pipeline), &id[..8]);
        let aside = Self { group: Some(group), instance: None, ..self.clone() };
        Ok(Arc::new(KafkaSource::open(&aside, options)?))
    }
}
