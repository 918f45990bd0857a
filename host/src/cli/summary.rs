//! What a run did, for the person who waited for it.

use std::fmt::{self, Write as _};

use super::output::{self, BAD, FAINT, GOOD, STRONG};
use super::run::Running;
use crate::observe::{LaneHealth, Totals};
use crate::pipeline::Pipeline;
use crate::pipeline::config::{RowFormat, SinkConfig};

/// Reasons and tallies that are shown; the metrics have all.
const LINES_MAX: usize = 10;

const EXAMPLES_MAX: usize = 6;

pub(super) struct Summary<'a> {
    running: &'a Running,
    /// Somebody asked it to end.
    is_drained: bool,
    /// What tells a replay from others, in commands.
    replay: Option<String>,
}

impl<'a> Summary<'a> {
    pub(super) fn new(running: &'a Running, is_drained: bool) -> Self {
        Self { running, is_drained, replay: None }
    }

    /// `told` is what names the replay in commands.
    pub(super) fn of_replay(running: &'a Running, is_drained: bool, told: String) -> Self {
        Self { running, is_drained, replay: Some(told) }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running { pipeline, stats } = self.running;
        let totals = stats.totals();
        let took = stats.elapsed();
        let ended = totals.lanes.values().all(|lane| lane.health == LaneHealth::Ended);
        let how = match (ended, self.is_drained) {
            (true, _) => format!("{GOOD}done{GOOD:#}"),
            (false, true) => "stopped; the next run goes on from here".to_owned(),
            (false, false) => format!("{BAD}not finished{BAD:#}"),
        };
        let time = output::time(took);
        writeln!(f, "\n{STRONG}{}{STRONG:#}  {how} {FAINT}in {time}{FAINT:#}", pipeline.name)?;
        if totals.records == 0 {
            return self.nothing_new(f, &totals);
        }
        let rate = (totals.records as f64 / took.as_secs_f64()) as u64;
        let rows = [
            ("records read", totals.records, format!("{} a second", output::number(rate))),
            ("rows stored", totals.rows, place(pipeline)),
            ("superseded", totals.superseded, "a newer version of the row was there".to_owned()),
            ("dropped", totals.dropped(), named(&totals)),
            ("dead letters", totals.dead(), String::new()),
        ];
        // Of what did not happen, only dead letters are news.
        let rows =
            rows.into_iter().filter(|(what, count, _)| *count > 0 || what.starts_with("dead"));
        let mut table = output::table(
            rows.map(|(what, count, note)| [what.to_owned(), output::number(count), note]),
        );
        output::align_right(&mut table, 1);
        writeln!(f, "\n{}", output::lines(&table, "  "))?;
        section(f, "dead letters", totals.dead_letters.iter().map(|(why, n)| (*n, why.clone())))?;
        section(
            f,
            "what the steps counted",
            totals.tallies.iter().map(|((step, tally), n)| (*n, format!("{step}: {tally}"))),
        )?;
        self.examples(f, &totals)?;
        self.next(f, &totals)
    }
}

impl Summary<'_> {
    fn nothing_new(&self, f: &mut fmt::Formatter<'_>, totals: &Totals) -> fmt::Result {
        let pipeline = &self.running.pipeline;
        let at: Vec<_> = totals
            .lanes
            .iter()
            .filter_map(|(lane, status)| Some(format!("{lane} stands at {}", status.position?)))
            .collect();
        if at.is_empty() {
            return write!(f, "\n  no record was read");
        }
        let place = place(pipeline);
        write!(f, "\n  nothing new to read: {}\n  no row was added {place}", at.join(", "))
    }

    fn examples(&self, f: &mut fmt::Formatter<'_>, totals: &Totals) -> fmt::Result {
        if totals.examples.is_empty() {
            return Ok(());
        }
        let rows = totals.examples.iter().take(EXAMPLES_MAX).map(|example| {
            [example.column.clone(), example.before.clone(), "→".to_owned(), example.after.clone()]
        });
        let table = output::table(rows);
        writeln!(f, "\n{STRONG}before and after{STRONG:#}\n{}", output::lines(&table, "  "))
    }

    /// What to type now.
    fn next(&self, f: &mut fmt::Formatter<'_>, totals: &Totals) -> fmt::Result {
        let pipeline = &self.running.pipeline;
        let file = pipeline.path.display();
        let mut next = Vec::new();
        match &pipeline.sink {
            SinkConfig::Postgres(postgres) => {
                let url = &postgres.url;
                next.push((
                    format!("psql \"{url}\" -c 'SELECT * FROM {} LIMIT 5'", postgres.table),
                    "the rows",
                ));
            }
            SinkConfig::Sqlite(sqlite) => {
                next.push((
                    format!("sqlite3 {} 'SELECT * FROM {} LIMIT 5'", sqlite.path, sqlite.table),
                    "the rows",
                ));
            }
            SinkConfig::Objects(objects) if objects.format == RowFormat::Parquet => {
                next.push((
                    format!("duckdb -c \"FROM '{}/**/*.parquet' LIMIT 5\"", objects.url),
                    "the rows",
                ));
            }
            SinkConfig::Objects(_) | SinkConfig::Stdout(_) => {}
        }
        if totals.dead() > 0 && !matches!(pipeline.sink, SinkConfig::Stdout(_)) {
            let of = self.replay.as_ref().map_or_else(String::new, |replay| format!("{replay} "));
            next.push((
                format!("pinhost dead-letters {file} {of}list"),
                "what could not be cleaned, and why",
            ));
        }
        if self.replay.is_none() && !matches!(pipeline.sink, SinkConfig::Stdout(_)) {
            next.push((format!("pinhost run {file}"), "again: what is stored stays as it is"));
        }
        if next.is_empty() {
            return Ok(());
        }
        let rows = next.into_iter().map(|(command, what)| [command, what.to_owned()]);
        write!(f, "\n{STRONG}next{STRONG:#}\n{}", output::lines(&output::table(rows), "  "))
    }
}

/// Where rows went.
fn place(pipeline: &Pipeline) -> String {
    match &pipeline.sink {
        SinkConfig::Postgres(postgres) => format!("in table {}", postgres.table),
        SinkConfig::Sqlite(sqlite) => format!("in table {} of {}", sqlite.table, sqlite.path),
        SinkConfig::Objects(objects) => format!("in {}", objects.url),
        SinkConfig::Stdout(_) => "on the standard output".to_owned(),
    }
}

fn named(totals: &Totals) -> String {
    let steps: Vec<_> = totals.dropped.keys().map(String::as_str).collect();
    format!("by {}", steps.join(", "))
}

/// Counts and what they count, the largest first.
fn section(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    counts: impl Iterator<Item = (u64, String)>,
) -> fmt::Result {
    let mut counts: Vec<_> = counts.filter(|(count, _)| *count > 0).collect();
    if counts.is_empty() {
        return Ok(());
    }
    counts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let rest = counts.len().saturating_sub(LINES_MAX);
    counts.truncate(LINES_MAX);
    let rows = counts.into_iter().map(|(count, what)| [output::number(count), what]);
    let mut table = output::table(rows);
    output::align_right(&mut table, 0);
    let mut lines = output::lines(&table, "  ");
    if rest > 0 {
        let _ = write!(lines, "\n  and {rest} more");
    }
    writeln!(f, "\n{STRONG}{title}{STRONG:#}\n{lines}")
}
