//! Which generation cleaned which range of a lane, and what became of its records.

use sqlx::sqlite::SqliteConnection;
use sqlx::{FromRow as _, Row as _};

use super::error::SqliteFault;
use super::lane::Lanes;
use super::time;
use crate::record::{Digest, Lane, Position, Unit};
use crate::sink::table::lineage::{StoredRange, check, extended, range};
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
        "SELECT from_position, to_position, generation, read, stored, superseded, dropped, dead, id \
         FROM pinhost_lineage WHERE pipeline = ? AND lane = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(lanes.pipeline)
    .bind(unit.lane.name())
    .fetch_optional(&mut *connection)
    .await?;
    let extended = match &last {
        Some(row) => {
            let last = range(TABLE, unit.lane.clone(), StoredRange::from_row(row)?)?;
            extended(&last, unit, sums)?.map(|sums| (row, sums))
        }
        None => None,
    };
    let Some((row, sums)) = extended else {
        let generation = Some(unit.generation);
        return insert(connection, lanes, &unit.lane, unit.from, unit.to, generation, sums).await;
    };
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
    .bind(row.try_get::<i64, _>("id")?)
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
        "SELECT from_position, to_position, generation, read, stored, superseded, dropped, dead, lane \
         FROM pinhost_lineage WHERE pipeline = ? ORDER BY lane, id",
    )
    .bind(pipeline)
    .fetch_all(connection)
    .await?;
    let ranges = rows.iter().map(|row| {
        let lane = Lane::new(row.try_get::<String, _>("lane")?);
        Ok(range(TABLE, lane, StoredRange::from_row(row)?)?)
    });
    ranges.collect()
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
