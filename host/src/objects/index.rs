//! What lies beside an object of records as they came: where each of them stands in it, and what it was
//! beside its bytes. Lines of JSON, compressed.
//!
//! Bytes are counted in the object as it is before compression. Without an index nobody could tell a record
//! with a line break from two, or an empty one from none.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Data, as_text};
use crate::record::Position;

/// What is older is read, what is newer is refused.
pub(crate) const FORMAT: u32 = 2;

/// Where indexes are, below a pipeline's own folder.
pub(crate) const FOLDER: &str = "index";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct IndexHead<'a> {
    pub format: u32,
    /// The lane that the records were read from.
    #[serde(borrow)]
    pub lane: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub topic: Option<Cow<'a, str>>,
    pub partition: Option<i64>,
    pub records: u64,
    /// Of the object, before compression.
    pub bytes: u64,
    /// The position behind the last record. Format 1 lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text::option")]
    pub to: Option<Position>,
}

impl IndexHead<'_> {
    pub fn into_owned(self) -> IndexHead<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        IndexHead { lane: self.lane.map(owned), topic: self.topic.map(owned), ..self }
    }
}

/// One of the other lines: a record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexEntry<'a> {
    #[serde(with = "as_text")]
    pub position: Position,
    pub from: u64,
    pub to: u64,
    /// It has no value at all, which is not the same as an empty one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub null: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_micros: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Data<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(Cow<'a, str>, Option<Data<'a>>)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(is: &bool) -> bool {
    !is
}

/// Appends a line.
pub(crate) fn push(line: &impl Serialize, lines: &mut Vec<u8>) {
    serde_json::to_writer(&mut *lines, line).expect("an index is plain values");
    lines.push(b'\n');
}
