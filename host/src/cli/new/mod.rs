//! `pinhost new`: a pipeline and its rule that pass `pinhost check` as they stand.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::{CliError, Exit, output};
use crate::sink::SINKS;
use crate::source::SOURCES;

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The pipeline's file; its rule is written to `rules/` beside it.
    file: PathBuf,
    /// Where records come from.
    #[arg(long, value_name = "KIND", value_parser = sources())]
    from: String,
    /// Where rows go.
    #[arg(long, value_name = "KIND", value_parser = sinks())]
    to: String,
}

fn sources() -> PossibleValuesParser {
    let kinds = SOURCES.iter().map(|kind| PossibleValue::new(kind.key()).help(kind.summary()));
    PossibleValuesParser::new(kinds.collect::<Vec<_>>())
}

fn sinks() -> PossibleValuesParser {
    let kinds = SINKS.iter().map(|kind| PossibleValue::new(kind.key()).help(kind.summary()));
    PossibleValuesParser::new(kinds.collect::<Vec<_>>())
}

const BEGIN: &str = include_str!("pipeline.yaml");
const RULE: &str = include_str!("rule.yaml");

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
    let source = SOURCES.iter().find(|kind| kind.key() == args.from).expect("it was parsed");
    let sink = SINKS.iter().find(|kind| kind.key() == args.to).expect("it was parsed");
    let pipeline = [BEGIN, source.template(), RULE_LINE, sink.template()].join("\n");
    for (path, text) in [(&rule, RULE), (&args.file, &pipeline)] {
        let text =
            text.replace("MY_TABLE", &name.replace(['-', '.'], "_")).replace("MY_NAME", &name);
        write(path, &text)
            .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))?;
    }
    let shown = args.file.display();
    output::result(format!("{shown}\n{}", rule.display()))?;
    output::talk(format!(
        "\nThe rule is written for posts of Pinterest: change its fields to what your records have. Next:\n\n  \
         pinhost check {shown}    says whether all is well, and what is promised\n  \
         pinhost test {shown}     runs the rule's tests"
    ));
    Ok(Exit::Done)
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
