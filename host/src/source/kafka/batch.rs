//! Messages become a batch: copied behind each other, as librdkafka's memory is its own.

use std::ffi::CStr;
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message as _};
use uuid::Uuid;

use super::KafkaPosition;
use super::ffi;
use crate::record::{Position, RawBatch, RawFault, RawHeader, RawRecord, Span};
use crate::source::Most;
use crate::source::frame::{KEPT_BYTES, too_large};

/// Headers of one record: each takes more memory than it takes bytes on its way.
const HEADERS_MAX: usize = 1000;

/// A batch in the making.
#[derive(Debug, Default)]
pub(super) struct Filling {
    bytes: Vec<u8>,
    records: Vec<RawRecord>,
    headers: Vec<RawHeader>,
    /// Where the last record begins, in `bytes` and `headers`.
    last: (usize, usize),
    /// Names come again and again.
    names: Vec<Arc<str>>,
}

impl Filling {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn is_full(&self, most: Most) -> bool {
        self.records.len() >= most.records || self.bytes.len() >= most.bytes
    }

    /// Takes a message that stands at `place`.
    pub(super) fn push(
        &mut self,
        message: &BorrowedMessage<'_>,
        place: KafkaPosition,
        record_bytes_max: usize,
    ) {
        self.last = (self.bytes.len(), self.headers.len());
        let value = message.payload();
        let mut fault = value
            .filter(|value| value.len() > record_bytes_max)
            .map(|value| too_large(value.len(), record_bytes_max));
        let kept = if fault.is_some() { KEPT_BYTES.min(record_bytes_max) } else { usize::MAX };
        let value = value.map(|value| self.keep(&value[..value.len().min(kept)]));
        let key = message.key().map(|key| self.keep(key));
        let from = self.headers.len();
        let mut headers = 0;
        ffi::headers(message, |name, value| {
            headers += 1;
            if headers <= HEADERS_MAX {
                self.header(name, value);
            }
        });
        if headers > HEADERS_MAX && fault.is_none() {
            fault = Some(Box::new(RawFault {
                reason: RawFault::TOO_MANY_HEADERS.to_owned(),
                detail: Some(format!("{headers} headers")),
            }));
        }
        self.records.push(RawRecord {
            position: place.into(),
            value,
            key,
            timestamp_micros: message
                .timestamp()
                .to_millis()
                .map(|millis| millis.saturating_mul(1000)),
            headers: Span::new(from..self.headers.len()),
            fault,
        });
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(from..self.bytes.len())
    }

    fn header(&mut self, name: &CStr, value: Option<&[u8]>) {
        const NAMES_MAX: usize = 64;
        let name = name.to_string_lossy();
        let name = match self.names.iter().find(|known| ***known == *name) {
            Some(known) => Arc::clone(known),
            None => {
                let name: Arc<str> = name.into();
                if self.names.len() < NAMES_MAX {
                    self.names.push(Arc::clone(&name));
                }
                name
            }
        };
        let value = value.map(|value| self.keep(value));
        self.headers.push(RawHeader { name, value });
    }

    /// Everything, but for a last record that makes it larger than it may be: that one stays.
    pub(super) fn take(
        &mut self,
        most: Most,
        from: KafkaPosition,
        to: KafkaPosition,
        topic: &Arc<str>,
        partition: i32,
    ) -> RawBatch {
        let mut whole = std::mem::take(self);
        self.names = std::mem::take(&mut whole.names);
        let mut end = Position::from(to);
        if whole.bytes.len() > most.bytes && whole.records.len() > 1 {
            self.carry(&mut whole);
            // What lies between it and the one before it is no record.
            end = self.records[0].position;
        }
        RawBatch {
            bytes: whole.bytes.into(),
            records: whole.records,
            headers: whole.headers,
            topic: Some(Arc::clone(topic)),
            partition: Some(partition.into()),
            columns: None,
            from: from.into(),
            to: end,
            past: None,
        }
    }

    /// Moves the last record of `whole` over here, where nothing is yet.
    fn carry(&mut self, whole: &mut Self) {
        let (bytes, headers) = whole.last;
        let Some(mut record) = whole.records.pop() else { return };
        self.bytes = whole.bytes.split_off(bytes);
        self.headers = whole.headers.split_off(headers);
        let moved =
            |span: Span| Span { from: span.from - bytes as u32, to: span.to - bytes as u32 };
        record.value = record.value.map(moved);
        record.key = record.key.map(moved);
        for header in &mut self.headers {
            header.value = header.value.map(moved);
        }
        record.headers = Span::new(0..self.headers.len());
        self.records.push(record);
    }
}

/// The place after a message: where the next one is read from.
pub(super) fn after(message: &BorrowedMessage<'_>, topic_id: Uuid) -> KafkaPosition {
    KafkaPosition {
        topic_id,
        offset: message.offset() + 1,
        leader_epoch: ffi::leader_epoch(message),
    }
}
