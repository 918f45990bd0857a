//! Dead letters: a line each in objects of their own, which are part of a unit as its rows are.
//!
//! What became of a letter later stands in the log of retries. So a letter is never rewritten, and
//! how often it was tried is the number of its lines and of its retries together, as far as they
//! are kept. A retry says which line it was of: lines are deleted when they are old enough, and the
//! number changes.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fold::StagedObject;
use super::keys::LogKeys;
use crate::ledger::letter::{id, stored_text};
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::objects::{Data, as_text};
use crate::record::{DeadLetter, Digest, Lane, Position, RawBatch, UnitPart};

/// A dead letter as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    id: String,
    lane: Cow<'a, str>,
    #[serde(with = "as_text")]
    position: Position,
    #[serde(with = "as_text")]
    time: Timestamp,
    #[serde(with = "as_text")]
    generation: Digest,
    step: Option<Cow<'a, str>>,
    reason: Cow<'a, str>,
    detail: Option<Cow<'a, str>>,
    value: Option<Data<'a>>,
    key: Option<Data<'a>>,
    headers: Vec<(Cow<'a, str>, Option<Data<'a>>)>,
    timestamp_micros: Option<i64>,
    topic: Option<Cow<'a, str>>,
    partition: Option<i64>,
}

/// What becomes of letters that are tried again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RetryEvent {
    Retried(RetryRecord),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryRecord {
    #[serde(with = "as_text")]
    pub generation: Digest,
    pub objects: Vec<StagedObject>,
    pub letters: Vec<RetriedRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetriedRecord {
    pub id: String,
    /// This one included.
    pub attempts: u32,
    /// The record of the lane's log that has put the line which was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Why it is dead again; if it is not, it became a row or was dropped.
    pub died: Option<Died>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Died {
    pub step: Option<String>,
    pub reason: String,
    pub detail: Option<String>,
}

impl From<&DeadLetter> for Died {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            step: letter.step.as_deref().map(str::to_owned),
            reason: stored_text(&letter.reason).into_owned(),
            detail: letter.detail.as_deref().map(|detail| stored_text(detail).into_owned()),
        }
    }
}

/// The letters of a unit as lines; `refused` are rows that became letters in the sink, by part.
pub(crate) fn lines(
    lane: &Lane,
    generation: Digest,
    parts: &[UnitPart],
    refused: &[(usize, DeadLetter)],
) -> Vec<u8> {
    let time = Timestamp::now();
    let mut lines = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let refused = refused.iter().filter(|(of, _)| *of == at).map(|(_, letter)| letter);
        let mut letters: Vec<_> = part.dead_letters.iter().chain(refused).collect();
        letters.sort_by_key(|letter| letter.record);
        for letter in letters {
            line(lane, generation, time, &part.raw, letter, &mut lines);
        }
    }
    lines
}

fn line(
    lane: &Lane,
    generation: Digest,
    time: Timestamp,
    raw: &RawBatch,
    letter: &DeadLetter,
    out: &mut Vec<u8>,
) {
    let record = &raw.records[letter.record as usize];
    let position = record.position;
    let data = |span| Data::of(raw.bytes_of(span));
    let line = Line {
        id: id(lane.name(), &position),
        lane: lane.name().into(),
        position,
        time,
        generation,
        step: letter.step.as_deref().map(Cow::Borrowed),
        reason: stored_text(&letter.reason),
        detail: letter.detail.as_deref().map(stored_text),
        value: record.value.map(data),
        key: record.key.map(data),
        headers: raw.headers[record.headers.range()]
            .iter()
            .map(|header| ((&*header.name).into(), header.value.map(data)))
            .collect(),
        timestamp_micros: record.timestamp_micros,
        topic: raw.topic.as_deref().map(Cow::Borrowed),
        partition: raw.partition,
    };
    serde_json::to_writer(&mut *out, &line).expect("plain values, into memory");
    out.push(b'\n');
}

/// All letters, as they are now.
#[derive(Debug, Default)]
pub(crate) struct LetterBook {
    letters: Vec<StoredDeadLetter>,
    /// For each letter the number of the record that has put its last line.
    lines: Vec<u64>,
    by_id: HashMap<String, usize>,
}

