//! Writes the rows of a unit, and finds those that the table would not take.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use futures_util::future::join;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::ddl::{quoted, quoted_list};
use super::error::{SqliteFault, refusal};
use super::insert::{Binder, Insert, returned};
use super::rows::{Candidates, RowAt, RowPart};
use super::table::{LANE, Layout, POSITION, Table, VERSION, Versions};
use crate::record::Rfc3339;
use crate::sink::cell::Cell;

/// Rows that are written again if one of them is refused.
const GROUP: usize = 4096;

/// A group that has a refused row is written in so many parts.
const PARTS: usize = 8;

/// Source bytes of a statement's rows, about: bound values are copies.
const STATEMENT_BYTES: usize = 4 << 20;

/// The statements that write rows.
#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    rows: Insert,
    /// Where versions are kept aside: those that are newer than what is there, and says which.
    versions: Insert,
    table: String,
}

/// What became of rows.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) stored: u64,
    pub(super) superseded: u64,
    pub(super) refused: Vec<(RowAt, String)>,
}

impl Plan {
    pub(super) fn new(table: &Table, layout: Layout) -> Self {
        let mut columns: Vec<&str> = table.columns.iter().map(|field| &*field.name).collect();
        if layout.provenance {
            columns.extend([LANE, POSITION]);
        }
        if layout.versions == Versions::Column {
            columns.push(VERSION);
        }
        Self {
            layout,
            rows: Insert::new(&table.name, &columns, &on_conflict(table, layout, &columns)),
            // A record that comes again has the version that is there already: what its rule made of it
            // now takes the place of what the rule made of it before.
            versions: Insert::new(
                "pinhost_version",
                &["target", "key", "version"],
                "ON CONFLICT (target, key) DO UPDATE SET version = excluded.version \
                 WHERE excluded.version >= pinhost_version.version RETURNING key",
            ),
            table: table.name.clone(),
        }
    }

    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        parts: &[RowPart<'_>],
        candidates: &Candidates,
    ) -> Result<Written, SqliteFault> {
        let mut order = candidates.newest();
        let mut written = Written::default();
        let mut todo: Vec<Range<usize>> = pieces(0..order.len(), GROUP).rev().collect();
        while let Some(group) = todo.pop() {
            execute(connection, "SAVEPOINT pinhost_rows").await?;
            match self.group(connection, parts, candidates, &order[group.clone()]).await {
                Ok(stored) => written.stored += stored,
                Err(error) => {
                    let reason = refusal(&error).ok_or(error)?;
                    execute(connection, "ROLLBACK TO pinhost_rows").await?;
                    if group.len() > 1 {
                        todo.extend(pieces(group.clone(), group.len().div_ceil(PARTS)).rev());
                    } else {
                        let refused = order[group.start];
                        written.refused.push((candidates.at(refused), reason));
                        if let Some(next) = candidates.next_newest(refused) {
                            order.push(next);
                            todo.push(order.len() - 1..order.len());
                        }
                    }
                }
            }
            execute(connection, "RELEASE pinhost_rows").await?;
        }
        written.superseded =
            candidates.len() as u64 - written.stored - written.refused.len() as u64;
        Ok(written)
    }

