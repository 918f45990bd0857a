//! Which generation cleaned which range of a lane: when a unit extends a range, and what ranges hold.

use super::fault::{TableFault, parsed};
use crate::record::{Lane, Past, Unit, UnitPart};
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

/// What a unit adds to the lineage: its own range.
pub(crate) fn own(unit: &Unit, sums: LineageSums) -> LineageRange {
    let Unit { lane, from, to, generation, .. } = unit;
    LineageRange { lane: lane.clone(), from: *from, to: *to, generation: Some(*generation), sums }
}

/// What a unit of a replay adds to the lineage of those whose rows it has made anew: the ranges of its
/// records where they were read first.
pub(crate) fn replayed(unit: &Unit) -> Vec<LineageRange> {
    let mut ranges: Vec<LineageRange> = Vec::new();
    // The position after the record before, in the replay's own lane.
    let mut next = None;
    for UnitPart { raw, .. } in &unit.parts {
        let Some(Past::Archived { lane: Some(lane), positions }) = &raw.past else { continue };
        for (record, position) in raw.records.iter().zip(positions) {
            // Places may be sparse. What lies between two records of an object was not left out.
            let goes_on = |last: &LineageRange| {
                last.lane == *lane
                    && last.to.is_comparable(position)
                    && last.to.order() <= position.order()
                    && (last.to.order() == position.order() || next == Some(record.position))
            };
            match ranges.last_mut().filter(|last| goes_on(last)) {
                Some(last) => last.to = position.after(),
                None => ranges.push(LineageRange {
                    lane: lane.clone(),
                    from: *position,
                    to: position.after(),
                    generation: Some(unit.generation),
                    sums: LineageSums::default(),
                }),
            }
            next = Some(record.position.after());
        }
    }
    ranges
}

/// The lane's last range together with one that extends it: one that goes on where it ended, and is of the
/// same generation.
pub(crate) fn extended(
    last: &LineageRange,
    next: &LineageRange,
) -> Result<Option<LineageRange>, TableFault> {
    let goes_on = last.to.is_comparable(&next.from) && last.to.order() == next.from.order();
    // What was read for the first time is no part of what was replayed.
    let is_other = last.is_replayed() && next.sums != LineageSums::default();
    if last.generation != next.generation || !goes_on || is_other {
        return Ok(None);
    }
    let extended = LineageRange { from: last.from, sums: last.sums + next.sums, ..next.clone() };
    check(&extended)?;
    Ok(Some(extended))
}

/// Invariant 1, before it is written.
pub(crate) fn check(range: &LineageRange) -> Result<(), TableFault> {
    if range.sums.is_balanced() {
        return Ok(());
    }
    let LineageRange { lane, from, to, sums, .. } = range;
    let (lane, sums) = (lane.clone(), format!("{sums:?}"));
    Err(TableFault::Unbalanced { lane, from: *from, to: *to, sums })
}
