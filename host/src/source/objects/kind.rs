//! `objects`, as one of the kinds of sources.

use std::sync::Arc;

use async_trait::async_trait;
use glob::Pattern;
use schemars::{Schema, SchemaGenerator};

use super::{ObjectsSource, ObjectsSourceConfig};
use crate::connect::{
    ConfigFile, Ends, Positions, SourceConfig, SourceFacts, SourceKind, Spread, Surrounding,
    Surroundings,
};
use crate::objects::{ObjectSet, check_s3, check_url};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Duration, Finding, ReadError, Written, positive};

#[derive(Debug)]
pub struct Objects;

impl SourceKind for Objects {
    fn key(&self) -> &'static str {
        "objects"
    }

    fn summary(&self) -> &'static str {
        "Files of a folder, or objects of a bucket"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<ObjectsSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<ObjectsSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for ObjectsSourceConfig {
    fn facts(&self) -> SourceFacts {
        use Surrounding::{Headers, Key, Offset, Partition, Sequence, Shard, Timestamp, Topic};
        SourceFacts {
            positions: Positions::Kept,
            surroundings: Surroundings {
                // An archive keeps keys and headers, and so may Kafka Connect. Other objects have
                // none.
                always: &[Key, Headers],
                // The place of a row of any other object is no single number.
                in_archives: &[Timestamp, Offset, Topic, Partition, Sequence, Shard],
            },
            reopens: true,
            is_awaited: false,
            has_tombstones: false,
            ends: Ends::Never,
            spread: Spread::Nobody,
            group: None,
            unwrap: self.unwrap.clone(),
            objects: Some(ObjectSet {
                url: self.url.clone(),
                s3: self.s3.clone(),
                archive: self.archive.clone(),
                matching: self.matching.clone(),
                compression: self.compression,
                settle: self.settle,
            }),
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check_url(&self.url, at.key("url"), found);
        check_s3(&self.s3, at.key("s3"), found);
        if let Some(pattern) = &self.matching
            && let Err(fault) = Pattern::new(pattern)
        {
            let told = at.key("match").finding(format!("this is no pattern: {}", fault.msg));
            found.push(told.help("patterns are written like **/*.json"));
        }
        positive(at, &[("poll", self.poll.0.as_millis() as u64)], found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        for url in [Some(&mut self.url), self.archive.as_mut()].into_iter().flatten() {
            if !url.contains("://") {
                file.complete(url);
            }
        }
    }

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(ObjectsSource::open(self, options).await?))
    }

    /// Files that may still be written can be looked at, too.
    async fn open_aside(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        let aside = Self { settle: Duration::secs(0), ..self.clone() };
        aside.open(options).await
    }
}
