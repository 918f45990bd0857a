//! What a lane's state is, and how it changes: once, for every ledger. Plain values; no I/O, no clock.
//!
//! A ledger stores a [`LaneModel`] for each lane, in whichever form, and makes every change to it in one
//! atomic step with what it stores beside it.

use uuid::Uuid;

use super::{Claim, LedgerFault, LineageRange, LineageSums};
use crate::record::{Lane, Past, Position, Unit, UnitPart};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneModel {
    /// The next record to read.
    pub position: Position,
    /// The token of the claim that may move the lane.
    pub owner: Uuid,
    /// The process that made that claim.
    pub member: Option<Uuid>,
    /// So many of the next dead letters were accepted beforehand.
    pub accepted_rejects: u64,
    /// Why the lane does not go on.
    pub halted: Option<String>,
}

impl LaneModel {
    /// The first claim, which decides where the lane starts.
    pub fn opened(start: Position, token: Uuid, member: Option<Uuid>) -> Self {
        Self { position: start, owner: token, member, accepted_rejects: 0, halted: None }
    }

    /// Every claim before this one is worthless from now on.
    pub fn claim(&mut self, token: Uuid, member: Option<Uuid>) {
        (self.owner, self.member) = (token, member);
    }

    /// What a claim of this lane holds.
    pub fn claimed(&self, lane: &Lane) -> Claim {
        let Self { position, owner, accepted_rejects, .. } = *self;
        Claim { lane: lane.clone(), token: owner, position, accepted_rejects }
    }

    /// A unit moves the lane, and uses up rejects that were accepted beforehand. False if it is fenced: the
    /// claim is not the owner's, or the lane stands elsewhere. Then nothing changes.
    pub fn commit(&mut self, token: Uuid, (from, to): (Position, Position), rejects: u64) -> bool {
        if self.owner != token || self.position != from {
            return false;
        }
        (self.position, self.halted) = (to, None);
        self.accepted_rejects = self.accepted_rejects.saturating_sub(rejects);
        true
    }

    /// Somebody moves the lane by hand; `token` is nobody's: whoever had the lane has to look where it stands
    /// now. False if it stands elsewhere.
    pub fn move_to(&mut self, (from, to): (Position, Position), token: Uuid) -> bool {
        if self.position != from {
            return false;
        }
        (self.position, self.owner, self.member, self.halted) = (to, token, None, None);
        true
    }

    /// Whoever has the lane keeps it.
    pub fn accept_rejects(&mut self, records: u64) {
        self.accepted_rejects = self.accepted_rejects.saturating_add(records);
    }

    /// False if the claim is not the owner's.
    pub fn note_halt(&mut self, token: Uuid, reason: &str) -> bool {
        if self.owner != token {
            return false;
        }
        self.halted = Some(reason.to_owned());
        true
    }
}

/// The lane's last range together with one that extends it: one that goes on where it ended, and is of the
/// same generation. None if the next one stands for itself.
pub fn extended(last: &LineageRange, next: &LineageRange) -> Option<LineageRange> {
    // Each gap was made by somebody, and is told for itself.
    let is_same = next.generation.is_some() && last.generation == next.generation;
    // What was read for the first time is no part of what was replayed.
    let is_other = last.is_replayed() && next.sums != LineageSums::default();
    let extended = || LineageRange { from: last.from, sums: last.sums + next.sums, ..next.clone() };
    (is_same && meet(&last.to, &next.from) && !is_other).then(extended)
}

/// Whether what goes on at `from` follows what ended at `to`.
fn meet(to: &Position, from: &Position) -> bool {
    to.is_comparable(from) && to.place() == from.place()
}

/// What a unit adds to the lineage: its own range.
pub fn own_range(unit: &Unit, sums: LineageSums) -> LineageRange {
    let Unit { lane, from, to, generation, .. } = unit;
    LineageRange { lane: lane.clone(), from: *from, to: *to, generation: Some(*generation), sums }
}

/// What a move by hand adds: none if the lane stays where it is.
pub fn gap(lane: &Lane, from: Position, to: Position) -> Option<LineageRange> {
    let (lane, sums) = (lane.clone(), LineageSums::default());
    (from != to).then_some(LineageRange { lane, from, to, generation: None, sums })
}

