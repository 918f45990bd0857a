//! Dead letters: entries of the ledger, which hold all of a record, and messages of a topic of their own, for
//! whoever reads that. No I/O.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::KafkaSinkError;
use super::entry::{DiedEntry, Entry, EntryKey, LetterEntry, LetterStateEntry, read};
use super::messages::{Headers, raw_headers};
use super::producer::Message;
use super::reader::Scanned;
use crate::ledger::letter::{id, stored_text};
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::objects::Data;
use crate::record::{DeadLetter, Digest, Lane, RawBatch, Rfc3339, UnitPart};

/// An entry is cut here: topics that are set as Kafka sets them take twice as much.
pub(super) const PIECE_BYTES: usize = 512 << 10;

/// A piece begins with whose it is, and with how many there are.
const HEAD: usize = 16 + 4;

/// The letters of a unit, by part and record.
pub(super) fn of_unit<'a>(
    parts: &'a [UnitPart],
    refused: &'a [(usize, DeadLetter)],
) -> Vec<(&'a UnitPart, &'a DeadLetter)> {
    let mut all = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let refused = refused.iter().filter(|(of, _)| *of == at).map(|(_, letter)| letter);
        let mut letters: Vec<_> = part.dead_letters.iter().chain(refused).collect();
        letters.sort_by_key(|letter| letter.record);
        all.extend(letters.into_iter().map(|letter| (part, letter)));
    }
    all
}

/// What is written of letters, besides what they are of.
#[derive(Debug)]
pub(super) struct LetterWriter<'a> {
    pub pipeline: &'a str,
    pub lane: &'a Lane,
    pub generation: Digest,
    pub topic: &'a str,
    /// What the topic takes.
    pub message_bytes: usize,
}

impl LetterWriter<'_> {
    /// A letter as the ledger keeps it, in pieces if it is large.
    pub fn entries(&self, raw: &RawBatch, letter: &DeadLetter) -> Vec<Entry> {
        let record = &raw.records[letter.record as usize];
        let data = |span| Data::of(raw.bytes_of(span));
        let written = Uuid::new_v4();
        let entry = LetterEntry {
            written,
            lane: self.lane.name().to_owned(),
            position: record.position,
            time: Timestamp::now(),
            generation: self.generation,
            step: letter.step.as_deref().map(str::to_owned),
            reason: stored_text(&letter.reason).into_owned(),
            detail: letter.detail.as_deref().map(|detail| stored_text(detail).into_owned()),
            value: record.value.map(data),
            key: record.key.map(data),
            headers: raw.headers[record.headers.range()]
                .iter()
                .map(|header| (header.name.to_string(), header.value.map(data)))
                .collect(),
            timestamp_micros: record.timestamp_micros,
            topic: raw.topic.as_deref().map(str::to_owned),
            partition: raw.partition,
        };
        let bytes = serde_json::to_vec(&entry).expect("plain values");
        let id = id(self.lane.name(), &record.position);
        let count = bytes.len().div_ceil(PIECE_BYTES) as u32;
        let pieces = bytes.chunks(PIECE_BYTES).zip(0..).map(|(piece, number)| {
            let mut value = Vec::with_capacity(HEAD + piece.len());
            value.extend_from_slice(written.as_bytes());
            value.extend_from_slice(&count.to_be_bytes());
            value.extend_from_slice(piece);
            Entry::bytes(self.pipeline, &EntryKey::Letter(id.clone(), number), value)
        });
        pieces.collect()
    }

    /// A letter for whoever reads its topic: its record as it came, with headers that say what is wrong with
    /// it. In pieces, if the topic does not take it whole.
    pub fn messages<'a>(&'a self, raw: &'a RawBatch, letter: &'a DeadLetter) -> Vec<Message<'a>> {
        /// What a message has besides.
        const BESIDE: usize = 1024;
        let index = letter.record as usize;
        let record = &raw.records[index];
        let key = record.key.map(|span| raw.bytes_of(span));
        let mut headers = raw_headers(raw, index);
        // What does not fit beside anything is in the ledger all the same.
        if size(&headers) > self.message_bytes / 4 {
            headers.clear();
        }
        let key = key.filter(|key| key.len() <= self.message_bytes / 4);
        headers.extend(self.told(raw, letter));
        let beside = BESIDE + size(&headers) + key.map_or(0, <[u8]>::len);
        let room = self.message_bytes.saturating_sub(beside).max(BESIDE);
        let value = record.value.map(|span| raw.bytes_of(span));
        let pieces: Vec<Option<&[u8]>> = match value {
            Some(value) if value.len() > room => value.chunks(room).map(Some).collect(),
            whole => vec![whole],
        };
        let count = pieces.len();
        let message = |(number, value): (usize, Option<&'a [u8]>)| {
            let mut headers = headers.clone();
            if count > 1 {
                let piece = format!("{}/{count}", number + 1).into_bytes();
                headers.push(("_pinhost_piece".into(), Some(Cow::Owned(piece))));
            }
            Message {
                topic: self.topic,
                partition: None,
                key: key.map(Cow::Borrowed),
                value,
                // The record's own time may be one that topics refuse, and a letter is never refused.
                millis: None,
                headers,
            }
        };
        pieces.into_iter().enumerate().map(message).collect()
    }

    /// The headers that Kafka Connect's dead letters have, and pinhost's.
    fn told<'a>(&self, raw: &'a RawBatch, letter: &'a DeadLetter) -> Headers<'a> {
        let record = &raw.records[letter.record as usize];
        let place = record.position.place().to_string();
        let reason = stored_text(&letter.reason).into_owned();
        let detail = letter.detail.as_deref().map(|detail| stored_text(detail).into_owned());
        let step = letter.step.as_deref().map(str::to_owned);
        let stage = match &letter.step {
            Some(_) => "TRANSFORMATION",
            None => "VALUE_CONVERTER",
        };
        let time = record.timestamp_micros.map(|micros| Rfc3339(micros).to_string());
        let own = |name| Some(format!("pinhost.{name}"));
        let told = [
            ("__connect.errors.topic", raw.topic.as_deref().map(str::to_owned)),
            ("__connect.errors.partition", raw.partition.map(|number| number.to_string())),
            ("__connect.errors.offset", raw.partition.map(|_| place.clone())),
            ("__connect.errors.connector.name", Some(self.pipeline.to_owned())),
            ("__connect.errors.task.id", Some("0".to_owned())),
            ("__connect.errors.stage", Some(stage.to_owned())),
            ("__connect.errors.class.name", own(step.as_deref().unwrap_or("decode"))),
            ("__connect.errors.exception.class.name", own("Rejected")),
            ("__connect.errors.exception.message", Some(reason.clone())),
            ("__connect.errors.exception.stacktrace", detail.clone()),
            ("_pinhost_id", Some(id(self.lane.name(), &record.position))),
            ("_pinhost_lane", Some(format!("{}/{}", self.pipeline, self.lane))),
            ("_pinhost_position", Some(place)),
            ("_pinhost_timestamp", time),
            ("_pinhost_step", step),
            ("_pinhost_reason", Some(reason)),
            ("_pinhost_detail", detail),
            ("_pinhost_generation", Some(self.generation.to_string())),
        ];
        let told = told.into_iter().filter_map(|(name, value)| {
            Some((Cow::Borrowed(name), Some(Cow::Owned(value?.into_bytes()))))
        });
        told.collect()
    }
}

