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
use sqlx::postgres::PgConnection;

use self::commit::{CommitError, Settled};
use self::ddl::table_name;
use self::error::Place;
pub use self::error::{PostgresFault, PostgresSinkError};
use self::lane::Lanes;
use self::session::{Database, Lease, answered, begin};
use self::table::Table;
use self::write::Plan;
use super::table::{Forgetting, Keep, TableFault};
use super::{
    Claim, Committed, DeadLetterFilter, Judgement, LaneState, LineageRange, Retry, RowOrigin, Sink,
    SinkContext, StoredDeadLetter,
};
use crate::pipeline::config::{NulCharacters, PostgresSinkConfig};
use crate::record::{
    Batch, ConnectorError, Digest, ErrorClass, Generation, Lane, Position, Rows, Unit,
};

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
            let table = Table::new(config, context.columns.clone(), context.replaces)?;
            Ok((table, Database::new(config, &context.pipeline)?))
        };
        let (table, database) = open().map_err(|fault: PostgresFault| {
            let (shown, table) = ("sink.postgres".to_owned(), config.table.clone());
            Place { shown, database: String::new(), role: String::new(), table }.told(fault)
        })?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: config.keep_deletes.0 };
        Ok(Self {
            context,
            place: database.place(table_name(&table.name)),
            table,
            nul: config.nul,
            database,
            plan: Mutex::default(),
            forgetting: Forgetting::new(keep),
        })
    }

    fn own_lanes(&self) -> Lanes<'_> {
        Lanes {
            pipeline: &self.context.pipeline,
            target: &self.table.target.name,
            replay_into: self.context.replay_into.as_deref(),
        }
    }

    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, PostgresFault>>,
    ) -> Result<T, ConnectorError> {
        work.await.map_err(|fault| self.place.told(fault))
    }

    /// Does something in a transaction of its own.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, PostgresFault>,
    ) -> Result<T, PostgresFault> {
        let mut lease = self.database.lease().await?;
        let mut transaction = begin(&mut lease).await?;
        let done = work(&mut transaction).await?;
        answered(transaction.commit()).await?;
        lease.keep();
        Ok(done)
    }

    /// The same where pinhost has been before; elsewhere there is nothing.
    async fn within_state<T: Default>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, PostgresFault>,
    ) -> Result<T, PostgresFault> {
        let work = async |connection: &mut PgConnection| {
            if state::is_there(connection).await? {
                work(connection).await
            } else {
                Ok(T::default())
            }
        };
        self.within(work).await
    }

    /// Makes or checks all tables, unless that was done.
    async fn plan(&self) -> Result<Arc<Plan>, PostgresFault> {
        let known = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let prepare = async |connection: &mut PgConnection| {
            state::check_encoding(connection).await?;
            state::lock(connection).await?;
            state::migrate(connection, state::MIGRATIONS).await?;
            self.table.prepare(connection).await.map(Arc::new)
        };
        let plan = self.within(prepare).await?;
        self.set_plan(Some(Arc::clone(&plan)));
        Ok(plan)
    }

    fn set_plan(&self, plan: Option<Arc<Plan>>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// What a commit came to. One whose answer was lost is asked about.
    async fn settle(
        &self,
        lease: Lease<'_>,
        asked: Asked<'_>,
        answer: Result<Committed, CommitError>,
    ) -> Result<Committed, PostgresFault> {
        let (fault, stored) = match answer {
            Ok(committed) => {
                lease.keep();
                return Ok(committed);
            }
            Err(CommitError::Before(fault)) => return Err(fault),
            Err(CommitError::Unknown(fault, stored)) => (fault, stored),
        };
        drop(lease);
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
        let settle = async |connection: &mut PgConnection| match asked {
            Asked::Unit(claim, unit) => {
                let settle = async |connection: &mut PgConnection| {
                    commit::settle(connection, &self.own_lanes(), claim, unit).await
                };
                self.database.unblocked(connection, settle).await
            }
            Asked::Retry(retry) => {
                commit::settle_retry(connection, &self.context.pipeline, retry).await
            }
        };
        self.within(settle).await
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
            self.within(async |connection| generation::keep(connection, generation).await).await
        };
        self.told(keep).await
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        let find = async |connection: &mut PgConnection| generation::find(connection, digest).await;
        self.told(self.within_state(find)).await
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        let judge = async |connection: &mut PgConnection| {
            generation::judge(connection, &self.context.pipeline, judgement).await
        };
        self.told(self.within(judge)).await
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            if state::has_verdicts(connection).await? {
                generation::judgements(connection, &self.context.pipeline).await
            } else {
                Ok(Vec::new())
            }
        };
        self.told(self.within(read)).await
    }

    async fn would_take(&self) -> Result<(), ConnectorError> {
        let look = async {
            let mut lease = self.database.lease().await?;
            let mut transaction = begin(&mut lease).await?;
            state::lock(&mut transaction).await?;
            let fit = self.table.prepare(&mut transaction).await;
            answered(transaction.rollback()).await?;
            lease.keep();
            fit.map(drop)
        };
        self.told(look).await
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let claim = async {
            let source = self.context.source.as_ref().ok_or(TableFault::NoSource)?;
            self.plan().await?;
            let claim = async |connection: &mut PgConnection| {
                self.own_lanes().claim(connection, source, lane, start).await
            };
            self.within(async |connection| self.database.unblocked(connection, claim).await).await
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
            let answer = commit::commit(&mut lease, into, &lanes, claim, unit, forget).await;
            self.settle(lease, Asked::Unit(claim, unit), answer).await
        };
        self.told(commit).await
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            journal::entries(connection, &self.context.pipeline, lane).await
        };
        self.told(self.within_state(read)).await
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let append = async |connection: &mut PgConnection| {
            journal::append(connection, &self.own_lanes(), claim, number, &entry).await
        };
        self.told(self.within(append)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let read = async |connection: &mut PgConnection| self.own_lanes().all(connection).await;
        self.told(self.within_state(read)).await
    }

    async fn writers(&self) -> Result<Vec<String>, ConnectorError> {
        let read = async |connection: &mut PgConnection| self.own_lanes().writers(connection).await;
        self.told(self.within_state(read)).await
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
            let work = async |connection: &mut PgConnection| {
                self.own_lanes().move_lane(connection, lane, from, to).await
            };
            self.within_state(async |connection| self.database.unblocked(connection, work).await)
                .await
        };
        self.told(move_lane).await
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let accept = async |connection: &mut PgConnection| {
            self.own_lanes().accept_rejects(connection, lane, records).await
        };
        let accept =
            self.within_state(async |connection| self.database.unblocked(connection, accept).await);
        self.told(accept).await
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let note = async |connection: &mut PgConnection| {
            self.own_lanes().note_halt(connection, claim, reason).await
        };
        self.told(self.within(note)).await
    }

    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            self.table.origins(connection, column, value).await
        };
        self.told(self.within_state(read)).await
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            lineage::all(connection, &self.context.pipeline).await
        };
        self.told(self.within_state(read)).await
    }

    async fn dead_letters(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            letters::list(connection, &self.context.pipeline, which).await
        };
        self.told(self.within_state(read)).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<Committed, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let commit = async {
            let plan = self.plan().await?;
            let mut lease = self.database.lease().await?;
            let into = (&self.table, &*plan);
            let answer = commit::retry(&mut lease, into, pipeline, retry).await;
            self.settle(lease, Asked::Retry(retry), answer).await
        };
        self.told(commit).await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.database.close().await;
        Ok(())
    }
}
