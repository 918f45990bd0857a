//! The database as the ledger sees it.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::PostgresStore;
use super::error::{Place, PostgresFault};
use super::session::{BEGIN, Database, Lease, answered, pid};
use super::{state, target};
use crate::ledger::LedgerFault;
use crate::ledger::sql::{
    SqlConnection, SqlDatabase, SqlDialect, SqlRow, SqlTransaction, SqlValue,
};
use crate::record::{ConnectorError, ErrorClass};

pub(super) static DIALECT: SqlDialect = SqlDialect {
    prefix: "pinhost.",
    now: "clock_timestamp()",
    uuid: "uuid",
    locked: " FOR UPDATE",
    unlocked: " FOR UPDATE SKIP LOCKED",
    alone: Some("SELECT pg_advisory_xact_lock(hashtextextended('pinhost ' || $1, 0))"),
    micros: |time| format!("(extract(epoch FROM {time}) * 1000000)::int8"),
    ago: |micros| format!("clock_timestamp() - {micros} * interval '1 microsecond'"),
    texts: |list| format!("SELECT json_array_elements_text({list}::json)"),
};

/// A transaction on a connection of the pool. Dropped without an end, the connection is closed.
pub(super) struct PgTransaction<'a> {
    database: &'a Database,
    place: &'a Place,
    lease: Lease<'a>,
    /// Of the session, once it waits for lanes.
    pid: Option<i32>,
}

impl<'a> PgTransaction<'a> {
    pub(super) async fn begin(store: &'a PostgresStore) -> Result<Self, PostgresFault> {
        let mut lease = store.database.lease().await?;
        answered(sqlx::raw_sql(BEGIN).execute(&mut *lease)).await?;
        Ok(Self { database: &store.database, place: &store.place, lease, pid: None })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.lease
    }

    /// After an error it is not known whether it was committed.
    pub(super) async fn finish(mut self) -> Result<(), PostgresFault> {
        answered(sqlx::raw_sql("COMMIT").execute(&mut *self.lease)).await?;
        self.lease.keep();
        Ok(())
    }

    pub(super) async fn roll_back(mut self) -> Result<(), PostgresFault> {
        answered(sqlx::raw_sql("ROLLBACK").execute(&mut *self.lease)).await?;
        self.lease.keep();
        Ok(())
    }
}

/// Without a name of its own in the session.
fn bound(sql: &str, values: Vec<SqlValue>) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(DIALECT.say(sql))).persistent(false);
    values.into_iter().fold(query, |query, value| match value {
        SqlValue::Text(text) => query.bind(text),
        SqlValue::Integer(number) => query.bind(number),
        SqlValue::Bytes(bytes) => query.bind(bytes),
    })
}

#[async_trait]
impl SqlConnection for PgTransaction<'_> {
    fn dialect(&self) -> &'static SqlDialect {
        &DIALECT
    }

    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.place.told(fault.into())
    }

    async fn execute(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<u64, ConnectorError> {
        let Self { database, place, lease, pid } = self;
        let asked = answered(bound(sql, values).execute(&mut **lease));
        let done = database.unblocked(*pid, asked).await;
        Ok(done.map_err(|fault| place.told(fault))?.rows_affected())
    }

    async fn rows(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Box<dyn SqlRow>>, ConnectorError> {
        let Self { database, place, lease, pid } = self;
        let asked = answered(bound(sql, values).fetch_all(&mut **lease));
        let rows = database.unblocked(*pid, asked).await;
        let rows = rows.map_err(|fault| place.told(fault))?.into_iter();
        Ok(rows.map(|row| Box::new(LedgerRow(row)) as Box<dyn SqlRow>).collect())
    }
}

#[async_trait]
impl SqlTransaction for PgTransaction<'_> {
    async fn wait_for_lanes(&mut self) -> Result<(), ConnectorError> {
        let pid = pid(&mut self.lease).await.map_err(|fault| self.place.told(fault))?;
        self.pid = Some(pid);
        Ok(())
    }

    async fn has_table(&mut self, table: &str) -> Result<bool, ConnectorError> {
        let there = state::has(&mut self.lease, table).await;
        there.map_err(|fault| self.place.told(fault))
    }

    async fn commit(self: Box<Self>) -> Result<(), ConnectorError> {
        let place = self.place;
        self.finish().await.map_err(|fault| place.told(fault))
    }
}

impl PostgresStore {
    /// Asks for the one name of the table, if it is there by now.
    async fn resolve(&self, transaction: &mut PgTransaction<'_>) -> Result<(), PostgresFault> {
        if self.keys.resolved.get().is_none()
            && let Some(name) = target::resolved(transaction.connection(), &self.name).await?
        {
            let _ = self.keys.resolved.set(name);
        }
        Ok(())
    }
}

#[async_trait]
impl SqlDatabase for PostgresStore {
    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.place.told(fault.into())
    }

    async fn begin(&self) -> Result<Box<dyn SqlTransaction + '_>, ConnectorError> {
        let begin = async {
            self.ready().await?;
            let mut transaction = PgTransaction::begin(self).await?;
            self.resolve(&mut transaction).await?;
            Ok(transaction)
        };
        Ok(Box::new(self.told(begin).await?))
    }

    async fn change(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError> {
        let begin = async {
            let mut transaction = PgTransaction::begin(self).await?;
            if state::is_there(transaction.connection()).await? {
                self.resolve(&mut transaction).await?;
                return Ok(Some(transaction));
            }
            transaction.roll_back().await?;
            Ok(None)
        };
        let transaction = self.told(begin).await?;
        Ok(transaction.map(|transaction| Box::new(transaction) as Box<dyn SqlTransaction>))
    }

    async fn look(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError> {
        // Readers keep nobody from writing.
        self.change().await
    }
}

struct LedgerRow(PgRow);

impl SqlRow for LedgerRow {
    fn text(&self, column: usize) -> Result<Option<String>, ConnectorError> {
        self.0.try_get(column).map_err(unreadable)
    }

    fn integer(&self, column: usize) -> Result<Option<i64>, ConnectorError> {
        self.0.try_get(column).map_err(unreadable)
    }

    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, ConnectorError> {
        self.0.try_get(column).map_err(unreadable)
    }
}

/// Somebody gave a column of the ledger's another type.
fn unreadable(error: sqlx::Error) -> ConnectorError {
    ConnectorError::new(ErrorClass::Fatal, error)
}
