//! Which generation cleaned which range of a lane, and what became of its records.

use sqlx::sqlite::SqliteConnection;
use sqlx::{FromRow as _, Row as _};

use super::error::SqliteFault;
use super::lane::Lanes;
use super::time;
use crate::ledger::{LineageRange, LineageSums};
use crate::record::{Lane, Position, Unit};
use crate::sink::table::lineage::{StoredRange, check, extended, own, range, replayed};

const TABLE: &str = "pinhost_lineage";

/// Adds a unit; one of a replay also to the lineage of those whose rows it has made anew.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    unit: &Unit,
    sums: LineageSums,
) -> Result<(), SqliteFault> {
    extend(connection, lanes, &own(unit, sums)).await?;
    let Some(into) = lanes.replay_into else { return Ok(()) };
    let lanes = Lanes { pipeline: into, ..*lanes };
    for range in replayed(unit) {
        extend(connection, &lanes, &range).await?;
    }
    Ok(())
}

/// Adds a range. One that goes on where the lane's last range ended, and is of the same generation,
/// extends it.
async fn extend(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    next: &LineageRange,
) -> Result<(), SqliteFault> {
    let last = sqlx::query(
        "SELECT from_position, to_position, generation, read, stored, superseded, dropped, dead, id \
         FROM pinhost_lineage WHERE pipeline = ? AND lane = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(lanes.pipeline)
    .bind(next.lane.name())
    .fetch_optional(&mut *connection)
    .await?;
    let extended = match &last {
        Some(row) => {
            let last = range(TABLE, next.lane.clone(), StoredRange::from_row(row)?)?;
            extended(&last, next)?.map(|extended| (row, extended))
        }
        None => None,
    };
    let Some((row, LineageRange { to, sums, .. })) = extended else {
        return insert(connection, lanes, next).await;
    };
    sqlx::query(
        "UPDATE pinhost_lineage SET to_position = ?, read = ?, stored = ?, superseded = ?, \
         dropped = ?, dead = ?, time = ? WHERE id = ?",
    )
    .bind(to.to_string())
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
    let (lane, sums) = (lane.clone(), LineageSums::default());
    insert(connection, lanes, &LineageRange { lane, from, to, generation: None, sums }).await
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
    range: &LineageRange,
) -> Result<(), SqliteFault> {
    check(range)?;
    let LineageRange { lane, from, to, generation, sums } = range;
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
