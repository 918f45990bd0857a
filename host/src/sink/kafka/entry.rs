//! What stands in the topic of the ledger: keys, and the values below them.
//!
//! The topic is compacted: of a key its last value stays for ever. So what has to stay has a key of its own, and
//! where the first of several counts, each has another key, and the one with the lowest offset counts.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::KafkaSinkError;
use crate::connect::Stored;
use crate::ledger::{LineageSums, Verdict};
use crate::objects::{Data, as_text};
use crate::record::{Digest, Position};

pub(super) const FORMAT: u32 = 1;

/// A key without its pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKey {
    /// What the pipeline reads and writes, by the digest of that: the first one counts.
    Identity(Digest),
    /// The first one counts.
    FirstRun(Uuid),
    Claim(String),
    Lane(String),
    Halt(String),
    Lineage(String, u64),
    Journal(String, u64),
    Generation(Digest),
    /// A piece of a plugin or of a resolved rule.
    Piece(Digest, u32),
    Verdict(Digest, Verdict),
    /// A piece of a letter.
    Letter(String, u32),
    LetterState(String),
    Member(Uuid),
    Request(Uuid),
    Answer(Uuid),
    /// Nothing but an offset that can be waited for.
    Mark(Uuid),
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(digest) => write!(f, "identity/{digest}"),
            Self::FirstRun(id) => write!(f, "first-run/{id}"),
            Self::Claim(lane) => write!(f, "claim/{lane}"),
            Self::Lane(lane) => write!(f, "lane/{lane}"),
            Self::Halt(lane) => write!(f, "halt/{lane}"),
            Self::Lineage(lane, number) => write!(f, "lineage/{lane}/{number}"),
            Self::Journal(lane, number) => write!(f, "journal/{lane}/{number}"),
            Self::Generation(digest) => write!(f, "generation/{digest}"),
            Self::Piece(digest, piece) => write!(f, "piece/{digest}/{piece}"),
            Self::Verdict(digest, verdict) => write!(f, "verdict/{digest}/{verdict}"),
            Self::Letter(id, piece) => write!(f, "letter/{id}/{piece}"),
            Self::LetterState(id) => write!(f, "letter-state/{id}"),
            Self::Member(id) => write!(f, "member/{id}"),
            Self::Request(id) => write!(f, "request/{id}"),
            Self::Answer(id) => write!(f, "answer/{id}"),
            Self::Mark(id) => write!(f, "mark/{id}"),
        }
    }
}

impl EntryKey {
    /// As the topic has it.
    pub fn of(&self, pipeline: &str) -> String {
        format!("{pipeline}/{self}")
    }

    /// The pipeline and the key; none if it is no key of this format.
    pub fn read(key: &str) -> Option<(&str, Self)> {
        // No pipeline has a slash in its name.
        let (pipeline, rest) = key.split_once('/')?;
        let (kind, of) = rest.split_once('/')?;
        let numbered = || {
            let (of, number) = of.rsplit_once('/')?;
            Some((of, number.parse::<u64>().ok()?))
        };
        let piece = || {
            let (of, number) = numbered()?;
            Some((of, u32::try_from(number).ok()?))
        };
        let key = match kind {
            "identity" => Self::Identity(of.parse().ok()?),
            "first-run" => Self::FirstRun(of.parse().ok()?),
            "claim" => Self::Claim(of.to_owned()),
            "lane" => Self::Lane(of.to_owned()),
            "halt" => Self::Halt(of.to_owned()),
            "lineage" => numbered().map(|(lane, at)| Self::Lineage(lane.to_owned(), at))?,
            "journal" => numbered().map(|(lane, at)| Self::Journal(lane.to_owned(), at))?,
            "generation" => Self::Generation(of.parse().ok()?),
            "piece" => {
                let (of, number) = piece()?;
                Self::Piece(of.parse().ok()?, number)
            }
            "verdict" => {
                let (digest, verdict) = of.split_once('/')?;
                Self::Verdict(digest.parse().ok()?, verdict.parse().ok()?)
            }
            "letter" => piece().map(|(id, at)| Self::Letter(id.to_owned(), at))?,
            "letter-state" => Self::LetterState(of.to_owned()),
            "member" => Self::Member(of.parse().ok()?),
            "request" => Self::Request(of.parse().ok()?),
            "answer" => Self::Answer(of.parse().ok()?),
            "mark" => Self::Mark(of.parse().ok()?),
            _ => return None,
        };
        Some((pipeline, key))
    }
}

/// What a pipeline reads and writes, for ever: its lanes stand for that and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub format: u32,
    pub source: String,
    pub target: String,
}

impl Identity {
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(&(&self.source, &self.target)).expect("texts"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClaimEntry {
    #[serde(with = "as_text")]
    pub token: Uuid,
    #[serde(with = "as_text::option")]
    pub member: Option<Uuid>,
}

/// Where a lane stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LaneEntry {
    #[serde(with = "as_text")]
    pub position: Position,
    /// Who moved it there; nobody's if it was moved by hand.
    #[serde(with = "as_text")]
    pub token: Uuid,
    #[serde(default)]
    pub accepted_rejects: u64,
    /// The ids of the topics that its rows are in, by name: what they hold is gone with them.
    #[serde(default)]
    pub topics: BTreeMap<String, Uuid>,
    /// How many ranges of lineage there are.
    pub ranges: u64,
    /// What moved it last, if that was a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastUnit>,
}

/// The unit that moved a lane to where it stands: whoever has lost the answer finds it there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LastUnit {
    #[serde(with = "as_text")]
    pub attempt: Uuid,
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub generation: Digest,
    pub rows: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
}

