//! `pinhost preview`: what becomes of records, before anything is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::ends::{Ends, first_chars};
use super::looked::{self, BucketArgs, SAMPLES};
use super::output::{FAINT, STRONG};
use super::{CliError, Exit, output, threads};
use crate::diff::cut;
use crate::pipeline::{Document, Pipeline};
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::json::JsonRow;
use crate::record::{Field, RawBatch};
use crate::run::{Look, LookedEnd, LookedValue};

#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct PreviewArgs {
    /// A pipeline, or a rule with `--from`.
    file: PathBuf,
    /// How many rows to show.
    #[arg(short = 'n', long = "rows", value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rows: u32,
    /// Only rows whose column has this value, like `city=Rome` or `price!=null`. Given several times, all
    /// have to hold.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    conditions: Vec<String>,
    /// Only records that ended like this.
    #[arg(long, value_name = "END")]
    only: Option<Only>,
    /// Read this sample instead of the pipeline's own source.
    #[arg(long, value_name = "SAMPLE")]
    from: Option<String>,
    #[command(flatten)]
    bucket: BucketArgs,
    /// How many records to read and clean.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    records: u32,
    /// Print JSON, one record a line.
    #[arg(long)]
    json: bool,
}

const AFTER: &str = "\
Records are read from where the source begins, and cleaned as a run would do it. Nothing is written,
and no position is kept: the sink is not opened, and a topic is read in a group of its own.

A value that a step has changed has a * behind it.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Rows in which a step has changed a value.
    Changed,
    /// Records that would be dead letters.
    Rejected,
    /// Records that a step drops.
    Dropped,
}

pub(super) fn run(args: &PreviewArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let pipeline = pipeline(args, &sandbox)?;
    let Some(mut look) = Look::of(&pipeline)? else {
        return Err(CliError::input(format!(
            "pipeline {} has no rule: records are passed on as they come",
            pipeline.name
        )));
    };
    let columns = look.rule().columns().clone();
    let conditions = args.conditions.iter().map(|text| Condition::of(text, &columns));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let runtime = threads::runtime()?;
    let options = pipeline.source_options(true);
    let batches = runtime.block_on(looked::read(&pipeline.source, &options, args.records as usize));
    // A read of the standard input is of no use any more.
    runtime.shutdown_background();
    let mut ends = Ends::of(columns.iter().map(|column| &*column.name));
    let mut shown = Vec::new();
    let mut matching = 0;
    let mut number = 0;
    for raw in batches? {
        let looked = look.clean(&raw).map_err(|halted| CliError::failed("").because(&*halted))?;
        ends.add(&raw, &looked);
        for (at, end) in looked.ends.into_iter().enumerate() {
            number += 1;
            if is_meant(&end, args.only, &conditions) {
                matching += 1;
                if shown.len() < args.rows as usize {
                    shown.push(Shown::of(number, &raw, at, end));
                }
            }
        }
    }
    if args.json {
        for record in &shown {
            record.print(&columns)?;
        }
        return Ok(Exit::Done);
    }
    if ends.records == 0 {
        output::talk(format!("{} has no records to look at", pipeline.source.kind()));
        return Ok(Exit::Done);
    }
    output::data(told(&shown, &columns, matching))?;
    output::data(format!("\n{ends}"))?;
    Ok(Exit::Done)
}

/// What is looked at, with the source that is meant.
fn pipeline(args: &PreviewArgs, sandbox: &Sandbox) -> Result<Pipeline, CliError> {
    let document = Document::load(&args.file, sandbox)?;
    let Some(sample) = &args.from else {
        return match document {
            Document::Pipeline(pipeline) => Ok(*pipeline),
            Document::Rule(_) => Err(CliError::input(format!(
                "{} is a rule, which has no records of its own",
                args.file.display()
            ))
            .help(format!("name some with --from.\n{SAMPLES}"))),
        };
    };
    let unwrap = document.unwrap();
    let source = looked::source_text(sample, &args.bucket, None, unwrap.as_deref())?;
    let temporary = looked::temporary()?;
    let reader = looked::pipeline(&temporary, &source, None, sandbox)?;
    Ok(document.piped(reader.source, reader.sink))
}

/// `city=Rome`, `price!=null`
#[derive(Debug)]
struct Condition {
    column: usize,
    value: String,
    is_equal: bool,
}

impl Condition {
    fn of(text: &str, columns: &[Field]) -> Result<Self, CliError> {
        let Some((column, value)) = text.split_once('=') else {
            return Err(CliError::input(format!("`{text}` names no column and value"))
                .help("they are written as `city=Rome`, or `price!=null`"));
        };
        let (column, is_equal) = match column.strip_suffix('!') {
            Some(column) => (column, false),
            None => (column, true),
        };
        let known: Vec<_> = columns.iter().map(|field| &*field.name).collect();
        let Some(at) = known.iter().position(|name| *name == column.trim()) else {
            let error = CliError::input(format!("rows have no column `{column}`"));
            return Err(match crate::written::nearest::help(column, &known, "there are") {
                Some(help) => error.help(help),
                None => error,
            });
        };
        Ok(Self { column: at, value: value.trim().to_owned(), is_equal })
    }

    fn holds(&self, values: &[LookedValue]) -> bool {
        let is_same = match &values[self.column].value {
            Value::String(text) => *text == self.value,
            // As it is written in JSON.
            value => format!("{value}") == self.value,
        };
        is_same == self.is_equal
    }
}

