//! Lanes, and how far they have come.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::sequence;

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

/// A point in a lane. Of a lane it is the next record to read; of a record, where that one stands.
///
/// Only connectors know what the words of a place mean. For all others positions are equal, or one comes
/// before the other: all starts before all places, all places before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// Nothing of the lane has been committed, and its source has not resolved yet where it begins.
    Start(Start),
    At(Place),
    /// All of the lane is committed, and nothing will ever be added to it.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Start {
    Earliest,
    Latest,
    /// The first record that arrived at this time or later.
    Time(Timestamp),
}

/// One to five words, ordered as lists are. Connectors agree on what they hold: the number of a record; a
/// plan, an object and a row; the three words of a Kinesis sequence number, then its sub-sequence. An item
/// of an exploded record has one word more than the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Those that are not used are 0.
    words: [u64; WORDS_MAX],
    used: u8,
    mark: Option<Mark>,
}

/// What a place belongs to: the same words mean another record in a topic that was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// The id of a topic.
    pub of: Uuid,
    /// Of the leader that wrote the record before; -1 if it is not known.
    pub epoch: i32,
}

const WORDS_MAX: usize = 5;

impl Place {
    /// # Panics
    /// Without a word, or with more than five.
    pub fn new(words: &[u64], mark: Option<Mark>) -> Self {
        assert!((1..=WORDS_MAX).contains(&words.len()), "a place has one to five words");
        let mut all = [0; WORDS_MAX];
        all[..words.len()].copy_from_slice(words);
        Self { words: all, used: words.len() as u8, mark }
    }

    pub fn words(&self) -> &[u64] {
        &self.words[..usize::from(self.used)]
    }

    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }
}

impl Position {
    /// The place that has these words, and belongs to the lane whatever that is made of.
    ///
    /// # Panics
    /// Without a word, or with more than five.
    pub fn at(words: &[u64]) -> Self {
        Self::At(Place::new(words, None))
    }

    /// The place of a record that has a number.
    pub fn number(number: u64) -> Self {
        Self::at(&[number])
    }

    /// The number, if the place is one.
    pub fn as_number(&self) -> Option<u64> {
        match self {
            Self::At(place) => match place.words() {
                [number] => Some(*number),
                _ => None,
            },
            Self::Start(_) | Self::End => None,
        }
    }

    /// The sequence number of Kinesis that the place begins with, if it does: without what tells the records
    /// that were put under one number apart, and without its mark.
    pub fn sequence(&self) -> Option<Self> {
        match self {
            Self::At(place) => match place.words() {
                [high, middle, low, ..] if sequence::is_one(*high) => {
                    Some(Self::at(&[*high, *middle, *low]))
                }
                _ => None,
            },
            Self::Start(_) | Self::End => None,
        }
    }

    pub fn mark(&self) -> Option<Mark> {
        match self {
            Self::At(place) => place.mark,
            Self::Start(_) | Self::End => None,
        }
    }

    /// The same without its mark: as people know it and rows keep it (`1042`, `0.17.250`), and what orders
    /// records of one lane.
    #[must_use]
    pub fn place(self) -> Self {
        match self {
            Self::At(place) => Self::At(Place { mark: None, ..place }),
            Self::Start(_) | Self::End => self,
        }
    }

    /// The same place with the mark of `other`, if it has none: people leave it out.
    #[must_use]
    pub fn marked_as(self, other: &Self) -> Self {
        match self {
            Self::At(place) => {
                let unknown = |mark: Mark| Mark { epoch: -1, ..mark };
                Self::At(Place { mark: place.mark.or(other.mark().map(unknown)), ..place })
            }
            Self::Start(_) | Self::End => self,
        }
    }

    /// Whether this one and `other` can be positions of the same lane.
    pub fn is_comparable(&self, other: &Self) -> bool {
        let owner = |position: &Self| position.mark().map(|mark| mark.of);
        match (self, other) {
            (Self::At(_), Self::At(_)) => self.is_like(other) && owner(self) == owner(other),
            _ => true,
        }
    }

