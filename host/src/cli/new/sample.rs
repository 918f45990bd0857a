//! Makes a pipeline and its rule from a sample: guesses the rule, runs it over the whole sample, and makes
//! tests of a few of its records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::{NewArgs, Written};
use crate::cli::ends::{Ends, first_chars};
use crate::cli::{CliError, looked, output, threads};
use crate::decode::likeness;
use crate::pipeline::Pipeline;
use crate::plugin::{CacheFolder, Sandbox};
use crate::record::RawBatch;
use crate::run::{Look, LookedEnd, RowOutcome, RuleTests};
use crate::sample::{EndOfRecord, Proposal, TestOfSample, cover, propose, rule_text, wrapper};
use crate::source::SOURCES;
use crate::written::nearest;

const TESTS_MAX: usize = 4;

/// Longer records cost more to read than they show.
const TEST_BYTES_MAX: usize = 4 << 10;

/// How templates name the key column.
const KEY_LINE: &str = "key: [ind]";

pub(super) fn written(
    args: &NewArgs,
    name: &str,
    folder: &Path,
    sink: &str,
) -> Result<Written, CliError> {
    let sample = &args.from;
    is_sample(sample)?;
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let temporary = looked::temporary()?;
    let source = looked::source_text(sample, &args.bucket, None, None)?;
    let reader = looked::pipeline(&temporary, &source, None, &sandbox)?;
    let records_max = args.records as usize;
    let batches = threads::runtime()?.block_on(async {
        looked::read(&reader.source, &reader.source_options(true), records_max).await
    })?;
    let values: Vec<_> = batches.iter().flat_map(readable).collect();
    let proposal = proposed(sample, &batches, &values)?;
    let unwrap = proposal.unwrap.as_deref();
    let guess = temporary.path().join("rule.yaml");
    fs::write(&guess, rule_text(&proposal, sample, &[]))
        .map_err(|error| CliError::io("a temporary file cannot be written", &error))?;
    let source = looked::source_text(sample, &args.bucket, None, unwrap)?;
    let pipeline = looked::pipeline(&temporary, &source, Some(&guess), &sandbox)?;
    let (ends, tests) = tried(&pipeline, &batches, unwrap)?;
    let shown = shown(sample);
    Ok(Written {
        source: looked::source_text(sample, &args.bucket, Some(folder), unwrap)?,
        rule: rule_text(&proposal, &shown, &tests),
        sink: with_key(sink, proposal.key.as_deref()),
        told: told(name, &shown, &proposal, &ends),
    })
}

/// A name that is neither a kind of source nor a sample was perhaps misspelt.
fn is_sample(sample: &str) -> Result<(), CliError> {
    if sample == "-" || sample.contains("://") || Path::new(sample).exists() {
        return Ok(());
    }
    let kinds = SOURCES.iter().map(|kind| kind.key());
    let error = CliError::input(format!("`{sample}` is neither a kind of source nor a sample"));
    Err(match nearest::nearest(sample, kinds) {
        Some(kind) => error.help(format!("did you mean `{kind}`?")),
        None => error.help(looked::SAMPLES),
    })
}

/// The values of the records that the source could read.
fn readable(raw: &RawBatch) -> impl Iterator<Item = bytes::Bytes> {
    let is_whole = |at: &usize| raw.records[*at].fault.is_none();
    (0..raw.records.len()).filter(is_whole).filter_map(|at| raw.value(at))
}

fn proposed(
    sample: &str,
    batches: &[RawBatch],
    values: &[bytes::Bytes],
) -> Result<Proposal, CliError> {
    let refused = |why: String| CliError::input(format!("{sample} has no records: {why}"));
    let first = batches.iter().find(|raw| !raw.records.is_empty());
    let Some(first) = first else {
        return Err(refused("there is nothing in it".to_owned()));
    };
    if let Some(member) = wrapper(values.iter().map(|value| &**value)) {
        return Err(refused(format!("it looks like a {{{member}: […]}} wrapper")).help(format!(
            "take the records out of it:\njq -c '.{member}[]' {sample} > records.ndjson"
        )));
    }
    let proposal = propose(values.iter().map(|value| &**value));
    let proposal = proposal.filter(|proposal| proposal.records >= proposal.unreadable);
    proposal.ok_or_else(|| {
        let likeness = values.first().and_then(|value| likeness(value));
        match likeness {
            Some(likeness) => refused(format!("it {likeness}")).help(likeness.help()),
            None => refused(format!("it begins with {}", first_chars(first, 0)))
                .help("records are objects of JSON, one after the other or in an array"),
        }
    })
}

