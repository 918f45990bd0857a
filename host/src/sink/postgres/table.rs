//! The table that rows go to: made, completed, checked.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::catalog::{self, Column, Fit, Found};
use super::ddl::{POSTGRES, table_name};
use super::error::PostgresFault;
use super::session::{answered, query};
use super::target::full_name;
use super::write::Plan;
use super::{NulCharacters, PostgresSinkConfig, TableName};
use crate::ledger::RowOrigin;
use crate::record::Field;
use crate::sink::table::ddl::{quoted, unique_index};
use crate::sink::table::meaning::Meaning;
use crate::sink::table::{
    GENERATION, LANE, ORIGINS_MAX, POSITION, TableFault, Target, TargetConfig, VERSION, Versions,
};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) target: Target,
    pub(super) name: TableName,
    pub(super) nul: NulCharacters,
}

impl Table {
    pub(super) fn new(
        config: &PostgresSinkConfig,
        name: TableName,
        columns: Option<Arc<[Field]>>,
        replaces: bool,
    ) -> Result<Self, PostgresFault> {
        let PostgresSinkConfig { table, key, newest, create, provenance, nul, .. } = config;
        let newest = newest.as_deref();
        let (create, provenance, nul) = (*create, *provenance, *nul);
        let config = TargetConfig { key, newest, create, provenance, replaces };
        let target = Target::new(&POSTGRES, table, config, columns)?;
        Ok(Self { target, name, nul })
    }

    /// Makes the table or what it lacks, as far as that is wanted, and says how it is written to. In the
    /// middle of a transaction that has the lock.
    pub(super) async fn prepare(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Plan, PostgresFault> {
        let found = match catalog::look(connection, &self.name).await? {
            Some(found) => self.complete(connection, found).await?,
            None => self.make(connection).await?,
        };
        let target = &self.target;
        if !target.key.is_empty() && !found.is_unique(&target.key_names()) {
            let fault = TableFault::NoUniqueKey {
                table: target.name.clone(),
                key: target.key_names().join(", "),
                ddl: unique_index(&self.name.table, &table_name(&self.name), target),
            };
            return Err(fault.into());
        }
        let fits = self.fits(&found)?;
        Ok(Plan::new(self, &found, &fits))
    }

    async fn make(&self, connection: &mut PgConnection) -> Result<Found, PostgresFault> {
        let Target { name, create, .. } = &self.target;
        let ddl = POSTGRES.create_table(&table_name(&self.name), &self.target);
        if !create {
            return Err(TableFault::NoTable { table: name.clone(), ddl }.into());
        }
        answered(sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut *connection)).await?;
        // Of a table that was dropped.
        let found = self.look_again(connection).await?;
        let resolved = full_name(&found.schema, &self.name.table);
        let forget = query("DELETE FROM pinhost.version WHERE target IN ($1, $2)");
        let forget = forget.bind(name).bind(&resolved);
        answered(forget.execute(&mut *connection)).await?;
        let forget =
            query("DELETE FROM pinhost.meta WHERE name = $1").bind(Meaning::name(&resolved));
        answered(forget.execute(connection)).await?;
        Ok(found)
    }

    /// Stores what versions of rows mean, or finds that those that are there mean the same. In the middle of
    /// a transaction that has the lock.
    pub(super) async fn settle_versions(
        &self,
        connection: &mut PgConnection,
        plan: &Plan,
    ) -> Result<(), PostgresFault> {
        let Some(meaning) = Meaning::of(&self.target) else { return Ok(()) };
        let stored = sqlx::query_scalar("SELECT value FROM pinhost.meta WHERE name = $1");
        let stored = stored.persistent(false).bind(Meaning::name(plan.target()));
        let stored: Option<String> = answered(stored.fetch_optional(&mut *connection)).await?;
        match stored {
            Some(stored) if meaning.is(&stored) => Ok(()),
            Some(stored) if self.has_versions(connection, plan).await? => {
                Err(meaning.refusal(plan.target(), &stored).into())
            }
            Some(_) | None => store_meaning(connection, plan.target(), &meaning).await,
        }
    }

    async fn has_versions(
        &self,
        connection: &mut PgConnection,
        plan: &Plan,
    ) -> Result<bool, PostgresFault> {
        let aside = "SELECT EXISTS (SELECT FROM pinhost.version WHERE target = $1)";
        let aside = sqlx::query_scalar(aside).persistent(false).bind(plan.target());
        if answered(aside.fetch_one(&mut *connection)).await? {
            return Ok(true);
        }
        if plan.layout().versions != Versions::Column {
            return Ok(false);
        }
        let name = table_name(&self.name);
        let own = format!("SELECT EXISTS (SELECT FROM {name} WHERE {VERSION} IS NOT NULL)");
        let own = sqlx::query_scalar(AssertSqlSafe(own)).persistent(false);
        answered(own.fetch_one(connection)).await
    }

