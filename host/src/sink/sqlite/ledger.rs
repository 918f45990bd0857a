//! The database as the ledger sees it.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite};

use super::SqliteStore;
use super::error::{SqliteFault, SqliteSinkError};
use super::session::Lease;
use crate::ledger::LedgerFault;
use crate::ledger::sql::{
    SqlConnection, SqlDatabase, SqlDialect, SqlRow, SqlTransaction, SqlValue,
};
use crate::record::{ConnectorError, ErrorClass};

/// Times are texts whose order is theirs, with six digits of a second.
pub(super) static DIALECT: SqlDialect = SqlDialect {
    prefix: "pinhost_",
    now: "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')",
    uuid: "TEXT",
    // Whoever writes is alone from the beginning.
    locked: "",
    unlocked: "",
    alone: None,
    micros: |time| {
        format!(
            "(unixepoch(substr({time}, 1, 19)) * 1000000 + CAST(substr({time}, 21, 6) AS INTEGER))"
        )
    },
    ago: |micros| {
        format!(
            "(strftime('%Y-%m-%dT%H:%M:%f', 'now', ({micros} / -1000000.0) || ' seconds') || '000Z')"
        )
    },
    texts: |list| format!("SELECT value FROM json_each({list})"),
};

/// Work on the one connection. Dropped without an end, the connection is closed.
pub(super) struct SqliteTransaction<'a> {
    path: &'a str,
    lease: Lease<'a>,
    is_begun: bool,
}

impl<'a> SqliteTransaction<'a> {
    /// Begins as a writer. One that read first and wrote later would fail if somebody else wrote in between.
    pub(super) async fn begin(store: &'a SqliteStore) -> Result<Self, SqliteFault> {
        Self::begun(store, store.database.session().await?).await
    }

    async fn begun(store: &'a SqliteStore, lease: Lease<'a>) -> Result<Self, SqliteFault> {
        let mut transaction = Self { path: &store.config.path, lease, is_begun: true };
        transaction.run("BEGIN IMMEDIATE").await?;
        Ok(transaction)
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.lease.session().connection
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), SqliteFault> {
        sqlx::query(statement).execute(self.connection()).await?;
        Ok(())
    }

    /// After an error it is not known whether it was committed.
    pub(super) async fn finish(mut self) -> Result<(), SqliteFault> {
        if self.is_begun {
            self.run("COMMIT").await?;
        }
        self.lease.keep();
        Ok(())
    }

    pub(super) async fn roll_back(mut self) -> Result<(), SqliteFault> {
        if self.is_begun {
            self.run("ROLLBACK").await?;
        }
        self.lease.keep();
        Ok(())
    }

    fn told(&self, fault: impl Into<SqliteFault>) -> ConnectorError {
        SqliteSinkError { path: self.path.to_owned(), fault: fault.into() }.into()
    }
}

fn bound(sql: &str, values: Vec<SqlValue>) -> Query<'static, Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(DIALECT.say(sql)));
    values.into_iter().fold(query, |query, value| match value {
        SqlValue::Text(text) => query.bind(text),
        SqlValue::Integer(number) => query.bind(number),
        SqlValue::Bytes(bytes) => query.bind(bytes),
    })
}

#[async_trait]
impl SqlConnection for SqliteTransaction<'_> {
    fn dialect(&self) -> &'static SqlDialect {
        &DIALECT
    }

    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.told(fault)
    }

    async fn execute(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<u64, ConnectorError> {
        let done = bound(sql, values).execute(self.connection()).await;
        Ok(done.map_err(|error| self.told(error))?.rows_affected())
    }

    async fn rows(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Box<dyn SqlRow>>, ConnectorError> {
        let rows = bound(sql, values).fetch_all(self.connection()).await;
        let rows = rows.map_err(|error| self.told(error))?.into_iter();
        Ok(rows.map(|row| Box::new(LedgerRow(row)) as Box<dyn SqlRow>).collect())
    }
}

#[async_trait]
impl SqlTransaction for SqliteTransaction<'_> {
    async fn has_table(&mut self, _table: &str) -> Result<bool, ConnectorError> {
        // A session brings the tables up to date when it begins.
        Ok(true)
    }

    async fn commit(self: Box<Self>) -> Result<(), ConnectorError> {
        let path = self.path;
        let told = |fault| SqliteSinkError { path: path.to_owned(), fault };
        Ok(self.finish().await.map_err(told)?)
    }
}

#[async_trait]
impl SqlDatabase for SqliteStore {
    fn fault(&self, fault: LedgerFault) -> ConnectorError {
        self.fault_of(fault.into())
    }

    async fn begin(&self) -> Result<Box<dyn SqlTransaction + '_>, ConnectorError> {
        Ok(Box::new(self.told(SqliteTransaction::begin(self)).await?))
    }

    async fn change(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError> {
        let begin = async {
            match self.database.session_to_read().await? {
                Some(lease) => SqliteTransaction::begun(self, lease).await.map(Some),
                None => Ok(None),
            }
        };
        let transaction = self.told(begin).await?;
        Ok(transaction.map(|transaction| Box::new(transaction) as Box<dyn SqlTransaction>))
    }

    async fn look(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError> {
        let lease = self.told(self.database.session_to_read()).await?;
        let path = &*self.config.path;
        let look = |lease| SqliteTransaction { path, lease, is_begun: false };
        Ok(lease.map(|lease| Box::new(look(lease)) as Box<dyn SqlTransaction>))
    }
}

struct LedgerRow(SqliteRow);

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
