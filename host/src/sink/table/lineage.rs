//! Which generation cleaned which range of a lane: when a unit extends a range, and what ranges hold.

use super::fault::{TableFault, parsed};
use crate::record::{Lane, Position, Unit};
use crate::sink::{LineageRange, LineageSums};

/// A stored range: `from_position`, `to_position`, `generation`, and the sums in the order of their
/// fields.
pub(crate) type StoredRange = (String, String, Option<String>, i64, i64, i64, i64, i64);

pub(crate) fn range(
    table: &'static str,
    lane: Lane,
    stored: StoredRange,
) -> Result<LineageRange, TableFault> {
    let (from, to, generation, read, stored, superseded, dropped, dead) = stored;
    let position = |text: &str| parsed(table, "position", text);
    let generation = generation.map(|text| parsed(table, "generation", &text));
    let sums = [read, stored, superseded, dropped, dead].map(i64::cast_unsigned);
    let [read, stored, superseded, dropped, dead] = sums;
    Ok(LineageRange {
        lane,
        from: position(&from)?,
        to: position(&to)?,
        generation: generation.transpose()?,
        sums: LineageSums { read, stored, superseded, dropped, dead },
    })
}

/// The sums of the lane's last range with those of a unit that extends it: one that goes on where it
/// ended, and is of the same generation.
pub(crate) fn extended(
    last: &LineageRange,
    unit: &Unit,
    sums: LineageSums,
) -> Result<Option<LineageSums>, TableFault> {
    if last.to != unit.from || last.generation != Some(unit.generation) {
        return Ok(None);
    }
    let sums = last.sums + sums;
    check(&unit.lane, last.from, unit.to, sums)?;
    Ok(Some(sums))
}

/// Invariant 1, before it is written.
pub(crate) fn check(
    lane: &Lane,
    from: Position,
    to: Position,
    sums: LineageSums,
) -> Result<(), TableFault> {
    if sums.is_balanced() {
        return Ok(());
    }
    Err(TableFault::Unbalanced { lane: lane.clone(), from, to, sums: format!("{sums:?}") })
}
