//! What `pinhost diff` found, for people.

use std::fmt::{self, Write as _};

use comfy_table::Table;
use serde_json::Value;

use super::report::{Report, RuleChange, Sampled};
use crate::cli::output::{self, FAINT, GOOD, STRONG, number};
use crate::diff::{ColumnDiff, Diff, FateDiff, cut, focused};
use crate::record::json::JsonRow;

/// Of a key, and of the place of a record; values have the rest of the line, but no less than that.
const KEY_CHARS_MAX: usize = 24;
const PLACE_CHARS_MAX: usize = 24;
const VALUE_CHARS_MIN: usize = 16;

/// Reasons and counts that are shown; `--json` has all.
const LINES_MAX: usize = 20;

pub(super) struct Told<'a>(pub &'a Report<'a>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { pipeline, differs, diff, .. } = self.0;
        writeln!(f, "{STRONG}{pipeline}{STRONG:#}  {}", self.looked_at())?;
        if let Some(sample) = self.sample() {
            writeln!(f, "  {sample}")?;
        }
        let rules = &self.0.rules;
        let rows = [("old", &rules.old), ("new", &rules.new)].map(|(which, rule)| {
            let digest = rule.generation.get(..12).unwrap_or_default();
            [which.to_owned(), digest.to_owned(), rule.file.clone()]
        });
        writeln!(f, "{}", output::lines(&output::table(rows), "  "))?;
        section(f, "what is written otherwise", &changes(&rules.changes))?;
        if diff.records == 0 {
            return write!(f, "\nnothing was compared: there are no records");
        }
        if *differs {
            differences(f, diff)?;
        } else {
            let all = what_records(diff);
            let both = match rules.old.generation == rules.new.generation {
                true => "both rules, which are the same",
                false => "both rules",
            };
            writeln!(f, "\n{GOOD}nothing differs:{GOOD:#} {all} to the same end by {both}")?;
        }
        self.cost(f)
    }
}

impl Told<'_> {
    /// `5,000 records of 12 objects in archive, FIRST to LAST`
    fn looked_at(&self) -> String {
        let Report { from, read, diff, .. } = self.0;
        let records = output::count(diff.records as usize, "record");
        let objects = output::count(read.objects as usize, "object");
        let mut told = format!("{records} of {objects} in {from}");
        let whole = |time: &String| match time.split_once('.') {
            Some((seconds, _)) => format!("{seconds}Z"),
            None => time.clone(),
        };
        match (read.first.as_ref().map(whole), read.last.as_ref().map(whole)) {
            (Some(first), Some(last)) if first != last => {
                let _ = write!(told, ", {first} to {last}");
            }
            (Some(only), _) => {
                let _ = write!(told, ", {only}");
            }
            (None, _) => {}
        }
        told
    }

    fn sample(&self) -> Option<String> {
        Some(match self.0.read.sample? {
            Sampled::Objects { of, .. } => {
                format!("a sample, spread evenly over {} objects", number(of))
            }
            Sampled::Records { every: 1, .. } => "a sample that has all records".to_owned(),
            Sampled::Records { of, every, .. } => {
                format!("a sample: one in {} of {} records", number(every), number(of))
            }
        })
    }

    fn cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = &self.0.rules;
        let took = [&rules.old, &rules.new].map(|rule| rule.nanoseconds_per_record);
        let [Some(old), Some(new)] = took else { return Ok(()) };
        let (was, is) = (output::nanoseconds(old), output::nanoseconds(new));
        let times = new / old;
        write!(f, "\n{STRONG}cost of a record{STRONG:#}  {was} → {is} {FAINT}× {times:.2}{FAINT:#}")
    }
}

fn what_records(diff: &Diff) -> String {
    match diff.records {
        1 => "the record comes".to_owned(),
        records => format!("all {} records come", number(records)),
    }
}

fn changes(changes: &[RuleChange]) -> Table {
    let rows = changes.iter().map(|change| {
        let RuleChange { what, old, new } = change;
        // What a plugin is called is no text of the rule.
        let told = |value: &Value| match value {
            Value::String(plugin) if what.ends_with(": plugin") => plugin.clone(),
            value => written(value),
        };
        [what.clone(), told(old), told(new), String::new()]
    });
    old_and_new(rows.collect())
}