    /// Whether both are positions of one kind of source.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::At(a), Self::At(b)) => a.used == b.used && a.mark.is_some() == b.mark.is_some(),
            _ => true,
        }
    }

    /// Appends bytes that are ordered as positions are.
    pub fn push_bytes(&self, bytes: &mut Vec<u8>) {
        // A negative number comes before all others.
        const SIGN: u128 = 1 << 127;
        bytes.push(self.rank());
        match self {
            Self::Start(Start::Earliest | Start::Latest) | Self::End => {}
            Self::Start(Start::Time(time)) => {
                let nanos = time.as_nanosecond().cast_unsigned() ^ SIGN;
                bytes.extend_from_slice(&nanos.to_be_bytes());
            }
            Self::At(place) => {
                for (at, word) in place.words().iter().enumerate() {
                    if at > 0 {
                        bytes.push(1);
                    }
                    bytes.extend_from_slice(&word.to_be_bytes());
                }
                bytes.push(0);
                if let Some(Mark { of, epoch }) = place.mark {
                    bytes.extend_from_slice(of.as_bytes());
                    let epoch = epoch.cast_unsigned() ^ (1 << 31);
                    bytes.extend_from_slice(&epoch.to_be_bytes());
                }
            }
        }
    }

    /// Of all positions of its kind among the others. It is stored.
    fn rank(&self) -> u8 {
        match self {
            Self::Start(Start::Earliest) => 1,
            Self::Start(Start::Latest) => 2,
            Self::Start(Start::Time(_)) => 3,
            Self::At(_) => 4,
            Self::End => 5,
        }
    }
}

const EARLIEST: &str = "earliest";
const LATEST: &str = "latest";
const END: &str = "end";

