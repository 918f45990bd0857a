//! Writes the rows of a unit, deletes those that are to go, and finds those that the table would not take.
//!
//! Rows go straight into the table if they are appended and its columns have the rule's types. Otherwise
//! they go into a temporary table first, and from there by one statement: what takes whose place, and what
//! becomes of a value that is assigned to another type, is the server's to decide.

use std::io::Write as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::catalog::{Fit, Found};
use super::copy::{GroupError, copy, tried};
use super::ddl::{POSTGRES, column_type, table_name};
use super::encode::{push_bytes, sized};
use super::error::{PostgresFault, Refused, TWO_ROWS_OF_ONE_KEY};
use super::session::answered;
use super::table::Table;
use super::target::full_name;
use super::versions::{self, VersionPlan};
use crate::record::Unit;
use crate::sink::table::commit::{RowsToWrite, Written, places};
use crate::sink::table::ddl::{on_conflict, quoted, quoted_list};
use crate::sink::table::key::KeyForm;
use crate::sink::table::lanes::RowLanes;
use crate::sink::table::rows::{Refusal, RowAt, RowPart};
use crate::sink::table::{LANE, Layout, POSITION, Search, TableFault, VERSION, Versions};

/// Where rows wait. It is there for the transaction only, on whichever connection.
const STAGE: &str = "pg_temp.pinhost_rows";

const EMPTY_STAGE: &str = "TRUNCATE pg_temp.pinhost_rows";

/// A row's key there, where versions are kept aside.
pub(super) const KEY: &str = "_pinhost_key";

/// The statements that write rows.
#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    /// Values of a row that is sent.
    fields: i16,
    copy: String,
    stage: Option<Stage>,
    /// None if rows are appended.
    versions: Option<VersionPlan>,
    /// If what the same records gave before is to make way.
    clear: Option<Clear>,
    key_forms: Vec<KeyForm>,
    /// The table's name and its schema's.
    table: (String, String),
    target: String,
}

/// Rows that records at some places of a lane gave.
#[derive(Debug)]
struct Clear {
    /// Whether there are some.
    find: String,
    delete: String,
}

#[derive(Debug)]
struct Stage {
    make: String,
    insert: String,
}

