//! Deletes, and versions that are kept aside, in a table of their own: all of them, if rows have no column
//! for them, and those of deletes in any case.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::catalog::{Fit, Found};
use super::copy::{GroupError, copy, tried};
use super::ddl::{column_type, table_name};
use super::encode::push_bytes;
use super::error::PostgresFault;
use super::session::{answered, query};
use super::table::Table;
use super::target::full_name;
use super::write::KEY;
use crate::sink::table::commit::RowsToWrite;
use crate::sink::table::ddl::{quoted, quoted_list};
use crate::sink::table::rows::{Candidates, RowAt};
use crate::sink::table::{FORGOTTEN_MAX, Layout, VERSION, Versions};

/// Where keys wait as they are given, and as the table has them.
const GIVEN: &str = "pg_temp.pinhost_keys";
const DELETES: &str = "pg_temp.pinhost_deletes";

pub(super) const EMPTY_STAGES: &str = "TRUNCATE pg_temp.pinhost_keys, pg_temp.pinhost_deletes";

/// The statements that delete, and look at versions.
#[derive(Debug)]
pub(super) struct VersionPlan {
    target: String,
    layout: Layout,
    /// Makes both of the tables in which keys wait.
    pub(super) make: String,
    /// Values of a key that is sent.
    fields: i16,
    copy: String,
    assign: String,
    /// Notes down those deletes that are newer than all that is known of their keys.
    keep: String,
    delete: String,
}