    /// How many of the rows are in the table now.
    async fn group(
        &self,
        connection: &mut SqliteConnection,
        parts: &[RowPart<'_>],
        candidates: &Candidates,
        rows: &[u32],
    ) -> Result<u64, sqlx::Error> {
        if self.layout.versions != Versions::Aside {
            return self.insert(connection, parts, candidates, rows).await;
        }
        let newer = self.newer(connection, candidates, rows).await?;
        self.insert(connection, parts, candidates, &newer).await
    }

    async fn insert(
        &self,
        connection: &mut SqliteConnection,
        parts: &[RowPart<'_>],
        candidates: &Candidates,
        mut rows: &[u32],
    ) -> Result<u64, sqlx::Error> {
        let mut stored = 0;
        let next = |rows: &[u32]| {
            let (size, statement) = self.rows.of(fitting(parts, candidates, rows));
            let mut binder = Binder::default();
            for row in &rows[..size] {
                self.bind(&mut binder, parts, candidates, *row);
            }
            (size, statement, binder)
        };
        let mut prepared = (!rows.is_empty()).then(|| next(rows));
        while let Some((size, statement, binder)) = prepared {
            rows = &rows[size..];
            let run = sqlx::query_with(statement, binder.finish()?).execute(&mut *connection);
            // The connection's thread inserts these rows while the next are bound here.
            let (done, following) =
                join(run, async { (!rows.is_empty()).then(|| next(rows)) }).await;
            stored += done?.rows_affected();
            prepared = following;
        }
        Ok(stored)
    }

    fn bind(&self, binder: &mut Binder, parts: &[RowPart], candidates: &Candidates, row: u32) {
        let RowAt { part, row: at } = candidates.at(row);
        let part = &parts[part];
        for column in &part.columns {
            match column.cell(at) {
                Cell::Null => binder.push(None::<i64>),
                Cell::Boolean(value) => binder.push(value),
                Cell::Integer(value) => binder.push(value),
                Cell::Float(value) => binder.push(value),
                Cell::Text(text) => binder.push(Arc::<str>::from(text)),
                Cell::Timestamp(micros) => binder.push(Rfc3339(micros).to_string()),
                Cell::List(list) => binder.push(list.json()),
            };
        }
        if self.layout.provenance {
            let place = part.record(at).position.place();
            binder.push(Arc::clone(&part.lane)).push(place.to_string());
        }
        if self.layout.versions == Versions::Column {
            binder.push(candidates.version(row).to_vec());
        }
    }

    /// Those rows whose versions are newer than the ones kept aside, which they replace.
    async fn newer(
        &self,
        connection: &mut SqliteConnection,
        candidates: &Candidates,
        rows: &[u32],
    ) -> Result<Vec<u32>, sqlx::Error> {
        let mut newer = Vec::with_capacity(rows.len());
        let mut left = rows;
        while !left.is_empty() {
            let (size, statement) = self.versions.of(left.len());
            let (now, later) = left.split_at(size);
            let mut binder = Binder::default();
            for row in now {
                binder.push(&*self.table).push(candidates.key(*row)).push(candidates.version(*row));
            }
            let returned = returned(connection, statement, binder).await?;
            let keys = returned.iter().map(|row| row.try_get::<&[u8], _>(0));
            let keys: HashSet<&[u8]> = keys.collect::<Result<_, _>>()?;
            newer.extend(now.iter().filter(|row| keys.contains(candidates.key(**row))));
            left = later;
        }
        Ok(newer)
    }
}

fn on_conflict(table: &Table, layout: Layout, columns: &[&str]) -> String {
    if table.key.is_empty() {
        return String::new();
    }
    let key = table.key_names();
    let on = quoted_list(key.iter().copied());
    let set: Vec<_> = columns
        .iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{0} = excluded.{0}", quoted(column)))
        .collect();
    if set.is_empty() {
        return format!("ON CONFLICT ({on}) DO NOTHING");
    }
    let update = format!("ON CONFLICT ({on}) DO UPDATE SET {}", set.join(", "));
    match layout.versions {
        Versions::Column => {
            let (table, version) = (quoted(&table.name), quoted(VERSION));
            // Rows that somebody else wrote have no version: they are older than all that have.
            format!(
                "{update} WHERE {table}.{version} IS NULL \
                 OR excluded.{version} >= {table}.{version}"
            )
        }
        Versions::None | Versions::Aside => update,
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

fn pieces(range: Range<usize>, size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let starts =
        (0..range.len().div_ceil(size.max(1))).map(move |piece| range.start + piece * size);
    starts.map(move |start| start..(start + size).min(range.end))
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}
