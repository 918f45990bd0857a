//! The tables that pinhost keeps beside the rows, and the number of their format.
//!
//! A format that has been released is never edited: a later one is a migration more.

use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::session::begin;
use crate::ledger::LedgerFault;

/// Migration `n`, counted from 0, makes format `n + 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("state/1.sql"),
    include_str!("state/2.sql"),
    include_str!("state/3.sql"),
    include_str!("state/4.sql"),
];

pub(super) async fn prepare(connection: &mut SqliteConnection) -> Result<(), SqliteFault> {
    migrate(connection, MIGRATIONS).await
}

pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &[&'static str],
) -> Result<(), SqliteFault> {
    let known = migrations.len();
    if format(connection, known).await? == known {
        return Ok(());
    }
    // Others may be at it too: what is to be done is looked up again once nobody else can write.
    let mut transaction = begin(connection).await?;
    let found = format(&mut transaction, known).await?;
    for migration in &migrations[found..] {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    sqlx::query("INSERT OR REPLACE INTO pinhost_meta (name, value) VALUES ('format', ?)")
        .bind(known.to_string())
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// 0 if pinhost has never written to the database.
async fn format(connection: &mut SqliteConnection, known: usize) -> Result<usize, SqliteFault> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'pinhost_meta'")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(0);
    }
    let written: Option<String> =
        sqlx::query_scalar("SELECT value FROM pinhost_meta WHERE name = 'format'")
            .fetch_optional(&mut *connection)
            .await?;
    let written = written.unwrap_or_default();
    match written.parse() {
        Ok(found) if (1..=known).contains(&found) => Ok(found),
        Ok(found) if found > known => Err(LedgerFault::NewerFormat { found, known }.into()),
        _ => Err(LedgerFault::state("pinhost_meta", "format", &written).into()),
    }
}
