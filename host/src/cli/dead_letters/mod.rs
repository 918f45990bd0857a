//! `pinhost dead-letters`: records that could not be cleaned or stored.

mod choice;
mod summary;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::choice::Choice;
use super::output::{FAINT, STRONG};
use super::which::Which;
use super::{CliError, Exit, output, sinks, threads};
use crate::connect::{Sink, Stored};
use crate::ledger::{DeadLetterFilter, DeadLetterState, Ledger, Letters, StoredDeadLetter};
use crate::pipeline::Pipeline;
use crate::record::RawFault;
use crate::run::{Live, Retried, retry};
use crate::source::objects::{ObjectNames, ObjectRecord};

#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// Count them by their reasons, with one of each.
    Summary {
        #[command(flatten)]
        choice: Choice,
        /// Print JSON, a reason a line.
        #[arg(long)]
        json: bool,
    },
    /// Show which there are: the oldest first.
    List {
        #[command(flatten)]
        choice: Choice,
        /// The newest first.
        #[arg(long)]
        newest: bool,
        /// Show those that a retry made rows of, too.
        #[arg(long)]
        all: bool,
        #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Print JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one: its record, and why it is here.
    Show {
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write all that are dead as NDJSON.
    Export {
        #[command(flatten)]
        choice: Choice,
        /// The file; the standard output if left out.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take dead letters through the rule as it is now; all, or those named.
    ///
    /// Their rows are stored and the letters closed in one step. Rows keep the place and the version of
    /// their records; in a table that rows are appended to, they come after rows that were stored since.
    Retry {
        ids: Vec<String>,
        /// Only those that this generation made, by the beginning of its digest: of one that was rolled back,
        /// say.
        #[arg(long, value_name = "DIGEST")]
        generation: Option<String>,
    },
}

pub(super) fn run(args: &DeadLettersArgs) -> Result<Exit, CliError> {
    let pipeline = args.which.load()?;
    let done = done(&pipeline, &args.command)?;
    looked_at(&pipeline)?;
    Ok(done)
}

/// Nobody has to be warned of letters any more.
fn looked_at(pipeline: &Pipeline) -> Result<(), CliError> {
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(pipeline).await?;
        let letters = &sink.ledger().letters;
        // It may be that this one may look only.
        if let Ok(Some(_)) = letters.warning().await {
            let _ = letters.keep_warning(None).await;
        }
        Ok(())
    })
}

fn done(pipeline: &Pipeline, command: &DeadLettersCommand) -> Result<Exit, CliError> {
    match command {
        DeadLettersCommand::Summary { choice, json } => summary::run(pipeline, choice, *json),
        DeadLettersCommand::List { choice, newest, all, limit, json } => {
            let listed = Listed { choice, is_newest_first: *newest, has_all: *all, limit: *limit };
            list(pipeline, &listed, *json)
        }
        DeadLettersCommand::Show { id, json } => show(pipeline, id, *json),
        DeadLettersCommand::Export { choice, output } => {
            export(pipeline, choice, output.as_deref())
        }
        DeadLettersCommand::Retry { ids, generation } => {
            retry_all(pipeline, ids, generation.as_deref())
        }
    }
}

/// A dead letter, and the object that its record stands in.
#[derive(Debug, Serialize)]
struct NamedLetter {
    #[serde(flatten)]
    letter: StoredDeadLetter,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectRecord>,
}

async fn named(
    ledger: &Ledger,
    names: &mut ObjectNames,
    letters: Vec<StoredDeadLetter>,
) -> Result<Vec<NamedLetter>, CliError> {
    let mut named = Vec::with_capacity(letters.len());
    for letter in letters {
        let object = names.of(&*ledger.archive, &letter.lane, letter.position).await;
        named.push(NamedLetter { object: object.map_err(sinks::told)?, letter });
    }
    Ok(named)
}

fn found(pipeline: &Pipeline, filter: &DeadLetterFilter) -> Result<Vec<NamedLetter>, CliError> {
    sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(pipeline).await?;
        let ledger = sink.ledger();
        let letters = ledger.letters.list(filter).await.map_err(sinks::told)?;
        named(ledger, &mut ObjectNames::default(), letters).await
    })
}

