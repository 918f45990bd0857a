//! Many rows in a statement: each statement goes through a channel to the connection's thread and back.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Row as _, Sqlite, Type};

use crate::record::Rfc3339;
use crate::sink::table::cell::Cell;
use crate::sink::table::ddl::{quoted, quoted_list};

/// Rows of a statement. Few sizes, so that all their statements stay prepared.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// More are not bound in a statement.
const VARIABLES_MAX: usize = 32_766;

/// A statement with values of many rows, in a few sizes.
#[derive(Debug)]
pub(super) struct Statement {
    /// The largest first.
    statements: Vec<(usize, Arc<str>)>,
}

impl Statement {
    /// `after` follows the values: `ON CONFLICT …`.
    pub(super) fn insert(table: &str, columns: &[&str], after: &str) -> Self {
        let (table, names) = (quoted(table), quoted_list(columns.iter().copied()));
        Self::new(columns.len(), |values| format!("INSERT INTO {table} ({names}) {values} {after}"))
    }

    /// `around` is given `VALUES …` with rows of so many values.
    pub(super) fn new(values: usize, around: impl Fn(&str) -> String) -> Self {
        let row = format!("({})", vec!["?"; values].join(", "));
        let statement = |rows: usize| {
            let values = vec![row.as_str(); rows].join(", ");
            around(&format!("VALUES {values}"))
        };
        let fits = |rows: &usize| *rows == 1 || rows * values <= VARIABLES_MAX;
        let sizes = SIZES.into_iter().filter(fits);
        Self { statements: sizes.map(|rows| (rows, statement(rows).into())).collect() }
    }

    /// The largest statement for not more than this number of rows, which is at least 1.
    pub(super) fn of(&self, rows: usize) -> (usize, AssertSqlSafe<Arc<str>>) {
        let fitting = self.statements.iter().find(|(size, _)| *size <= rows);
        let (size, statement) = fitting.expect("a statement for a single row");
        (*size, AssertSqlSafe(Arc::clone(statement)))
    }

    /// Runs it for all rows, each of them as `bind` binds it.
    pub(super) async fn all<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(&mut Binder, &T),
    ) -> Result<(), sqlx::Error> {
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

    /// The same for a statement that returns keys: all that it returned.
    pub(super) async fn keys<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(&mut Binder, &T),
    ) -> Result<HashSet<Vec<u8>>, sqlx::Error> {
        let mut keys = HashSet::new();
        while !rows.is_empty() {
            let (size, statement) = self.of(rows.len());
            let (now, later) = rows.split_at(size);
            let mut binder = Binder::default();
            for row in now {
                bind(&mut binder, row);
            }
            let returned = sqlx::query_with(statement, binder.finish()?);
            for row in returned.fetch_all(&mut *connection).await? {
                keys.insert(row.try_get(0)?);
            }
            rows = later;
        }
        Ok(keys)
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

    pub(super) fn push_cell(&mut self, cell: Cell) -> &mut Self {
        match cell {
            Cell::Null => self.push(None::<i64>),
            Cell::Boolean(value) => self.push(value),
            Cell::Integer(value) => self.push(value),
            Cell::Float(value) => self.push(value),
            Cell::Text(text) => self.push(Arc::<str>::from(text)),
            Cell::Timestamp(micros) => self.push(Rfc3339(micros).to_string()),
            Cell::List(list) => self.push(list.json()),
        }
    }

    pub(super) fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(error),
        }
    }
}
