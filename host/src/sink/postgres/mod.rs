//! Rows in a table of a PostgreSQL database, with everything that pinhost knows of them beside it, in the
//! schema `pinhost`: where lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction. Rows go in by binary COPY, encoded on the cleaning threads; the lane's
//! position comes last. One database may serve several pipelines, tables and processes. Not here: which
//! units there are, and what is done about errors.

mod apart;
mod catalog;
mod check;
mod config;
mod copy;
mod ddl;
mod encode;
mod error;
mod kind;
mod ledger;
mod name;
mod rebase;
mod session;
mod state;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod versions;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use tokio::time::sleep;

pub use self::apart::{LedgerInPostgres, PostgresLedgerConfig};
pub use self::config::{DatabaseUrl, NulCharacters, PostgresSinkConfig};
use self::ddl::table_name;
use self::error::Place;
pub use self::error::{PostgresFault, PostgresSinkError};
pub use self::kind::Postgres;
use self::ledger::{DIALECT, PgTransaction};
pub use self::name::{POSTGRES_NAMES, TableName};
use self::session::{Database, answered, begin};
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
use crate::record::{Batch, ConnectorError, Field, Rows, Unit};

/// For so long a table may be in use that is to be changed.
const IN_USE_MAX: Duration = Duration::from_secs(600);
const IN_USE_WAIT: Duration = Duration::from_millis(500);

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
    keys: Arc<LaneKeys>,
    /// The ledger's tables are there.
    is_ready: AtomicBool,
    state: TableState,
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
        let keys = Arc::new(LaneKeys {
            pipeline: Arc::clone(&context.pipeline),
            written: config.table.clone(),
            resolved: OnceLock::new(),
            replay_into: context.replay_into.clone(),
        });
        let source = context.source.clone();
        let store = Arc::new(PostgresStore {
            config: config.clone(),
            context,
            keys: Arc::clone(&keys),
            place: database.place(table_name(&name)),
            name,
            database,
            is_ready: AtomicBool::new(false),
            state: TableState::new(keep),
        });
        let (database, memory) =
            (Arc::<PostgresStore>::clone(&store), Arc::clone(&store.state.memory));
        let ledger = Ledger::of(&Arc::new(SqlLedger::new(database, keys, source, memory)));
        Ok(Self { store, ledger })
    }
}

impl PostgresStore {
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
            let plan = self.table.prepare(connection).await?;
            target::settle(connection, plan.target(), &self.store.config.table).await?;
            self.table.settle_versions(connection, &plan).await?;
            Ok(Arc::new(plan))
        };
        let plan = self.store.within(prepare).await?;
        // Whichever way people write it, it is one table. That stays so while it is open.
        let _ = self.store.keys.resolved.set(plan.target().to_owned());
        self.store.is_ready.store(true, Ordering::Release);
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Tries for as long as somebody has the table: nobody waits for it in line, where all commits would wait
    /// behind. The stream goes on meanwhile, with the columns that there are.
    async fn settle(&self, dry: bool) -> Result<(), PostgresFault> {
        let began = Instant::now();
        let mut is_told = false;
        loop {
            let tried = if dry { self.would_fit().await } else { self.plan().await.map(drop) };
            let fault = match tried {
                Err(fault) if fault.is_in_use() && began.elapsed() < IN_USE_MAX => fault,
                done => return done,
            };
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(
                    pipeline = %self.store.context.pipeline,
                    "somebody has the table, which is to be changed; trying again: {fault}"
                );
            }
            sleep(IN_USE_WAIT.mul_f64(1.0 + fastrand::f64())).await;
        }
    }

    /// Whether the table could be prepared; everything stays as it is.
    async fn would_fit(&self) -> Result<(), PostgresFault> {
        let mut lease = self.store.database.lease().await?;
        let mut transaction = begin(&mut lease).await?;
        make_ledger(&mut transaction).await?;
        let fit = async {
            let plan = self.table.prepare(&mut transaction).await?;
            self.table.settle_versions(&mut transaction, &plan).await
        };
        let fit = fit.await;
        answered(transaction.rollback()).await?;
        lease.keep();
        fit
    }
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
            writer.settle(dry).await?;
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

    async fn rebase(&self, columns: Arc<[Field]>) -> Result<Option<Rebased>, ConnectorError> {
        let PostgresStore { config, name, .. } = &*self.store;
        let rebased = async {
            let table = Table::new(config, name.clone(), Some(columns), false)?;
            let rebase = async |connection: &mut PgConnection| {
                make_ledger(connection).await?;
                rebase::rebase(connection, &table, &config.table).await
            };
            self.store.within(rebase).await
        };
        self.store.told(rebased).await
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
        writer::commit(self, claim, unit).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        writer::commit_retry(self, retry).await
    }
}

#[async_trait]
impl TableWriter for PostgresWriter {
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
        self.store.place.told(fault.into())
    }

    async fn begin(&self) -> Result<Box<dyn TableTransaction + '_>, ConnectorError> {
        let begin = async {
            let plan = self.plan().await?;
            let transaction = PgTransaction::begin(&self.store).await?;
            Ok(PgUnit { store: &self.store, plan, transaction })
        };
        Ok(Box::new(self.store.told(begin).await?))
    }
}

/// A unit on its way into the table.
struct PgUnit<'a> {
    store: &'a PostgresStore,
    plan: Arc<Plan>,
    transaction: PgTransaction<'a>,
}

#[async_trait]
impl SqlConnection for PgUnit<'_> {
    fn dialect(&self) -> &'static SqlDialect {
        &DIALECT
    }

    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.transaction.fault(fault)
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
impl TableTransaction for PgUnit<'_> {
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