fn size(headers: &Headers<'_>) -> usize {
    let size = |(name, value): &(Cow<'_, str>, Option<Cow<'_, [u8]>>)| {
        16 + name.len() + value.as_ref().map_or(0, |value| value.len())
    };
    headers.iter().map(size).sum()
}

/// Letters as the topic's entries say, in the order in which they were first written.
#[derive(Debug, Default)]
pub(super) struct LetterBook {
    pipeline: String,
    /// All, if there are none.
    wanted: HashSet<String>,
    order: Vec<String>,
    letters: HashMap<String, BookLetter>,
}

#[derive(Debug, Default)]
struct BookLetter {
    pieces: BTreeMap<u32, Vec<u8>>,
    state: Option<LetterStateEntry>,
}

/// A letter as it is now.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub written: Uuid,
    /// What tried it last.
    pub attempt: Option<Uuid>,
    pub letter: StoredDeadLetter,
}

impl LetterBook {
    pub fn new(pipeline: &str, wanted: &[String]) -> Self {
        let wanted = wanted.iter().cloned().collect();
        Self { pipeline: pipeline.to_owned(), wanted, ..Self::default() }
    }

    /// Takes the next entry of the topic.
    pub fn take(&mut self, scanned: Scanned<'_>) -> Result<(), KafkaSinkError> {
        let key = str::from_utf8(scanned.key).ok().and_then(EntryKey::read);
        let Some((pipeline, key)) = key else { return Ok(()) };
        if *pipeline != *self.pipeline {
            return Ok(());
        }
        match &key {
            EntryKey::Letter(id, piece) if self.wants(id) => {
                let letter = self.letter(id);
                match scanned.value {
                    Some(value) => letter.pieces.insert(*piece, value.to_owned()),
                    None => letter.pieces.remove(piece),
                };
            }
            EntryKey::LetterState(id) if self.wants(id) => {
                let state = scanned.value.map(|value| read(&key, value)).transpose()?;
                self.letter(id).state = state;
            }
            _ => {}
        }
        Ok(())
    }

