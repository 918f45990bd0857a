//! Where a lane stands in a shard.

use uuid::Uuid;

use crate::record::{Mark, Place, Position};

/// Sequence numbers are sparse: the next record has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KinesisPosition {
    pub sequence: [u64; 3],
    /// Of records that were packed into one, which; of the next record to read, how many came before it.
    pub sub: u64,
    /// The stream that it belongs to.
    pub stream: Uuid,
}

impl KinesisPosition {
    /// Of a record with this number; none if it is no sequence number.
    pub fn of(sequence: &str, stream: Uuid) -> Option<Self> {
        let place = sequence.parse::<Position>().ok()?.sequence()?;
        let Position::At(place) = place else { return None };
        let sequence = place.words().try_into().ok()?;
        Some(Self { sequence, sub: 0, stream })
    }

    /// As Kinesis has it.
    pub fn sequence_text(&self) -> String {
        Position::at(&self.sequence).to_string()
    }

    pub fn with_sub(self, sub: usize) -> Self {
        Self { sub: sub as u64, ..self }
    }
}

impl From<KinesisPosition> for Position {
    fn from(position: KinesisPosition) -> Self {
        let KinesisPosition { sequence: [high, middle, low], sub, stream } = position;
        let mark = Mark { of: stream, epoch: -1 };
        Self::At(Place::new(&[high, middle, low, sub], Some(mark)))
    }
}

/// Fails with the position if it is none of a shard.
impl TryFrom<Position> for KinesisPosition {
    type Error = Position;

    fn try_from(position: Position) -> Result<Self, Position> {
        let (Position::At(place), Some(mark)) = (position, position.mark()) else {
            return Err(position);
        };
        match (place.words(), position.sequence()) {
            ([high, middle, low, sub], Some(_)) => {
                Ok(Self { sequence: [*high, *middle, *low], sub: *sub, stream: mark.of })
            }
            _ => Err(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_as_records_are_and_read_back() {
        let stream = Uuid::from_u128(7);
        let first = "49590338271490256608559692538361571095921575989136588898";
        let next = "49590338271490256608559692538361571095921575989136588899";
        let at = |sequence| KinesisPosition::of(sequence, stream).unwrap();
        let all = [at(first), at(first).with_sub(1), at(first).with_sub(300), at(next)];
        let positions = all.map(Position::from);
        assert!(positions.is_sorted() && all.is_sorted());
        assert_eq!(positions.map(|position| KinesisPosition::try_from(position).unwrap()), all);
        assert_eq!(all[2].sequence_text(), first);
        assert_eq!(positions[2].place().to_string(), format!("{first}.300"));
        for no_place in [Position::number(3), Position::End, Position::at(&[1 << 57, 2, 3, 4])] {
            assert_eq!(KinesisPosition::try_from(no_place), Err(no_place));
        }
        assert_eq!(KinesisPosition::of("17", stream), None);
    }
}
