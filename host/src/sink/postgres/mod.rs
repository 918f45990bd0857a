//! Rows in a table of a PostgreSQL database, with everything that pinhost knows of them beside it, in the
//! schema `pinhost`: where lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction. Rows go in by binary COPY, encoded on the cleaning threads; the lane's
//! position comes last. One database may serve several pipelines, tables and processes. Not here: which
//! units there are, and what is done about errors.

mod catalog;
mod commit;
mod copy;
mod ddl;
mod encode;
mod error;
mod generation;
mod journal;
mod lane;
mod letters;
mod lineage;
mod name;
mod session;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ConstantBuilder, Retryable as _};
use bytes::Bytes;

use self::commit::{CommitError, Settled};
use self::error::Place;
pub use self::error::{PostgresFault, PostgresSinkError};
use self::lane::Lanes;
use self::session::{Database, answered, begin, pid};
use self::table::Table;
use self::write::Plan;
use super::table::{Forgetting, Keep, TableFault};
use super::{
    Claim, Committed, DeadLetterFilter, LaneState, LineageRange, Retry, Sink, SinkContext, Stored,
    StoredDeadLetter,
};
use crate::pipeline::config::{NulCharacters, PostgresSinkConfig};
use crate::record::{Batch, ConnectorError, ErrorClass, Generation, Lane, Position, Rows, Unit};

/// How long a commit asks what became of it, before it says that it does not know: servers start again
/// within such a time.
const SETTLE_EVERY: Duration = Duration::from_millis(500);
const SETTLE_TIMES: usize = 60;

#[derive(Debug)]
pub struct PostgresSink {
    context: SinkContext,
    place: Place,
    table: Table,
    nul: NulCharacters,
    database: Database,
    /// How rows are written, once it is known what the table looks like.
    plan: Mutex<Option<Arc<Plan>>>,
    forgetting: Forgetting,
}

impl PostgresSink {
    /// Checks what can be checked without the database.
    pub fn open(config: &PostgresSinkConfig, context: SinkContext) -> Result<Self, ConnectorError> {
        let open = || {
            let table = Table::new(config, context.columns.clone())?;
            Ok((table, Database::new(config, &context.pipeline)?))
        };
        let (table, database) = open().map_err(|fault: PostgresFault| {
            let (shown, table) = ("sink.postgres".to_owned(), config.table.clone());
            Place { shown, database: String::new(), role: String::new(), table }.told(fault)
        })?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: config.keep_deletes.0 };
        Ok(Self {
            context,
            place: database.place(table.name.quoted()),
            table,
            nul: config.nul,
            database,
            plan: Mutex::default(),
            forgetting: Forgetting::new(keep),
        })
    }

    fn own_lanes(&self) -> Lanes<'_> {
        Lanes { pipeline: &self.context.pipeline, target: &self.table.target.name }
    }

    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, PostgresFault>>,
    ) -> Result<T, ConnectorError> {
        work.await.map_err(|fault| self.place.told(fault))
    }

    /// Makes or checks all tables, unless that was done.
    async fn plan(&self) -> Result<Arc<Plan>, PostgresFault> {
        let known = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let mut lease = self.database.lease().await?;
        let mut transaction = begin(&mut lease).await?;
        state::check_encoding(&mut transaction).await?;
        state::lock(&mut transaction).await?;
        state::migrate(&mut transaction, state::MIGRATIONS).await?;
        let plan = Arc::new(self.table.prepare(&mut transaction).await?);
        answered(transaction.commit()).await?;
        lease.keep();
        self.set_plan(Some(Arc::clone(&plan)));
        Ok(plan)
    }

    fn set_plan(&self, plan: Option<Arc<Plan>>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// Finds out what became of a commit whose answer was lost.
    async fn settle(
        &self,
        asked: Asked<'_>,
        fault: PostgresFault,
        stored: Stored,
    ) -> Result<Committed, PostgresFault> {
        let wait = ConstantBuilder::new().with_delay(SETTLE_EVERY).with_max_times(SETTLE_TIMES);
        let settled = (|| self.settled(asked))
            .retry(wait)
            .when(|fault| fault.class() == ErrorClass::Transient)
            .await;
        match settled {
            Ok(Settled::Committed) => Ok(Committed::Done(stored)),
            Ok(Settled::Fenced) => Ok(Committed::Fenced),
            // Not known: no harm is done, as what is offered again meets what is stored.
            Ok(Settled::Not) | Err(_) => Err(fault),
        }
    }

    async fn settled(&self, asked: Asked<'_>) -> Result<Settled, PostgresFault> {
        let mut lease = self.database.lease().await?;
        let mut transaction = begin(&mut lease).await?;
        let settled = match asked {
            Asked::Unit(claim, unit) => {
                let pid = pid(&mut transaction).await?;
                let lanes = self.own_lanes();
                let settle = commit::settle(&mut transaction, &lanes, claim, unit);
                self.database.unblocked(pid, settle).await?
            }
            Asked::Retry(retry) => {
                commit::settle_retry(&mut transaction, &self.context.pipeline, retry).await?
            }
        };
        answered(transaction.commit()).await?;
        lease.keep();
        Ok(settled)
    }
}

