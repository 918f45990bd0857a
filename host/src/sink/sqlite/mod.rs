//! Rows in a table of an SQLite database, with everything that pinhost knows of them beside it: where
//! lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction, and one that begins as a writer: what it reads stays true until it ends.
//! One database may serve several pipelines, tables and processes. Not here: which units there are, and
//! what is done about errors.

mod apart;
mod config;
mod ddl;
mod error;
mod insert;
mod kind;
mod ledger;
mod rebase;
mod session;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod versions;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

pub use self::apart::{LedgerInSqlite, SqliteLedgerConfig};
pub use self::config::SqliteSinkConfig;
pub use self::ddl::SQLITE_NAMES;
pub use self::error::{SqliteFault, SqliteSinkError};
pub use self::kind::Sqlite;
use self::ledger::{DIALECT, SqliteTransaction};
use self::session::Database;
use self::table::Table;
use self::write::Plan;
use super::table::commit::{RowsToWrite, Written};
use super::table::key::KeyForm;
use super::table::lanes::RowLanes;
use super::table::writer::{self, TableState, TableTransaction, TableWriter};
use super::table::{Keep, TableFault, Target};
use crate::connect::{CommitOutcome, Rebased, Retry, Sink, SinkContext, Writer};
use crate::ledger::sql::{
    LaneKeys, SqlConnection, SqlDatabase, SqlDialect, SqlLedger, SqlRow, SqlValue,
};
use crate::ledger::{Claim, Ledger, LedgerFault, RowOrigin};
use crate::record::{ConnectorError, Field, Unit};

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
    keys: Arc<LaneKeys>,
    database: Database,
    state: TableState,
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
        let keys = Arc::new(LaneKeys {
            pipeline: Arc::clone(&context.pipeline),
            written: config.table.clone(),
            resolved: OnceLock::new(),
            replay_into: context.replay_into.clone(),
        });
        let source = context.source.clone();
        let store = Arc::new(SqliteStore {
            config: config.clone(),
            context,
            keys: Arc::clone(&keys),
            database,
            state: TableState::new(keep),
        });
        let (database, memory) =
            (Arc::<SqliteStore>::clone(&store), Arc::clone(&store.state.memory));
        let ledger = Ledger::of(&Arc::new(SqlLedger::new(database, keys, source, memory)));
        Ok(Self { store, ledger })
    }
}

impl SqliteStore {
    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, SqliteFault>>,
    ) -> Result<T, ConnectorError> {
        work.await.map_err(|fault| self.fault_of(fault))
    }

    fn fault_of(&self, fault: SqliteFault) -> ConnectorError {
        SqliteSinkError { path: self.config.path.clone(), fault }.into()
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

impl SqliteWriter {
    /// Makes or checks the table, unless that was done.
    async fn plan(&self) -> Result<Arc<Plan>, SqliteFault> {
        let known = self.known_plan().clone();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let mut lease = self.store.database.session().await?;
        let (layout, key_forms) = self.table.prepare(&mut lease.session().connection).await?;
        lease.keep();
        let plan = Arc::new(Plan::new(&self.table.target, layout, key_forms));
        *self.known_plan() = Some(Arc::clone(&plan));
        Ok(plan)
    }

    fn known_plan(&self) -> MutexGuard<'_, Option<Arc<Plan>>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the table could be prepared; it stays as it is.
    async fn would_fit(&self) -> Result<(), SqliteFault> {
        let mut lease = self.store.database.session().await?;
        self.table.would_fit(&mut lease.session().connection).await?;
        lease.keep();
        Ok(())
    }

    /// What went wrong may be that the table is another one by now: it is looked at again.
    fn looked_at_again(
        &self,
        outcome: Result<CommitOutcome, ConnectorError>,
    ) -> Result<CommitOutcome, ConnectorError> {
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
        let prepare = async {
            self.store.database.session().await?.keep();
            Ok(())
        };
        self.store.told(prepare).await
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
        let look = async |connection: &mut SqliteConnection| {
            table::origins(connection, &self.store.config.table, column, value).await
        };
        self.store.told(self.store.seen(look)).await
    }

    async fn rebase(&self, columns: Arc<[Field]>) -> Result<Option<Rebased>, ConnectorError> {
        let rebased = async {
            let table = Table::new(&self.store.config, Some(columns), false)?;
            let mut lease = self.store.database.session().await?;
            let rebased = rebase::rebase(&mut lease.session().connection, &table).await?;
            lease.keep();
            Ok(rebased)
        };
        self.store.told(rebased).await
    }

    /// Writes the log back into the database, so that the file alone is all of it.
    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.told(self.store.database.close()).await
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        self.looked_at_again(writer::commit(self, claim, unit).await)
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        self.looked_at_again(writer::commit_retry(self, retry).await)
    }
}

#[async_trait]
impl TableWriter for SqliteWriter {
    fn target(&self) -> &Target {
        &self.table.target
    }

    async fn key_forms(&self) -> Result<Vec<KeyForm>, ConnectorError> {
        Ok(self.store.told(self.plan()).await?.key_forms().to_vec())
    }

    fn keys(&self) -> &LaneKeys {
        &self.store.keys
    }

    fn state(&self) -> &TableState {
        &self.store.state
    }

    fn database(&self) -> &dyn SqlDatabase {
        &*self.store
    }

    fn table_fault(&self, fault: TableFault) -> ConnectorError {
        self.store.fault_of(fault.into())
    }

    async fn begin(&self) -> Result<Box<dyn TableTransaction + '_>, ConnectorError> {
        let begin = async {
            let plan = self.plan().await?;
            let transaction = SqliteTransaction::begin(&self.store).await?;
            Ok(SqliteUnit { store: &self.store, plan, transaction })
        };
        Ok(Box::new(self.store.told(begin).await?))
    }
}

/// A unit on its way into the table.
struct SqliteUnit<'a> {
    store: &'a SqliteStore,
    plan: Arc<Plan>,
    transaction: SqliteTransaction<'a>,
}

#[async_trait]
impl SqlConnection for SqliteUnit<'_> {
    fn dialect(&self) -> &'static SqlDialect {
        &DIALECT
    }

    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.store.fault_of(fault.into())
    }

    async fn execute(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<u64, ConnectorError> {
        self.transaction.execute(sql, values).await
    }

    async fn rows(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Box<dyn SqlRow>>, ConnectorError> {
        self.transaction.rows(sql, values).await
    }
}

#[async_trait]
impl TableTransaction for SqliteUnit<'_> {
    async fn clear(&mut self, unit: &Unit, lanes: &RowLanes) -> Result<(), ConnectorError> {
        self.store.told(self.plan.clear(self.transaction.connection(), unit, lanes)).await
    }

    async fn write(&mut self, rows: &RowsToWrite<'_>) -> Result<Written, ConnectorError> {
        self.store.told(self.plan.write(self.transaction.connection(), rows)).await
    }

    async fn forget_deletes(&mut self, keep: Duration) -> Result<(), ConnectorError> {
        let (connection, target) = (self.transaction.connection(), self.store.keys.target());
        self.store.told(versions::forget(connection, target, keep)).await
    }

    async fn roll_back(self: Box<Self>) -> Result<(), ConnectorError> {
        self.store.told(self.transaction.roll_back()).await
    }

    async fn commit(self: Box<Self>) -> Result<(), ConnectorError> {
        self.store.told(self.transaction.finish()).await
    }
}
