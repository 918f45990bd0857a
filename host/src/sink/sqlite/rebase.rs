//! Makes the versions of all rows anew, in one transaction.

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::error::SqliteFault;
use super::session::begin;
use super::table::{Table, store_meaning};
use crate::connect::Rebased;
use crate::record::{Field, Kind};
use crate::sink::table::ddl::{quoted, quoted_list};
use crate::sink::table::key::KeyForm;
use crate::sink::table::meaning::{FoundValue, Meaning, version_of_row};
use crate::sink::table::version::push_cell;
use crate::sink::table::{LANE, Layout, POSITION, Target, VERSION, Versions};

/// Rows that are read and written at a time.
const ROWS: i64 = 5_000;

/// None if rows are appended.
pub(super) async fn rebase(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<Option<Rebased>, SqliteFault> {
    let Some(meaning) = Meaning::of(&table.target) else { return Ok(None) };
    let mut transaction = begin(connection).await?;
    let layout = table.fit(&mut transaction).await?;
    let forms = table.key_forms(&mut transaction).await?;
    let deletes = forget(&mut transaction, table.name()).await?;
    let found = Found { target: &table.target, layout, forms };
    let (mut rows, mut last) = (0, i64::MIN);
    loop {
        let some = sqlx::query(AssertSqlSafe(found.query())).bind(last).bind(ROWS);
        let some = some.fetch_all(&mut *transaction).await?;
        rows += some.len() as u64;
        for row in &some {
            last = row.try_get(0)?;
            found.store(&mut transaction, row, last).await?;
        }
        if some.is_empty() {
            break;
        }
    }
    store_meaning(&mut transaction, table.name(), &meaning).await?;
    transaction.commit().await?;
    Ok(Some(Rebased { rows, deletes, meaning: meaning.to_string() }))
}

/// How many deletes were known.
async fn forget(connection: &mut SqliteConnection, target: &str) -> Result<u64, SqliteFault> {
    let deletes = "DELETE FROM pinhost_version WHERE target = ? AND deleted IS NOT NULL";
    let deletes = sqlx::query(deletes).bind(target).execute(&mut *connection).await?;
    let rest = "DELETE FROM pinhost_version WHERE target = ?";
    sqlx::query(rest).bind(target).execute(connection).await?;
    Ok(deletes.rows_affected())
}

/// What has to be known of rows.
struct Found<'a> {
    target: &'a Target,
    layout: Layout,
    forms: Vec<KeyForm>,
}

impl Found<'_> {
    /// The key's columns, and the one that tells what is newest if it is none of them.
    fn columns(&self) -> impl Iterator<Item = &Field> {
        self.target.deleted().into_iter().map(|at| &self.target.columns[at])
    }

    fn query(&self) -> String {
        let columns = quoted_list(self.columns().map(|field| &*field.name));
        let own = if self.layout.provenance { [LANE, POSITION] } else { ["NULL"; 2] };
        format!(
            "SELECT rowid, {}, {}, {columns} FROM {} WHERE rowid > ? ORDER BY rowid LIMIT ?",
            own[0],
            own[1],
            quoted(&self.target.name)
        )
    }

    async fn store(
        &self,
        connection: &mut SqliteConnection,
        row: &SqliteRow,
        id: i64,
    ) -> Result<(), sqlx::Error> {
        let mut values = Vec::new();
        for (at, field) in (3..).zip(self.columns()) {
            values.push(value(row, at, field.kind)?);
        }
        let newest = match self.target.newest {
            None => FoundValue::Null,
            Some(newest) => {
                let at = self.target.deleted().iter().position(|at| *at == newest);
                at.map_or(FoundValue::Null, |at| values[at].clone())
            }
        };
        let (lane, place): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        let version = version_of_row(&newest, lane.as_deref(), place.as_deref());
        if self.layout.versions == Versions::Column {
            let name = quoted(&self.target.name);
            let update = format!("UPDATE {name} SET {VERSION} = ? WHERE rowid = ?");
            let update = sqlx::query(AssertSqlSafe(update)).bind(version).bind(id);
            update.execute(connection).await?;
            return Ok(());
        }
        let mut key = Vec::new();
        for (value, form) in values.iter().zip(&self.forms) {
            form.lend(value.cell(), |cell| push_cell(&mut key, cell));
        }
        let insert = "INSERT INTO pinhost_version (target, key, version) VALUES (?, ?, ?) \
                      ON CONFLICT (target, key) DO NOTHING";
        let insert = sqlx::query(insert).bind(&self.target.name).bind(key).bind(version);
        insert.execute(connection).await?;
        Ok(())
    }
}

fn value(row: &SqliteRow, at: usize, kind: Kind) -> Result<FoundValue, sqlx::Error> {
    let found = match kind {
        Kind::Boolean => {
            row.try_get::<Option<i64>, _>(at)?.map(|value| FoundValue::Boolean(value != 0))
        }
        Kind::Integer => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Integer),
        Kind::Float => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Float),
        Kind::Timestamp => {
            let text: Option<String> = row.try_get(at)?;
            let time = text.and_then(|text| text.parse::<Timestamp>().ok());
            time.map(|time| FoundValue::Timestamp(time.as_microsecond()))
        }
        Kind::Text | Kind::TextList | Kind::FloatList => {
            row.try_get::<Option<_>, _>(at)?.map(FoundValue::Text)
        }
    };
    Ok(found.unwrap_or(FoundValue::Null))
}