/// What a commit was about.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    Unit(&'a Claim, &'a Unit),
    Retry(&'a Retry),
}

#[async_trait]
impl Sink for PostgresSink {
    async fn prepare(&self) -> Result<(), ConnectorError> {
        self.set_plan(None);
        self.told(async { self.plan().await.map(drop) }).await
    }

    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        let keep = async {
            self.plan().await?;
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            generation::keep(&mut transaction, generation).await?;
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(())
        };
        self.told(keep).await
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let claim = async {
            let source = self.context.source.as_ref().ok_or(TableFault::NoSource)?;
            self.plan().await?;
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let pid = pid(&mut transaction).await?;
            let lanes = self.own_lanes();
            let claim = lanes.claim(&mut transaction, source, lane, start);
            let claim = self.database.unblocked(pid, claim).await?;
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(claim)
        };
        self.told(claim).await
    }

    fn encode(&self, rows: Batch) -> Rows {
        Rows::Bytes(encode::encode(rows, self.nul))
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<Committed, ConnectorError> {
        let commit = async {
            let plan = self.plan().await?;
            let mut lease = self.database.lease().await?;
            let (lanes, forget) = (self.own_lanes(), self.forgetting.due());
            let into = (&self.table, &*plan);
            match commit::commit(&mut lease, into, &lanes, claim, unit, forget).await {
                Ok(committed) => {
                    lease.keep();
                    Ok(committed)
                }
                Err(CommitError::Before(fault)) => Err(fault),
                Err(CommitError::Unknown(fault, stored)) => {
                    drop(lease);
                    self.settle(Asked::Unit(claim, unit), fault, stored).await
                }
            }
        };
        self.told(commit).await
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let read = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut entries = Vec::new();
            if state::is_there(&mut transaction).await? {
                entries = journal::entries(&mut transaction, pipeline, lane).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(entries)
        };
        self.told(read).await
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let append = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let is_appended =
                journal::append(&mut transaction, &self.own_lanes(), claim, number, &entry).await?;
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(is_appended)
        };
        self.told(append).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let read = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut lanes = Vec::new();
            if state::is_there(&mut transaction).await? {
                lanes = self.own_lanes().all(&mut transaction).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(lanes)
        };
        self.told(read).await
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        let move_lane = async {
            // A topic that was made anew is another place to go on at.
            if !from.is_like(&to) {
                let lane = lane.clone();
                return Err(TableFault::Backwards { lane, from, to }.into());
            }
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut is_moved = false;
            if state::is_there(&mut transaction).await? {
                let pid = pid(&mut transaction).await?;
                let lanes = self.own_lanes();
                let moved = lanes.move_lane(&mut transaction, lane, from, to);
                is_moved = self.database.unblocked(pid, moved).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(is_moved)
        };
        self.told(move_lane).await
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let accept = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut is_known = false;
            if state::is_there(&mut transaction).await? {
                let pid = pid(&mut transaction).await?;
                let lanes = self.own_lanes();
                let accepted = lanes.accept_rejects(&mut transaction, lane, records);
                is_known = self.database.unblocked(pid, accepted).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(is_known)
        };
        self.told(accept).await
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let note = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            self.own_lanes().note_halt(&mut transaction, claim, reason).await?;
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(())
        };
        self.told(note).await
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let read = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut ranges = Vec::new();
            if state::is_there(&mut transaction).await? {
                ranges = lineage::all(&mut transaction, pipeline).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(ranges)
        };
        self.told(read).await
    }

    async fn dead_letters(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let read = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            let mut letters = Vec::new();
            if state::is_there(&mut transaction).await? {
                letters = letters::list(&mut transaction, pipeline, which).await?;
            }
            answered(transaction.commit()).await?;
            lease.keep();
            Ok(letters)
        };
        self.told(read).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<Committed, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let commit = async {
            let plan = self.plan().await?;
            let mut lease = self.database.lease().await?;
            let into = (&self.table, &*plan);
            match commit::retry(&mut lease, into, pipeline, retry).await {
                Ok(committed) => {
                    lease.keep();
                    Ok(committed)
                }
                Err(CommitError::Before(fault)) => Err(fault),
                Err(CommitError::Unknown(fault, stored)) => {
                    drop(lease);
                    self.settle(Asked::Retry(retry), fault, stored).await
                }
            }
        };
        self.told(commit).await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.database.close().await;
        Ok(())
    }
}