    fn wants(&self, id: &str) -> bool {
        self.wanted.is_empty() || self.wanted.contains(id)
    }

    fn letter(&mut self, id: &str) -> &mut BookLetter {
        if !self.letters.contains_key(id) {
            self.order.push(id.to_owned());
            self.letters.insert(id.to_owned(), BookLetter::default());
        }
        self.letters.get_mut(id).expect("it is there")
    }

    /// All that there are.
    pub fn all(&self) -> impl Iterator<Item = Result<Found, KafkaSinkError>> {
        let letters = self.order.iter().filter_map(|id| Some((id, self.letters.get(id)?)));
        letters.filter_map(|(id, letter)| letter.found(id).transpose())
    }

    pub fn get(&self, id: &str) -> Result<Option<Found>, KafkaSinkError> {
        self.letters.get(id).map_or(Ok(None), |letter| letter.found(id))
    }

    pub fn list(&self, which: &DeadLetterFilter) -> Result<Vec<StoredDeadLetter>, KafkaSinkError> {
        let limit = which.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut is_behind = which.after.is_none();
        let mut listed = Vec::new();
        for found in self.all() {
            let letter = found?.letter;
            if !is_behind {
                is_behind = which.after.as_ref() == Some(&letter.id);
                continue;
            }
            if listed.len() >= limit {
                break;
            }
            if which.asks_for(&letter) {
                listed.push(letter);
            }
        }
        Ok(listed)
    }

    /// What takes letters away that are older than this.
    pub fn forgotten(&self, before: Timestamp) -> Result<Vec<Entry>, KafkaSinkError> {
        let mut gone = Vec::new();
        for (id, letter) in &self.letters {
            let Some(found) = letter.found(id)? else { continue };
            if Timestamp::try_from(found.letter.time).is_ok_and(|time| time < before) {
                let pieces = letter.pieces.keys().map(|piece| EntryKey::Letter(id.clone(), *piece));
                let keys = pieces.chain([EntryKey::LetterState(id.clone())]);
                gone.extend(keys.map(|key| Entry::gone(&self.pipeline, &key)));
            }
        }
        Ok(gone)
    }
}

impl BookLetter {
    /// None if there is no letter, but a state that one had.
    fn found(&self, id: &str) -> Result<Option<Found>, KafkaSinkError> {
        let key = EntryKey::Letter(id.to_owned(), 0);
        let Some((written, count, first)) = self.pieces.get(&0).and_then(|piece| headed(piece))
        else {
            return Ok(None);
        };
        let mut bytes = first.to_vec();
        for number in 1..count {
            let piece = self.pieces.get(&number).and_then(|piece| headed(piece));
            let (_, _, piece) = piece
                .filter(|(of, ..)| *of == written)
                .ok_or_else(|| KafkaSinkError::LostPiece { id: id.to_owned(), number })?;
            bytes.extend_from_slice(piece);
        }
        let entry: LetterEntry<'_> = read(&key, &bytes)?;
        let state = self.state.as_ref().filter(|state| state.of == written);
        let attempt = state.map(|state| state.attempt);
        let letter = stored(id, entry, state);
        Ok(Some(Found { written, attempt, letter }))
    }
}

fn headed(piece: &[u8]) -> Option<(Uuid, u32, &[u8])> {
    let (head, rest) = piece.split_at_checked(HEAD)?;
    let (written, count) = head.split_at(16);
    let written = Uuid::from_slice(written).ok()?;
    Some((written, u32::from_be_bytes(count.try_into().ok()?), rest))
}

