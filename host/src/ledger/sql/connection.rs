//! What the ledger wants of a database: to run a statement, and to read what comes back.

use std::fmt::Debug;

use async_trait::async_trait;

use super::SqlDialect;
use crate::ledger::LedgerFault;
use crate::record::ConnectorError;

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SqlValue {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// A row that came back. Columns are counted from 0.
pub(crate) trait SqlRow: Send {
    fn text(&self, column: usize) -> Result<Option<String>, ConnectorError>;

    fn integer(&self, column: usize) -> Result<Option<i64>, ConnectorError>;

    fn bytes(&self, column: usize) -> Result<Option<Vec<u8>>, ConnectorError>;
}

impl dyn SqlRow + '_ {
    /// A text that is never null.
    pub(crate) fn some_text(&self, column: usize) -> Result<String, ConnectorError> {
        Ok(self.text(column)?.unwrap_or_default())
    }

    pub(crate) fn some_integer(&self, column: usize) -> Result<i64, ConnectorError> {
        Ok(self.integer(column)?.unwrap_or_default())
    }
}

/// In the middle of a transaction. Statements are written as [`SqlDialect::say`] takes them, with `$1`, `$2`
/// for their values.
#[async_trait]
pub(crate) trait SqlConnection: Send {
    fn dialect(&self) -> &'static SqlDialect;

    /// As people are told, with the database that it is about.
    fn fault(&self, fault: LedgerFault) -> ConnectorError;

    /// How many rows were changed.
    async fn execute(&mut self, sql: &str, values: Vec<SqlValue>) -> Result<u64, ConnectorError>;

    async fn rows(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Box<dyn SqlRow>>, ConnectorError>;
}

impl dyn SqlConnection + '_ {
    pub(crate) async fn row(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> Result<Option<Box<dyn SqlRow>>, ConnectorError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }
}

/// Dropped without an end, it is rolled back.
#[async_trait]
pub(crate) trait SqlTransaction: SqlConnection {
    /// From now on, statements wait for lanes: whoever holds one for long is ended.
    async fn wait_for_lanes(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Whether there is one of the ledger's tables: an older pinhost may not have made it.
    async fn has_table(&mut self, table: &str) -> Result<bool, ConnectorError>;

    async fn commit(self: Box<Self>) -> Result<(), ConnectorError>;
}

#[async_trait]
pub(crate) trait SqlDatabase: Debug + Send + Sync {
    fn fault(&self, fault: LedgerFault) -> ConnectorError;

    /// The ledger's tables are made, if they are not there.
    async fn begin(&self) -> Result<Box<dyn SqlTransaction + '_>, ConnectorError>;

    /// To change what is there; none if pinhost has never been there.
    async fn change(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError>;

    /// To look only, which makes nothing and keeps nobody from writing; none if there is nothing.
    async fn look(&self) -> Result<Option<Box<dyn SqlTransaction + '_>>, ConnectorError>;
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for SqlValue {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<u64> for SqlValue {
    fn from(number: u64) -> Self {
        Self::Integer(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<Option<i64>> for SqlValue {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<&[u8]> for SqlValue {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<&[u8]>> for SqlValue {
    fn from(bytes: Option<&[u8]>) -> Self {
        Self::Bytes(bytes.map(<[u8]>::to_vec))
    }
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::ledger::sql::SqlValue::from($value)),*]
    };
}
pub(crate) use values;
