//! The table that rows go to: made, completed, checked.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::SqliteSinkConfig;
use super::ddl::SQLITE;
use super::error::SqliteFault;
use super::session::begin;
use crate::ledger::RowOrigin;
use crate::record::Field;
use crate::sink::table::ddl::{quoted, unique_index};
use crate::sink::table::key::{KeyCase, KeyForm};
use crate::sink::table::meaning::Meaning;
use crate::sink::table::{
    GENERATION, LANE, Layout, ORIGINS_MAX, POSITION, TableFault, Target, TargetConfig, VERSION,
    Versions,
};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) target: Target,
}

impl Table {
    pub(super) fn new(
        config: &SqliteSinkConfig,
        columns: Option<Arc<[Field]>>,
        replaces: bool,
    ) -> Result<Self, SqliteFault> {
        let SqliteSinkConfig { table, key, newest, create, provenance, .. } = config;
        let newest = newest.as_deref();
        let (create, provenance) = (*create, *provenance);
        let config = TargetConfig { key, newest, create, provenance, replaces };
        let target = Target::new(&SQLITE, table, config, columns)?;
        Ok(Self { target })
    }

    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// Makes the table or what it lacks, as far as that is wanted, and says what it is like.
    pub(super) async fn prepare(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(Layout, Vec<KeyForm>), SqliteFault> {
        // As a writer, even to look: of two that start at once, the second meets what the first made.
        let mut transaction = begin(connection).await?;
        let layout = self.fit(&mut transaction).await?;
        self.settle_versions(&mut transaction, layout).await?;
        let key_forms = self.key_forms(&mut transaction).await?;
        transaction.commit().await?;
        Ok((layout, key_forms))
    }

    /// How the columns of the key compare their values: as an index of theirs does.
    pub(super) async fn key_forms(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<KeyForm>, SqliteFault> {
        let collations: Vec<(String, String)> = sqlx::query_as(
            "SELECT DISTINCT coalesce(lower(c.name), ''), upper(c.coll) \
             FROM pragma_index_list(?) i, pragma_index_xinfo(i.name) c \
             WHERE i.\"unique\" AND NOT i.partial AND c.key",
        )
        .bind(self.name())
        .fetch_all(connection)
        .await?;
        let form = |name: &str| {
            let has = |collation: &str| {
                collations.contains(&(name.to_ascii_lowercase(), collation.to_owned()))
            };
            let case = if has("NOCASE") { KeyCase::NotOfAscii } else { KeyCase::Counts };
            KeyForm { case, without_nul: false, without_blanks: has("RTRIM") }
        };
        Ok(self.target.key_names().into_iter().map(form).collect())
    }

    /// Whether the table could be prepared; it stays as it is.
    pub(super) async fn would_fit(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), SqliteFault> {
        let mut transaction = begin(connection).await?;
        let fit = async {
            let layout = self.fit(&mut transaction).await?;
            self.settle_versions(&mut transaction, layout).await
        };
        let fit = fit.await;
        transaction.rollback().await?;
        fit
    }

    pub(super) async fn fit(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Layout, SqliteFault> {
        match kind_of(connection, self.name()).await?.as_deref() {
            None => self.make(connection).await?,
            Some("view") => return Err(TableFault::View { table: self.name().to_owned() }.into()),
            Some(_) => self.complete(connection).await?,
        }
        let found = columns(connection, self.name()).await?;
        let has = |column: &str| found.contains(&column.to_ascii_lowercase());
        let target = &self.target;
        if !target.key.is_empty() && !self.is_unique(connection).await? {
            let fault = TableFault::NoUniqueKey {
                table: target.name.clone(),
                key: target.key_names().join(", "),
                ddl: unique_index(&target.name, &quoted(&target.name), target),
            };
            return Err(fault.into());
        }
        let layout = target.layout(has);
        target.check(layout)?;
        Ok(layout)
    }

    /// Stores what versions of rows mean, or finds that those that are there mean the same.
    async fn settle_versions(
        &self,
        connection: &mut SqliteConnection,
        layout: Layout,
    ) -> Result<(), SqliteFault> {
        let Some(meaning) = Meaning::of(&self.target) else { return Ok(()) };
        let stored: Option<String> =
            sqlx::query_scalar("SELECT value FROM pinhost_meta WHERE name = ?")
                .bind(Meaning::name(self.name()))
                .fetch_optional(&mut *connection)
                .await?;
        match stored {
            Some(stored) if meaning.is(&stored) => Ok(()),
            Some(stored) if self.has_versions(connection, layout).await? => {
                Err(meaning.refusal(self.name(), &stored).into())
            }
            Some(_) | None => store_meaning(connection, self.name(), &meaning).await,
        }
    }

    async fn has_versions(
        &self,
        connection: &mut SqliteConnection,
        layout: Layout,
    ) -> Result<bool, SqliteFault> {
        let aside = "SELECT EXISTS (SELECT 1 FROM pinhost_version WHERE target = ?)";
        let aside = sqlx::query_scalar(aside).bind(self.name());
        if aside.fetch_one(&mut *connection).await? {
            return Ok(true);
        }
        if layout.versions != Versions::Column {
            return Ok(false);
        }
        let name = quoted(self.name());
        let own = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE {VERSION} IS NOT NULL)");
        Ok(sqlx::query_scalar(AssertSqlSafe(own)).fetch_one(connection).await?)
    }

    async fn make(&self, connection: &mut SqliteConnection) -> Result<(), SqliteFault> {
        let Target { name, create, .. } = &self.target;
        let ddl = SQLITE.create_table(&quoted(name), &self.target);
        if !create {
            return Err(TableFault::NoTable { table: name.clone(), ddl }.into());
        }
        sqlx::query(AssertSqlSafe(ddl)).execute(&mut *connection).await?;
        // Of a table that was dropped.
        sqlx::query("DELETE FROM pinhost_version WHERE target = ?")
            .bind(self.name())
            .execute(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM pinhost_meta WHERE name = ?")
            .bind(Meaning::name(self.name()))
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn complete(&self, connection: &mut SqliteConnection) -> Result<(), SqliteFault> {
        let found = columns(connection, self.name()).await?;
        let Target { name, columns, create, .. } = &self.target;
        let missing: Vec<_> = columns
            .iter()
            .filter(|field| !found.contains(&field.name.to_ascii_lowercase()))
            .collect();
        let table = quoted(name);
        let mut ddl: Vec<_> =
            missing.iter().map(|field| SQLITE.add_column(&table, field)).collect();
        if !create && !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|field| &*field.name).collect();
            let (columns, ddl) = (names.join(", "), ddl.join("\n"));
            return Err(TableFault::NoColumns { table: name.clone(), columns, ddl }.into());
        }
        if self.target.lacks_generation(|column| found.contains(column)) {
            ddl.push(SQLITE.add_generation(&table));
        }
        for statement in ddl {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Whether an upsert by the key finds its row: by the primary key, or by an index of just these columns.
    async fn is_unique(&self, connection: &mut SqliteConnection) -> Result<bool, SqliteFault> {
        let key: HashSet<String> =
            self.target.key_names().into_iter().map(str::to_ascii_lowercase).collect();
        let primary: Vec<String> =
            sqlx::query_scalar("SELECT lower(name) FROM pragma_table_info(?) WHERE pk > 0")
                .bind(self.name())
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
        .bind(self.name())
        .fetch_all(connection)
        .await?;
        Ok(indexes.chunk_by(|one, next| one.0 == next.0).any(|index| {
            index.len() == key.len() && index.iter().all(|(_, column)| key.contains(column))
        }))
    }
}

pub(super) async fn store_meaning(
    connection: &mut SqliteConnection,
    table: &str,
    meaning: &Meaning,
) -> Result<(), SqliteFault> {
    sqlx::query(
        "INSERT INTO pinhost_meta (name, value) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(Meaning::name(table))
    .bind(meaning.to_json())
    .execute(connection)
    .await?;
    Ok(())
}

/// None if the table has no columns that tell.
pub(super) async fn origins(
    connection: &mut SqliteConnection,
    table: &str,
    column: &str,
    value: &str,
) -> Result<Option<Vec<RowOrigin>>, SqliteFault> {
    let found = columns(connection, table).await?;
    if ![LANE, POSITION].iter().all(|name| found.contains(*name)) {
        return Ok(None);
    }
    if !found.contains(&column.to_ascii_lowercase()) {
        let (table, column) = (table.to_owned(), column.to_owned());
        return Err(TableFault::UnknownColumn { table, column }.into());
    }
    let generation = if found.contains(GENERATION) { GENERATION } else { "NULL" };
    let rows: Vec<(Option<String>, Option<String>, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {LANE}, {POSITION}, {generation} FROM {} WHERE CAST({} AS TEXT) = ? \
             LIMIT {ORIGINS_MAX}",
            quoted(table),
            quoted(column)
        )))
        .bind(value)
        .fetch_all(connection)
        .await?;
    let origins = rows.iter().filter_map(|(lane, place, generation)| {
        RowOrigin::new(lane.as_deref()?, place.as_deref()?, generation.as_deref())
    });
    Ok(Some(origins.collect()))
}

pub(super) fn check_name(table: &str) -> Result<(), SqliteFault> {
    Ok(SQLITE.names.table(table).map_err(TableFault::from)?)
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
