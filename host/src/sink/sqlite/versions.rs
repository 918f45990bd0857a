//! Versions of rows that are kept aside, in a table of their own: all of them, if rows have no column for
//! them, and those of deletes in any case.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::insert::{Binder, Statement};
use super::time;
use crate::sink::table::commit::RowsToWrite;
use crate::sink::table::ddl::{quoted, quoted_list};
use crate::sink::table::rows::{Candidates, RowAt};
use crate::sink::table::{FORGOTTEN_MAX, Layout, Target, VERSION, Versions};

/// The statements that look at versions.
#[derive(Debug)]
pub(super) struct VersionPlan {
    target: String,
    layout: Layout,
    /// Keeps those that are newer than what is there, and returns their keys.
    keep: Statement,
    /// Returns the keys of rows that a newer record deleted.
    deleted: Statement,
    /// Returns the keys of deletes that are older than their rows.
    outdated: Statement,
    delete: Statement,
}

impl VersionPlan {
    pub(super) fn new(target: &Target, layout: Layout) -> Option<Self> {
        if layout.versions == Versions::None {
            return None;
        }
        let key = target.key_names();
        let (table, names) = (quoted(&target.name), quoted_list(key.iter().copied()));
        let given: Vec<_> = (0..key.len()).map(|at| format!("k{at}")).collect();
        let same: Vec<_> = key
            .iter()
            .zip(&given)
            .map(|(name, given)| format!("{table}.{} = d.{given}", quoted(name)))
            .collect();
        let (given, same, version) = (given.join(", "), same.join(" AND "), quoted(VERSION));
        Some(Self {
            target: target.name.clone(),
            layout,
            // A record that comes again has the version that is there already, and counts again.
            keep: Statement::insert(
                "pinhost_version",
                &["target", "key", "version", "deleted"],
                "ON CONFLICT (target, key) DO UPDATE \
                 SET version = excluded.version, deleted = excluded.deleted \
                 WHERE excluded.version >= pinhost_version.version RETURNING key",
            ),
            // A CROSS JOIN, as SQLite keeps its order: the table is looked into, and never read through.
            deleted: Statement::new(3, |values| {
                format!(
                    "WITH d (target, key, version) AS ({values}) \
                     SELECT v.key FROM d CROSS JOIN pinhost_version v \
                     ON v.target = d.target AND v.key = d.key \
                     WHERE v.deleted IS NOT NULL AND v.version > d.version"
                )
            }),
            outdated: Statement::new(2 + key.len(), |values| {
                format!(
                    "WITH d (key, version, {given}) AS ({values}) \
                     SELECT d.key FROM d CROSS JOIN {table} ON {same} \
                     WHERE {table}.{version} > d.version"
                )
            }),
            delete: Statement::new(key.len(), |values| {
                format!("DELETE FROM {table} WHERE ({names}) IN ({values})")
            }),
        })
    }

    /// Those of the rows that are newer than what is known of their keys, as far as the table does not
    /// know it itself.
    pub(super) async fn newer(
        &self,
        connection: &mut SqliteConnection,
        candidates: &Candidates,
        mut rows: Vec<u32>,
    ) -> Result<Vec<u32>, sqlx::Error> {
        if self.layout.versions == Versions::Aside {
            return self.keep(connection, candidates, rows, None).await;
        }
        if !self.has_deletes(connection).await? {
            return Ok(rows);
        }
        let bind = |binder: &mut Binder, row: &u32| {
            binder.push(&*self.target).push(candidates.key(*row)).push(candidates.version(*row));
        };
        let deleted = self.deleted.keys(connection, &rows, bind).await?;
        rows.retain(|row| !deleted.contains(candidates.key(*row)));
        Ok(rows)
    }

    /// How many of the deletes are newer than what is known of their keys: those rows are gone.
    pub(super) async fn delete(
        &self,
        connection: &mut SqliteConnection,
        rows: &RowsToWrite<'_>,
        mut deletes: Vec<u32>,
    ) -> Result<u64, sqlx::Error> {
        if deletes.is_empty() {
            return Ok(0);
        }
        let candidates = &rows.candidates;
        let bind_key = |binder: &mut Binder, delete: &u32| {
            let RowAt { part, row } = candidates.at(*delete);
            for cell in rows.parts[part].key(row) {
                binder.push_cell(cell);
            }
        };
        if self.layout.versions == Versions::Column {
            let bind = |binder: &mut Binder, delete: &u32| {
                binder.push(candidates.key(*delete)).push(candidates.version(*delete));
                bind_key(binder, delete);
            };
            let outdated = self.outdated.keys(connection, &deletes, bind).await?;
            deletes.retain(|delete| !outdated.contains(candidates.key(*delete)));
        }
        let deletes = self.keep(connection, candidates, deletes, Some(&time::now())).await?;
        self.delete.all(connection, &deletes, bind_key).await?;
        Ok(deletes.len() as u64)
    }

    /// Those of the candidates whose versions are newer than the ones kept aside, which they replace.
    async fn keep(
        &self,
        connection: &mut SqliteConnection,
        candidates: &Candidates,
        mut all: Vec<u32>,
        deleted: Option<&str>,
    ) -> Result<Vec<u32>, sqlx::Error> {
        let bind = |binder: &mut Binder, at: &u32| {
            binder
                .push(&*self.target)
                .push(candidates.key(*at))
                .push(candidates.version(*at))
                .push(deleted);
        };
        let newer: HashSet<_> = self.keep.keys(connection, &all, bind).await?;
        all.retain(|at| newer.contains(candidates.key(*at)));
        Ok(all)
    }

    async fn has_deletes(&self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pinhost_version \
             WHERE target = ? AND deleted IS NOT NULL)",
        )
        .bind(&self.target)
        .fetch_one(connection)
        .await
    }
}

/// Forgets deletes that are older than `keep`.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    target: &str,
    keep: Duration,
) -> Result<(), SqliteFault> {
    // Longer than there is time: for ever.
    let Some(before) = time::ago(keep) else { return Ok(()) };
    sqlx::query(
        "DELETE FROM pinhost_version WHERE (target, key) IN \
         (SELECT target, key FROM pinhost_version \
          WHERE target = ? AND deleted < ? ORDER BY deleted LIMIT ?)",
    )
    .bind(target)
    .bind(before)
    .bind(FORGOTTEN_MAX)
    .execute(connection)
    .await?;
    Ok(())
}
