//! Rows in a table of a PostgreSQL database, with everything that pinhost knows of them beside it, in the
//! schema `pinhost`: where lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction. Rows go in by binary COPY, encoded on the cleaning threads; the lane's
//! position comes last. One database may serve several pipelines, tables and processes. Not here: which
//! units there are, and what is done about errors.

mod catalog;
mod check;
mod commit;
mod config;
mod copy;
mod ddl;
mod encode;
mod error;
mod generation;
mod journal;
mod kind;
mod lane;
mod letters;
mod lineage;
mod member;
mod session;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ConstantBuilder, Retryable as _};
use bytes::Bytes;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use self::commit::{CommitError, Settled};
pub use self::config::{DatabaseUrl, NulCharacters, PostgresSinkConfig};
use self::ddl::table_name;
use self::error::Place;
pub use self::error::{PostgresFault, PostgresSinkError};
pub use self::kind::Postgres;
use self::lane::Lanes;
pub use self::name::{POSTGRES_NAMES, TableName};
use self::session::{Database, Lease, answered, begin};
use self::table::Table;
use self::write::Plan;
use super::table::{Forgetting, Keep, TableFault};
use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Writer};
use crate::ledger::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, Ledger, Letters,
    LineageRange, Member, Members, RowOrigin, StoredDeadLetter,
};
use crate::record::{
    Batch, ConnectorError, Digest, ErrorClass, Field, Generation, Lane, Position, Rows, Unit,
};

/// How long a commit asks what became of it, before it says that it does not know: servers start again
/// within such a time.
const SETTLE_EVERY: Duration = Duration::from_millis(500);
const SETTLE_TIMES: usize = 60;

#[derive(Debug)]
pub struct PostgresSink {
    store: Arc<PostgresStore>,
    ledger: Ledger,
}

/// The database, with one pool for all that a pipeline does there; the ledger is kept in it.
#[derive(Debug)]
struct PostgresStore {
    config: PostgresSinkConfig,
    context: SinkContext,
    place: Place,
    name: TableName,
    database: Database,
    /// The ledger's tables are there.
    is_ready: AtomicBool,
    forgetting: Forgetting,
    member: Uuid,
}

/// Writes rows of given columns into the table.
#[derive(Debug)]
struct PostgresWriter {
    store: Arc<PostgresStore>,
    table: Table,
    /// How rows are written, once it is known what the table looks like.
    plan: Mutex<Option<Arc<Plan>>>,
}

impl PostgresSink {
    /// Checks what can be checked without the database.
    pub fn open(config: &PostgresSinkConfig, context: SinkContext) -> Result<Self, ConnectorError> {
        let open = || {
            let name = TableName::read(&config.table).map_err(TableFault::from)?;
            if context.source.is_some() && !context.has_rule {
                return Err(TableFault::NoRule.into());
            }
            Ok((name, Database::new(config, &context.pipeline)?))
        };
        let (name, database) = open().map_err(|fault: PostgresFault| {
            let (shown, table) = ("sink.postgres".to_owned(), config.table.clone());
            Place { shown, database: String::new(), role: String::new(), table }.told(fault)
        })?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: config.keep_deletes.0 };
        let store = Arc::new(PostgresStore {
            config: config.clone(),
            context,
            place: database.place(table_name(&name)),
            name,
            database,
            is_ready: AtomicBool::new(false),
            forgetting: Forgetting::new(keep),
            member: Uuid::new_v4(),
        });
        let ledger = Ledger::of(&store);
        Ok(Self { store, ledger })
    }
}

