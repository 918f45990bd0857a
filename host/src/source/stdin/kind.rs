//! `stdin`, as one of the kinds of sources.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{StdinSource, StdinSourceConfig};
use crate::connect::{
    ConfigFile, Ends, Positions, SourceConfig, SourceFacts, SourceKind, Spread, Surrounding,
    Surroundings,
};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Stdin;

impl SourceKind for Stdin {
    fn key(&self) -> &'static str {
        "stdin"
    }

    fn summary(&self) -> &'static str {
        "Whatever is piped in"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<StdinSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<StdinSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for StdinSourceConfig {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            positions: Positions::ForOneRun { because: "stdin has no position" },
            surroundings: Surroundings { always: &[Surrounding::Offset], in_archives: &[] },
            reopens: false,
            is_awaited: false,
            has_tombstones: false,
            ends: Ends::After { records: None },
            spread: Spread::Nobody,
            group: None,
            unwrap: self.unwrap.clone(),
            objects: None,
        }
    }

    fn check(&self, _: Cursor<'_>, _: &mut Vec<Finding>) {}

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(StdinSource::new(self, options.record_bytes_max)))
    }
}
