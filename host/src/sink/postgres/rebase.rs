//! Makes the versions of all rows anew, in one transaction that keeps everybody else from writing.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::ddl::table_name;
use super::error::PostgresFault;
use super::session::{answered, query};
use super::table::{Table, store_meaning};
use super::target;
use super::write::{Plan, execute};
use crate::connect::Rebased;
use crate::record::{Field, Kind};
use crate::sink::table::ddl::quoted;
use crate::sink::table::key::KeyForm;
use crate::sink::table::meaning::{FoundValue, Meaning, version_of_row};
use crate::sink::table::version::push_cell;
use crate::sink::table::{LANE, POSITION, Target, VERSION, Versions};

/// Rows that are read and written at a time.
const ROWS: usize = 5_000;

/// In the middle of a transaction that has the lock. `written` is the table's name as people wrote it. None
/// if rows are appended.
pub(super) async fn rebase(
    connection: &mut PgConnection,
    table: &Table,
    written: &str,
) -> Result<Option<Rebased>, PostgresFault> {
    let Some(meaning) = Meaning::of(&table.target) else { return Ok(None) };
    let plan = table.prepare(connection).await?;
    target::settle(connection, plan.target(), written).await?;
    let name = table_name(&table.name);
    execute(connection, "SET LOCAL statement_timeout = 0").await?;
    execute(connection, &format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")).await?;
    let deletes = forget(connection, plan.target()).await?;
    let found = Found { target: &table.target, has_provenance: plan.layout().provenance };
    let declare = format!("DECLARE pinhost_rows CURSOR FOR {}", found.query(&name));
    execute(connection, &declare).await?;
    let mut rows = 0;
    loop {
        let fetch = format!("FETCH {ROWS} FROM pinhost_rows");
        let fetch = sqlx::query(AssertSqlSafe(fetch)).persistent(false);
        let some = answered(fetch.fetch_all(&mut *connection)).await?;
        if some.is_empty() {
            break;
        }
        rows += some.len() as u64;
        let some = some.iter().map(|row| found.row(row, plan.key_forms()));
        let some: Vec<_> = some.collect::<Result<_, sqlx::Error>>()?;
        store(connection, &plan, &name, some).await?;
    }
    store_meaning(connection, plan.target(), &meaning).await?;
    Ok(Some(Rebased { rows, deletes, meaning: meaning.to_string() }))
}

/// How many deletes were known.
async fn forget(connection: &mut PgConnection, target: &str) -> Result<u64, PostgresFault> {
    let deletes = "DELETE FROM pinhost.version WHERE target = $1 AND deleted IS NOT NULL";
    let deletes = query(deletes).bind(target);
    let deletes = answered(deletes.execute(&mut *connection)).await?.rows_affected();
    let rest = query("DELETE FROM pinhost.version WHERE target = $1").bind(target);
    answered(rest.execute(connection)).await?;
    Ok(deletes)
}

/// What has to be known of rows.
struct Found<'a> {
    target: &'a Target,
    has_provenance: bool,
}

/// A row, by what finds it, with its key and its version.
struct RebasedRow {
    id: String,
    key: Vec<u8>,
    version: Vec<u8>,
}

impl Found<'_> {
    /// The key's columns, and the one that tells what is newest if it is none of them.
    fn columns(&self) -> impl Iterator<Item = &Field> {
        self.target.deleted().into_iter().map(|at| &self.target.columns[at])
    }

    fn query(&self, name: &str) -> String {
        let columns = self.columns().map(|Field { name, kind }| {
            let name = quoted(name);
            match kind {
                Kind::Boolean => format!("{name}::boolean"),
                Kind::Integer => format!("{name}::int8"),
                Kind::Float => format!("{name}::float8"),
                Kind::Text => format!("{name}::text"),
                Kind::Timestamp => {
                    format!("(extract(epoch FROM {name}::timestamptz) * 1000000)::int8")
                }
                Kind::TextList | Kind::FloatList => format!("to_json({name})::text"),
            }
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let own = if self.has_provenance { [LANE, POSITION] } else { ["NULL::text"; 2] };
        format!("SELECT ctid::text, {}, {}, {columns} FROM {name}", own[0], own[1])
    }

    fn row(&self, row: &PgRow, forms: &[KeyForm]) -> Result<RebasedRow, sqlx::Error> {
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
        let mut key = Vec::new();
        for (value, form) in values.iter().zip(forms) {
            form.lend(value.cell(), |cell| push_cell(&mut key, cell));
        }
        let (lane, place): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
        let version = version_of_row(&newest, lane.as_deref(), place.as_deref());
        Ok(RebasedRow { id: row.try_get(0)?, key, version })
    }
}

fn value(row: &PgRow, at: usize, kind: Kind) -> Result<FoundValue, sqlx::Error> {
    let found = match kind {
        Kind::Boolean => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Boolean),
        Kind::Integer => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Integer),
        Kind::Float => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Float),
        Kind::Timestamp => row.try_get::<Option<_>, _>(at)?.map(FoundValue::Timestamp),
        Kind::Text | Kind::TextList | Kind::FloatList => {
            row.try_get::<Option<_>, _>(at)?.map(FoundValue::Text)
        }
    };
    Ok(found.unwrap_or(FoundValue::Null))
}

async fn store(
    connection: &mut PgConnection,
    plan: &Plan,
    name: &str,
    rows: Vec<RebasedRow>,
) -> Result<(), PostgresFault> {
    let (mut ids, mut keys, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for RebasedRow { id, key, version } in rows {
        ids.push(id);
        keys.push(key);
        versions.push(version);
    }
    if plan.layout().versions == Versions::Column {
        let update = format!(
            "UPDATE {name} t SET {VERSION} = d.version \
             FROM unnest($1::text[], $2::bytea[]) AS d (id, version) WHERE t.ctid = d.id::tid"
        );
        let update = sqlx::query(AssertSqlSafe(update)).persistent(false);
        answered(update.bind(ids).bind(versions).execute(connection)).await?;
        return Ok(());
    }
    let insert = query(
        "INSERT INTO pinhost.version (target, key, version) \
         SELECT $1, d.key, d.version FROM unnest($2::bytea[], $3::bytea[]) AS d (key, version) \
         ON CONFLICT (target, key) DO NOTHING",
    );
    let insert = insert.bind(plan.target()).bind(keys).bind(versions);
    answered(insert.execute(connection)).await?;
    Ok(())
}
