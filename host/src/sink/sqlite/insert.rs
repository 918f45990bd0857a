//! Many rows in a statement: each statement goes through a channel to the connection's thread and back.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Sqlite, Type};

use super::error::SqliteFault;
use crate::sink::table::ddl::{quoted, quoted_list};

/// Rows of a statement. Few sizes, so that all their statements stay prepared.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// More are not bound in a statement.
const VARIABLES_MAX: usize = 32_766;

/// An `INSERT` in a few sizes.
#[derive(Debug)]
pub(super) struct Insert {
    /// The largest first.
    statements: Vec<(usize, Arc<str>)>,
}

impl Insert {
    /// `after` follows the values: `ON CONFLICT …`.
    pub(super) fn new(table: &str, columns: &[&str], after: &str) -> Self {
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let statement = |rows: usize| {
            let values = vec![row.as_str(); rows].join(", ");
            let (table, columns) = (quoted(table), quoted_list(columns.iter().copied()));
            format!("INSERT INTO {table} ({columns}) VALUES {values} {after}")
        };
        let fits = |rows: &usize| *rows == 1 || rows * columns.len() <= VARIABLES_MAX;
        let sizes = SIZES.into_iter().filter(fits);
        Self { statements: sizes.map(|rows| (rows, statement(rows).into())).collect() }
    }

    /// The largest statement for not more than this number of rows, which is at least 1.
    pub(super) fn of(&self, rows: usize) -> (usize, AssertSqlSafe<Arc<str>>) {
        let fitting = self.statements.iter().find(|(size, _)| *size <= rows);
        let (size, statement) = fitting.expect("a statement for a single row");
        (*size, AssertSqlSafe(Arc::clone(statement)))
    }

    /// Inserts rows, each of them as `bind` binds it.
    pub(super) async fn all<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(&mut Binder, &T),
    ) -> Result<(), SqliteFault> {
        while !rows.is_empty() {
            let (size, statement) = self.of(rows.len());
            let (now, later) = rows.split_at(size);
            let mut binder = Binder::default();
            for row in now {
                bind(&mut binder, row);
            }
            sqlx::query_with(statement, binder.finish()?).execute(&mut *connection).await?;
            rows = later;
        }
        Ok(())
    }
}

/// Binds values, and remembers if one could not be.
#[derive(Default)]
pub(super) struct Binder {
    arguments: SqliteArguments,
    error: Option<sqlx::Error>,
}

impl Binder {
    pub(super) fn push<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.error = Some(sqlx::Error::Encode(error));
        }
        self
    }

    pub(super) fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(error),
        }
    }
}

/// Of a statement that returns rows.
pub(super) async fn returned(
    connection: &mut SqliteConnection,
    statement: AssertSqlSafe<Arc<str>>,
    binder: Binder,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query_with(statement, binder.finish()?).fetch_all(connection).await
}
