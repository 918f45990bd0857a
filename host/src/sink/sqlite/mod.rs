//! Rows in a table of an SQLite database, with everything that pinhost knows of them beside it: where
//! lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction, and one that begins as a writer: what it reads stays true until it ends.
//! One database may serve several pipelines, tables and processes. Not here: which units there are, and
//! what is done about errors.

mod commit;
mod config;
mod ddl;
mod error;
mod generation;
mod insert;
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
mod time;
mod versions;
mod write;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use self::commit::CommitError;
pub use self::config::SqliteSinkConfig;
pub use self::ddl::SQLITE_NAMES;
pub use self::error::{SqliteFault, SqliteSinkError};
pub use self::kind::Sqlite;
use self::lane::Lanes;
use self::session::{Database, Lease, Session};
use self::table::Table;
use self::write::Plan;
use super::table::{Forgetting, Keep, TableFault};
use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Writer};
use crate::ledger::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, Ledger, Letters,
    LineageRange, Member, Members, RowOrigin, StoredDeadLetter,
};
use crate::record::{ConnectorError, Digest, Field, Generation, Lane, Position, Unit};

#[derive(Debug)]
pub struct SqliteSink {
    store: Arc<SqliteStore>,
    ledger: Ledger,
}

/// The database, with the one connection for all that a pipeline does there; the ledger is kept in it.
#[derive(Debug)]
struct SqliteStore {
    config: SqliteSinkConfig,
    context: SinkContext,
    database: Database,
    forgetting: Forgetting,
    member: Uuid,
}

/// Writes rows of given columns into the table.
#[derive(Debug)]
struct SqliteWriter {
    store: Arc<SqliteStore>,
    table: Table,
    /// How rows are written, once it is known what the table looks like.
    plan: Mutex<Option<Arc<Plan>>>,
}

impl SqliteSink {
    /// Checks what can be checked without the database.
    pub fn open(config: &SqliteSinkConfig, context: SinkContext) -> Result<Self, ConnectorError> {
        let open = || {
            table::check_name(&config.table)?;
            if context.source.is_some() && !context.has_rule {
                return Err(TableFault::NoRule.into());
            }
            Database::new(&config.path)
        };
        let database =
            open().map_err(|fault| SqliteSinkError { path: config.path.clone(), fault })?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: config.keep_deletes.0 };
        let store = Arc::new(SqliteStore {
            config: config.clone(),
            context,
            database,
            forgetting: Forgetting::new(keep),
            member: Uuid::new_v4(),
        });
        let ledger = Ledger::of(&store);
        Ok(Self { store, ledger })
    }
}

impl SqliteStore {
    fn own_lanes(&self) -> Lanes<'_> {
        Lanes {
            pipeline: &self.context.pipeline,
            target: &self.config.table,
            replay_into: self.context.replay_into.as_deref(),
        }
    }

    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, SqliteFault>>,
    ) -> Result<T, ConnectorError> {
        let path = || self.config.path.clone();
        work.await.map_err(|fault| SqliteSinkError { path: path(), fault }.into())
    }

    /// Does something in a transaction of its own.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        transacted(self.database.session().await?, work).await
    }

    /// The same if the file is there; if not, there is nothing.
    async fn within_state<T: Default>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        match self.database.session_to_read().await? {
            Some(lease) => transacted(lease, work).await,
            None => Ok(T::default()),
        }
    }

    /// Looks at what is there, without keeping others from writing.
    async fn seen<T: Default>(
        &self,
        look: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        let Some(mut lease) = self.database.session_to_read().await? else {
            return Ok(T::default());
        };
        let seen = look(&mut lease.session().connection).await?;
        lease.keep();
        Ok(seen)
    }
}

async fn transacted<T>(
    mut lease: Lease<'_>,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
) -> Result<T, SqliteFault> {
    let mut transaction = lease.session().begin().await?;
    let done = work(&mut transaction).await?;
    transaction.commit().await?;
    lease.keep();
    Ok(done)
}

impl SqliteWriter {
    /// Makes or checks the table, unless that was done.
    async fn plan(&self, session: &mut Session) -> Result<Arc<Plan>, SqliteFault> {
        let known = self.known_plan().clone();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let layout = self.table.prepare(&mut session.connection).await?;
        let plan = Arc::new(Plan::new(&self.table.target, layout));
        *self.known_plan() = Some(Arc::clone(&plan));
        Ok(plan)
    }

