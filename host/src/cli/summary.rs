//! What a run did, for the person who waited for it.

use std::fmt::{self, Write as _};

use super::log;
use super::output::{self, BAD, FAINT, GOOD, STRONG};
use super::run::Running;
use crate::observe::Totals;
use crate::record::Lane;
use crate::run::LaneHealth;

/// Reasons and tallies that are shown; the metrics have all.
const LINES_MAX: usize = 10;

const EXAMPLES_MAX: usize = 6;

const UNDATED: &str =
    "the row was there, and nobody knows which is newer; `--overwrite` replaces it";

const LEFT: &str = "the pipeline has not read them yet, and will write them; then a replay with another `--run-id` takes them in";

pub(super) struct Summary<'a> {
    running: &'a Running,
    /// Somebody asked it to end.
    is_drained: bool,
    /// Nobody knows when its records were made: rows that are there stay as they are.
    is_undated: bool,
    /// Records that a replay has left to the stream.
    left: u64,
}

impl<'a> Summary<'a> {
    pub(super) fn new(running: &'a Running, is_drained: bool) -> Self {
        Self { running, is_drained, is_undated: false, left: 0 }
    }

    /// Of a replay whose records take no row's place.
    pub(super) fn undated(self, is_undated: bool) -> Self {
        Self { is_undated, ..self }
    }

    /// Of a replay that replaces, and leaves these records to the stream.
    pub(super) fn left(self, left: u64) -> Self {
        Self { left, ..self }
    }

    /// Rows that did not take the place of another: because that one is newer, or because nobody knows
    /// which of them is.
    fn not_stored(&self, totals: &Totals) -> NotStored {
        if self.is_undated {
            return NotStored { superseded: 0, undated: totals.superseded };
        }
        NotStored { superseded: totals.superseded, undated: 0 }
    }

    /// Says it, as people read it or as a line of the log.
    pub(super) fn tell(&self) {
        if !log::is_json() {
            return output::talk(self);
        }
        let Running { pipeline, stats } = self.running;
        let totals = stats.totals();
        let NotStored { superseded, undated } = self.not_stored(&totals);
        for (lane, reason, help) in halted(&totals) {
            tracing::error!(pipeline = %pipeline.name, lane = %lane, help, "the lane is halted: {reason}");
        }
        tracing::info!(
            pipeline = %pipeline.name,
            records = totals.records,
            rows = totals.rows,
            superseded,
            undated,
            left = self.left,
            dropped = totals.dropped(),
            dead_letters = totals.dead(),
            seconds = stats.elapsed().as_secs_f64(),
            "{}",
            output::plain(&self.how(&totals))
        );
    }
}

/// See [`Summary::not_stored`].
#[derive(Debug, Clone, Copy)]
struct NotStored {
    superseded: u64,
    undated: u64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running { pipeline, stats } = self.running;
        let totals = stats.totals();
        writeln!(f, "\n{STRONG}{}{STRONG:#}  {}", pipeline.name, self.how(&totals))?;
        for (lane, reason, _) in halted(&totals) {
            writeln!(f, "\n  {BAD}halted:{BAD:#} {lane}: {reason}")?;
        }
        if totals.records == 0 {
            self.nothing(f, &totals)?;
            return match self.left {
                0 => Ok(()),
                left => write!(f, "\n  {} records are left: {LEFT}", output::number(left)),
            };
        }
        let NotStored { superseded, undated } = self.not_stored(&totals);
        let rate = (totals.records as f64 / stats.elapsed().as_secs_f64()) as u64;
        let rows = [
            ("records read", totals.records, format!("{} a second", output::number(rate))),
            ("rows stored", totals.rows, pipeline.sink.facts().place),
            ("superseded", superseded, "a newer version of the row was there".to_owned()),
            ("undated", undated, UNDATED.to_owned()),
            ("left", self.left, LEFT.to_owned()),
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
    /// How it ended, and when.
    fn how(&self, totals: &Totals) -> String {
        let time = output::time(self.running.stats.elapsed());
        match (totals.lanes.is_empty(), has_ended(totals), self.is_drained) {
            (true, _, _) => format!("{BAD}not started{BAD:#}"),
            (false, true, _) => format!("{GOOD}done{GOOD:#} {FAINT}in {time}{FAINT:#}"),
            (false, false, true) if self.running.pipeline.sink.facts().positions.are_kept() => {
                format!("stopped after {time}; the next run goes on from here")
            }
            (false, false, true) => format!("stopped after {time}"),
            (false, false, false) => {
                format!("{BAD}not finished{BAD:#} {FAINT}after {time}{FAINT:#}")
            }
        }
    }

    /// No record was committed.
    fn nothing(&self, f: &mut fmt::Formatter<'_>, totals: &Totals) -> fmt::Result {
        let pipeline = &self.running.pipeline;
        let at: Vec<_> = totals
            .lanes
            .iter()
            .filter_map(|(lane, status)| Some(format!("{lane} stands at {}", status.position?)))
            .collect();
        if at.is_empty() {
            return write!(f, "\n  no record was read");
        }
        let was_all = has_ended(totals) || self.is_drained;
        let why = if was_all { "nothing new to read" } else { "nothing was committed" };
        let (at, place) = (at.join(", "), pipeline.sink.facts().place);
        write!(f, "\n  {why}: {at}\n  no row was added {place}")
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
        let args = pipeline.args();
        let (source, sink) = (pipeline.source.facts(), pipeline.sink.facts());
        let mut next = Vec::new();
        next.extend(sink.shows_rows.map(|command| (command, "the rows")));
        if totals.dead() > 0 && sink.positions.are_kept() {
            next.push((
                format!("pinhost dead-letters {args} list"),
                "what could not be cleaned, and why",
            ));
        }
        let is_repeatable =
            source.positions.are_kept() && sink.positions.are_kept() && args.replay.is_none();
        if is_repeatable {
            next.push((format!("pinhost run {args}"), "again: what is stored stays as it is"));
        }
        if next.is_empty() {
            return Ok(());
        }
        let rows = next.into_iter().map(|(command, what)| [command, what.to_owned()]);
        write!(f, "\n{STRONG}next{STRONG:#}\n{}", output::lines(&output::unwrapped(rows), "  "))
    }
}

/// Lanes that hold their positions, why, and what lifts that.
fn halted(totals: &Totals) -> impl Iterator<Item = (&Lane, &str, Option<&str>)> {
    totals.lanes.iter().filter_map(|(lane, status)| match &status.health {
        LaneHealth::Halted { reason, help, .. } => Some((lane, &**reason, help.as_deref())),
        LaneHealth::Starting | LaneHealth::Running | LaneHealth::Standby | LaneHealth::Ended => {
            None
        }
    })
}

fn has_ended(totals: &Totals) -> bool {
    totals.lanes.values().all(|lane| lane.health == LaneHealth::Ended)
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