impl LastUnit {
    pub fn stored(&self) -> Stored {
        Stored { rows: self.rows, refused: self.refused.clone(), ..Stored::default() }
    }
}

/// A range of lineage; its lane and its number are the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RangeEntry {
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub to: Position,
    #[serde(with = "as_text::option")]
    pub generation: Option<Digest>,
    pub sums: LineageSums,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HaltEntry {
    #[serde(with = "as_text")]
    pub token: Uuid,
    #[serde(with = "as_text")]
    pub position: Position,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GenerationEntry {
    pub resolved: PiecedEntry,
    pub plugins: Vec<PluginEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PluginEntry {
    pub name: String,
    #[serde(flatten)]
    pub bytes: PiecedEntry,
}

/// Bytes that stand in pieces below their digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PiecedEntry {
    #[serde(with = "as_text")]
    pub digest: Digest,
    pub pieces: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct VerdictEntry {
    pub reason: Option<String>,
    #[serde(with = "as_text")]
    pub time: Timestamp,
}

/// What somebody asks of the owner of a lane, or does in its place if nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestEntry {
    pub lane: String,
    pub wants: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    Move {
        #[serde(with = "as_text")]
        from: Position,
        #[serde(with = "as_text")]
        to: Position,
    },
    AcceptRejects {
        records: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnswerEntry {
    pub done: bool,
}

/// A dead letter as it was written; its pieces follow each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LetterEntry<'a> {
    /// Told apart from an earlier letter of the same record.
    #[serde(with = "as_text")]
    pub written: Uuid,
    pub lane: String,
    #[serde(with = "as_text")]
    pub position: Position,
    #[serde(with = "as_text")]
    pub time: Timestamp,
    #[serde(with = "as_text")]
    pub generation: Digest,
    pub step: Option<String>,
    pub reason: String,
    pub detail: Option<String>,
    pub value: Option<Data<'a>>,
    pub key: Option<Data<'a>>,
    pub headers: Vec<(String, Option<Data<'a>>)>,
    pub timestamp_micros: Option<i64>,
    pub topic: Option<String>,
    pub partition: Option<i64>,
}

/// What became of a letter later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LetterStateEntry {
    /// Of the letter that was written so.
    #[serde(with = "as_text")]
    pub of: Uuid,
    #[serde(with = "as_text")]
    pub attempt: Uuid,
    pub attempts: u32,
    #[serde(with = "as_text")]
    pub generation: Digest,
    #[serde(with = "as_text")]
    pub time: Timestamp,
    /// Why it is dead again; if it is not, it became a row or was dropped.
    pub died: Option<DiedEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DiedEntry {
    pub step: Option<String>,
    pub reason: String,
    pub detail: Option<String>,
}

/// An entry to be written: the key as the topic has it; without a value it takes the key's away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub value: Option<Vec<u8>>,
}

impl Entry {
    pub fn new(pipeline: &str, key: &EntryKey, value: &impl Serialize) -> Self {
        let value = serde_json::to_vec(value).expect("plain values");
        Self { key: key.of(pipeline), value: Some(value) }
    }

    pub fn bytes(pipeline: &str, key: &EntryKey, value: Vec<u8>) -> Self {
        Self { key: key.of(pipeline), value: Some(value) }
    }

    pub fn gone(pipeline: &str, key: &EntryKey) -> Self {
        Self { key: key.of(pipeline), value: None }
    }
}

/// A value that stands in the topic, as what it should be.
pub(super) fn read<'a, T: Deserialize<'a>>(
    key: &EntryKey,
    value: &'a [u8],
) -> Result<T, KafkaSinkError> {
    serde_json::from_slice(value)
        .map_err(|cause| KafkaSinkError::Unreadable { key: key.to_string(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let (digest, id) = (Digest::of(b"one"), Uuid::from_u128(7));
        for key in [
            EntryKey::Identity(digest),
            EntryKey::FirstRun(id),
            EntryKey::Claim("posts-0".to_owned()),
            EntryKey::Lane("odd/lane/3".to_owned()),
            EntryKey::Halt("a".to_owned()),
            EntryKey::Lineage("odd/lane/3".to_owned(), 12),
            EntryKey::Journal("a".to_owned(), 0),
            EntryKey::Generation(digest),
            EntryKey::Piece(digest, 4),
            EntryKey::Verdict(digest, Verdict::RolledBack),
            EntryKey::Letter("posts-0:7@1a2b3c4d".to_owned(), 1),
            EntryKey::LetterState("posts/0:7".to_owned()),
            EntryKey::Member(id),
            EntryKey::Request(id),
            EntryKey::Answer(id),
            EntryKey::Mark(id),
        ] {
            let written = key.of("pins.replay-7");
            assert_eq!(EntryKey::read(&written), Some(("pins.replay-7", key)), "{written}");
        }
        for key in ["", "pins", "pins/lane", "pins/other/1", "pins/lineage/a/x"] {
            assert_eq!(EntryKey::read(key), None, "{key}");
        }
    }
}
