//! Finds the column that identifies a row.

use super::column::{Cleaning, Reading};
use super::name::words;
use super::seen::Seen;
use crate::record::Kind;

/// Words that say an id belongs to something other than the record.
const OTHERS: [&str; 14] = [
    "user",
    "customer",
    "account",
    "anonymous",
    "session",
    "parent",
    "device",
    "client",
    "ga",
    "ab",
    "actor",
    "repo",
    "trace",
    "stream",
];

/// Longer texts are no keys.
const CHARS_MAX: usize = 64;

/// How much a column looks like a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// No two records have the same.
    Key(u8),
    /// It is called like one, and has repeats.
    Repeated(u8),
}

/// None for what is no key.
pub(super) fn likeness(
    name: &str,
    depth: usize,
    seen: &Seen,
    reading: &Reading,
    records: u64,
) -> Option<Likeness> {
    let is_plain = matches!(reading.kind, Kind::Integer | Kind::Text)
        && reading.cleaning == Cleaning::None
        && reading.placeholders.is_empty()
        && !reading.has_empty;
    let longest = seen.texts.keys().map(|text| text.chars().count()).max().unwrap_or(0);
    if !is_plain || seen.values() < records || longest > CHARS_MAX || records == 0 {
        return None;
    }
    let words = words(name);
    let last = words.last()?;
    let is_id = matches!(&**last, "id" | "uuid" | "guid" | "key" | "oid" | "ind" | "index");
    let is_number = matches!(&**last, "number" | "no" | "nr" | "sku" | "code" | "ref");
    let is_others = words.iter().any(|word| OTHERS.contains(&word.as_str()));
    let score: u8 = match (words.len(), is_id, is_number) {
        (1, true, _) => 100,
        (_, true, _) => 80,
        (_, _, true) => 50,
        _ => return None,
    };
    let score = score.saturating_sub(if is_others { 40 } else { 0 });
    let score = score.saturating_sub(10 * depth.min(4) as u8);
    let distinct = seen.texts.len() + seen.distinct_integers.len();
    Some(match distinct as u64 == records {
        true => Likeness::Key(score),
        false => Likeness::Repeated(score),
    })
}
