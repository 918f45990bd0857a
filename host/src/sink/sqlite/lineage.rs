//! Which generation cleaned which range of a lane, and what became of its records.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::{SqliteFault, parsed};
use super::lane::Lanes;
use super::time;
use crate::record::{Digest, Lane, Position, Unit};
use crate::sink::{LineageRange, LineageSums};

const TABLE: &str = "pinhost_lineage";

/// Adds a unit. One that goes on where the lane's last range ended, and is of the same generation,
/// extends it.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    unit: &Unit,
    sums: LineageSums,
) -> Result<(), SqliteFault> {
    let last = sqlx::query(
        "SELECT id, from_position, to_position, generation, read, stored, superseded, dropped, dead \
         FROM pinhost_lineage WHERE pipeline = ? AND lane = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(lanes.pipeline)
    .bind(unit.lane.name())
    .fetch_optional(&mut *connection)
    .await?;
    let Some((id, range)) = neighbour(last.as_ref(), unit)? else {
        let generation = Some(unit.generation);
        return insert(connection, lanes, &unit.lane, unit.from, unit.to, generation, sums).await;
    };
    let sums = range.sums + sums;
    check(&unit.lane, range.from, unit.to, sums)?;
    sqlx::query(
        "UPDATE pinhost_lineage SET to_position = ?, read = ?, stored = ?, superseded = ?, \
         dropped = ?, dead = ?, time = ? WHERE id = ?",
    )
    .bind(unit.to.to_string())
    .bind(sums.read.cast_signed())
    .bind(sums.stored.cast_signed())
    .bind(sums.superseded.cast_signed())
    .bind(sums.dropped.cast_signed())
    .bind(sums.dead.cast_signed())
    .bind(time::now())
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn add_gap(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    lane: &Lane,
    from: Position,
    to: Position,
) -> Result<(), SqliteFault> {
    insert(connection, lanes, lane, from, to, None, LineageSums::default()).await
}

pub(super) async fn all(
    connection: &mut SqliteConnection,
    pipeline: &str,
) -> Result<Vec<LineageRange>, SqliteFault> {
    let rows = sqlx::query(
        "SELECT lane, from_position, to_position, generation, read, stored, superseded, dropped, dead \
         FROM pinhost_lineage WHERE pipeline = ? ORDER BY lane, id",
    )
    .bind(pipeline)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| range(Lane::new(row.try_get::<String, _>("lane")?), row)).collect()
}

fn neighbour(
    last: Option<&SqliteRow>,
    unit: &Unit,
) -> Result<Option<(i64, LineageRange)>, SqliteFault> {
    let Some(row) = last else { return Ok(None) };
    let last = range(unit.lane.clone(), row)?;
    let is_neighbour = last.to == unit.from && last.generation == Some(unit.generation);
    Ok(if is_neighbour { Some((row.try_get("id")?, last)) } else { None })
}

async fn insert(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    lane: &Lane,
    from: Position,
    to: Position,
    generation: Option<Digest>,
    sums: LineageSums,
) -> Result<(), SqliteFault> {
    check(lane, from, to, sums)?;
    sqlx::query(
        "INSERT INTO pinhost_lineage (pipeline, lane, target, from_position, to_position, \
         generation, read, stored, superseded, dropped, dead, time) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(lanes.pipeline)
    .bind(lane.name())
    .bind(lanes.target)
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(generation.map(|digest| digest.to_string()))
    .bind(sums.read.cast_signed())
    .bind(sums.stored.cast_signed())
    .bind(sums.superseded.cast_signed())
    .bind(sums.dropped.cast_signed())
    .bind(sums.dead.cast_signed())
    .bind(time::now())
    .execute(connection)
    .await?;
    Ok(())
}

/// Invariant 1, before it is written.
fn check(lane: &Lane, from: Position, to: Position, sums: LineageSums) -> Result<(), SqliteFault> {
    if sums.is_balanced() {
        return Ok(());
    }
    Err(SqliteFault::Unbalanced { lane: lane.clone(), from, to, sums: format!("{sums:?}") })
}

fn range(lane: Lane, row: &SqliteRow) -> Result<LineageRange, SqliteFault> {
    let position = |column| parsed(TABLE, "position", row.try_get(column)?);
    let generation = row.try_get::<Option<&str>, _>("generation")?;
    let generation = generation.map(|text| parsed(TABLE, "generation", text));
    let sum = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(LineageRange {
        lane,
        from: position("from_position")?,
        to: position("to_position")?,
        generation: generation.transpose()?,
        sums: LineageSums {
            read: sum("read")?,
            stored: sum("stored")?,
            superseded: sum("superseded")?,
            dropped: sum("dropped")?,
            dead: sum("dead")?,
        },
    })
}
