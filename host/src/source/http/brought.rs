//! What the body of a request brings, whatever its form.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;

use super::intake::SubmittedRecord;
use crate::record::Span;

#[derive(Debug)]
pub(super) struct Brought {
    pub bytes: Bytes,
    pub records: Vec<SubmittedRecord>,
    /// The partitions that records ask for, if any does.
    pub partitions: Vec<Option<i64>>,
}

impl Brought {
    pub fn new(bytes: Bytes, records: Vec<SubmittedRecord>) -> Self {
        Self { bytes, records, partitions: Vec::new() }
    }
}

/// Keys and values that do not stand in the body as they are.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    records: Vec<SubmittedRecord>,
}

impl Gathered {
    pub fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let mut keep = |piece: Option<&[u8]>| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(piece?);
            Some(Span::new(from..self.bytes.len()))
        };
        let (key, value) = (keep(key), keep(value));
        self.records.push(SubmittedRecord { key, value });
    }

    pub fn brought(self) -> Brought {
        Brought::new(self.bytes.into(), self.records)
    }
}

/// Without parameters, in small letters; empty if there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let named = headers.get(CONTENT_TYPE).map(|named| named.to_str().unwrap_or("?"));
    let name = named.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}
