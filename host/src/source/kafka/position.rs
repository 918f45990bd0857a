//! Where a lane stands in a partition.

use uuid::Uuid;

use crate::record::{Mark, Place, Position};

/// Offsets are sparse: the next record may have a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KafkaPosition {
    pub topic_id: Uuid,
    /// Of the next record to read; of a record, its own.
    pub offset: i64,
    /// Of the record before; -1 if it is not known.
    pub leader_epoch: i32,
}

impl From<KafkaPosition> for Position {
    fn from(position: KafkaPosition) -> Self {
        let KafkaPosition { topic_id, offset, leader_epoch } = position;
        // An offset is never negative once it stands for a record.
        let words = [offset.max(0).unsigned_abs()];
        let mark = Mark { of: topic_id, epoch: leader_epoch };
        Self::At(Place::new(&words, Some(mark)))
    }
}

/// Fails with the position if it is none of a partition.
impl TryFrom<Position> for KafkaPosition {
    type Error = Position;

    fn try_from(position: Position) -> Result<Self, Position> {
        let read = || {
            let mark = position.mark()?;
            let offset = i64::try_from(position.as_number()?).ok()?;
            Some(Self { topic_id: mark.of, offset, leader_epoch: mark.epoch })
        };
        read().ok_or(position)
    }
}
