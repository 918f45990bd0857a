//! Where a lane stands in what is planned to be read.

use crate::record::Position;

/// Objects have no order in time: this is the order in which they were planned to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ObjectPosition {
    /// Which look at what there is, counted from 0.
    pub plan: u64,
    /// Which of the plan's objects, counted from 0.
    pub object: u64,
    /// Which record in it, counted from 0.
    pub row: u64,
}

impl From<ObjectPosition> for Position {
    fn from(position: ObjectPosition) -> Self {
        let ObjectPosition { plan, object, row } = position;
        Self::at(&[plan, object, row])
    }
}

/// Fails with the position if it is none of an object.
impl TryFrom<Position> for ObjectPosition {
    type Error = Position;

    fn try_from(position: Position) -> Result<Self, Position> {
        match &position {
            Position::At(place) if place.mark().is_none() => match *place.words() {
                [plan, object, row] => Ok(Self { plan, object, row }),
                _ => Err(position),
            },
            Position::At(_) | Position::Start(_) | Position::End => Err(position),
        }
    }
}

impl ObjectPosition {
    /// Where the object behind this one begins.
    pub fn next_object(self) -> Self {
        Self { object: self.object + 1, row: 0, ..self }
    }
}