fn stored(id: &str, entry: LetterEntry<'_>, state: Option<&LetterStateEntry>) -> StoredDeadLetter {
    let bytes = |data: Option<Data<'_>>| data.map(Data::into_bytes);
    let headers = entry.headers.into_iter().map(|(name, value)| (name, bytes(value)));
    let mut letter = StoredDeadLetter {
        id: id.to_owned(),
        lane: Lane::new(entry.lane),
        position: entry.position,
        value: bytes(entry.value),
        key: bytes(entry.key),
        headers: headers.collect::<Vec<(String, Option<Bytes>)>>(),
        timestamp_micros: entry.timestamp_micros,
        topic: entry.topic,
        partition: entry.partition,
        step: entry.step,
        reason: entry.reason,
        detail: entry.detail,
        generation: entry.generation,
        time: entry.time.into(),
        attempts: 1,
        state: DeadLetterState::Dead,
    };
    if let Some(state) = state {
        (letter.attempts, letter.generation) = (state.attempts, state.generation);
        match &state.died {
            Some(DiedEntry { step, reason, detail }) => {
                (letter.step, letter.reason) = (step.clone(), reason.clone());
                letter.detail.clone_from(detail);
                letter.time = state.time.into();
            }
            None => letter.state = DeadLetterState::Retried,
        }
    }
    letter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Position, RawRecord};

    fn raw(value: &[u8]) -> RawBatch {
        let at = Position::number;
        RawBatch {
            bytes: Bytes::copy_from_slice(value),
            records: vec![RawRecord::value(at(7), 0..value.len())],
            headers: Vec::new(),
            columns: None,
            topic: Some("posts".into()),
            partition: Some(3),
            from: at(7),
            to: at(8),
            past: None,
        }
    }

    fn letter() -> DeadLetter {
        let (step, reason) = (Some("cleaner".into()), "no good".to_owned());
        DeadLetter { record: 0, step, reason, detail: None }
    }

    fn writer(lane: &Lane, message_bytes: usize) -> LetterWriter<'_> {
        let generation = Digest::of(b"one");
        LetterWriter { pipeline: "pins", lane, generation, topic: "dead", message_bytes }
    }

    fn book(entries: &[Entry]) -> LetterBook {
        let mut book = LetterBook::new("pins", &[]);
        for entry in entries {
            let scanned = Scanned { key: entry.key.as_bytes(), value: entry.value.as_deref() };
            book.take(scanned).unwrap();
        }
        book
    }

    #[test]
    fn a_large_letter_goes_in_pieces_and_comes_back_whole() {
        let value: Vec<u8> = (0..3 * PIECE_BYTES).map(|at| (at % 251) as u8).collect();
        let (raw, lane) = (raw(&value), Lane::new("posts-3"));
        let entries = writer(&lane, 1 << 20).entries(&raw, &letter());
        assert!(entries.len() > 3);
        let all = DeadLetterFilter::default();
        let found = book(&entries).list(&all).unwrap();
        assert_eq!(found[0].value.as_deref(), Some(&value[..]));
        assert!(book(&entries[..2]).list(&all).is_err(), "a piece is missing");

        // A smaller one of the same record takes its place, whatever pieces of the larger one are left.
        let small = writer(&lane, 1 << 20).entries(&self::raw(b"small"), &letter());
        let found = book(&[entries, small].concat()).list(&all).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value.as_deref(), Some(&b"small"[..]));
    }

    #[test]
    fn a_message_too_large_for_its_topic_goes_in_pieces_too() {
        let value = vec![7; 100_000];
        let (raw, lane, letter) = (raw(&value), Lane::new("posts-3"), letter());
        let writer = writer(&lane, 40_000);
        let messages = writer.messages(&raw, &letter);
        assert!(messages.len() > 2);
        let joined: Vec<u8> =
            messages.iter().flat_map(|message| message.value.unwrap().to_vec()).collect();
        assert_eq!(joined, value);
        for message in &messages {
            assert!(message.value.unwrap().len() + size(&message.headers) < 40_000);
            let names: Vec<_> = message.headers.iter().map(|(name, _)| &**name).collect();
            for name in ["__connect.errors.topic", "_pinhost_step", "_pinhost_piece"] {
                assert!(names.contains(&name), "{names:?}");
            }
        }
    }

    #[test]
    fn a_state_counts_for_the_letter_that_it_is_of() {
        let lane = Lane::new("posts-3");
        let letters = [b"old", b"new"]
            .map(|value| writer(&lane, 1 << 20).entries(&raw(value), &letter()).pop().unwrap());
        let [old, new] = letters;
        let id = "posts-3:7".to_owned();
        let of = book(std::slice::from_ref(&old)).get(&id).unwrap().unwrap().written;
        let state = LetterStateEntry {
            of,
            attempt: Uuid::from_u128(1),
            attempts: 2,
            generation: Digest::of(b"two"),
            time: Timestamp::UNIX_EPOCH,
            died: None,
        };
        let state = Entry::new("pins", &EntryKey::LetterState(id.clone()), &state);
        let retried = book(&[old.clone(), state.clone()]).get(&id).unwrap().unwrap().letter;
        assert_eq!((retried.state, retried.attempts), (DeadLetterState::Retried, 2));
        // The record was read once more, and died again.
        let dead = book(&[old, state, new]).get(&id).unwrap().unwrap().letter;
        assert_eq!((dead.state, dead.attempts), (DeadLetterState::Dead, 1));
        assert_eq!(dead.value.as_deref(), Some(&b"new"[..]));
    }
}