    fn known_plan(&self) -> std::sync::MutexGuard<'_, Option<Arc<Plan>>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn prepare(&self) -> Result<(), SqliteFault> {
        let mut lease = self.store.database.session().await?;
        self.plan(lease.session()).await?;
        lease.keep();
        Ok(())
    }

    /// Whether the table could be prepared; it stays as it is.
    async fn would_fit(&self) -> Result<(), SqliteFault> {
        let mut lease = self.store.database.session().await?;
        self.table.would_fit(&mut lease.session().connection).await?;
        lease.keep();
        Ok(())
    }

    async fn committed(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, SqliteFault> {
        let forget = self.store.forgetting.due();
        let (lanes, target) = (self.store.own_lanes(), &self.table.target);
        let mut lease = self.store.database.session().await?;
        let session = lease.session();
        let plan = self.plan(session).await?;
        let (fault, stored) =
            match commit::commit(session, (target, &plan), &lanes, claim, unit, forget).await {
                Ok(outcome) => {
                    lease.keep();
                    return Ok(outcome);
                }
                Err(CommitError::Before(fault)) => return Err(fault),
                Err(CommitError::Unknown(fault, stored)) => (fault, stored),
            };
        // Should this fail too, no harm is done: the unit, offered again, meets what is stored.
        drop(lease);
        let mut lease = self.store.database.session().await?;
        let session = lease.session();
        let settled = commit::settle(session, &lanes, claim, unit, fault, stored).await?;
        lease.keep();
        Ok(settled)
    }

    async fn retried(&self, retry: &Retry) -> Result<CommitOutcome, SqliteFault> {
        let pipeline = &self.store.context.pipeline;
        let mut lease = self.store.database.session().await?;
        let session = lease.session();
        let plan = self.plan(session).await?;
        let into = (&self.table.target, &*plan);
        let outcome = commit::retry(session, into, pipeline, retry).await?;
        lease.keep();
        Ok(outcome)
    }

    /// What went wrong may be that the table is another one by now: it is looked at again.
    async fn told(
        &self,
        commit: impl Future<Output = Result<CommitOutcome, SqliteFault>>,
    ) -> Result<CommitOutcome, ConnectorError> {
        let outcome = self.store.told(commit).await;
        if outcome.is_err() {
            *self.known_plan() = None;
        }
        outcome
    }
}

#[async_trait]
impl Sink for SqliteSink {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        // A session makes or checks the tables when it begins.
        self.store.told(self.store.within(async |_| Ok(()))).await
    }

    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        let open = async {
            let table = Table::new(&self.store.config, columns, self.store.context.replaces)?;
            let plan = Mutex::default();
            let writer = SqliteWriter { store: Arc::clone(&self.store), table, plan };
            if dry {
                writer.would_fit().await?;
            } else {
                writer.prepare().await?;
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
        let look = async |connection: &mut SqliteConnection| {
            table::origins(connection, &self.store.config.table, column, value).await
        };
        self.store.told(self.store.seen(look)).await
    }

    /// Writes the log back into the database, so that the file alone is all of it.
    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.told(self.store.database.close()).await
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        self.told(self.committed(claim, unit)).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        self.told(self.retried(retry)).await
    }
}

#[async_trait]
impl Claims for SqliteStore {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        let work = async {
            match decided {
                Some(decided) => {
                    let keep = async |connection: &mut SqliteConnection| {
                        self.own_lanes().keep_first_run(connection, &decided).await
                    };
                    self.within(keep).await
                }
                None => {
                    let look = async |connection: &mut SqliteConnection| {
                        self.own_lanes().first_run(connection).await
                    };
                    self.seen(look).await
                }
            }
        };
        self.told(work).await
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let claim = async {
            let source = self.context.source.as_ref().ok_or(TableFault::NoSource)?;
            let claim = async |connection: &mut SqliteConnection| {
                self.own_lanes().claim(connection, (source, self.member), lane, start).await
            };
            self.within(claim).await
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
            let work = async |connection: &mut SqliteConnection| {
                self.own_lanes().move_lane(connection, lane, from, to).await
            };
            self.within_state(work).await
        };
        self.told(move_lane).await
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let accept = async |connection: &mut SqliteConnection| {
            self.own_lanes().accept_rejects(connection, lane, records).await
        };
        self.told(self.within_state(accept)).await
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let note = async |connection: &mut SqliteConnection| {
            self.own_lanes().note_halt(connection, claim, reason).await
        };
        self.told(self.within(note)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| self.own_lanes().all(connection).await;
        self.told(self.seen(look)).await
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        let look =
            async |connection: &mut SqliteConnection| self.own_lanes().pipelines(connection).await;
        self.told(self.seen(look)).await
    }
}

#[async_trait]
impl Archive for SqliteStore {
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        let keep = async |connection: &mut SqliteConnection| {
            generation::keep(connection, generation).await
        };
        self.told(self.within(keep)).await
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        let look =
            async |connection: &mut SqliteConnection| generation::find(connection, digest).await;
        self.told(self.seen(look)).await
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        let judge = async |connection: &mut SqliteConnection| {
            generation::judge(connection, &self.context.pipeline, judgement).await
        };
        self.told(self.within(judge)).await
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            generation::judgements(connection, &self.context.pipeline).await
        };
        self.told(self.seen(look)).await
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            lineage::all(connection, &self.context.pipeline).await
        };
        self.told(self.seen(look)).await
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            journal::entries(connection, &self.context.pipeline, lane).await
        };
        self.told(self.seen(look)).await
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let append = async |connection: &mut SqliteConnection| {
            journal::append(connection, &self.own_lanes(), claim, number, &entry).await
        };
        self.told(self.within(append)).await
    }
}

#[async_trait]
impl Letters for SqliteStore {
    async fn list(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            letters::list(connection, &self.context.pipeline, which).await
        };
        self.told(self.seen(look)).await
    }

    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            letters::count(connection, &self.context.pipeline, which).await
        };
        self.told(self.seen(look)).await
    }
}

#[async_trait]
impl Members for SqliteStore {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let beat = async |connection: &mut SqliteConnection| {
            member::beat(connection, &self.context.pipeline, self.member, note).await
        };
        self.told(self.within(beat)).await
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            member::all(connection, &self.context.pipeline).await
        };
        self.told(self.seen(look)).await
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        let leave = async |connection: &mut SqliteConnection| {
            member::leave(connection, &self.context.pipeline, self.member).await
        };
        self.told(self.within_state(leave)).await
    }
}
