//! Sums up, for people, what became of the records that a command looked at.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::output::{self, BAD, FAINT, STRONG, number};
use crate::diff::cut;
use crate::record::RawBatch;
use crate::run::{Looked, LookedEnd, LookedValue};

/// Reasons and examples that are told.
const LINES_MAX: usize = 10;

const EXAMPLE_CHARS_MAX: usize = 60;

/// How records ended, and which values steps have changed.
#[derive(Debug)]
pub(super) struct Ends {
    columns: Vec<ColumnEnds>,
    pub records: u64,
    pub rows: u64,
    deletes: u64,
    dropped: BTreeMap<Arc<str>, u64>,
    dead: BTreeMap<String, Reason>,
    tallies: BTreeMap<(Arc<str>, String), u64>,
}

#[derive(Debug)]
struct ColumnEnds {
    name: String,
    changed: u64,
    /// The first one, as JSON.
    example: Option<[String; 2]>,
}

/// Why records died, and one of them.
#[derive(Debug)]
struct Reason {
    records: u64,
    detail: Option<String>,
    example: String,
}

impl Ends {
    pub fn of<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = columns.into_iter().map(|name| ColumnEnds {
            name: name.to_owned(),
            changed: 0,
            example: None,
        });
        Self {
            columns: columns.collect(),
            records: 0,
            rows: 0,
            deletes: 0,
            dropped: BTreeMap::new(),
            dead: BTreeMap::new(),
            tallies: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, raw: &RawBatch, looked: &Looked) {
        for (at, end) in looked.ends.iter().enumerate() {
            self.records += 1;
            match end {
                LookedEnd::Row(values) => {
                    self.rows += 1;
                    self.columns
                        .iter_mut()
                        .zip(values)
                        .for_each(|(column, value)| column.add(value));
                }
                LookedEnd::Delete => self.deletes += 1,
                LookedEnd::Dropped { step } => {
                    *self.dropped.entry(Arc::clone(step)).or_default() += 1;
                }
                LookedEnd::Dead { step, reason, detail } => {
                    let step = step.as_ref().map_or_else(String::new, |step| format!("{step}: "));
                    let reason = self.dead.entry(format!("{step}{reason}"));
                    let reason = reason.or_insert_with(|| Reason {
                        records: 0,
                        detail: detail.clone(),
                        example: first_chars(raw, at),
                    });
                    reason.records += 1;
                }
            }
        }
        for (step, what, count) in &looked.tallies {
            *self.tallies.entry((Arc::clone(step), what.clone())).or_default() += count;
        }
    }

    pub fn dead(&self) -> u64 {
        self.dead.values().map(|reason| reason.records).sum()
    }
}

impl ColumnEnds {
    fn add(&mut self, LookedValue { value, was }: &LookedValue) {
        let Some(was) = was else { return };
        self.changed += 1;
        if self.example.is_none() {
            let shown = [was, value].map(|value| cut(&value.to_string(), 0, EXAMPLE_CHARS_MAX / 2));
            self.example = Some(shown);
        }
    }
}

/// Enough of a record to recognise it.
pub(super) fn first_chars(raw: &RawBatch, record: usize) -> String {
    let Some(value) = raw.value(record) else { return "(no value)".to_owned() };
    let text = String::from_utf8_lossy(&value);
    let visible = |c: char| if c.is_control() { '·' } else { c };
    cut(
        &text.chars().take(EXAMPLE_CHARS_MAX + 1).map(visible).collect::<String>(),
        0,
        EXAMPLE_CHARS_MAX,
    )
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped: u64 = self.dropped.values().sum();
        let steps: Vec<_> = self.dropped.keys().map(|step| &**step).collect();
        let rows = [
            ("records looked at", self.records, String::new()),
            ("rows", self.rows, String::new()),
            ("deletes", self.deletes, String::new()),
            ("dropped", dropped, format!("by {}", steps.join(", "))),
            ("dead letters", self.dead(), String::new()),
        ];
        let rows =
            rows.into_iter().filter(|(what, count, _)| *count > 0 || what.starts_with("dead"));
        let mut table =
            output::table(rows.map(|(what, count, note)| [what.to_owned(), number(count), note]));
        output::align_right(&mut table, 1);
        write!(f, "{}", output::lines(&table, "  "))?;
        self.reasons(f)?;
        self.changes(f)?;
        let counted = self.tallies.iter().filter(|(_, count)| **count > 0);
        let rows: Vec<_> = counted
            .map(|((step, what), count)| [number(*count), format!("{step}: {what}")])
            .collect();
        if !rows.is_empty() {
            let mut table = output::table(rows);
            output::align_right(&mut table, 0);
            write!(
                f,
                "\n\n{STRONG}what the steps counted{STRONG:#}\n{}",
                output::lines(&table, "  ")
            )?;
        }
        Ok(())
    }
}

impl Ends {
    fn reasons(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dead.is_empty() {
            return Ok(());
        }
        write!(f, "\n\n{STRONG}dead letters{STRONG:#}")?;
        let mut reasons: Vec<_> = self.dead.iter().collect();
        reasons.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.records));
        for (reason, Reason { records, detail, example }) in reasons.iter().take(LINES_MAX) {
            let mut shown = example.clone();
            if let Some(detail) = detail {
                let _ = write!(shown, "\n      {}", cut(detail, 0, 2 * EXAMPLE_CHARS_MAX));
            }
            write!(
                f,
                "\n  {}  {BAD}{reason}{BAD:#}\n      {FAINT}{shown}{FAINT:#}",
                number(*records)
            )?;
        }
        match reasons.len().saturating_sub(LINES_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more reasons"),
        }
    }

    fn changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.columns.iter().filter_map(|column| {
            let [was, is] = column.example.clone()?;
            Some([column.name.clone(), number(column.changed), was, "→".to_owned(), is])
        });
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut table = output::table(changed);
        output::align_right(&mut table, 1);
        write!(f, "\n\n{STRONG}changed{STRONG:#}\n{}", output::lines(&table, "  "))
    }
}
