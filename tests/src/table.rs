//! What an SQLite database holds.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, TypeInfo as _, ValueRef as _};

/// The rows that a query gives, each as a line.
///
/// # Panics
/// If the database cannot be read: a test has failed then.
#[track_caller]
pub fn rows(database: &Path, query: &'static str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let options = SqliteConnectOptions::new().filename(database).read_only(true);
        let mut connection = options.connect().await.expect("the database can be opened");
        let rows = sqlx::query(query).fetch_all(&mut connection).await;
        rows.unwrap_or_else(|error| panic!("{query}: {error}")).iter().map(line).collect()
    })
}

fn line(row: &SqliteRow) -> String {
    let cells = (0..row.len()).map(|at| {
        let raw = row.try_get_raw(at).expect("a cell");
        match raw.type_info().name() {
            _ if raw.is_null() => "null".to_owned(),
            "INTEGER" | "BOOLEAN" => row.get::<i64, _>(at).to_string(),
            "REAL" => row.get::<f64, _>(at).to_string(),
            "BLOB" => format!("{:02x?}", row.get::<Vec<u8>, _>(at)),
            _ => format!("{:?}", row.get::<String, _>(at)),
        }
    });
    cells.collect::<Vec<_>>().join(" | ")
}
