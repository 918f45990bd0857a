//! Writes the rows of a unit, deletes those that are to go, and finds those that the table would not take.

use futures_util::future::join;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::error::{SqliteFault, refusal};
use super::insert::{Binder, Statement};
use super::versions::VersionPlan;
use crate::record::Unit;
use crate::sink::table::commit::{RowsToWrite, Written, places};
use crate::sink::table::ddl::{on_conflict, quoted};
use crate::sink::table::key::KeyForm;
use crate::sink::table::lanes::RowLanes;
use crate::sink::table::rows::{Candidates, Refusal, RowAt, RowPart};
use crate::sink::table::{LANE, Layout, POSITION, Search, TableFault, Target, Versions};

/// Rows that are written again if one of them is refused.
const GROUP: usize = 4096;

/// Source bytes of a statement's rows, about: bound values are copies.
const STATEMENT_BYTES: usize = 4 << 20;

/// The statements that write rows.
#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    rows: Statement,
    /// None if rows are appended.
    versions: Option<VersionPlan>,
    /// If what the same records gave before is to make way.
    clear: Option<Clear>,
    key_forms: Vec<KeyForm>,
}

/// Rows that records at some places of a lane gave.
#[derive(Debug)]
struct Clear {
    table: String,
    /// Whether there are some.
    find: String,
    delete: String,
}

impl Plan {
    pub(super) fn new(target: &Target, layout: Layout, key_forms: Vec<KeyForm>) -> Self {
        let columns = target.written(layout);
        let on_conflict = on_conflict(&target.name, target, layout);
        Self {
            layout,
            rows: Statement::insert(&target.name, &columns, &on_conflict),
            key_forms,
            versions: VersionPlan::new(target, layout),
            clear: target.replaces.then(|| {
                let table = quoted(&target.name);
                let these = format!(
                    "FROM {table} WHERE {LANE} = ? \
                     AND {POSITION} IN (SELECT value FROM json_each(?))"
                );
                Clear {
                    find: format!("SELECT EXISTS (SELECT 1 {these})"),
                    delete: format!("DELETE {these}"),
                    table,
                }
            }),
        }
    }

    /// How the table compares the columns of its key.
    pub(super) fn key_forms(&self) -> &[KeyForm] {
        &self.key_forms
    }

    /// Before what takes the place is written.
    pub(super) async fn clear(
        &self,
        connection: &mut SqliteConnection,
        unit: &Unit,
        lanes: &RowLanes,
    ) -> Result<(), SqliteFault> {
        let Some(Clear { table, find, delete }) = &self.clear else { return Ok(()) };
        for ((lane, name), places) in places(unit, lanes)? {
            let places = serde_json::to_string(&places).expect("texts are JSON");
            let find = sqlx::query_scalar(AssertSqlSafe(find.as_str())).bind(lane).bind(&places);
            if find.fetch_one(&mut *connection).await? {
                let (lane, name) = (lane.to_owned(), name.to_owned());
                return Err(TableFault::NoPipeline { table: table.clone(), lane, name }.into());
            }
            let delete = sqlx::query(AssertSqlSafe(delete.as_str())).bind(name).bind(places);
            delete.execute(&mut *connection).await?;
        }
        Ok(())
    }

    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        rows: &RowsToWrite<'_>,
    ) -> Result<Written, SqliteFault> {
        let candidates = &rows.candidates;
        let mut search = Search::new(candidates, GROUP);
        let (mut stored, mut refused) = (0, Vec::new());
        while !rows.are_too_many(&refused)
            && let Some(group) = search.next()
        {
            execute(connection, "SAVEPOINT pinhost_rows").await?;
            match self.group(connection, rows, search.rows(&group)).await {
                Ok(group) => stored += group,
                Err(error) => {
                    let reason = refusal(&error).ok_or(error)?;
                    execute(connection, "ROLLBACK TO pinhost_rows").await?;
                    if let Some(row) = search.refused(group, candidates, &reason)? {
                        refused.push(Refusal { at: candidates.at(row), reason, detail: None });
                    }
                }
            }
            execute(connection, "RELEASE pinhost_rows").await?;
        }
        Ok(rows.written(stored, refused))
    }

    /// How many of the rows are in the table now, or are gone if they were to go.
    async fn group(
        &self,
        connection: &mut SqliteConnection,
        rows: &RowsToWrite<'_>,
        group: &[u32],
    ) -> Result<u64, sqlx::Error> {
        let candidates = &rows.candidates;
        let Some(versions) = &self.versions else {
            return self.insert(connection, rows, group).await;
        };
        let (inserts, deletes) = rows.apart(group);
        let inserts = versions.newer(connection, candidates, inserts).await?;
        let stored = self.insert(connection, rows, &inserts).await?;
        Ok(stored + versions.delete(connection, rows, deletes).await?)
    }

    async fn insert(
        &self,
        connection: &mut SqliteConnection,
        rows: &RowsToWrite<'_>,
        mut left: &[u32],
    ) -> Result<u64, sqlx::Error> {
        let mut stored = 0;
        let next = |left: &[u32]| {
            let fitting = fitting(&rows.parts, &rows.candidates, left);
            let (size, statement) = self.rows.of(fitting);
            let mut binder = Binder::default();
            for row in &left[..size] {
                self.bind(&mut binder, rows, *row);
            }
            (size, statement, binder)
        };
        let mut prepared = (!left.is_empty()).then(|| next(left));
        while let Some((size, statement, binder)) = prepared {
            left = &left[size..];
            let run = sqlx::query_with(statement, binder.finish()?).execute(&mut *connection);
            // The connection's thread inserts these rows while the next are bound here.
            let (done, following) =
                join(run, async { (!left.is_empty()).then(|| next(left)) }).await;
            stored += done?.rows_affected();
            prepared = following;
        }
        Ok(stored)
    }

    fn bind(&self, binder: &mut Binder, rows: &RowsToWrite<'_>, row: u32) {
        let RowsToWrite { parts, candidates, generation, .. } = rows;
        let RowAt { part, row: at } = candidates.at(row);
        let part = &parts[part];
        for column in &part.columns {
            binder.push_cell(column.cell(at));
        }
        if self.layout.provenance {
            let (_, position) = part.place(at);
            let lane = rows.lanes.name(part.of, &position).to_owned();
            binder.push(lane).push(position.place().to_string());
        }
        if self.layout.generation {
            binder.push(generation.clone());
        }
        if self.layout.versions == Versions::Column {
            binder.push(candidates.version(row).to_vec());
        }
    }
}

/// How many of the rows go into one statement, at least one.
fn fitting(parts: &[RowPart], candidates: &Candidates, rows: &[u32]) -> usize {
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        let RowAt { part, row } = candidates.at(**row);
        bytes += parts[part].record(row).value.map_or(0, |value| value.range().len());
        bytes <= STATEMENT_BYTES
    });
    fitting.count().max(1)
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}
