//! Which generation cleaned which range of a lane, and what became of its records.

use super::{LaneKeys, SqlConnection, SqlRow, SqlValue, values};
use crate::ledger::model::{check_range, extended, own_range, replayed_ranges};
use crate::ledger::{LedgerFault, LineageRange, LineageSums};
use crate::record::{ConnectorError, Digest, Lane, Position, Unit};

const TABLE: &str = "lineage";

/// Adds a unit; one of a replay also to the lineage of those whose rows it has made anew.
pub(crate) async fn add(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    unit: &Unit,
    sums: LineageSums,
) -> Result<(), ConnectorError> {
    extend(sql, &keys.pipeline, keys.target(), &own_range(unit, sums)).await?;
    let Some(into) = &keys.replay_into else {
        return Ok(());
    };
    for range in replayed_ranges(unit) {
        extend(sql, into, keys.target(), &range).await?;
    }
    Ok(())
}

/// Adds a range, or extends the lane's last one by it.
pub(super) async fn extend(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    target: &str,
    next: &LineageRange,
) -> Result<(), ConnectorError> {
    let last = "SELECT from_position, to_position, generation, read, stored, superseded, dropped, \
                dead, id FROM pinhost.lineage WHERE pipeline = $1 AND lane = $2 \
                ORDER BY id DESC LIMIT 1";
    let last = sql.row(last, values![pipeline, next.lane.name()]).await?;
    let mut extends = None;
    if let Some(row) = last {
        let last = range(sql, next.lane.clone(), &*row)?;
        let id = row.some_integer(8)?;
        extends = extended(&last, next).map(|range| (id, range));
    }
    let Some((id, range)) = extends else {
        return insert(sql, pipeline, target, next).await;
    };
    check_range(&range).map_err(|fault| sql.fault(fault))?;
    let extend = "UPDATE pinhost.lineage SET to_position = $1, read = $2, stored = $3, \
                  superseded = $4, dropped = $5, dead = $6, time = :now WHERE id = $7";
    let mut values = values![range.to.to_string()];
    values.extend(sums(&range.sums));
    values.push(id.into());
    sql.execute(extend, values).await?;
    Ok(())
}

async fn insert(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    target: &str,
    range: &LineageRange,
) -> Result<(), ConnectorError> {
    check_range(range).map_err(|fault| sql.fault(fault))?;
    let insert = "INSERT INTO pinhost.lineage (pipeline, lane, target, from_position, to_position, \
                  generation, read, stored, superseded, dropped, dead, time) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, :now)";
    let mut values = values![
        pipeline,
        range.lane.name(),
        target,
        range.from.to_string(),
        range.to.to_string(),
        range.generation.map(|digest| digest.to_string()),
    ];
    values.extend(sums(&range.sums));
    sql.execute(insert, values).await?;
    Ok(())
}

/// In the order of the columns.
fn sums(sums: &LineageSums) -> [SqlValue; 5] {
    let LineageSums { read, stored, superseded, dropped, dead } = *sums;
    [read, stored, superseded, dropped, dead].map(SqlValue::from)
}

/// Every position that a lane is known to have had, in the order in which it had them.
pub(crate) async fn positions(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    lane: &Lane,
) -> Result<Vec<Position>, ConnectorError> {
    let all = "SELECT from_position, to_position FROM pinhost.lineage \
               WHERE pipeline = $1 AND lane = $2 ORDER BY id";
    let rows = sql.rows(all, values![pipeline, lane.name()]).await?;
    let mut positions = Vec::with_capacity(2 * rows.len());
    for row in &rows {
        for column in 0..2 {
            let text = row.some_text(column)?;
            let position = LedgerFault::parsed(sql.dialect().table(TABLE), "position", &text);
            positions.push(position.map_err(|fault| sql.fault(fault))?);
        }
    }
    Ok(positions)
}

/// Whether a unit was ever committed. A gap that somebody made is none.
pub(super) async fn is_any(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<bool, ConnectorError> {
    let any = "SELECT lane FROM pinhost.lineage \
               WHERE pipeline = $1 AND generation IS NOT NULL LIMIT 1";
    Ok(sql.row(any, values![pipeline]).await?.is_some())
}

pub(super) async fn all(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<Vec<LineageRange>, ConnectorError> {
    let all = "SELECT from_position, to_position, generation, read, stored, superseded, dropped, \
               dead, lane FROM pinhost.lineage WHERE pipeline = $1 ORDER BY id";
    let rows = sql.rows(all, values![pipeline]).await?;
    let mut ranges = Vec::with_capacity(rows.len());
    for row in &rows {
        ranges.push(range(sql, Lane::new(row.some_text(8)?), &**row)?);
    }
    // Stable: each lane's ranges stay in their order.
    ranges.sort_by(|a, b| a.lane.cmp(&b.lane));
    Ok(ranges)
}

fn range(
    sql: &dyn SqlConnection,
    lane: Lane,
    row: &dyn SqlRow,
) -> Result<LineageRange, ConnectorError> {
    let table = || sql.dialect().table(TABLE);
    let position = |text: &str| {
        let parsed = LedgerFault::parsed::<Position>(table(), "position", text);
        parsed.map_err(|fault| sql.fault(fault))
    };
    let generation = |text: String| {
        let parsed = LedgerFault::parsed::<Digest>(table(), "generation", &text);
        parsed.map_err(|fault| sql.fault(fault))
    };
    let sum = |column| Ok::<_, ConnectorError>(row.some_integer(column)?.cast_unsigned());
    Ok(LineageRange {
        lane,
        from: position(&row.some_text(0)?)?,
        to: position(&row.some_text(1)?)?,
        generation: row.text(2)?.map(generation).transpose()?,
        sums: LineageSums {
            read: sum(3)?,
            stored: sum(4)?,
            superseded: sum(5)?,
            dropped: sum(6)?,
            dead: sum(7)?,
        },
    })
}
