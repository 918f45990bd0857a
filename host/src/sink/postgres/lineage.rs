//! Which generation cleaned which range of a lane, and what became of its records.

use sqlx::postgres::PgConnection;
use sqlx::{FromRow as _, Row as _};

use super::error::PostgresFault;
use super::lane::Lanes;
use super::session::{answered, query};
use crate::ledger::{LineageRange, LineageSums};
use crate::record::{Lane, Position, Unit};
use crate::sink::table::lineage::{StoredRange, check, extended, own, range, replayed};

const TABLE: &str = "pinhost.lineage";

/// Adds a unit; one of a replay also to the lineage of those whose rows it has made anew.
pub(super) async fn add(
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    unit: &Unit,
    sums: LineageSums,
) -> Result<(), PostgresFault> {
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
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    next: &LineageRange,
) -> Result<(), PostgresFault> {
    let last = query(
        "SELECT from_position, to_position, generation, read, stored, superseded, dropped, dead, id \
         FROM pinhost.lineage WHERE pipeline = $1 AND lane = $2 ORDER BY id DESC LIMIT 1",
    );
    let last = last.bind(lanes.pipeline).bind(next.lane.name());
    let last = answered(last.fetch_optional(&mut *connection)).await?;
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
    let extend = query(
        "UPDATE pinhost.lineage SET to_position = $1, read = $2, stored = $3, superseded = $4, \
         dropped = $5, dead = $6, time = clock_timestamp() WHERE id = $7",
    )
    .bind(to.to_string())
    .bind(sums.read.cast_signed())
    .bind(sums.stored.cast_signed())
    .bind(sums.superseded.cast_signed())
    .bind(sums.dropped.cast_signed())
    .bind(sums.dead.cast_signed())
    .bind(row.try_get::<i64, _>("id")?);
    answered(extend.execute(connection)).await?;
    Ok(())
}

pub(super) async fn add_gap(
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    lane: &Lane,
    from: Position,
    to: Position,
) -> Result<(), PostgresFault> {
    let (lane, sums) = (lane.clone(), LineageSums::default());
    insert(connection, lanes, &LineageRange { lane, from, to, generation: None, sums }).await
}

pub(super) async fn all(
    connection: &mut PgConnection,
    pipeline: &str,
) -> Result<Vec<LineageRange>, PostgresFault> {
    let ranges = query(
        "SELECT from_position, to_position, generation, read, stored, superseded, dropped, dead, lane \
         FROM pinhost.lineage WHERE pipeline = $1 ORDER BY lane COLLATE \"C\", id",
    );
    let rows = answered(ranges.bind(pipeline).fetch_all(connection)).await?;
    let ranges = rows.iter().map(|row| {
        let lane = Lane::new(row.try_get::<String, _>("lane")?);
        Ok(range(TABLE, lane, StoredRange::from_row(row)?)?)
    });
    ranges.collect()
}

async fn insert(
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    range: &LineageRange,
) -> Result<(), PostgresFault> {
    check(range)?;
    let LineageRange { lane, from, to, generation, sums } = range;
    let insert = query(
        "INSERT INTO pinhost.lineage (pipeline, lane, target, from_position, to_position, \
         generation, read, stored, superseded, dropped, dead, time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())",
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
    .bind(sums.dead.cast_signed());
    answered(insert.execute(connection)).await?;
    Ok(())
}