    async fn complete(
        &self,
        connection: &mut PgConnection,
        found: Found,
    ) -> Result<Found, PostgresFault> {
        let Target { name, columns, create, .. } = &self.target;
        if found.is_view {
            return Err(TableFault::View { table: name.clone() }.into());
        }
        let missing: Vec<_> =
            columns.iter().filter(|field| found.column(&field.name).is_none()).collect();
        let table = table_name(&self.name);
        let mut ddl: Vec<_> =
            missing.iter().map(|field| POSTGRES.add_column(&table, field)).collect();
        if self.target.lacks_generation(|column| found.column(column).is_some()) {
            ddl.push(POSTGRES.add_generation(&table));
        }
        if ddl.is_empty() {
            return Ok(found);
        }
        let ddl = ddl.join("\n");
        if !create {
            let names: Vec<_> = missing.iter().map(|field| &*field.name).collect();
            let (table, columns) = (name.clone(), names.join(", "));
            return Err(TableFault::NoColumns { table, columns, ddl }.into());
        }
        // Whoever waits for a table has everybody wait behind: commits of the stream, too.
        let ddl = format!("SET LOCAL lock_timeout = '200ms'; {ddl} SET LOCAL lock_timeout = 0;");
        answered(sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut *connection)).await?;
        self.look_again(connection).await
    }

    async fn look_again(&self, connection: &mut PgConnection) -> Result<Found, PostgresFault> {
        let found = catalog::look(connection, &self.name).await?;
        // Its own transaction sees it, unless another schema of the search path hides it.
        found.ok_or_else(|| self.unfit("it was made, and is not found".to_owned(), String::new()))
    }

    /// How each column of the rule gets into the table's.
    fn fits(&self, found: &Found) -> Result<Vec<Fit>, PostgresFault> {
        let table = table_name(&self.name);
        let alter = |column: &Column, what: &str| {
            format!("ALTER TABLE {table} ALTER COLUMN {} {what};", quoted(&column.name))
        };
        let mut fits = Vec::new();
        for field in &*self.target.columns {
            let Some(column) = found.column(&field.name) else { continue };
            if let Some(what) = column.is_given_by_the_table() {
                let why = format!("column {} is computed by the table", column.name);
                return Err(self.unfit(why, alter(column, what)));
            }
            match found.fit(field.kind, column) {
                Some(fit) => fits.push(fit),
                None => {
                    let why = format!(
                        "column {} is {}, and the rule gives {}",
                        column.name, column.shown, field.kind
                    );
                    let kind = (POSTGRES.kind)(field.kind);
                    let what = format!("TYPE {kind} USING {}::text::{kind}", quoted(&column.name));
                    return Err(self.unfit(why, alter(column, &what)));
                }
            }
        }
        let layout = self.target.layout(|column| found.column(column).is_some());
        self.target.check(layout)?;
        let written = self.target.written(layout);
        let wants = |column: &&Column| column.is_wanted && !written.contains(&&*column.name);
        match found.columns.iter().find(wants) {
            None => Ok(fits),
            Some(column) => Err(PostgresFault::NotGiven {
                table: self.target.name.clone(),
                column: column.name.clone(),
                ddl: alter(column, "DROP NOT NULL"),
            }),
        }
    }

    fn unfit(&self, why: String, ddl: String) -> PostgresFault {
        PostgresFault::Unfit { table: self.target.name.clone(), why, ddl }
    }
}

pub(super) async fn store_meaning(
    connection: &mut PgConnection,
    table: &str,
    meaning: &Meaning,
) -> Result<(), PostgresFault> {
    let store = query(
        "INSERT INTO pinhost.meta (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    let store = store.bind(Meaning::name(table)).bind(meaning.to_json());
    answered(store.execute(connection)).await?;
    Ok(())
}

/// None if the table has no columns that tell. `shown` is its name as people know it.
pub(super) async fn origins(
    connection: &mut PgConnection,
    (shown, name): (&str, &TableName),
    column: &str,
    value: &str,
) -> Result<Option<Vec<RowOrigin>>, PostgresFault> {
    let Some(found) = catalog::look(connection, name).await? else { return Ok(None) };
    if ![LANE, POSITION].iter().all(|name| found.column(name).is_some()) {
        return Ok(None);
    }
    if found.column(column).is_none() {
        let (table, column) = (shown.to_owned(), column.to_owned());
        return Err(TableFault::UnknownColumn { table, column }.into());
    }
    let generation = if found.column(GENERATION).is_some() { GENERATION } else { "NULL::text" };
    let sql = format!(
        "SELECT {LANE}, {POSITION}, {generation} FROM {} WHERE {}::text = $1 LIMIT {ORIGINS_MAX}",
        table_name(name),
        quoted(column)
    );
    let rows = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(value);
    let rows: Vec<(Option<String>, Option<String>, Option<String>)> =
        answered(rows.fetch_all(connection)).await?;
    let origins = rows.iter().filter_map(|(lane, place, generation)| {
        RowOrigin::new(lane.as_deref()?, place.as_deref()?, generation.as_deref())
    });
    Ok(Some(origins.collect()))
}
