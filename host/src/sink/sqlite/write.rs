//! Writes the rows of a unit, and finds those that the table would not take.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::error::{SqliteFault, refusal};
use super::insert::{Binder, Insert, returned};
use crate::record::Rfc3339;
use crate::sink::table::cell::Cell;
use crate::sink::table::commit::{RowsToWrite, Written};
use crate::sink::table::ddl::on_conflict;
use crate::sink::table::rows::{Candidates, Refusal, RowAt, RowPart};
use crate::sink::table::{Layout, Search, Target, Versions};

/// Rows that are written again if one of them is refused.
const GROUP: usize = 4096;

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

impl Plan {
    pub(super) fn new(target: &Target, layout: Layout) -> Self {
        let columns = target.written(layout);
        let on_conflict = on_conflict(&target.name, target, layout);
        Self {
            layout,
            rows: Insert::new(&target.name, &columns, &on_conflict),
            versions: Insert::new(
                "pinhost_version",
                &["target", "key", "version"],
                "ON CONFLICT (target, key) DO UPDATE SET version = excluded.version \
                 WHERE excluded.version >= pinhost_version.version RETURNING key",
            ),
            table: target.name.clone(),
        }
    }

    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        rows: &RowsToWrite<'_>,
    ) -> Result<Written, SqliteFault> {
        let RowsToWrite { parts, candidates, .. } = rows;
        let mut search = Search::new(candidates, GROUP);
        let (mut stored, mut refused) = (0, Vec::new());
        while !rows.are_too_many(&refused)
            && let Some(group) = search.next()
        {
            execute(connection, "SAVEPOINT pinhost_rows").await?;
            match self.group(connection, parts, candidates, search.rows(&group)).await {
                Ok(rows) => stored += rows,
                Err(error) => {
                    let reason = refusal(&error).ok_or(error)?;
                    execute(connection, "ROLLBACK TO pinhost_rows").await?;
                    if let Some(row) = search.refused(group, candidates) {
                        refused.push(Refusal { at: candidates.at(row), reason, detail: None });
                    }
                }
            }
            execute(connection, "RELEASE pinhost_rows").await?;
        }
        Ok(rows.written(stored, refused))
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
