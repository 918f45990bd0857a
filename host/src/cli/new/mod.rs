//! `pinhost new`: a pipeline and its rule that pass `pinhost check` as they stand.

mod sample;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::looked::{BucketArgs, SAMPLES};
use super::output::STRONG;
use super::{CliError, Exit, output};
use crate::sink::SINKS;
use crate::source::SOURCES;

#[derive(Debug, Args)]
#[command(after_long_help = SAMPLES)]
pub(super) struct NewArgs {
    /// The pipeline's file; its rule is written to `rules/` beside it.
    file: PathBuf,
    /// Where records come from: a kind of source, or a sample of them.
    #[arg(long, value_name = "SAMPLE|KIND", long_help = from_help())]
    from: String,
    /// Where rows go; a SQLite file if left out and the records are a sample.
    #[arg(long, value_name = "KIND", value_parser = sinks())]
    to: Option<String>,
    /// How many records of the sample to look at.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    records: u32,
    #[command(flatten)]
    bucket: BucketArgs,
}

fn from_help() -> String {
    let kinds = SOURCES.iter().map(|kind| format!("- {}: {}", kind.key(), kind.summary()));
    let kinds: Vec<_> = kinds.collect();
    format!(
        "Where records come from.\n\nA sample of them: names, types and keys are taken from its records, and what it \
         is becomes the pipeline's source.\n\nOr a kind of source, to be filled in:\n{}",
        kinds.join("\n")
    )
}

fn sinks() -> PossibleValuesParser {
    let kinds = SINKS.iter().map(|kind| PossibleValue::new(kind.key()).help(kind.summary()));
    PossibleValuesParser::new(kinds.collect::<Vec<_>>())
}

const BEGIN: &str = include_str!("pipeline.yaml");
const RULE: &str = include_str!("rule.yaml");

/// Where rows go if `--to` is left out.
const USUAL_SINK: &str = "sqlite";

pub(super) fn run(args: &NewArgs) -> Result<Exit, CliError> {
    let name = name(&args.file)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let rule = folder.join("rules").join(format!("{name}.yaml"));
    for path in [&args.file, &rule] {
        if path.symlink_metadata().is_ok() {
            return Err(CliError::input(format!("{} is there already", path.display()))
                .help("choose another name, or remove it"));
        }
    }
    let source = SOURCES.iter().find(|kind| kind.key() == args.from);
    let sink = match (&args.to, source) {
        (Some(to), _) => to,
        (None, None) => USUAL_SINK,
        (None, Some(_)) => {
            let kinds = SINKS.iter().map(|kind| kind.key()).collect::<Vec<_>>().join(", ");
            return Err(CliError::input("where do rows go?").help(format!("--to takes {kinds}")));
        }
    };
    let sink = SINKS.iter().find(|kind| kind.key() == sink).expect("it was parsed");
    let written = match source {
        Some(source) => Written {
            source: source.template().to_owned(),
            rule: RULE.to_owned(),
            sink: sink.template().to_owned(),
            told: "The rule is written for posts of Pinterest: change its fields to what your records have."
                .to_owned(),
        },
        None => sample::written(args, &name, folder, sink.template())?,
    };
    let pipeline = [BEGIN, &written.source, RULE_LINE, &written.sink].join("\n");
    for (path, text) in [(&rule, &written.rule), (&args.file, &pipeline)] {
        let text =
            text.replace("MY_TABLE", &name.replace(['-', '.'], "_")).replace("MY_NAME", &name);
        write(path, &text)
            .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))?;
    }
    let shown = args.file.display();
    output::result(format!("{shown}\n{}", rule.display()))?;
    let mut next = format!(
        "\n{}\n\n{STRONG}next{STRONG:#}\n  \
         pinhost check {shown}      says whether all is well, and what is promised\n  \
         pinhost test {shown}       runs the rule's tests",
        written.told
    );
    if source.is_none() {
        let _ = write!(
            next,
            "\n  pinhost preview {shown}    shows what becomes of records, and writes nothing\n  \
             pinhost run {shown} --until-end"
        );
    }
    output::talk(next);
    Ok(Exit::Done)
}

/// What goes into the files.
struct Written {
    source: String,
    rule: String,
    sink: String,
    /// What to tell the user.
    told: String,
}

const RULE_LINE: &str = "\
# What a record means and how it is cleaned; other pipelines may name the same rule.
rule: rules/MY_NAME.yaml
";

/// The pipeline is called like its file.
fn name(file: &Path) -> Result<String, CliError> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_yaml && begins && name.chars().all(is_inner) && name.len() <= 100 {
        return Ok(name.to_owned());
    }
    Err(CliError::input(format!("a pipeline's file cannot be called {}", file.display())).help(
        "letters, digits, `_`, `.` and `-`, and at the end `.yaml`, like pins-to-sqlite.yaml",
    ))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Never over a file that came meanwhile.
    File::create_new(path)?.write_all(text.as_bytes())
}
