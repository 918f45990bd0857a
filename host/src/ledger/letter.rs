//! Dead letters: what one holds, and how it is kept, whatever its record holds.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::record::{DETAIL_BYTES_MAX, Digest, Lane, Position};

/// Letters come in the order in which they were first stored.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// All, if there is none.
    pub ids: Vec<String>,
    pub state: Option<DeadLetterState>,
    /// Those that a generation rejected last, by the beginning of its digest.
    pub generation: Option<String>,
    /// Those that come after this one: what a listing in pieces goes on from.
    pub after: Option<String>,
    pub limit: Option<u64>,
}

impl DeadLetterFilter {
    /// Whether a letter is one of those, wherever the listing goes on from.
    pub fn asks_for(&self, letter: &StoredDeadLetter) -> bool {
        let is_of = |digest: &String| letter.generation.to_string().starts_with(digest.as_str());
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && self.state.is_none_or(|state| letter.state == state)
            && self.generation.as_ref().is_none_or(is_of)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    Dead,
    /// A retry made a row of it, or dropped it.
    Retried,
}

/// A record that could not be cleaned or stored, with everything that it takes to try again.
#[derive(Debug, Clone)]
pub struct StoredDeadLetter {
    /// Stable: the lane and the place in it, as `LANE:PLACE`.
    pub id: String,
    pub lane: Lane,
    pub position: Position,
    pub value: Option<Bytes>,
    pub key: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    pub timestamp_micros: Option<i64>,
    pub topic: Option<String>,
    pub partition: Option<i64>,
    pub step: Option<String>,
    pub reason: String,
    pub detail: Option<String>,
    pub generation: Digest,
    pub time: SystemTime,
    /// How often it was tried, the first time included.
    pub attempts: u32,
    pub state: DeadLetterState,
}

/// The name of a dead letter: where its record stands. A topic that is made anew has the same offsets again,
/// and other records there.
pub(crate) fn id(lane: &str, position: &Position) -> String {
    let place = position.place();
    match position.mark() {
        Some(mark) if !mark.of.is_nil() => {
            let (of, _, _, _) = mark.of.as_fields();
            format!("{lane}:{place}@{of:08x}")
        }
        _ => format!("{lane}:{place}"),
    }
}

/// A text of bounded length without U+0000, which some databases do not take and others cut at.
pub(crate) fn stored_text(text: &str) -> Cow<'_, str> {
    let text = match text.get(..text.floor_char_boundary(DETAIL_BYTES_MAX)) {
        Some(start) if start.len() < text.len() => Cow::Owned(format!("{start}…")),
        _ => Cow::Borrowed(text),
    };
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\\0")) } else { text }
}

/// A header's value as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum HeaderValue {
    Text(String),
    /// What is no UTF-8, or has a U+0000.
    Bytes {
        hex: String,
    },
}

/// Pairs of a name and a value as JSON.
pub(crate) fn headers_to_json<'a>(
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> String {
    let pairs: Vec<(Cow<str>, Option<HeaderValue>)> = headers
        .into_iter()
        .map(|(name, value)| (stored_text(name), value.map(HeaderValue::of)))
        .collect();
    serde_json::to_string(&pairs).expect("pairs of texts")
}

pub(crate) fn headers_from_json(json: &str) -> Option<Vec<(String, Option<Bytes>)>> {
    let pairs: Vec<(String, Option<HeaderValue>)> = serde_json::from_str(json).ok()?;
    let pairs = pairs.into_iter().map(|(name, value)| match value {
        Some(value) => Some((name, Some(value.bytes()?))),
        None => Some((name, None)),
    });
    pairs.collect()
}

impl HeaderValue {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Text(text.to_owned()),
            _ => {
                let mut hex = String::with_capacity(bytes.len() * 2);
                for byte in bytes {
                    write!(hex, "{byte:02x}").expect("a String takes all");
                }
                Self::Bytes { hex }
            }
        }
    }

    fn bytes(self) -> Option<Bytes> {
        match self {
            Self::Text(text) => Some(Bytes::from(text)),
            Self::Bytes { hex } => {
                let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let byte =
                    |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
                pairs.iter().map(byte).collect()
            }
        }
    }
}

impl Serialize for StoredDeadLetter {
    /// What has no other form stands as text, or as `{"hex": …}` where it is none.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = |bytes: &Option<Bytes>| bytes.as_deref().map(HeaderValue::of);
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name, shown(value))).collect();
        let micros = self.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("lane", self.lane.name())?;
        map.serialize_entry("position", &self.position.to_string())?;
        map.serialize_entry("step", &self.step)?;
        map.serialize_entry("reason", &self.reason)?;
        map.serialize_entry("detail", &self.detail)?;
        map.serialize_entry("value", &shown(&self.value))?;
        map.serialize_entry("key", &shown(&self.key))?;
        map.serialize_entry("headers", &headers)?;
        map.serialize_entry("topic", &self.topic)?;
        map.serialize_entry("partition", &self.partition)?;
        map.serialize_entry("timestamp_micros", &self.timestamp_micros)?;
        map.serialize_entry("generation", &self.generation.to_string())?;
        map.serialize_entry("time_micros", &micros)?;
        map.serialize_entry("attempts", &self.attempts)?;
        map.serialize_entry("state", &self.state)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::record::{Mark, Place};

    #[test]
    fn a_topic_that_is_made_anew_has_letters_of_its_own() {
        let of = |of| {
            let mark = Some(Mark { of, epoch: 1 });
            id("pin-0", &Position::At(Place::new(&[7], mark)))
        };
        assert_eq!(of(Uuid::from_u128(0xabc << 96)), "pin-0:7@00000abc");
        assert_eq!(of(Uuid::nil()), "pin-0:7");
    }

    #[test]
    fn headers_read_back_whatever_they_hold() {
        let headers: [(&str, Option<&[u8]>); 5] = [
            ("plain", Some(b"text")),
            ("none", None),
            ("empty", Some(b"")),
            ("bytes", Some(&[0xff, 0x00, 0x0a])),
            ("zero", Some(b"a\0b")),
        ];
        let json = headers_to_json(headers);
        assert!(!json.contains("\\u0000"), "{json}");
        let read = headers_from_json(&json).unwrap();
        let read: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(read, headers);
    }

    #[test]
    fn what_is_no_list_of_headers_is_refused() {
        for json in ["", "{}", r#"[["a"]]"#, r#"[["a",{"hex":"f"}]]"#, r#"[["a",{"hex":"+1"}]]"#] {
            assert!(headers_from_json(json).is_none(), "{json}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters_and_lose_their_zeros() {
        assert_eq!(stored_text("a\0b"), "a\\0b");
        let long = "ö".repeat(DETAIL_BYTES_MAX);
        let cut = stored_text(&long);
        assert_eq!(*cut, format!("{}…", "ö".repeat(DETAIL_BYTES_MAX / 2)));
        assert_eq!(stored_text("x"), "x");
    }
}
