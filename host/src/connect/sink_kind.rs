//! Kinds of sinks.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{AnyConfig, ConfigFile, LedgerStore, PipelineLedger, Sink, SinkContext, SinkFacts};
use crate::record::{ConnectorError, ErrorClass};
use crate::written::{Cursor, Finding, ReadError, Written};

/// A kind of sink.
pub trait SinkKind: Debug + Sync {
    /// Its key below `sink:`.
    fn key(&self) -> &'static str;

    /// What it is, in a few words for `pinhost new --help`.
    fn summary(&self) -> &'static str;

    /// What `pinhost new` writes below `sink:`, with comments.
    fn template(&self) -> &'static str;

    /// Its manual beyond what the configuration says: Markdown.
    fn page(&self) -> &'static str;

    /// The JSON Schema of its configuration, for editors.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Its configuration, as it was written.
    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError>;
}

/// What was written of a sink.
#[async_trait]
pub trait SinkConfig: AnyConfig {
    fn facts(&self) -> SinkFacts;

    /// What is wrong with it by itself. What must not be shown is concealed first.
    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>);

    /// Fills in what follows from the file that it stands in: paths, and names that were left out.
    fn complete(&mut self, file: &ConfigFile<'_>);

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError>;

    /// What rows go to, for a sink that has nothing to keep a ledger in: the pipeline names one then, which
    /// keeps its positions under this name.
    fn wants_ledger(&self) -> Option<String> {
        None
    }

    /// With the ledger that it wants.
    async fn open_with(
        &self,
        context: SinkContext,
        ledger: Arc<dyn LedgerStore>,
    ) -> Result<Arc<dyn Sink>, ConnectorError> {
        let _ = ledger;
        self.open(context).await
    }
}

/// The sink of a pipeline: a kind, and what was written of it.
#[derive(Clone)]
pub struct PipelineSink {
    kind: &'static dyn SinkKind,
    config: Arc<dyn SinkConfig>,
    /// For a sink that has none.
    ledger: Option<PipelineLedger>,
}

impl PipelineSink {
    pub fn new(kind: &'static dyn SinkKind, config: impl SinkConfig) -> Self {
        Self { kind, config: Arc::new(config), ledger: None }
    }

    pub fn read(kind: &'static dyn SinkKind, written: Written<'_>) -> Result<Self, ReadError> {
        Ok(Self { kind, config: kind.read(written)?.into(), ledger: None })
    }

    /// The key of its kind.
    pub fn kind(&self) -> &'static str {
        self.kind.key()
    }

    pub fn facts(&self) -> SinkFacts {
        self.config.facts()
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

    /// Whether the pipeline has to name a ledger for it.
    pub fn wants_ledger(&self) -> bool {
        self.config.wants_ledger().is_some()
    }

    #[must_use]
    pub fn with_ledger(self, ledger: Option<PipelineLedger>) -> Self {
        Self { ledger, ..self }
    }

    pub async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        let Some(target) = self.config.wants_ledger() else {
            return self.config.open(context).await;
        };
        let Some(ledger) = &self.ledger else {
            return Err(ConnectorError::new(ErrorClass::Fatal, "the pipeline names no `ledger:`"));
        };
        let ledger = ledger.open(&context, &target)?;
        self.config.open_with(context, ledger).await
    }
}

/// Without what its settings say, some of which are secrets.
impl Debug for PipelineSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineSink").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for PipelineSink {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
            && self.config.equals(&*other.config)
            && self.ledger == other.ledger
    }
}

/// `{ kind: … }`, as it is written.
impl Serialize for PipelineSink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.kind(), self.config.to_json())])
    }
}
