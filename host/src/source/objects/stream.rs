//! How far the stream has come whose rows a replay replaces. What it has not read yet is left to it: written
//! by both, a record would be there twice.
//!
//! It is asked once, before anything is read. The stream only ever goes on: what it had read then it has read
//! for good, whatever it does meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::ObjectPosition;
use crate::ledger::{LaneState, LineageRange};
use crate::record::provenance::{LaneSources, source_of};
use crate::record::{Lane, Position};

/// The lanes of a pipeline, and where each stands.
#[derive(Debug)]
pub struct StreamLanes {
    lanes: HashMap<Lane, StreamLane>,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct StreamLane {
    at: Position,
    /// What it was read from, one after the other.
    sources: LaneSources,
}

/// Records that were passed by.
#[derive(Debug, Default)]
struct Left {
    records: u64,
    /// Behind the last of them: a reader that begins anew counts none twice.
    next: ObjectPosition,
}

impl StreamLanes {
    pub fn new(lanes: Vec<LaneState>, lineage: &[LineageRange]) -> Self {
        let lane = |state: LaneState| {
            let ranges = lineage.iter().filter(|range| range.lane == state.lane);
            let known = ranges.flat_map(|range| [range.from, range.to]);
            let sources = LaneSources::new(known.chain([state.position]));
            (state.lane, StreamLane { at: state.position, sources })
        };
        Self { lanes: lanes.into_iter().map(lane).collect(), left: Mutex::default() }
    }

    /// Whether the stream has read a record. Of a lane that it has not claimed yet it has read nothing.
    pub(super) fn has_read(&self, lane: Option<&Lane>, record: Position) -> bool {
        // Without a lane nobody reads it again.
        let Some(lane) = lane else { return true };
        self.lanes.get(lane).is_some_and(|lane| lane.has_read(record))
    }

    /// A record is left to the stream.
    pub(super) fn leave(&self, at: ObjectPosition) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if at >= left.next {
            left.records += 1;
            left.next = ObjectPosition { row: at.row + 1, ..at };
        }
    }

    /// How many records were left to the stream.
    pub fn left(&self) -> u64 {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).records
    }
}

impl StreamLane {
    fn has_read(&self, record: Position) -> bool {
        match self.at {
            Position::End => true,
            Position::Start(_) => false,
            Position::At(_) if source_of(&record) == source_of(&self.at) => {
                record.place() < self.at.place()
            }
            // A topic that was made anew is read after the one before it.
            Position::At(_) => self.sources.is_before(&record, &self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ledger::LineageSums;
    use crate::record::{Mark, Place, Start};

    fn at(topic: u128, offset: u64) -> Position {
        let mark = Mark { of: Uuid::from_u128(topic), epoch: 3 };
        Position::At(Place::new(&[offset], Some(mark)))
    }

    fn lane(position: Position, lineage: &[(Position, Position)]) -> StreamLane {
        let range = |(from, to): &(Position, Position)| LineageRange {
            lane: Lane::new("pin-0"),
            from: *from,
            to: *to,
            generation: None,
            sums: LineageSums::default(),
        };
        let lineage: Vec<_> = lineage.iter().map(range).collect();
        let known = lineage.iter().flat_map(|range| [range.from, range.to]);
        StreamLane { at: position, sources: LaneSources::new(known.chain([position])) }
    }

    #[test]
    fn what_a_stream_has_read_lies_before_where_it_stands() {
        let stream = lane(at(1, 7), &[]);
        assert!(stream.has_read(at(1, 6)) && !stream.has_read(at(1, 7)));
        assert!(!stream.has_read(at(2, 0)), "the topic is another one");
        let anew = lane(at(2, 3), &[(at(1, 0), at(1, 7)), (at(2, 0), at(2, 3))]);
        assert!(anew.has_read(at(1, 900)) && anew.has_read(at(2, 2)) && !anew.has_read(at(2, 3)));
        assert!(!anew.has_read(at(3, 0)));
        let begun = lane(Position::Start(Start::Earliest), &[]);
        assert!(!begun.has_read(at(1, 0)));
        assert!(lane(Position::End, &[]).has_read(at(1, 9)));
    }

    #[test]
    fn records_are_left_once_however_often_they_are_read() {
        let stream = StreamLanes { lanes: HashMap::new(), left: Mutex::default() };
        assert!(!stream.has_read(Some(&Lane::new("pin-0")), at(1, 0)), "nobody has claimed it");
        let place = |object, row| ObjectPosition { plan: 0, object, row };
        for at in [place(0, 1), place(0, 2), place(0, 1), place(0, 2), place(1, 0)] {
            stream.leave(at);
        }
        assert_eq!(stream.left(), 3);
    }
}
