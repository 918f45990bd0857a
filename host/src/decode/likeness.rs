//! Tells what bytes look like that are no record: CSV, UTF-16, a page of records.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::declare::{DeclaredField, Origin};
use super::reject::Reject;

/// What is often taken for JSON records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    Csv,
    Xml,
    Utf16,
    Gzip,
    Parquet,
    /// Framed as the schema registry of Confluent has it: Avro or Protobuf.
    Registry,
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "looks like CSV",
            Self::Xml => "looks like XML or HTML",
            Self::Utf16 => "looks like UTF-16",
            Self::Gzip => "looks like gzip",
            Self::Parquet => "looks like Parquet",
            Self::Registry => "looks like Avro or Protobuf of a schema registry",
        })
    }
}

impl Likeness {
    /// How it becomes JSON.
    pub fn help(self) -> &'static str {
        match self {
            Self::Csv => {
                "records are JSON: `mlr --icsv --ojsonl cat FILE.csv > FILE.ndjson` makes some"
            }
            Self::Xml => "records are JSON: `yq -p xml -o json FILE.xml` makes some",
            Self::Utf16 => {
                "records are UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > FILE.ndjson` makes some"
            }
            Self::Gzip => {
                "a file that is compressed as a whole is read as it is, with `compression: auto`"
            }
            Self::Parquet => {
                "records are JSON: `duckdb -c \"COPY 'FILE.parquet' TO 'FILE.ndjson' (FORMAT json)\"` makes some"
            }
            Self::Registry => {
                "records are JSON: have the topic's producer, or a connector, write it"
            }
        }
    }
}

/// What these bytes look like, if it is something that people take for records.
pub fn likeness(bytes: &[u8]) -> Option<Likeness> {
    /// How many bytes are looked at.
    const BYTES: usize = 512;
    let bytes = &bytes[..bytes.len().min(BYTES)];
    if bytes.starts_with(b"PAR1") {
        return Some(Likeness::Parquet);
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Some(Likeness::Gzip);
    }
    if is_utf16(bytes) {
        return Some(Likeness::Utf16);
    }
    if bytes.len() > 5 && bytes[0] == 0 {
        return Some(Likeness::Registry);
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = text.strip_prefix('<').and_then(|rest| rest.chars().next());
    if begins.is_some_and(|next| next.is_ascii_alphabetic() || "!?/".contains(next)) {
        return Some(Likeness::Xml);
    }
    is_csv(text).then_some(Likeness::Csv)
}

/// A byte order mark, or a zero in every other byte, as ASCII has it.
fn is_utf16(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return true;
    }
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = bytes.len() / 2;
    bytes.len() >= 8 && (even.max(odd) * 4 > half * 3) && even.min(odd) * 4 < half
}

/// A line of values with commas, semicolons or tabs between them, and nothing of JSON.
fn is_csv(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let is_of_json = line.starts_with(['{', '[', ']', '}']) || line.contains("\":");
    let separators = [',', ';', '\t'];
    let most = separators.into_iter().map(|separator| line.matches(separator).count()).max();
    // Words with a comma between them are a sentence.
    let is_sentence = line.contains(", ") || most == Some(1) && line.contains(' ');
    !is_of_json && most >= Some(1) && !is_sentence
}

/// Adds to the reason what the record looks like, if it is something that people take for records.
#[cold]
pub(super) fn explained(
    mut reject: Reject,
    record: Option<&[u8]>,
    fields: &[DeclaredField],
) -> Reject {
    let is_no_record = ["not valid JSON", "not valid UTF-8", "not a JSON object"]
        .iter()
        .any(|fault| reject.reason.ends_with(fault));
    let lacks = reject.reason == "all fields are null" || reject.reason.ends_with(" is missing");
    let Some(record) = record else { return reject };
    if is_no_record && let Some(likeness) = likeness(record) {
        let _ = write!(reject.reason, ": it {likeness}");
    } else if lacks && let Some(member) = wrapper(record, fields) {
        let _ = write!(reject.reason, ": it looks like a {{{member}: […]}} wrapper");
    }
    reject
}

/// Members that often hold lists of records. Reasons are counted, so no other name goes into one.
const WRAPPING: [&str; 12] = [
    "data", "records", "items", "results", "rows", "value", "values", "events", "entries", "hits",
    "messages", "response",
];

/// The member of a record that holds a list of what should have been records.
fn wrapper(record: &[u8], fields: &[DeclaredField]) -> Option<&'static str> {
    let record: Value = serde_json::from_slice(record).ok()?;
    let is_known = |key: &String| {
        fields.iter().any(|field| match &field.from {
            Origin::Value(paths) => paths.iter().any(|path| path.keys()[0] == *key),
            _ => false,
        })
    };
    let holds = |value: &Value| {
        let first = value.as_array().and_then(|items| items.first()?.as_object());
        first.is_some_and(|first| first.keys().any(is_known))
    };
    let (member, _) =
        record.as_object()?.iter().find(|(member, value)| !is_known(member) && holds(value))?;
    Some(WRAPPING.into_iter().find(|known| known == member).unwrap_or("…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_told_by_its_bytes() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (bytes, expected) in [
            (b"id,name,price".to_vec(), Some(Likeness::Csv)),
            (b"1;Oak;3,50".to_vec(), Some(Likeness::Csv)),
            (b"index,title".to_vec(), Some(Likeness::Csv)),
            (b"\"a\"\t\"b\"\t\"c\"\n".to_vec(), Some(Likeness::Csv)),
            (b"<?xml version=\"1.0\"?>".to_vec(), Some(Likeness::Xml)),
            (utf16("{\"a\": 1, \"b\": \"\u{e4}\"}"), Some(Likeness::Utf16)),
            (utf16("{\"a\": 1}")[1..].to_vec(), Some(Likeness::Utf16)),
            (b"\xff\xfe".to_vec(), Some(Likeness::Utf16)),
            (b"PAR1\x15\x04".to_vec(), Some(Likeness::Parquet)),
            (b"\x1f\x8b\x08".to_vec(), Some(Likeness::Gzip)),
            (b"\x00\x00\x00\x00\x01\x02\x06Oak".to_vec(), Some(Likeness::Registry)),
            (b"{\"a\": 1, \"b\": 2, \"c\"".to_vec(), None),
            (b"le\": 1, \"b\": 2, \"c\": 3}".to_vec(), None),
            (b"2024-01-05 INFO started, listening, ready".to_vec(), None),
            (b"".to_vec(), None),
            (b"\x00\x00".to_vec(), None),
        ] {
            assert_eq!(likeness(&bytes), expected, "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
