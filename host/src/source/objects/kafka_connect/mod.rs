//! What the S3 sink of Kafka Connect writes beside the values of records: their keys and their headers.
//!
//! ```text
//! topics/pin/partition=0/pin+0+0000000010.json            values, one on each line
//! topics/pin/partition=0/pin+0+0000000010.keys.json       store.kafka.keys: line for line their keys
//! topics/pin/partition=0/pin+0+0000000010.headers.json    store.kafka.headers: their headers
//! topics/pin/tombstone/pin+0+0000000012.keys.json         keys of records without a value
//! ```
//!
//! The names of objects tell which is which, whatever the partitioner has made of the folders. Keys and
//! headers are planned with the values that they belong to, and read beside them. Alone they are no
//! records: where a record without a value stood among the others, its folder does not tell.
//!
//! See `host/src/source/objects/kafka_connect/README.md` for what is read and what is refused.

mod lines;
mod reader;

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

pub(super) use self::lines::Lines;
pub(super) use self::reader::{Beside, Keys, Paired};
use super::ObjectsSourceError;
use super::look::{Listed, Shelf};
use super::plan::Planned;

/// What stands in an object beside values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    Keys,
    Headers,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Headers => "headers",
        }
    }
}

/// An object that lies beside another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Companion {
    pub part: Part,
    pub object: Planned,
}

/// An object's key as Connect makes it: `FOLDERS/TOPIC+PARTITION+OFFSET.EXTENSION`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectKey<'a> {
    /// What values, keys and headers of the same records have in common.
    pub stem: &'a str,
    /// None for values.
    pub part: Option<Part>,
    extension: &'a str,
}

impl<'a> ConnectKey<'a> {
    /// None if it is no key of Connect's.
    pub fn parse(key: &'a str) -> Option<Self> {
        let name = key.rsplit('/').next()?;
        let end =
            name.match_indices('.').map(|(at, _)| at).find(|at| ends_in_place(&name[..*at]))?;
        let (stem, rest) = key.split_at(key.len() - name.len() + end);
        let rest = &rest[1..];
        let (part, extension) = match rest.split_once('.') {
            Some(("keys", extension)) => (Some(Part::Keys), extension),
            Some(("headers", extension)) => (Some(Part::Headers), extension),
            _ => (None, rest),
        };
        Some(Self { stem, part, extension })
    }

    pub fn is_json(&self) -> bool {
        self.extension == "json" || self.extension.starts_with("json.")
    }
}

/// Whether it is `TOPIC+PARTITION+OFFSET`.
fn ends_in_place(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplitn(3, DELIMITER);
    let [offset, partition, topic] = [parts.next(), parts.next(), parts.next()];
    offset.is_some_and(is_number)
        && partition.is_some_and(is_number)
        && topic.is_some_and(|topic| !topic.is_empty())
}

/// Connect's default for `file.delim`.
const DELIMITER: char = '+';

impl Shelf {
    /// Has each object know its keys and headers. They are looked for after the values, which Connect
    /// finishes first.
    pub async fn pair(&self, objects: &mut [Planned]) -> Result<(), ObjectsSourceError> {
        let mut found: HashMap<String, Vec<Companion>> = HashMap::new();
        for object in objects.iter() {
            if let Some(key) = ConnectKey::parse(&object.key) {
                found.insert(key.stem.to_owned(), Vec::new());
            }
        }
        let mut listed = self.list(None).await?;
        while let Some(listed) = listed.try_next().await.map_err(|cause| self.failed(cause))? {
            let Listed::Beside(companion) = listed else { continue };
            let stem = ConnectKey::parse(&companion.object.key).map(|key| key.stem);
            if let Some(companions) = stem.and_then(|stem| found.get_mut(stem)) {
                companions.push(companion);
            }
        }
        for object in objects {
            let stem = ConnectKey::parse(&object.key).map(|key| key.stem);
            object.beside = stem.and_then(|stem| found.get(stem)).cloned().unwrap_or_default();
            object.beside.sort_unstable();
        }
        Ok(())
    }
}