/// What a list shows.
struct Listed<'a> {
    choice: &'a Choice,
    is_newest_first: bool,
    /// Those that a retry made rows of, too.
    has_all: bool,
    limit: u32,
}

impl Listed<'_> {
    /// The letters, and one more if there are more.
    async fn letters(&self, sink: &Arc<dyn Sink>) -> Result<Vec<StoredDeadLetter>, CliError> {
        let wanted = self.limit as usize + 1;
        let state = (!self.has_all).then_some(DeadLetterState::Dead);
        let mut filter = DeadLetterFilter { state, ..DeadLetterFilter::default() };
        let is_plain = self.choice.takes_all() && !self.is_newest_first;
        if is_plain {
            filter.limit = Some(wanted as u64);
        } else {
            filter.limit = sink.ledger().letters.at_a_time();
        }
        let mut pages = Pages::of(sink, filter);
        let mut listed = Vec::new();
        while let Some(letters) = pages.next().await? {
            listed.extend(letters.into_iter().filter(|letter| self.choice.takes(letter)));
            if self.is_newest_first {
                listed.sort_by_key(|letter| std::cmp::Reverse(letter.time));
                listed.truncate(wanted);
            } else if listed.len() >= wanted {
                listed.truncate(wanted);
                break;
            }
        }
        Ok(listed)
    }
}

fn list(pipeline: &Pipeline, listed: &Listed<'_>, as_json: bool) -> Result<Exit, CliError> {
    let limit = listed.limit as usize;
    let mut letters = sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(pipeline).await?;
        let letters = listed.letters(&sink).await?;
        named(sink.ledger(), &mut ObjectNames::default(), letters).await
    })?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    if as_json {
        for letter in &letters {
            output::data_line(letter)?;
        }
    } else if letters.is_empty() {
        let which = if listed.choice.takes_all() { "" } else { " like that" };
        output::talk(format!("{} has no dead letters{which}", pipeline.name));
    } else {
        let rows = letters.iter().map(|NamedLetter { letter, .. }| {
            let step = letter.step.clone().unwrap_or_default();
            [letter.id.clone(), step, letter.reason.clone(), first_chars(letter)]
        });
        output::data(output::lines(&output::unwrapped(rows), ""))?;
    }
    if has_more {
        output::talk(format!("there are more than {limit}: --limit shows them"));
    }
    Ok(Exit::Done)
}

