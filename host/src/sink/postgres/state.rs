//! The tables that pinhost keeps beside the rows, in a schema of their own, and the number of their
//! format.
//!
//! A format that has been released is never edited: a later one is a migration more.

use sqlx::postgres::PgConnection;

use super::error::PostgresFault;
use super::session::{answered, query};
use crate::ledger::LedgerFault;

/// Migration `n`, counted from 0, makes format `n + 1`.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("state/1.sql"),
    include_str!("state/2.sql"),
    include_str!("state/3.sql"),
    include_str!("state/4.sql"),
];

/// `pinhost` as a number: whoever makes or changes tables holds this lock until the end of its
/// transaction, so that several processes can start on an empty database.
const LOCK: i64 = i64::from_be_bytes(*b"\0pinhost");

/// In the middle of a transaction.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<(), PostgresFault> {
    let lock = query("SELECT pg_advisory_xact_lock($1)").bind(LOCK);
    answered(lock.execute(connection)).await?;
    Ok(())
}

/// Texts are UTF-8, and a database of another encoding cannot keep all of them.
pub(super) async fn check_encoding(connection: &mut PgConnection) -> Result<(), PostgresFault> {
    let encoding = sqlx::query_scalar("SELECT current_setting('server_encoding')");
    let encoding: String = answered(encoding.persistent(false).fetch_one(connection)).await?;
    if encoding == "UTF8" { Ok(()) } else { Err(PostgresFault::Encoding { encoding }) }
}

/// Whether pinhost has ever written to the database.
pub(super) async fn is_there(connection: &mut PgConnection) -> Result<bool, PostgresFault> {
    let there = sqlx::query_scalar("SELECT to_regclass('pinhost.meta') IS NOT NULL");
    answered(there.persistent(false).fetch_one(connection)).await
}

/// Whether a pinhost that knows this table has written to it.
pub(super) async fn has(connection: &mut PgConnection, table: &str) -> Result<bool, PostgresFault> {
    let there = sqlx::query_scalar("SELECT to_regclass('pinhost.' || $1) IS NOT NULL");
    answered(there.persistent(false).bind(table).fetch_one(connection)).await
}

/// In the middle of a transaction that has the lock.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    migrations: &[&'static str],
) -> Result<(), PostgresFault> {
    let known = migrations.len();
    let found = format(connection, known).await?;
    if found == known {
        return Ok(());
    }
    // Somebody else may have made the schema, for a role that may make none.
    let schema = sqlx::query_scalar("SELECT to_regnamespace('pinhost') IS NOT NULL");
    let has_schema: bool = answered(schema.persistent(false).fetch_one(&mut *connection)).await?;
    if !has_schema {
        answered(query("CREATE SCHEMA pinhost").execute(&mut *connection)).await?;
    }
    for migration in &migrations[found..] {
        answered(sqlx::raw_sql(*migration).execute(&mut *connection)).await?;
    }
    let written = query(
        "INSERT INTO pinhost.meta (name, value) VALUES ('format', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    answered(written.bind(known.to_string()).execute(connection)).await?;
    Ok(())
}

/// 0 if there is nothing yet.
async fn format(connection: &mut PgConnection, known: usize) -> Result<usize, PostgresFault> {
    if !is_there(connection).await? {
        return Ok(0);
    }
    let written = sqlx::query_scalar("SELECT value FROM pinhost.meta WHERE name = 'format'");
    let written: Option<String> =
        answered(written.persistent(false).fetch_optional(connection)).await?;
    let written = written.unwrap_or_default();
    match written.parse() {
        Ok(found) if (1..=known).contains(&found) => Ok(found),
        Ok(found) if found > known => Err(LedgerFault::NewerFormat { found, known }.into()),
        _ => Err(LedgerFault::state("pinhost.meta", "format", &written).into()),
    }
}