impl VersionPlan {
    pub(super) fn new(table: &Table, found: &Found, layout: Layout, fits: &[Fit]) -> Option<Self> {
        if layout.versions == Versions::None {
            return None;
        }
        let target = &table.target;
        let name = table_name(&table.name);
        let key = target.key_names();
        let given = target.deleted();
        let sent = given.iter().map(|at| &*target.columns[*at].name).chain([VERSION, KEY]);
        let sent: Vec<_> = sent.collect();
        let made = given.iter().map(|at| {
            let field = &target.columns[*at];
            format!("{} {}", quoted(&field.name), column_type(field.kind))
        });
        let made: Vec<_> = made.collect();
        let assigned = target.key.iter().map(|at| fits[*at].given(&target.columns[*at].name));
        let assigned: Vec<_> = assigned.collect();
        let same = key.iter().map(|name| format!("t.{0} = d.{0}", quoted(name)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        let keys = quoted_list(key.iter().copied());
        let none_left = match layout.versions {
            // What is left of them is newer.
            Versions::Column => format!("WHERE NOT EXISTS (SELECT FROM {name} t WHERE {same})"),
            Versions::None | Versions::Aside => String::new(),
        };
        let keep = format!(
            "INSERT INTO pinhost.version AS v (target, key, version, deleted) \
             SELECT $1, d.{KEY}, d.{VERSION}, clock_timestamp() FROM {DELETES} d {none_left} \
             ON CONFLICT (target, key) DO UPDATE \
             SET version = excluded.version, deleted = excluded.deleted \
             WHERE excluded.version >= v.version"
        );
        let delete = match layout.versions {
            Versions::Column => format!(
                "DELETE FROM {name} t USING {DELETES} d \
                 WHERE {same} AND (t.{VERSION} IS NULL OR t.{VERSION} <= d.{VERSION})"
            ),
            // Those that were noted down.
            Versions::None | Versions::Aside => format!(
                "DELETE FROM {name} t USING {DELETES} d JOIN pinhost.version v \
                 ON v.target = $1 AND v.key = d.{KEY} AND v.version = d.{VERSION} WHERE {same}"
            ),
        };
        Some(Self {
            target: full_name(&found.schema, &table.name.table),
            layout,
            // With the table's own types: what becomes of a key that is assigned to another type is the
            // server's to decide.
            make: format!(
                "CREATE TEMPORARY TABLE pinhost_keys ({}, {VERSION} bytea, {KEY} bytea) ON COMMIT DROP; \
                 CREATE TEMPORARY TABLE pinhost_deletes ON COMMIT DROP AS \
                 SELECT {keys}, NULL::bytea AS {VERSION}, NULL::bytea AS {KEY} FROM {name} WITH NO DATA",
                made.join(", ")
            ),
            fields: i16::try_from(sent.len()).unwrap_or(i16::MAX),
            copy: format!(
                "COPY {GIVEN} ({}) FROM STDIN (FORMAT binary)",
                quoted_list(sent.iter().copied())
            ),
            assign: format!(
                "INSERT INTO {DELETES} SELECT {}, r.{VERSION}, r.{KEY} FROM {GIVEN} r",
                assigned.join(", ")
            ),
            keep,
            delete,
        })
    }

    /// Sends the keys of rows that are to go.
    pub(super) async fn copy(
        &self,
        connection: &mut PgConnection,
        rows: &RowsToWrite<'_>,
        deletes: &[u32],
    ) -> Result<(), GroupError> {
        if deletes.is_empty() {
            return Ok(());
        }
        let candidates = &rows.candidates;
        let push = |chunk: &mut Vec<u8>, delete: u32| {
            let RowAt { part, row } = candidates.at(delete);
            chunk.extend_from_slice(&self.fields.to_be_bytes());
            chunk.extend_from_slice(rows.parts[part].encoded.map_or(&[], |keys| keys.row(row)));
            push_bytes(chunk, candidates.version(delete));
            push_bytes(chunk, candidates.key(delete));
        };
        copy(connection, &self.copy, deletes, push).await?;
        let assign = sqlx::query(AssertSqlSafe(self.assign.as_str())).persistent(false);
        tried(assign.execute(connection)).await?;
        Ok(())
    }

    /// A row that is not there is nothing that a delete and an older row of another lane could meet at, and
    /// neither would see what the other is about to commit. So those who delete are alone; until they
    /// commit, which is next. Where versions are aside, they meet there.
    pub(super) async fn lock(
        &self,
        connection: &mut PgConnection,
        is_alone: bool,
    ) -> Result<(), PostgresFault> {
        if self.layout.versions != Versions::Column {
            return Ok(());
        }
        let lock = query(if is_alone {
            "SELECT pg_advisory_xact_lock(hashtextextended('pinhost table ' || $1, 0))"
        } else {
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('pinhost table ' || $1, 0))"
        });
        answered(lock.bind(&self.target).execute(connection)).await?;
        Ok(())
    }

    /// Leaves out those rows that a newer record deleted, as far as the table does not do so itself; says
    /// whether there were any.
    pub(super) async fn drop_deleted(
        &self,
        connection: &mut PgConnection,
        candidates: &Candidates,
        rows: &mut Vec<u32>,
    ) -> Result<bool, PostgresFault> {
        if self.layout.versions != Versions::Column || rows.is_empty() {
            return Ok(false);
        }
        let any = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pinhost.version WHERE target = $1 AND deleted IS NOT NULL)",
        );
        let any = any.persistent(false).bind(&self.target);
        if !answered(any.fetch_one(&mut *connection)).await? {
            return Ok(false);
        }
        let keys: Vec<_> = rows.iter().map(|row| candidates.key(*row)).collect();
        let versions: Vec<_> = rows.iter().map(|row| candidates.version(*row)).collect();
        let deleted = sqlx::query_scalar(
            "SELECT v.key FROM unnest($2::bytea[], $3::bytea[]) AS r (key, version) \
             JOIN pinhost.version v ON v.target = $1 AND v.key = r.key \
             WHERE v.deleted IS NOT NULL AND v.version > r.version",
        );
        let deleted = deleted.persistent(false).bind(&self.target).bind(&keys).bind(&versions);
        let deleted: Vec<Vec<u8>> = answered(deleted.fetch_all(connection)).await?;
        let deleted: HashSet<_> = deleted.iter().map(Vec::as_slice).collect();
        rows.retain(|row| !deleted.contains(candidates.key(*row)));
        Ok(!deleted.is_empty())
    }

    /// How many of the deletes that wait are newer than what is known of their keys: those rows are gone.
    pub(super) async fn delete(&self, connection: &mut PgConnection) -> Result<u64, GroupError> {
        let keep = sqlx::query(AssertSqlSafe(self.keep.as_str())).persistent(false);
        let keep = keep.bind(&self.target);
        let delete = sqlx::query(AssertSqlSafe(self.delete.as_str())).persistent(false);
        // Of two statements the second sees what others committed while the first waited for them.
        if self.layout.versions == Versions::Column {
            tried(delete.execute(&mut *connection)).await?;
            return Ok(tried(keep.execute(connection)).await?.rows_affected());
        }
        let kept = tried(keep.execute(&mut *connection)).await?.rows_affected();
        tried(delete.bind(&self.target).execute(connection)).await?;
        Ok(kept)
    }
}

/// Forgets deletes that are older than `keep`.
pub(super) async fn forget(
    connection: &mut PgConnection,
    target: &str,
    keep: Duration,
) -> Result<(), PostgresFault> {
    // Longer than there is time: for ever.
    let Ok(keep) = i64::try_from(keep.as_micros()) else { return Ok(()) };
    let forget = query(
        "DELETE FROM pinhost.version WHERE (target, key) IN \
         (SELECT target, key FROM pinhost.version WHERE target = $1 AND deleted IS NOT NULL \
          AND extract(epoch FROM clock_timestamp() - deleted) * 1000000 > $2 \
          ORDER BY deleted LIMIT $3 FOR UPDATE SKIP LOCKED)",
    );
    let forget = forget.bind(target).bind(keep).bind(FORGOTTEN_MAX);
    answered(forget.execute(connection)).await?;
    Ok(())
}