/// What a unit of a replay adds to the lineage of those whose rows it has made anew: the ranges of its
/// records where they were read first.
pub fn replayed_ranges(unit: &Unit) -> Vec<LineageRange> {
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

/// Invariant 1, before a range is written.
pub fn check_range(range: &LineageRange) -> Result<(), LedgerFault> {
    if range.sums.is_balanced() {
        return Ok(());
    }
    let LineageRange { lane, from, to, sums, .. } = range;
    let (lane, sums) = (lane.clone(), format!("{sums:?}"));
    Err(LedgerFault::unbalanced(lane, *from, *to, sums))
}

/// Our own bugs, before they are written for good.
pub fn check_unit(claim: &Claim, unit: &Unit) -> Result<(), LedgerFault> {
    let Unit { lane, from, to, .. } = unit;
    let (lane, from, to) = (lane.clone(), *from, *to);
    if claim.lane != lane {
        return Err(LedgerFault::OtherLane { unit: lane, claim: claim.lane.clone() });
    }
    if !from.is_comparable(&to) || from.place() > to.place() {
        return Err(LedgerFault::backwards(lane, from, to));
    }
    if !unit.is_balanced() {
        let sums = format!(
            "{} read, {} rows, {} deletes, {} dropped, {} dead letters",
            unit.records(),
            unit.rows(),
            unit.deletes(),
            unit.dropped(),
            unit.dead_letters()
        );
        return Err(LedgerFault::unbalanced(lane, from, to, sums));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::record::{ArchivedPlace, Digest, RawBatch, RawRecord, Rows};

    fn at(record: u64) -> Position {
        Position::number(record)
    }

    #[test]
    fn only_the_owner_moves_a_lane_and_only_from_where_it_stands() {
        let [one, two, nobody] = [1, 2, 3].map(Uuid::from_u128);
        let mut lane = LaneModel::opened(at(5), one, None);
        assert!(!lane.commit(two, (at(5), at(7)), 0), "another's token");
        assert!(!lane.commit(one, (at(4), at(7)), 0), "it stands elsewhere");
        assert_eq!(lane, LaneModel::opened(at(5), one, None));
        lane.accept_rejects(3);
        assert!(lane.note_halt(one, "too many") && !lane.note_halt(two, "late"));
        assert_eq!(lane.halted.as_deref(), Some("too many"));
        assert!(lane.commit(one, (at(5), at(7)), 2));
        assert_eq!((lane.position, lane.accepted_rejects, &lane.halted), (at(7), 1, &None));
        lane.claim(two, Some(nobody));
        assert!(!lane.commit(one, (at(7), at(8)), 0), "it was taken over");
        assert!(!lane.move_to((at(6), at(9)), nobody));
        assert!(lane.move_to((at(7), at(9)), nobody));
        assert!(!lane.commit(two, (at(9), at(10)), 0), "whoever had it has to look first");
        assert_eq!((lane.accepted_rejects, lane.member), (1, None));
        lane.claim(one, None);
        assert!(lane.commit(one, (at(9), at(10)), 9));
        assert_eq!(lane.accepted_rejects, 0, "never below none");
    }

    /// Records of an object that stood at these places, each with the one behind it.
    fn part(lane: &str, object: u64, places: &[(u64, u64)]) -> UnitPart {
        let at = |row| Position::at(&[0, object, row]);
        let archived = |(at, next): &(u64, u64)| ArchivedPlace {
            at: Position::number(*at),
            next: Position::number(*next),
        };
        let raw = RawBatch {
            past: Some(Past::Archived {
                lane: Some(Lane::new(lane)),
                places: places.iter().map(archived).collect(),
            }),
            ..RawBatch::new(
                Bytes::new(),
                (0..).zip(places).map(|(row, _)| RawRecord::value(at(row), 0..0)).collect(),
                (at(0), at(100)),
            )
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
            wants_receipts: false,
        };
        let told = replayed_ranges(&unit).into_iter();
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
        assert_eq!(extended(&replayed, &read), None);
        assert_eq!(extended(&replayed, &range(5, 9, 0)), Some(range(0, 9, 0)));
        assert_eq!(extended(&range(0, 5, 5), &read), Some(range(0, 9, 9)));
        assert_eq!(extended(&range(0, 4, 4), &read), None, "there is a gap");
        let gap = |from, to| gap(&Lane::new("a"), at(from), at(to)).unwrap();
        assert_eq!(extended(&gap(0, 5), &gap(5, 9)), None, "each gap is told for itself");
        assert_eq!(super::gap(&Lane::new("a"), at(5), at(5)), None);
    }
}
