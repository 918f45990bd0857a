//! Which generation cleaned which range of a lane: when a unit extends a range, and what ranges hold.

use super::fault::{TableFault, parsed};
use crate::ledger::{LineageRange, LineageSums};
use crate::record::{Lane, Past, Unit, UnitPart};

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::{Digest, ObjectPosition, Position, RawBatch, RawRecord, Rows};

    fn part(lane: &str, object: u64, records: &[(u64, u64)]) -> UnitPart {
        let at = |row| Position::Object(ObjectPosition { plan: 0, object, row });
        let raw = RawBatch {
            bytes: Bytes::new(),
            records: records.iter().map(|(row, _)| RawRecord::value(at(*row), 0..0)).collect(),
            headers: Vec::new(),
            columns: None,
            topic: None,
            partition: None,
            from: at(0),
            to: at(100),
            past: Some(Past::Archived {
                lane: Some(Lane::new(lane)),
                positions: records.iter().map(|(_, place)| Position::Record(*place)).collect(),
            }),
        };
        UnitPart {
            raw: Arc::new(raw),
            rows: Rows::Raw,
            origins: Vec::new(),
            deletes: None,
            dropped: 0,
            dead_letters: Vec::new(),
        }
    }

    fn ranges(parts: Vec<UnitPart>) -> Vec<(String, String, String)> {
        let unit = Unit {
            lane: Lane::new("objects"),
            from: parts[0].raw.from,
            to: parts[0].raw.to,
            generation: Digest::of(b"one"),
            parts,
            accepted_rejects: 0,
            refusals_max: 0,
        };
        let told = replayed(&unit).into_iter();
        told.map(|it| (it.lane.to_string(), it.from.to_string(), it.to.to_string())).collect()
    }

    fn range(lane: &str, from: u64, to: u64) -> (String, String, String) {
        let place = |at| Position::Record(at).to_string();
        (lane.to_owned(), place(from), place(to))
    }

    #[test]
    fn what_is_replayed_is_told_by_the_places_where_it_was_read_first() {
        // Places are sparse; records 3 and 4 of the first object were left out, as was what came between
        // the objects of `b`.
        let parts = vec![
            part("a", 0, &[(0, 10), (1, 11), (2, 15)]),
            part("a", 0, &[(5, 20), (6, 30)]),
            part("a", 1, &[(0, 31)]),
            part("b", 2, &[(0, 32)]),
            part("b", 3, &[(0, 40)]),
        ];
        let expected =
            [range("a", 10, 16), range("a", 20, 32), range("b", 32, 33), range("b", 40, 41)];
        assert_eq!(ranges(parts), expected);
    }

    #[test]
    fn what_was_read_for_the_first_time_is_no_part_of_what_was_replayed() {
        let range = |from, to, read| LineageRange {
            lane: Lane::new("a"),
            from: Position::Record(from),
            to: Position::Record(to),
            generation: Some(Digest::of(b"one")),
            sums: LineageSums { read, stored: read, ..LineageSums::default() },
        };
        let (replayed, read) = (range(0, 5, 0), range(5, 9, 4));
        assert!(replayed.is_replayed() && !read.is_replayed() && !range(5, 5, 0).is_replayed());
        assert_eq!(extended(&replayed, &read).unwrap(), None);
        assert_eq!(extended(&replayed, &range(5, 9, 0)).unwrap(), Some(range(0, 9, 0)));
        assert_eq!(extended(&range(0, 5, 5), &read).unwrap(), Some(range(0, 9, 9)));
        assert_eq!(extended(&range(0, 4, 4), &read).unwrap(), None, "there is a gap");
    }
}
