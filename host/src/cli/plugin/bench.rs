//! `pinhost plugin bench`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::cases::{Expect, file};
use super::measure::{self, Speed};
use super::subject::{ColumnsArg, ConfigArg, Subject, load, sandbox};
use crate::cli::output::{FAINT, STRONG, bytes, count, lines, number, table, time};
use crate::cli::{CliError, Exit, output};
use crate::plugin::{CacheFolder, Cleaner, Failure, Plugin, PluginFile, Sandbox, Step, discarded};
use crate::record::json::JsonRow;
use crate::record::{Batch, Kind, json};

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A plugin's folder, which is built first; a .wasm file; or the name of one that comes with
    /// pinhost.
    #[arg(default_value = ".")]
    plugin: String,
    /// The step's configuration: '{column: title}' [default: that of the golden cases, else none]
    #[arg(long, value_name = "JSON")]
    config: Option<ConfigArg>,
    /// Rows to clean, a JSON object a line [default: those of the golden cases, else made-up posts]
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Kinds that the values do not tell: at=timestamp
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<ColumnsArg>,
    /// How many rows a batch has.
    #[arg(long, value_name = "ROWS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// How long to measure.
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(written: &str) -> Result<f64, String> {
    let seconds = written.parse().ok().filter(|seconds| (0.01..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds, from 0.01 to 3600".to_owned())
}

pub(super) fn run(args: &BenchArgs) -> Result<Exit, CliError> {
    let subject = Subject::find(&args.plugin)?;
    let sample = given_rows(args)?;
    let plugin = load(&sandbox()?, subject.file()?)?;
    let sample = match sample {
        Some(sample) => sample,
        None => golden_rows(&subject, &plugin, args)?.unwrap_or_else(|| made_up(args)),
    };
    let config = sample.config.to_string();
    let step = Step::new(&plugin, &config, sample.rows.fields(), discarded()).map_err(|error| {
        let columns: Vec<_> =
            sample.rows.fields().iter().map(|f| format!("{} ({})", f.name, f.kind)).collect();
        let give = if args.config.is_none() { "give one with --config; " } else { "" };
        let help = format!("{give}{} have the columns {}", sample.origin, columns.join(", "));
        CliError::from(error).help(help)
    })?;
    if cfg!(debug_assertions) && !args.json {
        output::talk(
            "this pinhost is a debug build: its own part of the time is many times too high",
        );
    }
    let measured = measure(&plugin, &step, &sample, args).map_err(|failure| {
        CliError::failed(format!("{} fails on {}: {failure}", plugin.name(), sample.origin))
    })?;
    if args.json {
        output::json(&measured.told_as_json(&plugin, &sample))?;
    } else {
        output::result(measured.told(&plugin, &sample))?;
    }
    Ok(Exit::Done)
}

/// Rows, the configuration for them, and what to call them.
struct Sample {
    rows: Batch,
    config: Value,
    origin: String,
}

fn given_rows(args: &BenchArgs) -> Result<Option<Sample>, CliError> {
    let Some(path) = &args.rows else { return Ok(None) };
    let (lines, rows) = read_rows(path, args.batch as usize)?;
    let declared: Vec<(String, Kind)> = match &args.columns {
        Some(ColumnsArg(columns)) => columns.iter().map(|f| (f.name.to_string(), f.kind)).collect(),
        None => Vec::new(),
    };
    let fields = json::infer(&rows, &declared);
    let batch = fields.and_then(|fields| json::batch(&rows, &fields)).map_err(|error| {
        CliError::input(format!("{}:{}: {error}", path.display(), lines[error.row]))
            .help(format!("say which it is: --columns {}=text", error.column))
    })?;
    Ok(Some(Sample {
        rows: batch,
        config: ConfigArg::or_empty(args.config.as_ref()),
        origin: format!("the rows of {}", path.display()),
    }))
}

/// The numbers of the lines, and the rows in them; no more than a batch needs.
fn read_rows(path: &Path, rows_max: usize) -> Result<(Vec<usize>, Vec<JsonRow>), CliError> {
    let unreadable = |error| CliError::io(format!("{} cannot be read", path.display()), &error);
    let lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
    let (mut numbers, mut rows) = (Vec::new(), Vec::new());
    for (line, number) in lines.zip(1..) {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(&line).map_err(|error| {
            CliError::input(format!("{}:{}: not a row: {error}", path.display(), number))
                .help("a row is a JSON object in a line")
        })?;
        numbers.push(number);
        rows.push(row);
        if rows.len() == rows_max {
            break;
        }
    }
    if rows.is_empty() {
        return Err(CliError::input(format!("{} has no rows", path.display())));
    }
    Ok((numbers, rows))
}

/// The rows of the case that has most of them and that the plugin takes with the configuration.
fn golden_rows(
    subject: &Subject,
    plugin: &Plugin,
    args: &BenchArgs,
) -> Result<Option<Sample>, CliError> {
    let Some(folder) = subject.cases().filter(|folder| folder.exists()) else { return Ok(None) };
    let mut cases = Vec::new();
    for path in file::find(&folder)? {
        cases.extend(file::read(&path)?.cases);
    }
    cases.retain(|case| !case.rows.is_empty() && !matches!(case.expect, Some(Expect::Refused(_))));
    cases.sort_by_key(|case| std::cmp::Reverse(case.rows.len()));
    let found = cases.into_iter().find_map(|case| {
        let config = args.config.as_ref().map_or_else(|| case.config.clone(), |c| c.0.clone());
        Step::new(plugin, &config.to_string(), &case.fields, discarded()).ok()?;
        let rows = json::batch(&case.rows, &case.fields).ok()?;
        Some(Sample { rows, config, origin: format!("the rows of the case `{}`", case.name) })
    });
    Ok(found)
}

/// Posts like those that pinhost was made for: some clean, some not.
fn made_up(args: &BenchArgs) -> Sample {
    const FOLLOWERS: [&str; 6] = ["124k", "46", "1.2M", "998", "User Info Error", "3k"];
    const TITLES: [&str; 4] = [
        "10 small garden ideas that cost next to nothing",
        "No Title Data Available",
        "Crème brûlée, the easy way",
        "The best mid century modern living room colours for a rented flat",
    ];
    const TAGS: [&str; 3] = [
        "Garden Ideas,Backyard,Small Garden,Diy,Outdoor Living",
        "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e",
        "Dessert,French Recipes,Baking,Baking,Easy",
    ];
    let post = |at: usize| {
        JsonRow(
            [
                ("index", json!(at)),
                ("title", json!(TITLES[at % 4])),
                (
                    "description",
                    json!(format!(
                        "Post {at}: a long text as people write them, with a link, some words about \
                         what is to be seen, and a few more so that it gets to its usual length."
                    )),
                ),
                ("follower_count", json!(FOLLOWERS[at % 6])),
                ("tag_list", json!(TAGS[at % 3])),
                ("is_image_or_video", json!(if at.is_multiple_of(5) { "video" } else { "image" })),
                ("image_src", json!(format!("https://images.example/originals/{at:08x}.jpg"))),
                ("downloaded", json!(1)),
                ("save_location", json!(format!("Local save in /data/category{}", at % 12))),
                ("category", json!(["diy-and-crafts", "home-decor", "food"][at % 3])),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        )
    };
    let rows: Vec<JsonRow> = (0..args.batch as usize).map(post).collect();
    let fields = json::infer(&rows, &[]).expect("each column is of one kind");
    Sample {
        rows: json::batch(&rows, &fields).expect("values of those kinds"),
        config: ConfigArg::or_empty(args.config.as_ref()),
        origin: "made-up posts".to_owned(),
    }
}

struct Measured {
    batch: usize,
    speed: Speed,
    bytes_read: f64,
    instructions: f64,
    memory: usize,
    /// A call with one row.
    call: Duration,
    instantiate: Duration,
    load_cold: Duration,
    load_cached: Option<Duration>,
}

fn measure(
    plugin: &Plugin,
    step: &Step,
    sample: &Sample,
    args: &BenchArgs,
) -> Result<Measured, Failure> {
    let batch = measure::repeated(&sample.rows, args.batch as usize);
    let mut cleaner = step.cleaner();
    let time = Duration::from_secs_f64(args.seconds);
    let speed = measure::speed(&mut cleaner, &batch, time)?;
    let memory = cleaner.memory();
    let one = measure::repeated(&sample.rows, 1);
    let call = measure::speed(&mut cleaner, &one, time / 10)?.median();
    let (load_cold, load_cached) = loading(plugin.file());
    Ok(Measured {
        batch: batch.rows(),
        bytes_read: measure::bytes_read(step, &batch) as f64 / batch.rows() as f64,
        instructions: measure::instructions(step, &batch)?,
        speed,
        memory,
        call: Duration::from_nanos(call as u64),
        instantiate: instantiation(&mut cleaner, &one, call)?,
        load_cold,
        load_cached,
    })
}

/// A new instance, configured: what the first call takes more than others.
fn instantiation(cleaner: &mut Cleaner, one: &Batch, call: f64) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    for _ in 0..21 {
        cleaner.renew();
        let began = Instant::now();
        cleaner.clean(one)?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2].saturating_sub(Duration::from_nanos(call as u64)))
}

/// How long it takes to get a plugin ready, compiled and from the cache.
fn loading(file: &PluginFile) -> (Duration, Option<Duration>) {
    let load = |folder: &CacheFolder| {
        let sandbox = Sandbox::new(folder).ok()?;
        let began = Instant::now();
        load(&sandbox, file.clone())
            .ok()
            .map(|plugin| (began.elapsed(), plugin.compiled().from_cache))
    };
    let (cold, _) = load(&CacheFolder::Off).expect("it was loaded before");
    let cached = tempfile::tempdir().ok().and_then(|folder| {
        let folder = CacheFolder::At(folder.path().join("cache"));
        // The first fills it; it is written in the background.
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let (took, from_cache) = load(&folder)?;
            if from_cache {
                return Some(took);
            }
        }
        None
    });
    (cold, cached)
}

