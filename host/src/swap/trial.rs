//! A new generation on the records that came last, beside the one that cleans: what would be another row,
//! and whether it keeps to what every rule has to. Nothing of it has an effect.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pipeline::config::ProbationConfig;
use crate::plugin::ConfigureError;
use crate::record::{Batch, Position, RawBatch, json};
use crate::run::{ChainHalted, CleanRows, Conduct, Live, Trouble, Worker, trouble};

/// It ends at whichever comes first; one batch is tried in any case.
const RECORDS_MAX: u64 = 8_192;
const TIME_MAX: Duration = Duration::from_millis(200);

/// Longer values say no more to a reader.
const EXAMPLE_CHARS_MAX: usize = 40;

/// Why a new generation is not fit to clean.
#[derive(Debug, thiserror::Error)]
pub enum TrialFault {
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    #[error("it cannot clean the records at {at}, which the one that cleans can: {cause}")]
    Halted {
        at: Position,
        #[source]
        cause: Box<ChainHalted>,
    },
    #[error(
        "what becomes of the record at {at} depends on those beside it: among others it is {among}, \
         with fewer {apart}"
    )]
    Parts { at: Position, among: String, apart: String },
    #[error("on the last {records} records {trouble}")]
    Worse { records: u64, trouble: Trouble },
}

/// What a new generation makes otherwise.
#[derive(Debug, Default)]
pub struct Differences {
    pub records: u64,
    /// By column: in how many rows, and one of them.
    pub columns: BTreeMap<String, (u64, Example)>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Before, and with the new one.
    pub rejects: (u64, u64),
    pub dropped: (u64, u64),
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub before: String,
    pub after: String,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.records == 0 {
            return f.write_str("no records came yet to try it on");
        }
        let mut told = Vec::new();
        for (column, (rows, Example { before, after })) in &self.columns {
            told.push(format!("{column} in {rows} rows ({before} → {after})"));
        }
        for (what, columns) in [("new column", &self.added), ("no column", &self.removed)] {
            told.extend(columns.iter().map(|column| format!("{what} {column}")));
        }
        for (what, (before, after)) in [("dead letters", self.rejects), ("dropped", self.dropped)] {
            if before != after {
                told.push(format!("{what} {before} → {after}"));
            }
        }
        let told =
            if told.is_empty() { "every row is the same".to_owned() } else { told.join(", ") };
        write!(f, "on the last {} records: {told}", self.records)
    }
}

/// Runs `next` beside `live` on batches, the newest first.
pub(super) fn trial(
    live: &Live,
    next: &Live,
    batches: &[Arc<RawBatch>],
    limits: &ProbationConfig,
) -> Result<Differences, TrialFault> {
    let began = Instant::now();
    let (live, next) = (live.apart()?, next.apart()?);
    let (mut by_live, mut by_next) = (Worker::new(&live), Worker::new(&next));
    let mut in_parts = Worker::new(&next);
    let mut found = Differences::default();
    let (mut was, mut is) = (Conduct::default(), Conduct::default());
    for raw in batches {
        if found.records > 0 && (found.records >= RECORDS_MAX || began.elapsed() > TIME_MAX) {
            break;
        }
        let before = timed(raw, &mut was, || by_live.rows(raw));
        let whole = match (timed(raw, &mut is, || by_next.rows(raw)), before.is_err()) {
            (Ok(whole), _) => whole,
            // Nobody can clean these: the new one is no worse.
            (Err(_), true) => continue,
            (Err(cause), false) => return Err(TrialFault::Halted { at: raw.from, cause }),
        };
        agree(raw, &whole, &mut in_parts)?;
        if let Ok(before) = &before {
            found.add(raw, before, &whole);
        }
        found.records += raw.records.len() as u64;
    }
    found.rejects = (was.rejects, is.rejects);
    found.took = began.elapsed();
    // What the one that cleans fails on too is not the new one's fault.
    is.failed_calls = is.failed_calls.saturating_sub(was.failed_calls);
    match trouble(limits, &is, &was, next.patience()) {
        Some(trouble) => Err(TrialFault::Worse { records: found.records, trouble }),
        None => Ok(found),
    }
}

fn timed(
    raw: &RawBatch,
    conduct: &mut Conduct,
    clean: impl FnOnce() -> Result<CleanRows, Box<ChainHalted>>,
) -> Result<CleanRows, Box<ChainHalted>> {
    let began = Instant::now();
    let cleaned = clean()?;
    *conduct += Conduct {
        batches: 1,
        records: raw.records.len() as u64,
        rejects: cleaned.dead_letters.len() as u64,
        failed_calls: cleaned.failed_calls,
        took: began.elapsed(),
    };
    Ok(cleaned)
}

/// Whether the same comes out where a batch is cut otherwise.
fn agree(raw: &RawBatch, whole: &CleanRows, in_parts: &mut Worker) -> Result<(), TrialFault> {
    let fates = Fates::of(whole, raw.records.len());
    for range in parts(raw.records.len()) {
        let halted = |cause| TrialFault::Halted { at: raw.records[range.start].position, cause };
        let part = in_parts.rows(&raw.slice(range.clone())).map_err(halted)?;
        let apart = Fates::of(&part, range.len());
        for (at, record) in range.enumerate() {
            if !fates.agrees(record, &apart, at) {
                return Err(TrialFault::Parts {
                    at: raw.records[record].position,
                    among: fates.told(record),
                    apart: apart.told(at),
                });
            }
        }
    }
    Ok(())
}