/// Enough of the record to know it again.
fn first_chars(letter: &StoredDeadLetter) -> String {
    const CHARS: usize = 40;
    let Some(value) = &letter.value else { return "(no value)".to_owned() };
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(CHARS).map(visible).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(char: char) -> char {
    if char.is_control() { '·' } else { char }
}

fn show(pipeline: &Pipeline, id: &str, as_json: bool) -> Result<Exit, CliError> {
    let filter = DeadLetterFilter { ids: vec![id.to_owned()], ..DeadLetterFilter::default() };
    let found = found(pipeline, &filter)?.into_iter().next();
    let Some(found) = found else {
        return Err(no_such_letter(pipeline, id));
    };
    if as_json {
        output::data_line(&found)?;
        return Ok(Exit::Done);
    }
    let NamedLetter { letter, object } = found;
    let age = SystemTime::now().duration_since(letter.time).unwrap_or_default();
    let mut lines = vec![
        ["reason".to_owned(), letter.reason.clone()],
        ["detail".to_owned(), letter.detail.clone().unwrap_or_default()],
        ["step".to_owned(), letter.step.clone().unwrap_or_default()],
        ["lane".to_owned(), letter.lane.to_string()],
        ["position".to_owned(), letter.position.to_string()],
        ["object".to_owned(), object.map_or_else(String::new, |object| object.to_string())],
        ["generation".to_owned(), letter.generation.short()],
        ["since".to_owned(), output::age(age)],
        ["attempts".to_owned(), letter.attempts.to_string()],
    ];
    if let Some(key) = &letter.key {
        lines.push(["key".to_owned(), String::from_utf8_lossy(key).into_owned()]);
    }
    for (name, value) in &letter.headers {
        let value = value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        lines.push([format!("header {name}"), value.into_owned()]);
    }
    lines.retain(|[_, value]| !value.is_empty());
    let mut shown = format!("{STRONG}{}{STRONG:#}\n", letter.id);
    let _ = writeln!(shown, "{}", output::lines(&output::table(lines), "  "));
    match &letter.value {
        Some(value) => {
            let text = String::from_utf8_lossy(value);
            let text: String =
                text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect();
            let _ = write!(shown, "\n{text}");
        }
        None => {
            let _ = write!(shown, "\n{FAINT}the record has no value{FAINT:#}");
        }
    }
    output::data(shown)?;
    Ok(Exit::Done)
}

/// Dead letters, the oldest first, as many in memory as the sink gives at a time.
struct Pages {
    letters: Arc<dyn Letters>,
    filter: DeadLetterFilter,
    is_last: bool,
}

impl Pages {
    fn new(sink: &Arc<dyn Sink>, filter: DeadLetterFilter) -> Self {
        let limit = sink.ledger().letters.at_a_time();
        Self::of(sink, DeadLetterFilter { limit, ..filter })
    }

    /// As many at a time as the filter says.
    fn of(sink: &Arc<dyn Sink>, filter: DeadLetterFilter) -> Self {
        Self { letters: Arc::clone(&sink.ledger().letters), filter, is_last: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<StoredDeadLetter>>, CliError> {
        if self.is_last {
            return Ok(None);
        }
        let letters = self.letters.list(&self.filter).await.map_err(sinks::told)?;
        self.is_last = self.filter.limit.is_none_or(|limit| (letters.len() as u64) < limit);
        self.filter.after = letters.last().map(|last| last.id.clone());
        Ok(Some(letters))
    }
}

fn export(pipeline: &Pipeline, choice: &Choice, to: Option<&Path>) -> Result<Exit, CliError> {
    let filter =
        DeadLetterFilter { state: Some(DeadLetterState::Dead), ..DeadLetterFilter::default() };
    let exported = sinks::small_runtime()?.block_on(async {
        let sink = sinks::open(pipeline).await?;
        let mut names = ObjectNames::default();
        let mut pages = Pages::new(&sink, filter);
        let mut page = pages.next().await?;
        // The sink has answered: what the file held before may go.
        let mut out = Output::create(to)?;
        let mut exported = 0;
        while let Some(mut letters) = page {
            letters.retain(|letter| choice.takes(letter));
            exported += letters.len();
            for letter in named(sink.ledger(), &mut names, letters).await? {
                out.put(&letter)?;
            }
            page = pages.next().await?;
        }
        out.close()?;
        Ok::<_, CliError>(exported)
    })?;
    output::talk(output::count(exported, "dead letter"));
    Ok(Exit::Done)
}

/// Where letters are exported to.
enum Output<'a> {
    Stdout,
    File { path: &'a Path, file: BufWriter<File> },
}

impl<'a> Output<'a> {
    fn create(to: Option<&'a Path>) -> Result<Self, CliError> {
        let Some(path) = to else { return Ok(Self::Stdout) };
        let file = File::create(path).map_err(|error| not_written(path, &error))?;
        Ok(Self::File { path, file: BufWriter::new(file) })
    }

    fn put(&mut self, letter: &NamedLetter) -> Result<(), CliError> {
        match self {
            Self::Stdout => output::data_line(letter),
            Self::File { path, file } => {
                let line = serde_json::to_string(letter).expect("keys are text");
                writeln!(file, "{line}").map_err(|error| not_written(path, &error))
            }
        }
    }

    fn close(self) -> Result<(), CliError> {
        match self {
            Self::Stdout => Ok(()),
            Self::File { path, mut file } => {
                file.flush().map_err(|error| not_written(path, &error))
            }
        }
    }
}

fn not_written(path: &Path, error: &io::Error) -> CliError {
    CliError::io(format!("{} cannot be written", path.display()), error)
}

fn retry_all(
    pipeline: &Pipeline,
    ids: &[String],
    generation: Option<&str>,
) -> Result<Exit, CliError> {
    let threads = threads::count(None);
    let pool = threads::pool(threads)?;
    let runtime = threads::runtime()?;
    runtime.block_on(async {
        let sink = sinks::open(pipeline).await?;
        let filter = DeadLetterFilter {
            ids: ids.to_vec(),
            state: Some(DeadLetterState::Dead),
            generation: generation.map(str::to_owned),
            ..DeadLetterFilter::default()
        };
        if !ids.is_empty() {
            check_all_there(pipeline, &*sink.ledger().letters, &filter).await?;
        }
        sink.prepare().await.map_err(sinks::told)?;
        let columns = pipeline.rule.as_ref().map(|rule| Arc::clone(rule.columns()));
        let writer = sink.writer(columns, false).await.map_err(sinks::told)?;
        let current = pipeline.generation();
        sink.ledger().archive.keep(&current).await.map_err(sinks::told)?;
        let ends = (Arc::clone(&sink), writer);
        let live = Arc::new(Live::new(pipeline, current.digest, ends, 0));
        let mut pages = Pages::new(&sink, filter);
        let (mut tried, mut retried) = (0, Retried::default());
        let mut parts = Parts::default();
        while let Some(mut letters) = pages.next().await? {
            letters.retain(|letter| !parts.take(letter));
            retried += retry(&live, &pool, &letters).await.map_err(|halt| {
                let error = CliError::failed("").because(&halt);
                match halt.help_of_connector() {
                    Some(help) => error.help(help),
                    None => error,
                }
            })?;
            tried += letters.len();
        }
        tell(tried, &retried);
        parts.told()?;
        let is_of_use = retried.stored != Stored::default() || retried.dropped > 0;
        Ok(if tried == 0 || is_of_use { Exit::Done } else { Exit::Failed })
    })
}

/// Letters that hold a part of their records: what would be tried again is not what was read.
#[derive(Debug, Default)]
struct Parts {
    first: Option<String>,
    count: u64,
}

impl Parts {
    /// Whether it is one of them.
    fn take(&mut self, letter: &StoredDeadLetter) -> bool {
        let is_one = letter.step.is_none() && RawFault::cuts(&letter.reason);
        if is_one {
            self.count += 1;
            self.first.get_or_insert_with(|| whole(letter));
        }
        is_one
    }

    fn told(self) -> Result<Exit, CliError> {
        let Some(first) = self.first else { return Ok(Exit::Done) };
        let others = match self.count - 1 {
            0 => String::new(),
            others => format!("; so do {} more", output::number(others)),
        };
        Err(CliError::failed(format!("{first}{others}"))
            .help("raise `limits.record` if need be, and have the records read again"))
    }
}

/// That it cannot be tried again, and where all of its record is.
fn whole(letter: &StoredDeadLetter) -> String {
    let StoredDeadLetter { id, lane, position, topic, partition, .. } = letter;
    let place = position.place();
    let place = match (topic, partition) {
        (Some(topic), Some(partition)) => {
            format!("at offset {place} of partition {partition} of {topic}")
        }
        _ => format!("where lane {lane} was read, at {place}"),
    };
    let reason = &letter.reason;
    format!(
        "{id} holds only a part of its record ({reason}) and was not tried; the whole is {place}"
    )
}

/// Before any of them is tried: somebody has typed their ids.
async fn check_all_there(
    pipeline: &Pipeline,
    letters: &dyn Letters,
    named: &DeadLetterFilter,
) -> Result<(), CliError> {
    // Another generation's are no mistake of whoever has typed them.
    let named = &DeadLetterFilter { generation: None, ..named.clone() };
    let letters = letters.list(named).await.map_err(sinks::told)?;
    let is_there = |id: &&String| letters.iter().any(|letter| letter.id == **id);
    match named.ids.iter().find(|id| !is_there(id)) {
        Some(missing) => Err(no_such_letter(pipeline, missing)),
        None => Ok(()),
    }
}

fn no_such_letter(pipeline: &Pipeline, id: &str) -> CliError {
    CliError::input(format!("pipeline {} has no dead letter `{id}`", pipeline.name))
        .help("`list` shows their ids")
}

fn tell(tried: usize, retried: &Retried) {
    let tried = output::count(tried, "dead letter");
    let mut said = format!("{tried} tried again: {} stored", output::number(retried.stored.rows));
    for (count, what) in [
        (retried.stored.superseded, "superseded by a newer version"),
        (retried.dropped, "dropped"),
        (retried.missed, "changed by somebody else in the meantime"),
    ] {
        if count > 0 {
            let _ = write!(said, ", {} {what}", output::number(count));
        }
    }
    for (reason, count) in &retried.still_dead {
        let _ = write!(said, "\n  {} still dead: {reason}", output::number(*count));
    }
    output::talk(said);
}
