//! Kinds of sources.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{AnyConfig, ConfigFile, SourceFacts};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written};

/// A kind of source.
pub trait SourceKind: Debug + Sync {
    /// Its key below `source:`.
    fn key(&self) -> &'static str;

    /// What it is, in a few words for `pinhost new --help`.
    fn summary(&self) -> &'static str;

    /// What `pinhost new` writes below `source:`, with comments.
    fn template(&self) -> &'static str;

    /// Its manual beyond what the configuration says: Markdown.
    fn page(&self) -> &'static str;

    /// The JSON Schema of its configuration, for editors.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Its configuration, as it was written.
    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError>;
}

/// What was written of a source.
#[async_trait]
pub trait SourceConfig: AnyConfig {
    fn facts(&self) -> SourceFacts;

    /// What is wrong with it by itself. What must not be shown is concealed first.
    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>);

    /// Fills in what follows from the file that it stands in: paths, and names that were left out.
    fn complete(&mut self, file: &ConfigFile<'_>);

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError>;

    /// The same for somebody who only looks: whoever runs the pipeline meanwhile notices nothing.
    async fn open_aside(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        self.open(options).await
    }
}

/// The source of a pipeline: a kind, and what was written of it.
#[derive(Clone)]
pub struct PipelineSource {
    kind: &'static dyn SourceKind,
    config: Arc<dyn SourceConfig>,
}

impl PipelineSource {
    pub fn new(kind: &'static dyn SourceKind, config: impl SourceConfig) -> Self {
        Self { kind, config: Arc::new(config) }
    }

    pub fn read(kind: &'static dyn SourceKind, written: Written<'_>) -> Result<Self, ReadError> {
        Ok(Self { kind, config: kind.read(written)?.into() })
    }

    /// The key of its kind.
    pub fn kind(&self) -> &'static str {
        self.kind.key()
    }

    pub fn facts(&self) -> SourceFacts {
        self.config.facts()
    }

    /// The member of each record's object in which the record stands.
    pub fn unwrap(&self) -> Option<String> {
        self.facts().unwrap
    }

    /// What is wrong with it by itself, where `at` is what stands below its kind.
    pub fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        self.config.check(at, found);
    }

    /// Fills in what follows from the file that it stands in.
    pub fn complete(&mut self, file: &ConfigFile<'_>) {
        let config = Arc::get_mut(&mut self.config).expect("it was just read");
        config.complete(file);
    }

    pub async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        self.config.open(options).await
    }

    /// The same for somebody who only looks.
    pub async fn open_aside(
        &self,
        options: &SourceOptions,
    ) -> Result<Arc<dyn Source>, ConnectorError> {
        self.config.open_aside(options).await
    }
}

/// Without what its settings say, some of which are secrets.
impl Debug for PipelineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineSource").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for PipelineSource {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.config.equals(&*other.config)
    }
}

/// `{ kind: … }`, as it is written.
impl Serialize for PipelineSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.kind(), self.config.to_json())])
    }
}
