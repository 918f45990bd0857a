//! A sink is two things: a ledger, which is what a pipeline knows of itself, and writers, which take rows
//! of given columns into the target. Both are committed in one atomic step where the system has one.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::ledger::{Claim, CommitOutcome, Ledger, Retry, RowOrigin};
use crate::record::{Batch, ConnectorError, Field, Rows, SourceId, Unit};

/// What a sink is opened for.
#[derive(Debug, Clone)]
pub struct SinkContext {
    pub pipeline: Arc<str>,
    /// None for those who only look, and claim nothing.
    pub source: Option<SourceId>,
    /// Rows have columns; without a rule, records are written as they came.
    pub has_rule: bool,
    /// For ever, if there is none.
    pub keep_dead_letters: Option<Duration>,
    /// What the same records gave before makes way. Only tables know which rows those are.
    pub replaces: bool,
    /// The pipeline into whose rows a replay writes: what made them stands in that one's lineage too.
    pub replay_into: Option<Arc<str>>,
}

/// Opened once per pipeline and process. What a process knows of its lanes is kept here, whatever columns
/// its writers have.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    fn ledger(&self) -> &Ledger;

    /// Makes or checks what the ledger needs. Asked before the first claim, and again after an error.
    async fn prepare(&self) -> Result<(), ConnectorError>;

    /// Writes rows of these columns; without columns, records as they came. Makes or checks what rows are
    /// written to. If it is `dry`, nothing is made: the answer tells whether rows would find their place,
    /// and the writer makes that place with its first commit.
    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError>;

    /// Where rows come from whose column has this value, as text; none if rows do not tell.
    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        let _ = (column, value);
        Ok(None)
    }

    /// Makes the versions of all rows anew, by what the pipeline says of them now; none if rows of this sink
    /// have no versions.
    async fn rebase(&self, columns: Arc<[Field]>) -> Result<Option<Rebased>, ConnectorError> {
        let _ = columns;
        Ok(None)
    }

    /// Asked last, when everything that was to be committed is. What a sink leaves behind without it is
    /// sound, but may be untidy.
    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// Takes rows of given columns into the target. A change of columns makes another writer, and never another
/// owner of a lane.
#[async_trait]
pub trait Writer: Debug + Send + Sync {
    /// Rows in the form in which they are cheapest to write. Called on cleaning threads, for several
    /// batches at once.
    fn encode(&self, rows: Batch) -> Rows {
        Rows::Columns(rows)
    }

    /// All of the unit or nothing of it. Compare-and-set on the claim's token and position. A lost answer
    /// is settled inside, before this returns; after an error the same unit may be offered again.
    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError>;

    /// Rows and new dead letters of records that were dead letters, with those letters' new state, in one
    /// atomic step; compare-and-set on their state.
    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError>;
}

/// Rows whose versions were made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebased {
    pub rows: u64,
    /// Deletes that are forgotten: nobody knows any more how new they were.
    pub deletes: u64,
    /// What versions mean now.
    pub meaning: String,
}
