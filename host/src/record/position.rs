//! Lanes, and how far they have come.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The unit of order and of ownership: one Kafka partition, one folder of objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(Arc<str>);

impl Lane {
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Lane {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(Self::new(name))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the lanes of a pipeline are read from, for ever: a Kafka cluster and topic, a bucket and prefix,
/// a seed. A position means nothing for another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceId(Arc<str>);

impl SourceId {
    pub fn new(identity: impl Into<Arc<str>>) -> Self {
        Self(identity.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a lane. Of a lane it is the next record to read; of a record, where that one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// Records counted from 0.
    Record(u64),
    Object(ObjectPosition),
    Kafka(KafkaPosition),
}

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

/// Offsets are sparse: the next record may have a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KafkaPosition {
    pub topic_id: Uuid,
    pub offset: i64,
    /// Of the record before; -1 if it is not known.
    pub leader_epoch: i32,
}

impl Position {
    /// What orders places of one lane. Places of different kinds, or of different topics, have no order.
    pub fn order(&self) -> PositionOrder {
        match *self {
            Self::Record(record) => PositionOrder([0, 0, record]),
            Self::Object(ObjectPosition { plan, object, row }) => {
                PositionOrder([plan, object, row])
            }
            // An offset is never negative once it stands for a record.
            Self::Kafka(KafkaPosition { offset, .. }) => {
                PositionOrder([0, 0, offset.max(0).unsigned_abs()])
            }
        }
    }

    /// The position after a record that stands here.
    #[must_use]
    pub fn after(self) -> Self {
        match self {
            Self::Record(record) => Self::Record(record + 1),
            Self::Object(at) => Self::Object(ObjectPosition { row: at.row + 1, ..at }),
            Self::Kafka(at) => Self::Kafka(KafkaPosition { offset: at.offset + 1, ..at }),
        }
    }

    /// Whether this one and `other` can be places of the same lane.
    pub fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kafka(a), Self::Kafka(b)) => a.topic_id == b.topic_id,
            (a, b) => a.is_like(b),
        }
    }

    /// Whether both are positions of one kind of source.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The record's place as people know it, and as rows keep it: `1042`, `0.17.250`.
    pub fn place(&self) -> Place {
        Place(*self)
    }
}

/// Ordered as the records of a lane are. As big-endian bytes it is ordered the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PositionOrder(pub [u64; 3]);

impl PositionOrder {
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, part) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *to = part.to_be_bytes();
        }
        bytes
    }
}

/// See [`Position::place`].
#[derive(Debug, Clone, Copy)]
pub struct Place(Position);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Position::Record(record) => write!(f, "{record}"),
            Position::Object(ObjectPosition { plan, object, row }) => {
                write!(f, "{plan}.{object}.{row}")
            }
            Position::Kafka(KafkaPosition { offset, .. }) => write!(f, "{offset}"),
        }
    }
}

/// What is stored; it reads back as the same position.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())?;
        match self {
            Self::Kafka(KafkaPosition { topic_id, leader_epoch, .. }) => {
                write!(f, "@{topic_id}/{leader_epoch}")
            }
            Self::Record(_) | Self::Object(_) => Ok(()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        read(text).ok_or_else(|| PositionError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Position> {
    if let Some((offset, source)) = text.split_once('@') {
        let (topic_id, leader_epoch) = source.split_once('/')?;
        return Some(Position::Kafka(KafkaPosition {
            topic_id: topic_id.parse().ok()?,
            offset: offset.parse().ok()?,
            leader_epoch: leader_epoch.parse().ok()?,
        }));
    }
    let parts: Vec<u64> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts[..] {
        [record] => Some(Position::Record(record)),
        [plan, object, row] => Some(Position::Object(ObjectPosition { plan, object, row })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions() -> impl Strategy<Value = Position> {
        prop_oneof![
            any::<u64>().prop_map(Position::Record),
            any::<[u64; 3]>().prop_map(|[plan, object, row]| Position::Object(ObjectPosition {
                plan,
                object,
                row
            })),
            (any::<u128>(), any::<i64>(), any::<i32>()).prop_map(|(id, offset, leader_epoch)| {
                Position::Kafka(KafkaPosition {
                    topic_id: Uuid::from_u128(id),
                    offset,
                    leader_epoch,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_position_reads_back_as_it_was_stored(position in positions()) {
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn bytes_are_ordered_as_places_are(a: [u64; 3], b: [u64; 3]) {
            let (a, b) = (PositionOrder(a), PositionOrder(b));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "x", "1.2", "1.2.3.4", "-1", "1@", "1@x/2"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError(text.to_owned())));
        }
    }
}