fn is_meant(end: &LookedEnd, only: Option<Only>, conditions: &[Condition]) -> bool {
    match (end, only) {
        (LookedEnd::Row(values), None | Some(Only::Changed)) => {
            let is_changed = values.iter().any(|value| value.was.is_some());
            (only.is_none() || is_changed)
                && conditions.iter().all(|condition| condition.holds(values))
        }
        (LookedEnd::Dead { .. }, Some(Only::Rejected))
        | (LookedEnd::Dropped { .. }, Some(Only::Dropped)) => true,
        _ => false,
    }
}

/// A record, and what becomes of it.
struct Shown {
    /// Counted from 1.
    number: u64,
    begins: String,
    value: Option<String>,
    end: LookedEnd,
}

impl Shown {
    fn of(number: u64, raw: &RawBatch, at: usize, end: LookedEnd) -> Self {
        let value = raw.value(at).filter(|_| !matches!(end, LookedEnd::Row(_)));
        let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
        Self { number, begins: first_chars(raw, at), value, end }
    }

    fn print(&self, columns: &[Field]) -> Result<(), CliError> {
        let number = self.number;
        match &self.end {
            LookedEnd::Row(values) => {
                let names = || columns.iter().map(|column| column.name.to_string());
                let row = names().zip(values).map(|(name, value)| (name, value.value.clone()));
                let was = names()
                    .zip(values)
                    .filter_map(|(name, value)| Some((name, value.was.clone()?)));
                let (row, was) = (JsonRow(row.collect()), JsonRow(was.collect()));
                output::data_line(&ShownRow { record: number, row, was })
            }
            LookedEnd::Delete => output::data_line(&json!({ "record": number, "delete": true })),
            LookedEnd::Dropped { step } => output::data_line(
                &json!({ "record": number, "dropped": &**step, "value": self.value }),
            ),
            LookedEnd::Dead { step, reason, detail } => output::data_line(&json!({
                "record": number,
                "step": step.as_deref(),
                "reason": reason,
                "detail": detail,
                "value": self.value,
            })),
        }
    }
}

/// A row as `--json` has it: its columns in order, and what the record had where a step changed it.
#[derive(Debug, Serialize)]
struct ShownRow {
    record: u64,
    row: JsonRow,
    was: JsonRow,
}

fn told(shown: &[Shown], columns: &[Field], matching: u64) -> String {
    if shown.is_empty() {
        return "no record is like that".to_owned();
    }
    let told = match shown[0].end {
        LookedEnd::Row(_) => rows(shown, columns),
        _ => others(shown),
    };
    match matching - shown.len() as u64 {
        0 => told,
        more => format!("{told}\n{FAINT}and {} more: -n shows them{FAINT:#}", output::number(more)),
    }
}

/// Longer values say no more to a reader.
const VALUE_CHARS_MAX: usize = 28;

/// Rows in as many tables as the width takes.
fn rows(shown: &[Shown], columns: &[Field]) -> String {
    let cells: Vec<Vec<String>> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let values = shown.iter().map(|record| match &record.end {
                LookedEnd::Row(values) => cell(&values[at]),
                _ => String::new(),
            });
            [cut(&column.name, 0, VALUE_CHARS_MAX)].into_iter().chain(values).collect()
        })
        .collect();
    let numbers = ["record".to_owned()].into_iter();
    let numbers: Vec<_> =
        numbers.chain(shown.iter().map(|record| output::number(record.number))).collect();
    let chars = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let room = usize::from(output::width()).saturating_sub(chars(&numbers) + 2);
    let mut tables = Vec::new();
    let mut left = &cells[..];
    while !left.is_empty() {
        let mut taken = 0;
        let mut used = 0;
        while taken < left.len() && (taken == 0 || used + chars(&left[taken]) + 2 <= room) {
            used += chars(&left[taken]) + 2;
            taken += 1;
        }
        let (these, rest) = left.split_at(taken);
        let lines = (0..=shown.len()).map(|line| {
            let cells = [&numbers].into_iter().chain(these).map(|cells| cells[line].clone());
            cells.collect::<Vec<_>>()
        });
        let table = output::lines(&output::grid(lines), "");
        let (head, body) = table.split_once('\n').unwrap_or((&table, ""));
        tables.push(format!("{STRONG}{head}{STRONG:#}\n{body}"));
        left = rest;
    }
    tables.join("\n\n")
}

/// A text as it is, unless it could be mistaken for something else; anything else as JSON.
fn cell(LookedValue { value, was }: &LookedValue) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.replace(|c: char| c.is_control(), "·"),
        value => value.to_string(),
    };
    let mark = if was.is_some() { "*" } else { "" };
    format!("{}{mark}", cut(&text, 0, VALUE_CHARS_MAX))
}

fn others(shown: &[Shown]) -> String {
    let lines = shown.iter().map(|record| {
        let why = match &record.end {
            LookedEnd::Dead { step: Some(step), reason, .. } => format!("{step}: {reason}"),
            LookedEnd::Dead { step: None, reason, .. } => reason.clone(),
            LookedEnd::Dropped { step } => format!("dropped by {step}"),
            LookedEnd::Delete | LookedEnd::Row(_) => String::new(),
        };
        vec![output::number(record.number), why, record.begins.clone()]
    });
    output::lines(&output::grid(lines), "")
}
