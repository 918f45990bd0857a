//! One table has one name, however people write it: the database tells which.

use sqlx::postgres::PgConnection;

use super::TableName;
use super::ddl::table_name;
use super::error::PostgresFault;
use super::session::{answered, query};
use crate::sink::table::ddl::quoted;

/// The name that the table has in the ledger, if it is there.
pub(super) async fn resolved(
    connection: &mut PgConnection,
    name: &TableName,
) -> Result<Option<String>, PostgresFault> {
    let found = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)",
    );
    let found = found.persistent(false).bind(table_name(name));
    let found: Option<(String, String)> = answered(found.fetch_optional(connection)).await?;
    Ok(found.map(|(schema, table)| full_name(&schema, &table)))
}

/// `public.pin`
pub(super) fn full_name(schema: &str, table: &str) -> String {
    let part = |name: &str| match name.contains(['.', '"']) {
        true => quoted(name),
        false => name.to_owned(),
    };
    format!("{}.{}", part(schema), part(table))
}

/// What the ledger knows of the table under the name that people wrote, it knows under its one name from now
/// on. In the middle of a transaction that has the lock.
pub(super) async fn settle(
    connection: &mut PgConnection,
    name: &str,
    written: &str,
) -> Result<(), PostgresFault> {
    if name == written {
        return Ok(());
    }
    // The newer version of a key is the one that counts.
    for statement in [
        "DELETE FROM pinhost.version v USING pinhost.version o \
         WHERE v.target = $2 AND o.target = $1 AND o.key = v.key AND o.version >= v.version",
        "DELETE FROM pinhost.version v USING pinhost.version o \
         WHERE v.target = $1 AND o.target = $2 AND o.key = v.key AND o.version > v.version",
        "UPDATE pinhost.version SET target = $1 WHERE target = $2",
        "UPDATE pinhost.position SET target = $1 WHERE target = $2",
        "UPDATE pinhost.lineage SET target = $1 WHERE target = $2",
    ] {
        answered(query(statement).bind(name).bind(written).execute(&mut *connection)).await?;
    }
    Ok(())
}