/// Of a step its plugin, of a field its type: all of it would fill the line.
fn written(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Object(entries) => {
            let main = entries.get("plugin").or_else(|| entries.get("type"));
            let main = main.and_then(Value::as_str);
            main.map_or_else(|| value.to_string(), str::to_owned)
        }
        Value::Array(names) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

/// What it is about, what was there and what is there now, and a note.
fn old_and_new(rows: Vec<[String; 4]>) -> Table {
    /// The indent, the arrow, and the blanks between columns.
    const BETWEEN: usize = 12;
    let chars = |at: usize| {
        let chars = |row: &[String; 4]| row[at].chars().count();
        rows.iter().map(chars).max().unwrap_or(0)
    };
    let room = usize::from(output::width()).saturating_sub(chars(0) + chars(3) + BETWEEN);
    // What one does not need the other may have.
    let needed = [chars(1), chars(2)];
    let chars_max = if needed[0] + needed[1] <= room {
        room
    } else {
        (room / 2).max(room.saturating_sub(needed[0].min(needed[1])))
    };
    let chars_max = chars_max.max(VALUE_CHARS_MIN);
    output::table(rows.into_iter().map(|[what, old, new, note]| {
        let (old, new) = focused(&old, &new, chars_max);
        [what, old, "→".to_owned(), new, note]
    }))
}

fn differences(f: &mut fmt::Formatter<'_>, diff: &Diff) -> fmt::Result {
    writeln!(f, "\n{STRONG}{}{STRONG:#}{}", diff.rows_told(), diff.ends_told())?;
    if diff.reordered {
        writeln!(f, "  the columns come in another order")?;
    }
    let columns: Vec<_> = diff.columns.iter().filter(|column| !column.is_empty()).collect();
    if !columns.is_empty() {
        let head = ["column", "rows", "null → value", "value → null", "value → other", ""];
        let rows = columns.iter().map(|column| {
            let count = |count: u64| if count == 0 { "–".to_owned() } else { number(count) };
            [
                column.name.clone(),
                count(column.rows()),
                count(column.null_to_value),
                count(column.value_to_null),
                count(column.value_to_other),
                column.standing(),
            ]
        });
        let head = std::iter::once(head.map(str::to_owned));
        let mut table = output::table(head.chain(rows));
        (1..=4).for_each(|column| output::align_right(&mut table, column));
        writeln!(f, "\n{}", output::lines(&table, "  "))?;
    }
    for column in columns {
        examples(f, column)?;
    }
    fates(f, &diff.fates)?;
    tallies(f, diff)
}

fn examples(f: &mut fmt::Formatter<'_>, column: &ColumnDiff) -> fmt::Result {
    if column.examples.is_empty() {
        return Ok(());
    }
    let mut examples: Vec<_> = column.examples.iter().collect();
    examples.sort_by_key(|example| std::cmp::Reverse(example.change));
    let rows = examples.into_iter().map(|example| {
        let (old, new) = (example.old.to_string(), example.new.to_string());
        [key(&example.key), old, new, place(&example.record)]
    });
    section(f, &column.name, &old_and_new(rows.collect()))
}

fn fates(f: &mut fmt::Formatter<'_>, fates: &[FateDiff]) -> fmt::Result {
    if fates.is_empty() {
        return Ok(());
    }
    let mut fates: Vec<_> = fates.iter().collect();
    fates.sort_by_key(|fate| std::cmp::Reverse(fate.records));
    writeln!(f, "\n{STRONG}records that come to another end{STRONG:#}")?;
    let rest = fates.len().saturating_sub(LINES_MAX);
    for FateDiff { old, new, records, examples } in fates.into_iter().take(LINES_MAX) {
        writeln!(f, "  {}  {old} → {new}", number(*records))?;
        let rows = examples.iter().map(|example| {
            let detail = example.detail.as_deref().unwrap_or_default().to_owned();
            [place(&example.record), key(&example.key), detail]
        });
        let table = output::table(rows);
        if table.row_count() > 0 {
            writeln!(f, "{FAINT}{}{FAINT:#}", output::lines(&table, "       "))?;
        }
    }
    if rest > 0 {
        writeln!(f, "  and {rest} more")?;
    }
    Ok(())
}

fn tallies(f: &mut fmt::Formatter<'_>, diff: &Diff) -> fmt::Result {
    let changed = diff.tallies.iter().filter(|tally| tally.old != tally.new);
    let rows = changed.take(LINES_MAX).map(|tally| {
        let count = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), number);
        let (old, new) = (count(tally.old), count(tally.new));
        [old, "→".to_owned(), new, format!("{}: {}", tally.step, tally.tally)]
    });
    let mut table = output::table(rows);
    output::align_right(&mut table, 0);
    output::align_right(&mut table, 2);
    section(f, "what the steps count", &table)
}

/// A title and what stands below it, if there is something.
fn section(f: &mut fmt::Formatter<'_>, title: &str, table: &Table) -> fmt::Result {
    if table.row_count() == 0 {
        return Ok(());
    }
    writeln!(f, "\n{STRONG}{title}{STRONG:#}\n{}", output::lines(table, "  "))
}

/// `ind 46`
fn key(key: &JsonRow) -> String {
    let parts = key.names().map(|name| match key.get(name) {
        Some(Value::String(text)) => format!("{name} {text}"),
        value => format!("{name} {}", value.unwrap_or(&Value::Null)),
    });
    cut(&parts.collect::<Vec<_>>().join(", "), 0, KEY_CHARS_MAX)
}

/// The end of it tells more than the beginning.
fn place(record: &str) -> String {
    let count = record.chars().count();
    if count <= PLACE_CHARS_MAX {
        return record.to_owned();
    }
    let end: String = record.chars().skip(count + 1 - PLACE_CHARS_MAX).collect();
    format!("…{end}")
}