impl Measured {
    fn rows_per_second(&self) -> f64 {
        1e9 / self.speed.median()
    }

    /// How much of a batch's time is the call, whatever it is given.
    fn call_share(&self) -> f64 {
        let batch = self.speed.median() * self.batch as f64;
        (self.call.as_nanos() as f64 / batch).min(1.0)
    }

    fn told(&self, plugin: &Plugin, sample: &Sample) -> String {
        let nanos = |nanos: f64| match nanos {
            small if small < 10.0 => format!("{small:.1}"),
            nanos => number(nanos.round() as u64),
        };
        let (low, high) = self.speed.spread();
        let bytes_per_second = self.bytes_read * self.rows_per_second();
        let rows = [
            ("rows a second", number(self.rows_per_second() as u64), String::new()),
            (
                "time a row",
                format!("{} ns", nanos(self.speed.median())),
                format!("9 of 10 rounds: {} to {}", nanos(low), nanos(high)),
            ),
            (
                "read",
                format!("{}/s", bytes(bytes_per_second as u64)),
                format!("{} a row, of the columns it reads", bytes(self.bytes_read.round() as u64)),
            ),
            ("instructions a row", number(self.instructions.round() as u64), String::new()),
            ("memory", bytes(self.memory as u64), "an instance".to_owned()),
            (
                "a call with one row",
                time(self.call),
                format!(
                    "{:.1} % of a batch of {}",
                    self.call_share() * 100.0,
                    number(self.batch as u64)
                ),
            ),
            ("a new instance", time(self.instantiate), "configured".to_owned()),
            ("loading", time(self.load_cold), "compiled".to_owned()),
        ];
        let cached = self.load_cached.map(|took| ("", time(took), "from the cache".to_owned()));
        let rows = rows.into_iter().chain(cached);
        let mut table = table(rows.map(|(name, value, note)| [name.to_owned(), value, note]));
        output::align_right(&mut table, 1);
        let rows = count(sample.rows.rows(), "row");
        let repeated = if sample.rows.rows() < self.batch { ", repeated" } else { "" };
        format!(
            "{STRONG}{} {}{STRONG:#} on {}{FAINT} ({rows}{repeated}), with {}{FAINT:#}\n\n{}",
            plugin.name(),
            plugin.version(),
            sample.origin,
            sample.config,
            lines(&table, "  "),
        )
    }

    fn told_as_json(&self, plugin: &Plugin, sample: &Sample) -> Value {
        let (low, high) = self.speed.spread();
        json!({
            "plugin": {
                "name": plugin.name(),
                "version": plugin.version(),
                "digest": plugin.file().digest().to_string(),
            },
            "rows": sample.origin,
            "config": sample.config,
            "batch_rows": self.batch,
            "rows_per_second": self.rows_per_second(),
            "nanoseconds_per_row": {"median": self.speed.median(), "p5": low, "p95": high},
            "bytes_read_per_row": self.bytes_read,
            "instructions_per_row": self.instructions,
            "memory_bytes": self.memory,
            "call_seconds": self.call.as_secs_f64(),
            "call_share": self.call_share(),
            "instantiate_seconds": self.instantiate.as_secs_f64(),
            "load_cold_seconds": self.load_cold.as_secs_f64(),
            "load_cached_seconds": self.load_cached.map(|took| took.as_secs_f64()),
            "debug_build": cfg!(debug_assertions),
        })
    }
}