impl PostgresStore {
    fn own_lanes(&self) -> Lanes<'_> {
        Lanes {
            pipeline: &self.context.pipeline,
            target: &self.config.table,
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

    /// Makes or checks the ledger's tables, unless that was done.
    async fn ready(&self) -> Result<(), PostgresFault> {
        if !self.is_ready.load(Ordering::Acquire) {
            self.within(async |connection| make_ledger(connection).await).await?;
            self.is_ready.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// In the middle of a transaction, which has the lock from then on.
async fn make_ledger(connection: &mut PgConnection) -> Result<(), PostgresFault> {
    state::check_encoding(connection).await?;
    state::lock(connection).await?;
    state::migrate(connection, state::MIGRATIONS).await
}

impl PostgresWriter {
    /// Makes or checks the table, unless that was done.
    async fn plan(&self) -> Result<Arc<Plan>, PostgresFault> {
        let known = self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let prepare = async |connection: &mut PgConnection| {
            make_ledger(connection).await?;
            self.table.prepare(connection).await.map(Arc::new)
        };
        let plan = self.store.within(prepare).await?;
        self.store.is_ready.store(true, Ordering::Release);
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Whether the table could be prepared; everything stays as it is.
    async fn would_fit(&self) -> Result<(), PostgresFault> {
        let mut lease = self.store.database.lease().await?;
        let mut transaction = begin(&mut lease).await?;
        make_ledger(&mut transaction).await?;
        let fit = self.table.prepare(&mut transaction).await;
        answered(transaction.rollback()).await?;
        lease.keep();
        fit.map(drop)
    }

    /// What a commit came to. One whose answer was lost is asked about.
    async fn settle(
        &self,
        lease: Lease<'_>,
        asked: Asked<'_>,
        answer: Result<CommitOutcome, CommitError>,
    ) -> Result<CommitOutcome, PostgresFault> {
        let (fault, stored) = match answer {
            Ok(outcome) => {
                lease.keep();
                return Ok(outcome);
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
            Ok(Settled::Committed) => Ok(CommitOutcome::Done(stored)),
            Ok(Settled::Fenced) => Ok(CommitOutcome::Fenced),
            // Not known: no harm is done, as what is offered again meets what is stored.
            Ok(Settled::Not) | Err(_) => Err(fault),
        }
    }

    async fn settled(&self, asked: Asked<'_>) -> Result<Settled, PostgresFault> {
        let PostgresStore { database, context, .. } = &*self.store;
        let settle = async |connection: &mut PgConnection| match asked {
            Asked::Unit(claim, unit) => {
                let settle = async |connection: &mut PgConnection| {
                    commit::settle(connection, &self.store.own_lanes(), claim, unit).await
                };
                database.unblocked(connection, settle).await
            }
            Asked::Retry(retry) => commit::settle_retry(connection, &context.pipeline, retry).await,
        };
        self.store.within(settle).await
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
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        self.store.is_ready.store(false, Ordering::Release);
        self.store.told(self.store.ready()).await
    }

    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        let open = async {
            let PostgresStore { config, context, name, .. } = &*self.store;
            let table = Table::new(config, name.clone(), columns, context.replaces)?;
            let plan = Mutex::default();
            let writer = PostgresWriter { store: Arc::clone(&self.store), table, plan };
            if dry {
                writer.would_fit().await?;
            } else {
                writer.plan().await?;
            }
            Ok(Arc::new(writer) as Arc<dyn Writer>)
        };
        self.store.told(open).await
    }

    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        let name = (&*self.store.config.table, &self.store.name);
        let read = async |connection: &mut PgConnection| {
            table::origins(connection, name, column, value).await
        };
        self.store.told(self.store.within_state(read)).await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.database.close().await;
        Ok(())
    }
}

#[async_trait]
impl Writer for PostgresWriter {
    fn encode(&self, rows: Batch) -> Rows {
        Rows::Bytes(encode::encode(rows, self.store.config.nul))
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        let commit = async {
            let plan = self.plan().await?;
            let mut lease = self.store.database.lease().await?;
            let (lanes, forget) = (self.store.own_lanes(), self.store.forgetting.due());
            let into = (&self.table, &*plan);
            let answer = commit::commit(&mut lease, into, &lanes, claim, unit, forget).await;
            self.settle(lease, Asked::Unit(claim, unit), answer).await
        };
        self.store.told(commit).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        let pipeline = &self.store.context.pipeline;
        let commit = async {
            let plan = self.plan().await?;
            let mut lease = self.store.database.lease().await?;
            let into = (&self.table, &*plan);
            let answer = commit::retry(&mut lease, into, pipeline, retry).await;
            self.settle(lease, Asked::Retry(retry), answer).await
        };
        self.store.told(commit).await
    }
}

#[async_trait]
impl Claims for PostgresStore {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        let work = async {
            match decided {
                Some(decided) => {
                    self.ready().await?;
                    let keep = async |connection: &mut PgConnection| {
                        self.own_lanes().keep_first_run(connection, &decided).await
                    };
                    self.within(keep).await
                }
                None => {
                    let read = async |connection: &mut PgConnection| {
                        if state::has(connection, "first_run").await? {
                            self.own_lanes().first_run(connection).await
                        } else {
                            Ok(None)
                        }
                    };
                    self.within(read).await
                }
            }
        };
        self.told(work).await
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let claim = async {
            let source = self.context.source.as_ref().ok_or(TableFault::NoSource)?;
            self.ready().await?;
            let claim = async |connection: &mut PgConnection| {
                self.own_lanes().claim(connection, (source, self.member), lane, start).await
            };
            self.within(async |connection| self.database.unblocked(connection, claim).await).await
        };
        self.told(claim).await
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

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            // Whoever only looks changes no format.
            let has_members = state::has(connection, "member").await?;
            self.own_lanes().all(connection, has_members).await
        };
        self.told(self.within_state(read)).await
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        let read =
            async |connection: &mut PgConnection| self.own_lanes().pipelines(connection).await;
        self.told(self.within_state(read)).await
    }
}

#[async_trait]
impl Archive for PostgresStore {
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        let keep = async {
            self.ready().await?;
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
            if state::has(connection, "verdict").await? {
                generation::judgements(connection, &self.context.pipeline).await
            } else {
                Ok(Vec::new())
            }
        };
        self.told(self.within(read)).await
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            lineage::all(connection, &self.context.pipeline).await
        };
        self.told(self.within_state(read)).await
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
}

#[async_trait]
impl Letters for PostgresStore {
    async fn list(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            letters::list(connection, &self.context.pipeline, which).await
        };
        self.told(self.within_state(read)).await
    }

    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            letters::count(connection, &self.context.pipeline, which).await
        };
        self.told(self.within_state(read)).await
    }
}

#[async_trait]
impl Members for PostgresStore {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let beat = async {
            self.ready().await?;
            let beat = async |connection: &mut PgConnection| {
                member::beat(connection, &self.context.pipeline, self.member, note).await
            };
            self.within(beat).await
        };
        self.told(beat).await
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        let read = async |connection: &mut PgConnection| {
            if state::has(connection, "member").await? {
                member::all(connection, &self.context.pipeline).await
            } else {
                Ok(Vec::new())
            }
        };
        self.told(self.within(read)).await
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        let leave = async |connection: &mut PgConnection| {
            member::leave(connection, &self.context.pipeline, self.member).await
        };
        self.told(self.within_state(leave)).await
    }
}
