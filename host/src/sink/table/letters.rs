//! Dead letters, on their way into a table and out of it.

use std::time::SystemTime;

use bytes::Bytes;

use super::fault::{TableFault, parsed};
use crate::ledger::letter::{headers_from_json, headers_to_json, id};
use crate::ledger::{DeadLetterState, StoredDeadLetter};
use crate::record::{DeadLetter, Lane, Position, RawBatch, RawRecord};

/// A letter, and the record that it is about.
#[derive(Debug)]
pub(crate) struct NewLetter<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) raw: &'a RawBatch,
    pub(crate) letter: DeadLetter,
}

impl<'a> NewLetter<'a> {
    pub(crate) fn id(&self) -> String {
        let (lane, position) = self.place();
        id(lane, &position)
    }

    /// Where the record was read first: a retry gives its row that place.
    pub(crate) fn place(&self) -> (&'a str, Position) {
        self.raw.place(self.letter.record as usize, self.lane.name())
    }

    pub(crate) fn record(&self) -> &'a RawRecord {
        &self.raw.records[self.letter.record as usize]
    }

    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        self.record().value.map(|span| self.raw.bytes_of(span))
    }

    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        self.record().key.map(|span| self.raw.bytes_of(span))
    }

    pub(crate) fn headers(&self) -> String {
        let headers = &self.raw.headers[self.record().headers.range()];
        headers_to_json(
            headers
                .iter()
                .map(|header| (&*header.name, header.value.map(|span| self.raw.bytes_of(span)))),
        )
    }
}

/// What becomes of the stored letter of a record that was one before, and is read again because its lane
/// was moved: it still is the same letter. What follows `INSERT INTO table`'s rows.
pub(crate) fn replaced(table: &str, columns: &[&str]) -> String {
    let replaced = columns.iter().filter(|column| !matches!(**column, "pipeline" | "id"));
    let replaced: Vec<_> = replaced
        .map(|column| match *column {
            "attempts" => format!("attempts = {table}.attempts + 1"),
            column => format!("{column} = excluded.{column}"),
        })
        .collect();
    format!("ON CONFLICT (pipeline, id) DO UPDATE SET {}", replaced.join(", "))
}

/// A letter as a table has it.
#[derive(Debug)]
pub(crate) struct LetterRow {
    pub(crate) id: String,
    pub(crate) lane: String,
    pub(crate) position: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: String,
    pub(crate) timestamp_micros: Option<i64>,
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i64>,
    pub(crate) step: Option<String>,
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    pub(crate) generation: String,
    pub(crate) time: SystemTime,
    pub(crate) attempts: u32,
    pub(crate) state: String,
}

impl LetterRow {
    pub(crate) fn read(self, table: &'static str) -> Result<StoredDeadLetter, TableFault> {
        let bad = |what, value| TableFault::State { table, what, value };
        Ok(StoredDeadLetter {
            position: parsed(table, "position", &self.position)?,
            generation: parsed(table, "generation", &self.generation)?,
            state: state_of(&self.state).ok_or_else(|| bad("state", self.state))?,
            headers: headers_from_json(&self.headers)
                .ok_or_else(|| bad("list of headers", self.headers))?,
            id: self.id,
            lane: Lane::new(self.lane),
            value: self.value.map(Bytes::from),
            key: self.key.map(Bytes::from),
            timestamp_micros: self.timestamp_micros,
            topic: self.topic,
            partition: self.partition,
            step: self.step,
            reason: self.reason,
            detail: self.detail,
            time: self.time,
            attempts: self.attempts,
        })
    }
}

/// What became of a letter that was tried again.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// It is a row now, or was dropped.
    Settled,
    Dead(&'a DeadLetter),
}

impl<'a> Outcome<'a> {
    pub(crate) fn state(&self) -> &'static str {
        state_name(match self {
            Self::Settled => DeadLetterState::Retried,
            Self::Dead(_) => DeadLetterState::Dead,
        })
    }

    pub(crate) fn letter(&self) -> Option<&'a DeadLetter> {
        match self {
            Self::Settled => None,
            Self::Dead(letter) => Some(letter),
        }
    }
}

pub(crate) fn state_name(state: DeadLetterState) -> &'static str {
    match state {
        DeadLetterState::Dead => "dead",
        DeadLetterState::Retried => "retried",
    }
}

fn state_of(name: &str) -> Option<DeadLetterState> {
    [DeadLetterState::Dead, DeadLetterState::Retried]
        .into_iter()
        .find(|state| state_name(*state) == name)
}