/// A third, most of the rest, and one record alone.
fn parts(records: usize) -> Vec<Range<usize>> {
    let cuts = [0, records / 3, records.saturating_sub(1), records];
    cuts.windows(2).map(|cut| cut[0]..cut[1]).filter(|part| !part.is_empty()).collect()
}

/// What became of each record of a batch.
struct Fates<'a> {
    rows: Option<&'a Batch>,
    deletes: Option<&'a Batch>,
    fates: Vec<Fate<'a>>,
}

#[derive(Clone, Copy)]
enum Fate<'a> {
    Dropped,
    Row(usize),
    Delete(usize),
    Dead(&'a str),
}

impl<'a> Fates<'a> {
    fn of(cleaned: &'a CleanRows, records: usize) -> Self {
        let mut fates = vec![Fate::Dropped; records];
        for (row, record) in cleaned.origins.iter().enumerate() {
            fates[*record as usize] = Fate::Row(row);
        }
        for (row, record) in cleaned.deletes.iter().flat_map(|(_, origins)| origins).enumerate() {
            fates[*record as usize] = Fate::Delete(row);
        }
        for dead in &cleaned.dead_letters {
            fates[dead.record as usize] = Fate::Dead(&dead.reason);
        }
        let deletes = cleaned.deletes.as_ref().map(|(keys, _)| keys);
        Self { rows: cleaned.rows.as_ref(), deletes, fates }
    }

    fn agrees(&self, record: usize, other: &Self, at: usize) -> bool {
        match (self.fates[record], other.fates[at]) {
            (Fate::Dropped, Fate::Dropped) => true,
            (Fate::Dead(one), Fate::Dead(other)) => one == other,
            (Fate::Row(one), Fate::Row(row)) => are_same(self.rows, one, other.rows, row),
            (Fate::Delete(one), Fate::Delete(row)) => {
                are_same(self.deletes, one, other.deletes, row)
            }
            _ => false,
        }
    }

    /// In a few words.
    fn told(&self, record: usize) -> String {
        match self.fates[record] {
            Fate::Dropped => "dropped".to_owned(),
            Fate::Delete(_) => "a delete".to_owned(),
            Fate::Dead(reason) => format!("rejected ({reason})"),
            Fate::Row(row) => match self.rows {
                None => "a row".to_owned(),
                Some(rows) => {
                    let columns = rows.fields().iter().zip(rows.columns());
                    let told = columns.map(|(field, column)| {
                        let value = json::value(field.kind, column, row);
                        format!("{}: {}", field.name, short(&value.to_string()))
                    });
                    format!("{{ {} }}", told.collect::<Vec<_>>().join(", "))
                }
            },
        }
    }
}

/// Two rows of batches with the same columns.
fn are_same(one: Option<&Batch>, row: usize, other: Option<&Batch>, at: usize) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let columns = one.fields().iter().zip(one.columns()).zip(other.columns());
    columns
        .map(|((field, one), other)| (field.kind, one, other))
        .all(|(kind, one, other)| json::value(kind, one, row) == json::value(kind, other, at))
}

impl Differences {
    fn add(&mut self, raw: &RawBatch, before: &CleanRows, after: &CleanRows) {
        let records = raw.records.len();
        let (was, is) = (Fates::of(before, records), Fates::of(after, records));
        let dropped = |fates: &Fates<'_>| {
            fates.fates.iter().filter(|fate| matches!(fate, Fate::Dropped)).count() as u64
        };
        self.dropped.0 += dropped(&was);
        self.dropped.1 += dropped(&is);
        let (Some(old), Some(new)) = (was.rows, is.rows) else { return };
        let named = |batch: &Batch, other: &Batch| -> Vec<String> {
            let names = batch.fields().iter().map(|field| &*field.name);
            names.filter(|name| other.column(name).is_none()).map(str::to_owned).collect()
        };
        (self.added, self.removed) = (named(new, old), named(old, new));
        let rows: Vec<_> = (0..records)
            .filter_map(|record| match (was.fates[record], is.fates[record]) {
                (Fate::Row(before), Fate::Row(after)) => Some((before, after)),
                _ => None,
            })
            .collect();
        for (field, column) in new.fields().iter().zip(new.columns()) {
            let at = old.fields().iter().position(|known| known.name == field.name);
            let Some(at) = at else { continue };
            let (kind, known) = (old.fields()[at].kind, &old.columns()[at]);
            // Mostly it is the very same.
            if kind == field.kind && before.origins == after.origins && **known == **column {
                continue;
            }
            for (before, after) in &rows {
                let (before, after) =
                    (json::value(kind, known, *before), json::value(field.kind, column, *after));
                if before != after {
                    let example = Example {
                        before: short(&before.to_string()),
                        after: short(&after.to_string()),
                    };
                    let known = self.columns.entry(field.name.to_string());
                    known.or_insert((0, example)).0 += 1;
                }
            }
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_into_parts_of_which_one_is_a_record_alone() {
        assert_eq!(parts(10), [0..3, 3..9, 9..10]);
        assert_eq!(parts(2), [0..1, 1..2]);
        let alone = 0..1;
        assert_eq!(parts(1), [alone]);
    }

    #[test]
    fn what_differs_is_told_in_a_line() {
        let mut found = Differences { records: 2_048, ..Differences::default() };
        assert_eq!(found.to_string(), "on the last 2048 records: every row is the same");
        let example = Example { before: "\"a\"".to_owned(), after: "null".to_owned() };
        found.columns.insert("title".to_owned(), (3, example));
        found.added.push("tags".to_owned());
        found.rejects = (0, 7);
        assert_eq!(
            found.to_string(),
            "on the last 2048 records: title in 3 rows (\"a\" → null), new column tags, \
             dead letters 0 → 7"
        );
    }
}