impl Plan {
    /// `fits` has the rule's columns in their order.
    pub(super) fn new(table: &Table, found: &Found, fits: &[Fit]) -> Self {
        let target = &table.target;
        let layout = target.layout(|column| found.column(column).is_some());
        let mut columns = target.written(layout);
        let written = quoted_list(columns.iter().copied());
        let name = table_name(&table.name);
        let is_direct = target.key.is_empty() && fits.iter().all(|fit| *fit == Fit::Same);
        let stage = (!is_direct).then(|| {
            let mut made: Vec<_> = target
                .columns
                .iter()
                .map(|field| format!("{} {}", quoted(&field.name), column_type(field.kind)))
                .collect();
            let mut given: Vec<_> = target
                .columns
                .iter()
                .zip(fits)
                .map(|(field, fit)| fit.given(&field.name))
                .collect();
            for column in &columns[target.columns.len()..] {
                let kind = if *column == VERSION { POSTGRES.bytes } else { POSTGRES.text };
                made.push(format!("{column} {kind}"));
                given.push(format!("r.{column}"));
            }
            if layout.versions == Versions::Aside {
                made.push(format!("{VERSION} bytea, {KEY} bytea"));
            }
            let (made, given) = (made.join(", "), given.join(", "));
            let conflict = on_conflict(&table.name.table, target, layout);
            let rows = format!("INSERT INTO {name} ({written}) SELECT {given} FROM {STAGE} r");
            let insert = match layout.versions {
                Versions::None | Versions::Column => format!("{rows} {conflict}"),
                // A record that comes again has the version that is there already, and counts again.
                Versions::Aside => format!(
                    "WITH newer AS (INSERT INTO pinhost.version AS v (target, key, version) \
                     SELECT $1, {KEY}, {VERSION} FROM {STAGE} \
                     ON CONFLICT (target, key) DO UPDATE \
                     SET version = excluded.version, deleted = NULL \
                     WHERE excluded.version >= v.version RETURNING v.key) \
                     {rows} JOIN newer n ON n.key = r.{KEY} {conflict}"
                ),
            };
            let make = format!("CREATE TEMPORARY TABLE pinhost_rows ({made}) ON COMMIT DROP");
            Stage { make, insert }
        });
        if layout.versions == Versions::Aside {
            columns.extend([VERSION, KEY]);
        }
        let into = if is_direct { &*name } else { STAGE };
        let listed = quoted_list(columns.iter().copied());
        Self {
            layout,
            fields: i16::try_from(columns.len()).unwrap_or(i16::MAX),
            copy: format!("COPY {into} ({listed}) FROM STDIN (FORMAT binary)"),
            stage,
            versions: VersionPlan::new(table, found, layout, fits),
            clear: target.replaces.then(|| {
                let these = format!("r.{LANE} = $1 AND r.{POSITION} = p.place");
                let places = "unnest($2::text[]) AS p (place)";
                Clear {
                    find: format!("SELECT EXISTS (SELECT FROM {name} r, {places} WHERE {these})"),
                    delete: format!("DELETE FROM {name} r USING {places} WHERE {these}"),
                }
            }),
            key_forms: target
                .key_names()
                .iter()
                .map(|name| found.key_form(name, table.nul))
                .collect(),
            table: (found.schema.clone(), table.name.table.clone()),
            target: full_name(&found.schema, &table.name.table),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The one name of the table.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// How the table compares the columns of its key.
    pub(super) fn key_forms(&self) -> &[KeyForm] {
        &self.key_forms
    }

    /// In the middle of a transaction, before what takes the place is written.
    pub(super) async fn clear(
        &self,
        connection: &mut PgConnection,
        unit: &Unit,
        lanes: &RowLanes,
    ) -> Result<(), PostgresFault> {
        let Some(Clear { find, delete }) = &self.clear else { return Ok(()) };
        for ((lane, name), places) in places(unit, lanes)? {
            let find = sqlx::query_scalar(AssertSqlSafe(find.as_str())).persistent(false);
            if answered(find.bind(lane).bind(&places).fetch_one(&mut *connection)).await? {
                let (lane, name) = (lane.to_owned(), name.to_owned());
                return Err(
                    TableFault::NoPipeline { table: self.target.clone(), lane, name }.into()
                );
            }
            let delete = sqlx::query(AssertSqlSafe(delete.as_str())).persistent(false);
            answered(delete.bind(name).bind(places).execute(&mut *connection)).await?;
        }
        Ok(())
    }

    /// In the middle of a transaction.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        rows: &RowsToWrite<'_>,
    ) -> Result<Written, PostgresFault> {
        let RowsToWrite { parts, candidates, .. } = rows;
        if parts.iter().any(RowPart::lacks_bytes) {
            return Err(TableFault::OtherColumns.into());
        }
        if let (Some(stage), false) = (&self.stage, candidates.is_empty()) {
            execute(connection, &stage.make).await?;
        }
        let deletes = self.versions.as_ref().filter(|_| rows.has_deletes());
        if let Some(versions) = deletes {
            execute(connection, &versions.make).await?;
        }
        let mut search = Search::new(candidates, candidates.len());
        let (mut stored, mut letters) = (0, Vec::new());
        let mut is_first = true;
        while !rows.are_too_many(&letters)
            && let Some(group) = search.next()
        {
            execute(connection, "SAVEPOINT pinhost_rows").await?;
            if !is_first {
                if self.stage.is_some() {
                    execute(connection, EMPTY_STAGE).await?;
                }
                if deletes.is_some() {
                    execute(connection, versions::EMPTY_STAGES).await?;
                }
            }
            is_first = false;
            match self.group(connection, rows, search.rows(&group)).await {
                Ok(group) => stored += group,
                Err(GroupError::Fault(fault)) => return Err(fault),
                // A row by itself meets no other one.
                Err(GroupError::Refused(Refused { reason, is_of_two: true, .. }))
                    if group.len() == 1 =>
                {
                    let code = TWO_ROWS_OF_ONE_KEY.to_owned();
                    return Err(PostgresFault::Server { code, message: reason });
                }
                Err(GroupError::Refused(Refused { reason, detail, table, is_of_two: _ })) => {
                    execute(connection, "ROLLBACK TO pinhost_rows").await?;
                    if let Some(table) = table {
                        self.is_ours(connection, &table, &reason).await?;
                    }
                    if let Some(row) = search.refused(group, candidates, &reason)? {
                        letters.push(Refusal { at: candidates.at(row), reason, detail });
                    }
                }
            }
            execute(connection, "RELEASE pinhost_rows").await?;
        }
        Ok(rows.written(stored, letters))
    }

    /// How many of the rows are in the table now, or are gone if they were to go.
    async fn group(
        &self,
        connection: &mut PgConnection,
        rows: &RowsToWrite<'_>,
        group: &[u32],
    ) -> Result<u64, GroupError> {
        let Some(versions) = &self.versions else {
            let copied = self.copy(connection, rows, group).await?;
            return match &self.stage {
                Some(stage) => self.insert(connection, stage).await,
                None => Ok(copied),
            };
        };
        let (mut inserts, deletes) = rows.apart(group);
        self.copy(connection, rows, &inserts).await?;
        versions.copy(connection, rows, &deletes).await?;
        // As late as can be: others may wait for it.
        versions.lock(connection, rows.has_deletes()).await?;
        if versions.drop_deleted(connection, &rows.candidates, &mut inserts).await? {
            execute(connection, EMPTY_STAGE).await?;
            self.copy(connection, rows, &inserts).await?;
        }
        let mut stored = 0;
        if let (Some(stage), false) = (&self.stage, inserts.is_empty()) {
            stored += self.insert(connection, stage).await?;
        }
        if !deletes.is_empty() {
            stored += versions.delete(connection).await?;
        }
        Ok(stored)
    }

    async fn insert(
        &self,
        connection: &mut PgConnection,
        stage: &Stage,
    ) -> Result<u64, GroupError> {
        let mut insert = sqlx::query(AssertSqlSafe(stage.insert.as_str())).persistent(false);
        if self.layout.versions == Versions::Aside {
            insert = insert.bind(&self.target);
        }
        Ok(tried(insert.execute(connection)).await?.rows_affected())
    }

    async fn copy(
        &self,
        connection: &mut PgConnection,
        rows: &RowsToWrite<'_>,
        group: &[u32],
    ) -> Result<u64, GroupError> {
        let push = |chunk: &mut Vec<u8>, row: u32| {
            let RowAt { part, row: at } = rows.candidates.at(row);
            self.push(chunk, rows, (part, at), row);
        };
        copy(connection, &self.copy, group, push).await
    }

    /// The row as it was encoded, and what is known of it only now.
    fn push(
        &self,
        chunk: &mut Vec<u8>,
        rows: &RowsToWrite<'_>,
        (part, at): (usize, usize),
        row: u32,
    ) {
        let RowsToWrite { parts, candidates, generation, .. } = rows;
        let part = &parts[part];
        chunk.extend_from_slice(&self.fields.to_be_bytes());
        chunk.extend_from_slice(part.encoded.map_or(&[], |encoded| encoded.row(at)));
        if self.layout.provenance {
            let (_, position) = part.place(at);
            push_bytes(chunk, rows.lanes.name(part.of, &position).as_bytes());
            let place = position.place();
            sized(chunk, |chunk| write!(chunk, "{place}")).expect("a Vec takes all");
        }
        if self.layout.generation {
            push_bytes(chunk, generation.as_bytes());
        }
        if self.layout.versions != Versions::None {
            push_bytes(chunk, candidates.version(row));
        }
        if self.layout.versions == Versions::Aside {
            push_bytes(chunk, candidates.key(row));
        }
    }

    /// A constraint of another table, which a trigger writes to, is nobody's record's fault. One of a
    /// partition is the table's own.
    async fn is_ours(
        &self,
        connection: &mut PgConnection,
        (schema, table): &(String, String),
        message: &str,
    ) -> Result<(), PostgresFault> {
        if (schema, table) == (&self.table.0, &self.table.1) {
            return Ok(());
        }
        let is_part = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_partition_tree(to_regclass($1)) \
             WHERE relid = to_regclass($2))",
        );
        let own = format!("{}.{}", quoted(&self.table.0), quoted(&self.table.1));
        let other = format!("{}.{}", quoted(schema), quoted(table));
        let is_part = is_part.persistent(false).bind(own).bind(&other);
        if answered(is_part.fetch_one(connection)).await? {
            return Ok(());
        }
        Err(PostgresFault::OtherTable { table: other, message: message.to_owned() })
    }
}

pub(super) async fn execute(
    connection: &mut PgConnection,
    statement: &str,
) -> Result<(), PostgresFault> {
    answered(sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection)).await?;
    Ok(())
}
