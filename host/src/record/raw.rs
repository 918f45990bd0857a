//! Records as they came: the bytes that a source read, and where each record stands in them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Batch, Header, Lane, Position, Record};

/// Consecutive records of one lane. They are kept until what became of them is committed, so that they
/// can be cleaned again.
#[derive(Debug, Clone)]
pub struct RawBatch {
    /// Less than 4 GiB.
    pub bytes: Bytes,
    /// Ascending by position.
    pub records: Vec<RawRecord>,
    pub headers: Vec<RawHeader>,
    /// Rows that came as columns of the rule's fields: one for each record, which then has no value.
    pub columns: Option<Batch>,
    /// The topic, stream or bucket.
    pub topic: Option<Arc<str>>,
    pub partition: Option<i64>,
    pub from: Position,
    /// The position after the last record: where the next batch begins.
    pub to: Position,
    /// What is known of records that are not read for the first time.
    pub past: Option<Past>,
}

/// When and where records were read first.
#[derive(Debug, Clone)]
pub enum Past {
    /// They come out of an archive, through which they keep their places and their times.
    Archived {
        lane: Option<Lane>,
        /// One for each record.
        places: Vec<ArchivedPlace>,
    },
    /// Nobody knows: they are older than all others, or count as if they were made at this time.
    Unknown { taken_as_micros: Option<i64> },
}

/// A record's place in the lane that it was read from first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedPlace {
    pub at: Position,
    /// The position behind it: no record of the lane lies between the two.
    pub next: Position,
}

impl Past {
    fn pick(&self, records: &[usize]) -> Self {
        match self {
            Self::Archived { lane, places } => Self::Archived {
                lane: lane.clone(),
                places: records.iter().map(|at| places[*at]).collect(),
            },
            Self::Unknown { .. } => self.clone(),
        }
    }

    fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Archived { lane, places } => {
                Self::Archived { lane: lane.clone(), places: places[range].to_vec() }
            }
            Self::Unknown { .. } => self.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct RawRecord {
    pub position: Position,
    /// `None` is a message without a value: Kafka's tombstone.
    pub value: Option<Span>,
    pub key: Option<Span>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub timestamp_micros: Option<i64>,
    /// Of `RawBatch::headers`.
    pub headers: Span,
    /// Why this is a dead letter whatever the rule says, or passed by: what `value` holds is then all that is
    /// kept.
    pub fault: Option<Box<RawFault>>,
}

#[derive(Debug, Clone)]
pub struct RawHeader {
    pub name: Arc<str>,
    pub value: Option<Span>,
}

/// Something that a source can tell is no record: it is too large, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFault {
    /// The same for all records with this fault.
    pub reason: String,
    pub detail: Option<String>,
}

impl RawFault {
    pub const TOO_LARGE: &str = "record is larger than limits.record";
    pub const TOO_MANY_HEADERS: &str = "record has more than 1000 headers";
    pub const UNENDED: &str = "the array of records does not end";

    /// Not a fault of the record: its source was told to pass it by, and it is counted as dropped.
    const PASSED_BY: &str = "passed by, as `only` says";

    pub fn passed_by() -> Box<Self> {
        Box::new(Self { reason: Self::PASSED_BY.to_owned(), detail: None })
    }

    pub fn is_passed_by(&self) -> bool {
        self.reason == Self::PASSED_BY
    }

    /// Whether a dead letter with this reason holds only a part of its record, so that trying it again
    /// would take that part for the record.
    pub fn cuts(reason: &str) -> bool {
        [Self::TOO_LARGE, Self::TOO_MANY_HEADERS, Self::UNENDED].contains(&reason)
    }
}

/// A range, in half the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub from: u32,
    pub to: u32,
}

impl Span {
    /// # Panics
    /// If it ends past 4 GiB: a batch is cut long before.
    pub fn new(range: Range<usize>) -> Self {
        let at = |at: usize| u32::try_from(at).expect("a batch stays below 4 GiB");
        Self { from: at(range.start), to: at(range.end) }
    }

    pub fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

impl RawRecord {
    /// A value and its place, which is all that most sources know.
    pub fn value(position: Position, value: Range<usize>) -> Self {
        Self {
            position,
            value: Some(Span::new(value)),
            key: None,
            timestamp_micros: None,
            headers: Span::default(),
            fault: None,
        }
    }
}

impl RawBatch {
    /// Records between two positions, which are all that most sources know.
    pub fn new(bytes: Bytes, records: Vec<RawRecord>, (from, to): (Position, Position)) -> Self {
        Self {
            bytes,
            records,
            headers: Vec::new(),
            columns: None,
            topic: None,
            partition: None,
            from,
            to,
            past: None,
        }
    }

