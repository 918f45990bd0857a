//! Which generation cleaned which range of a lane: when a unit extends a range, and what ranges hold.

use super::fault::{TableFault, parsed};
use crate::ledger::{LineageRange, LineageSums};
use crate::record::{Lane, Past, Position, Unit, UnitPart};

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
    for UnitPart { raw, .. } in &unit.parts {
        let Some(Past::Archived { lane: Some(lane), places }) = &raw.past else { continue };
        for place in places {
            let goes_on = |last: &LineageRange| last.lane == *lane && meet(&last.to, &place.at);
            match ranges.last_mut().filter(|last| goes_on(last)) {
                Some(last) => last.to = place.next,
                None => ranges.push(LineageRange {
                    lane: lane.clone(),
                    from: place.at,
                    to: place.next,
                    generation: Some(unit.generation),
                    sums: LineageSums::default(),
                }),
            }
        }
    }
    ranges
}

fn meet(to: &Position, from: &Position) -> bool {
    to.is_comparable(from) && to.place() == from.place()
}

/// The lane's last range together with one that extends it: one that goes on where it ended, and is of the
/// same generation.
pub(crate) fn extended(
    last: &LineageRange,
    next: &LineageRange,
) -> Result<Option<LineageRange>, TableFault> {
    // What was read for the first time is no part of what was replayed.
    let is_other = last.is_replayed() && next.sums != LineageSums::default();
    if last.generation != next.generation || !meet(&last.to, &next.from) || is_other {
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
    use crate::record::{ArchivedPlace, Digest, RawBatch, RawRecord, Rows};

    /// Records of an object that stood at these places, each with the one behind it.
    fn part(lane: &str, object: u64, places: &[(u64, u64)]) -> UnitPart {
        let at = |row| Position::at(&[0, object, row]);
        let archived = |(at, next): &(u64, u64)| ArchivedPlace {
            at: Position::number(*at),
            next: Position::number(*next),
        };
        let raw = RawBatch {
            bytes: Bytes::new(),
            records: (0..).zip(places).map(|(row, _)| RawRecord::value(at(row), 0..0)).collect(),
            headers: Vec::new(),
            columns: None,
            topic: None,
            partition: None,
            from: at(0),
            to: at(100),
            past: Some(Past::Archived {
                lane: Some(Lane::new(lane)),
                places: places.iter().map(archived).collect(),
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
        let place = |at| Position::number(at).to_string();
        (lane.to_owned(), place(from), place(to))
    }

    #[test]
    fn what_is_replayed_is_told_by_the_places_where_it_was_read_first() {
        // Places are sparse; those from 16 on were left out, as was what came between the objects of `b`.
        let parts = vec![
            part("a", 0, &[(10, 11), (11, 15), (15, 16)]),
            part("a", 0, &[(20, 30), (30, 31)]),
            part("a", 1, &[(31, 32)]),
            part("b", 2, &[(32, 33)]),
            part("b", 3, &[(40, 41)]),
        ];
        let expected =
            [range("a", 10, 16), range("a", 20, 32), range("b", 32, 33), range("b", 40, 41)];
        assert_eq!(ranges(parts), expected);
    }

    #[test]
    fn what_was_read_for_the_first_time_is_no_part_of_what_was_replayed() {
        let range = |from, to, read| LineageRange {
            lane: Lane::new("a"),
            from: Position::number(from),
            to: Position::number(to),
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
