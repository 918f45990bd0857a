//! Records that come to another end.

use std::iter::Peekable;

use serde::Serialize;

use super::Outcome;
use crate::record::json::JsonRow;

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    Row,
    /// It has no value, and deletes a row.
    Delete,
    Dropped {
        step: String,
    },
    /// The step is none if it could not be decoded.
    Rejected {
        step: Option<String>,
        reason: String,
    },
}

/// Records that come to one end by the old rule and to another by the new.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FateDiff {
    pub old: Fate,
    pub new: Fate,
    pub records: u64,
    pub examples: Vec<FateExample>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FateExample {
    /// Where the record stands.
    pub record: String,
    /// Of the row that one of the two makes of it; empty if neither does.
    pub key: JsonRow,
    /// Of the rejection, by the new rule if both reject it.
    pub detail: Option<String>,
}

/// The same as `Fate`, of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Row,
    Delete,
    Dropped { step: &'a str },
    Rejected { step: Option<&'a str>, reason: &'a str },
}

impl From<End<'_>> for Fate {
    fn from(end: End<'_>) -> Self {
        match end {
            End::Row => Self::Row,
            End::Delete => Self::Delete,
            End::Dropped { step } => Self::Dropped { step: step.to_owned() },
            End::Rejected { step, reason } => {
                Self::Rejected { step: step.map(str::to_owned), reason: reason.to_owned() }
            }
        }
    }
}

/// A record that is no row, with the detail if it is rejected.
type NoRow<'a> = (u32, End<'a>, Option<&'a str>);

/// By record, ascending.
fn no_rows<'a>(outcome: &Outcome<'a>) -> Vec<NoRow<'a>> {
    let deletes = outcome.deletes.map_or(&[][..], |(_, origins)| origins);
    let deletes = deletes.iter().map(|record| (*record, End::Delete, None));
    let dropped = outcome.dropped.iter();
    let dropped =
        dropped.map(|dropped| (dropped.record, End::Dropped { step: &dropped.step }, None));
    let rejected = outcome.dead_letters.iter().map(|dead| {
        let end = End::Rejected { step: dead.step.as_deref(), reason: &dead.reason };
        (dead.record, end, dead.detail.as_deref())
    });
    let mut ends: Vec<_> = deletes.chain(dropped).chain(rejected).collect();
    ends.sort_unstable_by_key(|(record, ..)| *record);
    ends
}

/// All records that come to another end, by that.
pub(super) fn compare(
    old: &Outcome<'_>,
    new: &Outcome<'_>,
    examples_max: usize,
    example: impl Fn(u32) -> FateExample,
) -> Vec<FateDiff> {
    let mut found: Vec<FateDiff> = Vec::new();
    let (mut old, mut new) =
        (no_rows(old).into_iter().peekable(), no_rows(new).into_iter().peekable());
    while let Some(record) = next(&mut old, &mut new) {
        let ((was, old_detail), (is, new_detail)) = (end(&mut old, record), end(&mut new, record));
        if was == is {
            continue;
        }
        let mut other =
            FateDiff { old: was.into(), new: is.into(), records: 1, examples: Vec::new() };
        let known = found.iter().find(|known| (&known.old, &known.new) == (&other.old, &other.new));
        if known.map_or(0, |known| known.examples.len()) < examples_max {
            let detail = new_detail.or(old_detail).map(str::to_owned);
            other.examples.push(FateExample { detail, ..example(record) });
        }
        super::sum::add_fate(&mut found, other, examples_max);
    }
    found
}

/// The next record that is no row on one side at least.
fn next<'a>(
    old: &mut Peekable<impl Iterator<Item = NoRow<'a>>>,
    new: &mut Peekable<impl Iterator<Item = NoRow<'a>>>,
) -> Option<u32> {
    let (old, new) = (old.peek().map(|(record, ..)| *record), new.peek().map(|(at, ..)| *at));
    old.into_iter().chain(new).min()
}

/// What becomes of a record, which is taken out.
fn end<'a>(
    ends: &mut Peekable<impl Iterator<Item = NoRow<'a>>>,
    record: u32,
) -> (End<'a>, Option<&'a str>) {
    ends.next_if(|(at, ..)| *at == record)
        .map_or((End::Row, None), |(_, end, detail)| (end, detail))
}