/// Runs the guess over the sample, and chooses records that show what it does.
fn tried(
    pipeline: &Pipeline,
    batches: &[RawBatch],
    unwrap: Option<&str>,
) -> Result<(Ends, Vec<TestOfSample>), CliError> {
    let mut look = Look::of(pipeline)?.expect("it has a rule");
    let rule = Arc::clone(look.rule());
    let mut ends = Ends::of(rule.columns().iter().map(|column| &*column.name));
    let mut candidates = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let mut number = 0;
    for raw in batches {
        let looked = look.clean(raw).map_err(|halted| CliError::failed("").because(&*halted))?;
        ends.add(raw, &looked);
        for (at, end) in looked.ends.iter().enumerate() {
            number += 1;
            let Some(record) = raw.value(at).and_then(|value| as_test(&value, unwrap)) else {
                continue;
            };
            let shows = shows(end, &mut reasons);
            let cost = record.len();
            candidates.push(((number, record), (shows, cost)));
        }
    }
    let (records, costs): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
    let tests = RuleTests::new(&rule, pipeline.limits.to_decode_limits());
    let tests = tests.map_err(|error| CliError::failed(error.to_string()))?;
    let mut written = Vec::new();
    for at in cover(&costs, TESTS_MAX) {
        let (number, record) = &records[at];
        let end = tests.end_of(record).map_err(|error| CliError::failed(error.to_string()))?;
        let end = match end {
            RowOutcome::Kept(values) => {
                let names = rule.columns().iter().map(|column| column.name.to_string());
                EndOfRecord::Row(names.zip(values).collect())
            }
            RowOutcome::Rejected { reason, .. } => EndOfRecord::Reject { reason },
            RowOutcome::Dropped => continue,
        };
        let name = format!("record {number} of the sample");
        written.push(TestOfSample { name, record: record.clone(), end });
    }
    Ok((ends, written))
}

/// The text of a record that a test may have: what a rule's file can hold, and people read.
fn as_test(value: &[u8], unwrap: Option<&str>) -> Option<String> {
    let mut text = std::str::from_utf8(value).ok()?;
    if let Some(member) = unwrap {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        text = members.get(member)?.get();
    }
    let is_odd = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\r' | '\t')
            || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    (text.len() <= TEST_BYTES_MAX && !text.contains(is_odd)).then(|| text.to_owned())
}

/// Numbers that stand for what a record shows.
fn shows(end: &LookedEnd, reasons: &mut Vec<String>) -> BTreeSet<u32> {
    const OF_COLUMN: u32 = 3;
    const REASONS: u32 = 1 << 24;
    match end {
        LookedEnd::Row(values) => {
            let values = (0..).step_by(OF_COLUMN as usize).zip(values);
            let shown = values.flat_map(|(column, value)| {
                let is_changed = value.was.is_some();
                [
                    (!value.value.is_null()).then_some(column),
                    (is_changed && !value.value.is_null()).then_some(column + 1),
                    (is_changed && value.value.is_null()).then_some(column + 2),
                ]
            });
            shown.flatten().collect()
        }
        LookedEnd::Dead { reason, .. } => {
            let known = reasons.iter().position(|known| known == reason);
            let at = known.unwrap_or_else(|| {
                reasons.push(reason.clone());
                reasons.len() - 1
            });
            [REASONS + at as u32].into()
        }
        LookedEnd::Delete | LookedEnd::Dropped { .. } => BTreeSet::new(),
    }
}

fn with_key(sink: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => sink.replace(KEY_LINE, &format!("key: [{key}]")),
        None => sink.replace(KEY_LINE, "# key: [id]"),
    }
}

/// The sample's name without its place on this machine.
fn shown(sample: &str) -> String {
    if sample == "-" {
        return "the standard input".to_owned();
    }
    if sample.contains("://") {
        return sample.to_owned();
    }
    let name = Path::new(sample).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| sample.to_owned())
}

fn told(name: &str, sample: &str, proposal: &Proposal, ends: &Ends) -> String {
    let columns = output::count(proposal.fields.len(), "column");
    let key = match &proposal.key {
        Some(key) => format!("rows are told apart by {key}"),
        None => "no column tells rows apart, so rows are appended".to_owned(),
    };
    let mut told = format!("{name}: {columns} from {sample}; {key}\n{ends}");
    if proposal.unreadable > 0 {
        let unreadable = output::count(proposal.unreadable as usize, "record");
        let _ = write!(told, "\n{unreadable} of the sample are no objects of JSON");
    }
    told
}
