//! Ledgers that are named: for sinks that have nothing to keep one in.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{AnyConfig, CommitOutcome, ConfigFile, Retry, SinkContext};
use crate::ledger::{Claim, Ledger};
use crate::record::{ConnectorError, DeadLetter, Unit};
use crate::written::{Cursor, Finding, ReadError, Written};

/// A kind of ledger.
pub trait LedgerKind: Debug + Sync {
    /// Its key below `ledger:`.
    fn key(&self) -> &'static str;

    /// The JSON Schema of its configuration, for editors.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Its configuration, as it was written.
    fn read(&self, written: Written<'_>) -> Result<Box<dyn LedgerConfig>, ReadError>;
}

/// What was written of a ledger.
pub trait LedgerConfig: AnyConfig {
    /// What is wrong with it by itself. What must not be shown is concealed first.
    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>);

    /// Fills in what follows from the file that it stands in: paths.
    fn complete(&mut self, file: &ConfigFile<'_>);

    /// Of a sink whose rows go to `target`.
    fn open(
        &self,
        context: &SinkContext,
        target: &str,
    ) -> Result<Arc<dyn LedgerStore>, ConnectorError>;
}

/// A ledger, with all of a unit but its rows: those are somewhere else by then.
#[async_trait]
pub trait LedgerStore: Debug + Send + Sync {
    fn ledger(&self) -> &Ledger;

    /// Makes or checks what the ledger needs. Asked before the first claim, and again after an error.
    async fn prepare(&self) -> Result<(), ConnectorError>;

    /// Whether the unit's rows may be written.
    async fn leave(&self, claim: &Claim, unit: &Unit) -> Result<WriteLeave, ConnectorError>;

    /// The unit's rows are written, but for those that were refused: dead letters, each with the number of
    /// its part. Compare-and-set on the claim's token and position.
    async fn commit(
        &self,
        claim: &Claim,
        unit: &Unit,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError>;

    /// The same for letters that were tried again: of those that were refused, each with its number.
    async fn commit_retry(
        &self,
        retry: &Retry,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError>;

    async fn close(&self) -> Result<(), ConnectorError>;
}

/// What the ledger says to a unit before its rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteLeave {
    /// The claim is the owner's, and the lane stands where the unit begins.
    Write,
    /// It was committed under this claim; only the answer was lost.
    Committed,
    /// Somebody found its generation to be bad.
    Condemned,
    Fenced,
}

/// The ledger of a pipeline whose sink has none: a kind, and what was written of it.
#[derive(Clone)]
pub struct PipelineLedger {
    kind: &'static dyn LedgerKind,
    config: Arc<dyn LedgerConfig>,
}

impl PipelineLedger {
    pub fn read(kind: &'static dyn LedgerKind, written: Written<'_>) -> Result<Self, ReadError> {
        Ok(Self { kind, config: kind.read(written)?.into() })
    }

    /// The key of its kind.
    pub fn kind(&self) -> &'static str {
        self.kind.key()
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

    pub fn open(
        &self,
        context: &SinkContext,
        target: &str,
    ) -> Result<Arc<dyn LedgerStore>, ConnectorError> {
        self.config.open(context, target)
    }
}

/// Without what its settings say, some of which are secrets.
impl Debug for PipelineLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineLedger").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for PipelineLedger {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.config.equals(&*other.config)
    }
}

/// `{ kind: … }`, as it is written.
impl Serialize for PipelineLedger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.kind(), self.config.to_json())])
    }
}