/// It reads back as the same position.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(Start::Earliest) => f.write_str(EARLIEST),
            Self::Start(Start::Latest) => f.write_str(LATEST),
            Self::Start(Start::Time(time)) => time.fmt(f),
            Self::At(place) => place.fmt(f),
            Self::End => f.write_str(END),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words();
        let rest = match *words {
            [high, middle, low, ref rest @ ..] if sequence::is_one(high) => {
                sequence::write([high, middle, low], f)?;
                rest
            }
            [first, ref rest @ ..] => {
                write!(f, "{first}")?;
                rest
            }
            [] => words,
        };
        rest.iter().try_for_each(|word| write!(f, ".{word}"))?;
        match self.mark {
            Some(Mark { of, epoch }) => write!(f, "@{of}/{epoch}"),
            None => Ok(()),
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
    match text {
        EARLIEST => return Some(Position::Start(Start::Earliest)),
        LATEST => return Some(Position::Start(Start::Latest)),
        END => return Some(Position::End),
        _ => {}
    }
    if text.contains('T') {
        return Some(Position::Start(Start::Time(text.parse().ok()?)));
    }
    let (words, mark) = match text.split_once('@') {
        Some((words, mark)) => (words, Some(mark)),
        None => (text, None),
    };
    let mark = match mark {
        Some(mark) => {
            let (of, epoch) = mark.split_once('/')?;
            Some(Mark { of: of.parse().ok()?, epoch: epoch.parse().ok()? })
        }
        None => None,
    };
    let mut found = Vec::with_capacity(WORDS_MAX);
    for (at, part) in words.split('.').enumerate() {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match part.parse() {
            Ok(word) if is_number => found.push(word),
            _ if is_number && at == 0 => found.extend(sequence::read(part)?),
            _ => return None,
        }
    }
    (found.len() <= WORDS_MAX).then(|| Position::At(Place::new(&found, mark)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small words too, which begin alike; and large ones, of which sequence numbers are made.
    fn words() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(prop_oneof![0..3_u64, any::<u64>()], 1..=WORDS_MAX)
    }

    fn marks() -> impl Strategy<Value = Option<Mark>> {
        let epoch = prop_oneof![Just(-1), any::<i32>()];
        let mark = (prop_oneof![0..2_u128, any::<u128>()], epoch);
        let mark = mark.prop_map(|(of, epoch)| Mark { of: Uuid::from_u128(of), epoch });
        proptest::option::of(mark)
    }

    fn positions() -> impl Strategy<Value = Position> {
        let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
        let time =
            (seconds, 0..1_000_000_000).prop_filter_map("no such time", |(second, nanos)| {
                Some(Position::Start(Start::Time(Timestamp::new(second, nanos).ok()?)))
            });
        let place = (words(), marks());
        let place = place.prop_map(|(words, mark)| Position::At(Place::new(&words, mark)));
        prop_oneof![
            1 => Just(Position::Start(Start::Earliest)),
            1 => Just(Position::Start(Start::Latest)),
            1 => time,
            1 => Just(Position::End),
            6 => place,
        ]
    }

    fn bytes(position: Position) -> Vec<u8> {
        let mut bytes = Vec::new();
        position.push_bytes(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_position_reads_back_as_it_was_written(position in positions()) {
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn positions_are_ordered_as_their_bytes_are(a in positions(), b in positions()) {
            prop_assert_eq!(a.cmp(&b), bytes(a).cmp(&bytes(b)));
        }

        #[test]
        fn places_are_ordered_as_lists_of_words(
            (a, x) in (words(), marks()), (b, y) in (words(), marks()),
        ) {
            let place = |words: &[u64], mark| Position::At(Place::new(words, mark)).place();
            prop_assert_eq!(place(&a, x).cmp(&place(&b, y)), a.cmp(&b));
        }
    }

    #[test]
    fn people_read_them() {
        let mark = Mark { of: Uuid::from_u128(7), epoch: 3 };
        for (position, text) in [
            (Position::number(1042), "1042"),
            (Position::at(&[0, 17, 250]), "0.17.250"),
            (Position::at(&[0, 17, 0]), "0.17.0"),
            (
                Position::At(Place::new(&[1042], Some(mark))),
                "1042@00000000-0000-0000-0000-000000000007/3",
            ),
            (
                Position::at(&[145_759_866_281_889_361, 7_378_697_629_483_820_646, 2, 4]),
                "49599512300480802135691206441445039015424362466668183554.4",
            ),
            (Position::Start(Start::Earliest), "earliest"),
            (Position::Start(Start::Latest), "latest"),
            (
                Position::Start(Start::Time("2024-01-31T10:00:00.25Z".parse().unwrap())),
                "2024-01-31T10:00:00.25Z",
            ),
            (Position::End, "end"),
        ] {
            assert_eq!(position.to_string(), text);
            assert_eq!(text.parse(), Ok(position));
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        let too_large = "1".repeat(59);
        for text in [
            "",
            "x",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4.5.6",
            "-1",
            "+1",
            "1@",
            "1@x/2",
            "T",
            "Earliest",
            "0.18446744073709551616",
            &too_large,
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError(text.to_owned())));
        }
    }

    #[test]
    fn only_positions_of_one_lane_are_compared() {
        let kafka = |offset, of| {
            let mark = Mark { of: Uuid::from_u128(of), epoch: 0 };
            Position::At(Place::new(&[offset], Some(mark)))
        };
        assert!(kafka(1, 7).is_comparable(&kafka(2, 7)));
        assert!(!kafka(1, 7).is_comparable(&kafka(2, 8)) && kafka(1, 7).is_like(&kafka(2, 8)));
        assert!(!kafka(1, 7).is_like(&Position::number(1)));
        assert!(!Position::number(1).is_like(&Position::at(&[0, 0, 1])));
        assert!(Position::End.is_comparable(&kafka(1, 7)));
        let written = Position::number(5).marked_as(&kafka(1, 7));
        assert!(written.is_comparable(&kafka(1, 7)));
        assert_eq!(written.mark().map(|mark| mark.epoch), Some(-1));
    }
}