impl LetterBook {
    /// Takes objects of letters, oldest first within each lane, and the log of retries.
    pub fn new(
        objects: &[(String, Bytes)],
        retries: impl IntoIterator<Item = (Timestamp, RetryRecord)>,
    ) -> Result<Self, (String, serde_json::Error)> {
        let mut stored = Vec::new();
        for (key, bytes) in objects {
            let number = LogKeys::dead_letters_number(key).unwrap_or_default();
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                stored.push((number, read(line).map_err(|cause| (key.clone(), cause))?));
            }
        }
        // Stable: letters of one unit have one time.
        stored.sort_by_key(|(_, letter)| letter.time);
        let mut book = Self::default();
        for (number, letter) in stored {
            book.add(number, letter);
        }
        for (time, retry) in retries {
            for letter in retry.letters {
                book.retried(time, retry.generation, letter);
            }
        }
        Ok(book)
    }

    /// A record that was one before, and is read again because its lane was moved, still is the
    /// same letter.
    fn add(&mut self, number: u64, letter: StoredDeadLetter) {
        match self.by_id.get(&letter.id) {
            Some(at) => {
                let (known, last) = (&mut self.letters[*at], &mut self.lines[*at]);
                let attempts = known.attempts + 1;
                // The log has an order that clocks may not have.
                if *last <= number {
                    (*known, *last) = (letter, number);
                }
                known.attempts = attempts;
            }
            None => {
                self.by_id.insert(letter.id.clone(), self.letters.len());
                self.letters.push(letter);
                self.lines.push(number);
            }
        }
    }

    fn retried(&mut self, time: Timestamp, generation: Digest, retried: RetriedRecord) {
        // It was too old to be kept.
        let Some(at) = self.by_id.get(&retried.id) else { return };
        let letter = &mut self.letters[*at];
        letter.attempts += 1;
        let died_later = match retried.of {
            Some(line) => line < self.lines[*at],
            // Retries used to know nothing but how often it was tried.
            None => letter.attempts > retried.attempts,
        };
        if died_later {
            return;
        }
        letter.time = time.into();
        letter.generation = generation;
        match retried.died {
            Some(Died { step, reason, detail }) => {
                (letter.step, letter.reason, letter.detail) = (step, reason, detail);
            }
            None => letter.state = DeadLetterState::Retried,
        }
    }

    pub fn get(&self, id: &str) -> Option<&StoredDeadLetter> {
        self.by_id.get(id).map(|at| &self.letters[*at])
    }

    /// The number of the record that has put the letter's last line.
    pub fn line(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).map(|at| self.lines[*at])
    }

    pub fn select(self, which: &DeadLetterFilter) -> Vec<StoredDeadLetter> {
        let after = which.after.as_ref().and_then(|id| self.by_id.get(id)).map_or(0, |at| at + 1);
        let limit = which.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let letters = self.letters.into_iter().skip(after);
        letters.filter(|letter| which.asks_for(letter)).take(limit).collect()
    }

    pub fn count(&self, which: &DeadLetterFilter) -> u64 {
        let after = which.after.as_ref().and_then(|id| self.by_id.get(id)).map_or(0, |at| at + 1);
        let letters = self.letters.iter().skip(after);
        letters.filter(|letter| which.asks_for(letter)).count() as u64
    }
}

fn read(line: &[u8]) -> Result<StoredDeadLetter, serde_json::Error> {
    let line: Line = serde_json::from_slice(line)?;
    let bytes = |data: Option<Data>| data.map(Data::into_bytes);
    let headers = line.headers.into_iter().map(|(name, value)| (name.into_owned(), bytes(value)));
    Ok(StoredDeadLetter {
        id: line.id,
        lane: Lane::new(&*line.lane),
        position: line.position,
        value: bytes(line.value),
        key: bytes(line.key),
        headers: headers.collect(),
        timestamp_micros: line.timestamp_micros,
        topic: line.topic.map(Cow::into_owned),
        partition: line.partition,
        step: line.step.map(Cow::into_owned),
        reason: line.reason.into_owned(),
        detail: line.detail.map(Cow::into_owned),
        generation: line.generation,
        time: line.time.into(),
        attempts: 1,
        state: DeadLetterState::Dead,
    })
}
