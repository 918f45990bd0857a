//! What a database holds.

use std::path::Path;

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, TypeInfo as _, ValueRef as _,
};

/// The rows that a query gives, each as a line.
///
/// # Panics
/// If the database cannot be read: a test has failed then.
#[track_caller]
pub fn rows(database: &Path, query: &str) -> Vec<String> {
    let line =
        |cells: Vec<Value>| cells.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    sqlite(database, query).into_iter().map(line).collect()
}

/// The rows that a query gives on an SQLite database.
///
/// # Panics
/// If the database cannot be read: a test has failed then.
#[track_caller]
pub fn sqlite(database: &Path, query: &str) -> Vec<Vec<Value>> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let rows = wait(async {
        let mut connection = options.connect().await?;
        sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await
    });
    rows.unwrap_or_else(|error| panic!("{query}: {error}")).iter().map(cells_of_sqlite).collect()
}

/// Does something to an SQLite database, which is made if it is not there.
///
/// # Panics
/// If it cannot be done.
#[track_caller]
pub fn change_sqlite(database: &Path, statement: &str) {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let done = wait(async {
        let mut connection = options.connect().await?;
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        connection.close().await
    });
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The rows that a query gives on a Postgres database, in a session that shows times in UTC.
///
/// # Panics
/// If the database cannot be read: a test has failed then.
#[track_caller]
pub fn postgres(url: &str, query: &str) -> Vec<Vec<Value>> {
    let options: PgConnectOptions = url.parse().expect("a URL");
    let options = options.options([("timezone", "UTC")]);
    let rows = wait(async {
        let mut connection = options.connect().await?;
        let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(rows)
    });
    rows.unwrap_or_else(|error| panic!("{query}: {error}")).iter().map(cells_of_postgres).collect()
}

pub(crate) fn wait<T>(done: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(done)
}

fn cells_of_sqlite(row: &SqliteRow) -> Vec<Value> {
    let cell = |at| {
        let raw = row.try_get_raw(at).expect("a cell");
        match raw.type_info().name() {
            _ if raw.is_null() => Value::Null,
            "INTEGER" | "BOOLEAN" => row.get::<i64, _>(at).into(),
            "REAL" => row.get::<f64, _>(at).into(),
            "BLOB" => format!("{:02x?}", row.get::<Vec<u8>, _>(at)).into(),
            _ => row.get::<String, _>(at).into(),
        }
    };
    (0..row.len()).map(cell).collect()
}

fn cells_of_postgres(row: &PgRow) -> Vec<Value> {
    let cell = |at| {
        let raw = row.try_get_raw(at).expect("a cell");
        match raw.type_info().name() {
            _ if raw.is_null() => Value::Null,
            "INT4" => row.get::<i32, _>(at).into(),
            "INT8" => row.get::<i64, _>(at).into(),
            "FLOAT8" => row.get::<f64, _>(at).into(),
            "TEXT" | "VARCHAR" => row.get::<String, _>(at).into(),
            other => panic!("cells of type {other} are not read here: cast them"),
        }
    };
    (0..row.len()).map(cell).collect()
}