    pub fn bytes_of(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    /// The value without copying it.
    pub fn value(&self, record: usize) -> Option<Bytes> {
        Some(self.bytes.slice(self.records[record].value?.range()))
    }

    /// Where a record stood when it was read first, as far as that is known.
    pub fn position(&self, record: usize) -> Position {
        match &self.past {
            Some(Past::Archived { places, .. }) => places[record].at,
            Some(Past::Unknown { .. }) | None => self.records[record].position,
        }
    }

    /// The position behind a record, in the lane where it was read first.
    pub fn next_position(&self, record: usize) -> Position {
        match &self.past {
            Some(Past::Archived { places, .. }) => places[record].next,
            Some(Past::Unknown { .. }) | None => {
                self.records.get(record + 1).map_or(self.to, |next| next.position)
            }
        }
    }

    /// Where a record stood when it was read first, with its lane; it is read from `lane` now.
    pub fn place<'a>(&'a self, record: usize, lane: &'a str) -> (&'a str, Position) {
        let lane = match &self.past {
            Some(Past::Archived { lane: Some(lane), .. }) => lane.name(),
            Some(Past::Archived { lane: None, .. } | Past::Unknown { .. }) | None => lane,
        };
        (lane, self.position(record))
    }

    /// When a record was made, for what is newer than what.
    pub fn time_micros(&self, record: usize) -> Option<i64> {
        match self.past {
            Some(Past::Unknown { taken_as_micros }) => taken_as_micros,
            Some(Past::Archived { .. }) | None => self.records[record].timestamp_micros,
        }
    }

    /// What orders a record among those of its time in all lanes.
    pub fn order<'a>(&'a self, record: usize, lane: &'a str) -> (&'a str, Position) {
        let (lane, position) = self.place(record, lane);
        let is_first = matches!(self.past, Some(Past::Unknown { taken_as_micros: None }));
        (if is_first { "" } else { lane }, position.place())
    }

    /// Lends a record to `read`.
    pub fn read<T>(&self, at: usize, read: impl FnOnce(&Record<'_>) -> T) -> T {
        let record = &self.records[at];
        let headers = self.headers[record.headers.range()].iter().map(|header| Header {
            name: &header.name,
            value: header.value.map(|span| self.bytes_of(span)),
        });
        // Without headers this allocates nothing.
        let headers: Vec<_> = headers.collect();
        read(&Record {
            value: record.value.map(|span| self.bytes_of(span)),
            key: record.key.map(|span| self.bytes_of(span)),
            topic: self.topic.as_deref(),
            partition: self.partition,
            offset: self.position(at).as_number().and_then(|number| i64::try_from(number).ok()),
            position: Some(self.position(at)),
            timestamp_micros: record.timestamp_micros,
            headers: &headers,
        })
    }

    /// Some of its records, without copying their bytes.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let columns = self.columns.as_ref();
        let from = self.records[range.start].position;
        let to = self.records.get(range.end).map_or(self.to, |next| next.position);
        Self {
            bytes: self.bytes.clone(),
            headers: self.headers.clone(),
            columns: columns.map(|columns| columns.slice(range.start, range.len())),
            topic: self.topic.clone(),
            partition: self.partition,
            from,
            to,
            past: self.past.as_ref().map(|past| past.slice(range.clone())),
            records: self.records[range].to_vec(),
        }
    }

    /// Some of its records, ascending, in bytes of their own.
    #[must_use]
    pub fn pick(&self, records: &[usize]) -> Self {
        let mut bytes = Vec::new();
        let mut keep = |span: Option<Span>| {
            let from = bytes.len();
            bytes.extend_from_slice(self.bytes_of(span?));
            Some(Span::new(from..bytes.len()))
        };
        let mut headers = Vec::new();
        let picked = records.iter().map(|at| {
            let record = &self.records[*at];
            let first_header = headers.len();
            for header in &self.headers[record.headers.range()] {
                let (name, value) = (Arc::clone(&header.name), keep(header.value));
                headers.push(RawHeader { name, value });
            }
            RawRecord {
                value: keep(record.value),
                key: keep(record.key),
                headers: Span::new(first_header..headers.len()),
                ..record.clone()
            }
        });
        let picked = picked.collect();
        Self {
            records: picked,
            bytes: bytes.into(),
            headers,
            columns: self.columns.as_ref().map(|columns| columns.pick(records)),
            topic: self.topic.clone(),
            past: self.past.as_ref().map(|past| past.pick(records)),
            ..*self
        }
    }

    /// How many of its records the source was told to pass by.
    pub fn passed_by(&self) -> u64 {
        let faults = self.records.iter().filter_map(|record| record.fault.as_ref());
        faults.filter(|fault| fault.is_passed_by()).count() as u64
    }

    /// What it takes to keep it.
    pub fn memory(&self) -> usize {
        self.bytes.len()
            + self.records.len() * size_of::<RawRecord>()
            + self.headers.len() * size_of::<RawHeader>()
            + self.columns.as_ref().map_or(0, Batch::memory)
            + match &self.past {
                Some(Past::Archived { places, .. }) => size_of_val(&places[..]),
                Some(Past::Unknown { .. }) | None => 0,
            }
    }
}
