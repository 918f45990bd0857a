//! Reads an object of values with what lies beside it.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use serde::Deserialize;

use super::super::ObjectPosition;
use super::super::ObjectsSourceError;
use super::super::error::Lift;
use super::Lines;
use super::lines::Line;
use crate::record::{Past, RawBatch, RawHeader, RawRecord, Span};
use crate::source::Most;
use crate::source::frame::too_large;

/// Keys and headers, line by line.
#[derive(Debug, Default)]
pub(in super::super) struct Beside {
    pub keys: Option<Keys>,
    pub headers: Option<Lines>,
}

impl Beside {
    fn all(&mut self) -> impl Iterator<Item = &mut Lines> {
        let keys = self.keys.as_mut().map(|keys| &mut keys.lines);
        keys.into_iter().chain(self.headers.as_mut())
    }
}

#[derive(Debug)]
pub(in super::super) struct Keys {
    pub lines: Lines,
    /// If not, a line is the key.
    pub are_json: bool,
}

/// An object whose keys or headers are known, and what is still to be read of it.
#[derive(Debug)]
pub(in super::super) struct Paired {
    object: String,
    lift: Lift,
    values: Lines,
    beside: Beside,
    /// Where the next record stands.
    at: ObjectPosition,
    /// Records before it that are not taken.
    skip: u64,
    record_bytes_max: usize,
    past: Option<Past>,
}

impl Paired {
    /// From a record on.
    pub fn new(
        (object, lift): (String, Lift),
        values: Lines,
        beside: Beside,
        from: ObjectPosition,
        record_bytes_max: usize,
        past: Option<Past>,
    ) -> Self {
        let skip = from.row;
        Self { object, lift, values, beside, at: from, skip, record_bytes_max, past }
    }

    /// The next records; none behind the last. Those come when it is known that there are as many keys and
    /// headers. May be dropped while it waits: nothing is skipped.
    pub async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ObjectsSourceError> {
        loop {
            let records = self.fill(most).await?;
            if records == 0 {
                return if self.skip == 0 { Ok(None) } else { Err(self.unfit("ends too soon")) };
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(records);
            if skipped == 0 {
                return self.batch(records).map(Some);
            }
            self.skip -= skipped as u64;
            self.take(skipped);
        }
    }

    /// Has the next records at hand with all that belongs to them, and says how many.
    async fn fill(&mut self, most: Most) -> Result<usize, ObjectsSourceError> {
        // One more tells whether the last of them is the last of all.
        self.values.fill(most.records + 1, most.bytes).await?;
        let mut records = self.values.fitting(most.records, most.bytes);
        let mut fault = None;
        for lines in self.beside.all() {
            lines.fill(records, most.bytes).await?;
            if lines.is_read() && lines.count() < records {
                fault = Some("has more records than what lies beside it has lines");
            }
            records = lines.fitting(records, most.bytes);
        }
        if self.values.is_read() && self.values.count() == records {
            for lines in self.beside.all() {
                lines.fill(records + 1, usize::MAX).await?;
                if lines.count() > records {
                    fault = Some("has fewer records than what lies beside it has lines");
                }
            }
        }
        if let Some(fault) = fault {
            return Err(self.unfit(fault));
        }
        Ok(records)
    }

    fn unfit(&self, why: &'static str) -> ObjectsSourceError {
        self.damaged(io::Error::other(format!("it {why}")))
    }

    fn damaged(&self, cause: io::Error) -> ObjectsSourceError {
        ObjectsSourceError::Damaged { object: self.object.clone(), lift: self.lift.clone(), cause }
    }

    fn take(&mut self, records: usize) -> [(Bytes, Vec<Line>); 3] {
        let keys = self.beside.keys.as_mut().map(|keys| keys.lines.take(records));
        let headers = self.beside.headers.as_mut().map(|lines| lines.take(records));
        [self.values.take(records), keys.unwrap_or_default(), headers.unwrap_or_default()]
    }

    fn batch(&mut self, records: usize) -> Result<RawBatch, ObjectsSourceError> {
        let is_json = self.beside.keys.as_ref().is_some_and(|keys| keys.are_json);
        let [(values, lines), (keys, key_lines), (headers, header_lines)] = self.take(records);
        let mut made = Made { bytes: values.to_vec(), headers: Vec::new() };
        let mut taken = Vec::with_capacity(records);
        let start = self.at;
        for (number, line) in lines.iter().enumerate() {
            let key = key_lines.get(number).map(|line| made.key(&keys, *line, is_json));
            let key = key.transpose().map_err(|cause| self.damaged(cause))?.flatten();
            let headers = header_lines.get(number).map(|line| made.headers(&headers, *line));
            let headers = headers.transpose().map_err(|cause| self.damaged(cause))?;
            let is_large = line.length > self.record_bytes_max;
            taken.push(RawRecord {
                key,
                headers: headers.unwrap_or_default(),
                fault: is_large.then(|| too_large(line.length, self.record_bytes_max)),
                ..RawRecord::value(self.at.into(), line.from..line.to)
            });
            self.at.row += 1;
        }
        if self.values.is_read() && self.values.count() == 0 {
            self.at = self.at.next_object();
        }
        Ok(RawBatch {
            headers: made.headers,
            past: self.past.clone(),
            ..RawBatch::new(made.bytes.into(), taken, (start.into(), self.at.into()))
        })
    }

    /// Where what comes behind the records that were handed out stands.
    pub fn next(&self) -> ObjectPosition {
        self.at
    }
}

/// What is made of keys and headers stands behind the values.
struct Made {
    bytes: Vec<u8>,
    headers: Vec<RawHeader>,
}

/// A line of headers.
#[derive(Deserialize)]
struct HeaderLine<'a> {
    #[serde(borrow)]
    headers: Vec<HeaderEntry<'a>>,
}

#[derive(Deserialize)]
struct HeaderEntry<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
}

impl Made {
    fn push(&mut self, data: &[u8]) -> Span {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(data);
        Span::new(from..self.bytes.len())
    }

    /// A text of JSON is the key that a text was; anything else is its own JSON.
    fn key(&mut self, bytes: &Bytes, line: Line, is_json: bool) -> Result<Option<Span>, io::Error> {
        let key = whole(bytes, line)?;
        if is_json && key == b"null" {
            return Ok(None);
        }
        if is_json && key.first() == Some(&b'"') {
            let text: String = serde_json::from_slice(key)?;
            return Ok(Some(self.push(text.as_bytes())));
        }
        Ok(Some(self.push(key)))
    }

    fn headers(&mut self, bytes: &Bytes, line: Line) -> Result<Span, io::Error> {
        let line: HeaderLine<'_> = serde_json::from_slice(whole(bytes, line)?)?;
        let first = self.headers.len();
        for HeaderEntry { key, value } in line.headers {
            let value = value.map(|value| self.push(value.as_bytes()));
            self.headers.push(RawHeader { name: (*key).into(), value });
        }
        Ok(Span::new(first..self.headers.len()))
    }
}

/// A line of which nothing was skipped.
fn whole(bytes: &Bytes, line: Line) -> Result<&[u8], io::Error> {
    let kept = &bytes[line.from..line.to];
    // A carriage return at its end may be gone.
    if kept.len() + 1 < line.length {
        return Err(io::Error::other("a line of what lies beside it is larger than limits.record"));
    }
    Ok(kept)
}
