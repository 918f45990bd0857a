//! What commands print: results on stdout, talk on stderr, and figures that people can read.

use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use bytesize::ByteSize;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanCount;
use serde::Serialize;

use super::{CliError, log};
use crate::plugin::Finding;
use crate::run::Difference;
use crate::written::secrets::mask;

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
const HELP: Style = AnsiColor::Cyan.on_default();

/// Prints a result, which is no data: secrets are masked. A reader that has seen enough, as `head` has, is no error.
pub(super) fn result(text: impl Display) -> Result<(), CliError> {
    data(mask(&text.to_string()))
}

/// Prints what records hold, as they hold it.
pub(super) fn data(text: impl Display) -> Result<(), CliError> {
    let mut stdout = anstream::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| {
            CliError::environment("cannot write to the standard output").because(&error)
        }),
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    result(serde_json::to_string_pretty(value).expect("keys are text"))
}

/// One of many values that records hold, on a line of its own.
pub(super) fn data_line(value: &impl Serialize) -> Result<(), CliError> {
    data(serde_json::to_string(value).expect("keys are text"))
}

/// Says something that is no result. If nobody listens, so be it.
pub(super) fn talk(text: impl Display) {
    let text = text.to_string();
    if log::is_json() {
        tracing::info!("{}", plain(&text).trim());
    } else {
        let _ = writeln!(anstream::stderr().lock(), "{}", mask(&text));
    }
}

/// Without colours.
pub(super) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// What a plugin finds wrong, with what to do about it.
pub(super) fn finding(finding: &Finding, indent: &str) -> String {
    let Finding { pointer, message, help } = finding;
    let place = if pointer.is_empty() { "" } else { &format!("{STRONG}{pointer}{STRONG:#}: ") };
    let help = help.as_deref().map_or_else(String::new, |help| {
        format!("\n{indent}  {HELP}help:{HELP:#} {}", help.replace('\n', "\n        "))
    });
    format!("{indent}{place}{}{help}", message.replace('\n', &format!("\n{indent}")))
}

/// What was expected and what came out, one below the other.
pub(super) fn difference(difference: &Difference) -> String {
    let Difference { place, expected, got, help } = difference;
    let text = |text: &str| text.replace('\n', "\n                  ");
    let (expected, got) = (text(expected), text(got));
    let mut told = format!(
        "      {place}\n        expected  {GOOD}{expected}{GOOD:#}\n        got       {BAD}{got}{BAD:#}\n"
    );
    if let Some(help) = help {
        let _ = writeln!(told, "        {FAINT}{help}{FAINT:#}");
    }
    told
}

/// A table without lines. Columns in `right` hold numbers.
pub(super) fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width());
    for row in rows {
        table.add_row(row.map(Cell::new));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// The same, for rows that are looked for with other tools: a line each.
pub(super) fn unwrapped<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = table(rows);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The same for as many columns as there are.
pub(super) fn grid(rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// Shows numbers of a column one below the other.
pub(super) fn align_right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// The table as lines without blanks at their ends, each behind `indent`.
pub(super) fn lines(table: &Table, indent: &str) -> String {
    let lines: Vec<_> = table.lines().map(|line| format!("{indent}{}", line.trim_end())).collect();
    lines.join("\n")
}

/// Of the lines that are printed.
pub(super) fn width() -> u16 {
    const WITHOUT_TERMINAL: u16 = 100;
    terminal_size::terminal_size_of(io::stdout())
        .map_or(WITHOUT_TERMINAL, |(width, _)| width.0.clamp(40, 120) - 2)
}

/// 1,234,567
pub(super) fn number(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `1 row`, `2 rows`.
pub(super) fn count(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(count as u64))
}

/// 1.2 MiB
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// Two or three digits and a unit: 85 ns, 1.3 µs, 12 ms, 2.1 s.
pub(super) fn time(time: Duration) -> String {
    nanoseconds(time.as_nanos() as f64)
}

/// How long ago, in one or two units: 12 s ago, 3 d 4 h ago.
pub(super) fn age(age: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = age.as_secs();
    let large = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let parts = UNITS[large..].iter().take(2).scan(seconds, |rest, (unit, name)| {
        let count = *rest / unit;
        *rest %= unit;
        Some((count, name))
    });
    let shown = parts.enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
    let shown: Vec<_> = shown.map(|(_, (count, name))| format!("{count} {name}")).collect();
    format!("{} ago", shown.join(" "))
}

pub(super) fn nanoseconds(nanos: f64) -> String {
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    if value < 10.0 && unit != "ns" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        for (given, shown) in
            [(0, "0"), (12, "12"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(number(given), shown);
        }
        for (nanos, shown) in [
            (3.0, "3 ns"),
            (85.4, "85 ns"),
            (1_312.0, "1.3 µs"),
            (12_345.0, "12 µs"),
            (110e6, "110 ms"),
            (2.1e9, "2.1 s"),
        ] {
            assert_eq!(nanoseconds(nanos), shown);
        }
        for (seconds, shown) in [
            (0, "0 s ago"),
            (59, "59 s ago"),
            (61, "1 min 1 s ago"),
            (7_200, "2 h ago"),
            (330_827, "3 d 19 h ago"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(1_000, "row"), "1,000 rows");
    }
}
