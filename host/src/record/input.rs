//! A record as a source hands it over: borrowed bytes and where they came from.

use super::Position;

/// One message of a source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// `None` is a message without a value: Kafka's tombstone.
    pub value: Option<&'a [u8]>,
    pub key: Option<&'a [u8]>,
    /// The topic, stream or bucket.
    pub topic: Option<&'a str>,
    pub partition: Option<i64>,
    pub offset: Option<i64>,
    /// Where it stood when it was read first.
    pub position: Option<Position>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub timestamp_micros: Option<i64>,
    pub headers: &'a [Header<'a>],
}

/// A name may come more than once in a record; the last one counts.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: Option<&'a [u8]>,
}
