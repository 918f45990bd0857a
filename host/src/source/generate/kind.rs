//! `generate`, as one of the kinds of sources.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{GenerateSource, GenerateSourceConfig};
use crate::connect::{
    ConfigFile, Ends, Positions, SourceConfig, SourceFacts, SourceKind, Spread, Surrounding,
    Surroundings,
};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written, positive};

#[derive(Debug)]
pub struct Generate;

impl SourceKind for Generate {
    fn key(&self) -> &'static str {
        "generate"
    }

    fn summary(&self) -> &'static str {
        "Made-up posts"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<GenerateSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<GenerateSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for GenerateSourceConfig {
    fn facts(&self) -> SourceFacts {
        SourceFacts {
            positions: Positions::Kept,
            surroundings: Surroundings {
                always: &[Surrounding::Key, Surrounding::Timestamp, Surrounding::Offset],
                in_archives: &[],
            },
            reopens: true,
            is_awaited: false,
            has_tombstones: false,
            ends: match self.count {
                Some(count) => Ends::After { records: Some(count) },
                None => Ends::Never,
            },
            spread: Spread::Nobody,
            group: None,
            unwrap: self.unwrap.clone(),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        let given = |value: Option<u64>| value.unwrap_or(1);
        positive(at, &[("rate", given(self.rate)), ("keys", given(self.keys))], found);
    }

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    async fn open(&self, _: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(GenerateSource::new(self)))
    }
}
