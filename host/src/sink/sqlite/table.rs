//! The table that rows go to: as the pipeline and the rule describe it, and as it is found.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::ddl;
use super::error::SqliteFault;
use super::session::begin;
use crate::pipeline::config::SqliteSinkConfig;
use crate::record::{Field, Kind};

/// Where a row comes from, in tables that pinhost made.
pub(super) const LANE: &str = "_pinhost_lane";
pub(super) const POSITION: &str = "_pinhost_position";
pub(super) const VERSION: &str = "_pinhost_version";

/// As it is described.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Arc<[Field]>,
    /// Which of the columns. None if rows are appended.
    pub(super) key: Vec<usize>,
    pub(super) newest: Option<usize>,
    pub(super) provenance: bool,
    create: bool,
}

/// As it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// It has columns for the lane and the place of a row's record.
    pub(super) provenance: bool,
    pub(super) versions: Versions,
}

/// Where the versions of rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// Rows are appended.
    None,
    Column,
    /// In a table of their own: this one is somebody else's, or is to have no columns of pinhost's.
    Aside,
}

impl Table {
    pub(super) fn new(
        config: &SqliteSinkConfig,
        columns: Arc<[Field]>,
    ) -> Result<Self, SqliteFault> {
        let SqliteSinkConfig { path: _, table: name, key, newest, create, provenance } = config;
        is_ours_to_use(name, &["sqlite_", "pinhost_"])?;
        let mut seen: Vec<&str> = Vec::new();
        for Field { name, .. } in &*columns {
            is_ours_to_use(name, &["_pinhost_"])?;
            if let Some(one) = seen.iter().find(|one| one.eq_ignore_ascii_case(name)) {
                let (one, other) = ((*one).to_owned(), name.to_string());
                return Err(SqliteFault::SameColumn { one, other });
            }
            seen.push(name);
        }
        let at = |option, column: &String| {
            let at = columns.iter().position(|field| *field.name == **column);
            at.ok_or_else(|| SqliteFault::NoColumn { option, column: column.clone() })
        };
        let mut key_columns = Vec::new();
        for column in key {
            let at = at("key", column)?;
            if key_columns.contains(&at) {
                return Err(SqliteFault::KeyTwice { column: column.clone() });
            }
            key_columns.push(at);
        }
        let newest = newest.as_ref().map(|column| at("newest", column)).transpose()?;
        if let Some(newest) = newest {
            if key.is_empty() {
                return Err(SqliteFault::NewestWithoutKey);
            }
            let Field { name, kind } = &columns[newest];
            if matches!(kind, Kind::TextList | Kind::FloatList) {
                return Err(SqliteFault::NewestList { column: name.to_string() });
            }
        }
        let (provenance, create) = (*provenance, *create);
        Ok(Self { name: name.clone(), columns, key: key_columns, newest, provenance, create })
    }

    pub(super) fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|at| &*self.columns[*at].name).collect()
    }

    /// Makes the table or what it lacks, as far as that is wanted, and says what it is like.
    pub(super) async fn prepare(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Layout, SqliteFault> {
        // As a writer, even to look: of two that start at once, the second meets what the first made.
        let mut transaction = begin(connection).await?;
        match kind_of(&mut transaction, &self.name).await?.as_deref() {
            None => self.make(&mut transaction).await?,
            Some("view") => return Err(SqliteFault::View { table: self.name.clone() }),
            Some(_) => self.complete(&mut transaction).await?,
        }
        let found = columns(&mut transaction, &self.name).await?;
        let has = |column: &str| found.contains(&column.to_ascii_lowercase());
        if !self.key.is_empty() && !self.is_unique(&mut transaction).await? {
            return Err(SqliteFault::NoUniqueKey {
                table: self.name.clone(),
                key: self.key_names().join(", "),
                ddl: ddl::unique_index(self),
            });
        }
        transaction.commit().await?;
        Ok(Layout {
            provenance: has(LANE) && has(POSITION),
            versions: match self.key[..] {
                [] => Versions::None,
                // Whatever `provenance:` says now: versions that are in the table count.
                [..] if has(VERSION) => Versions::Column,
                [..] => Versions::Aside,
            },
        })
    }

    async fn make(&self, connection: &mut SqliteConnection) -> Result<(), SqliteFault> {
        let ddl = ddl::create_table(self);
        if !self.create {
            return Err(SqliteFault::NoTable { table: self.name.clone(), ddl });
        }
        sqlx::query(AssertSqlSafe(ddl)).execute(&mut *connection).await?;
        // Of a table that was dropped.
        sqlx::query("DELETE FROM pinhost_version WHERE target = ?")
            .bind(&self.name)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn complete(&self, connection: &mut SqliteConnection) -> Result<(), SqliteFault> {
        let found = columns(connection, &self.name).await?;
        let missing: Vec<_> = self
            .columns
            .iter()
            .filter(|field| !found.contains(&field.name.to_ascii_lowercase()))
            .collect();
        let ddl: Vec<_> = missing.iter().map(|field| ddl::add_column(self, field)).collect();
        if !self.create && !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|field| &*field.name).collect();
            return Err(SqliteFault::NoColumns {
                table: self.name.clone(),
                columns: names.join(", "),
                ddl: ddl.join("\n"),
            });
        }
        for statement in ddl {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Whether an upsert by the key finds its row: by the primary key, or by an index of just these columns.
    async fn is_unique(&self, connection: &mut SqliteConnection) -> Result<bool, SqliteFault> {
        let key: HashSet<String> =
            self.key_names().into_iter().map(str::to_ascii_lowercase).collect();
        let primary: Vec<String> =
            sqlx::query_scalar("SELECT lower(name) FROM pragma_table_info(?) WHERE pk > 0")
                .bind(&self.name)
                .fetch_all(&mut *connection)
                .await?;
        if key == primary.into_iter().collect() {
            return Ok(true);
        }
        let indexes: Vec<(String, String)> = sqlx::query_as(
            "SELECT i.name, coalesce(lower(c.name), '') \
             FROM pragma_index_list(?) i, pragma_index_info(i.name) c \
             WHERE i.\"unique\" AND NOT i.partial ORDER BY i.name",
        )
        .bind(&self.name)
        .fetch_all(connection)
        .await?;
        Ok(indexes.chunk_by(|one, next| one.0 == next.0).any(|index| {
            index.len() == key.len() && index.iter().all(|(_, column)| key.contains(column))
        }))
    }
}

fn is_ours_to_use(name: &str, reserved: &[&str]) -> Result<(), SqliteFault> {
    let name = name.to_owned();
    if name.contains('\0') {
        return Err(SqliteFault::Name { name });
    }
    let starts = |prefix: &&str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if name.is_empty() || reserved.iter().any(starts) {
        return Err(SqliteFault::ReservedName { name });
    }
    Ok(())
}

async fn kind_of(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Option<String>, SqliteFault> {
    Ok(sqlx::query_scalar(
        "SELECT type FROM sqlite_schema \
         WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
    )
    .bind(table)
    .fetch_optional(connection)
    .await?)
}

async fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<HashSet<String>, SqliteFault> {
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_xinfo(?)")
        .bind(table)
        .fetch_all(connection)
        .await?;
    Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect())
}
