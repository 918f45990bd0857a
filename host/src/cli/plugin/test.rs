//! `pinhost plugin test`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::cases::diff::differences;
use super::cases::file;
use super::cases::trial::{self, Trial};
use super::cases::update::updated;
use super::cases::{Case, CaseFile, Outcome};
use super::measure;
use super::subject::{Subject, sandbox};
use crate::cli::output::{BAD, FAINT, GOOD, STRONG, bytes, count, nanoseconds, number};
use crate::cli::{CliError, Exit, output};
use crate::plugin::Plugin;
use crate::record::json;
use crate::run::Difference;

#[derive(Debug, Args)]
#[command(after_long_help = CASE_FILES)]
pub(crate) struct TestArgs {
    /// A plugin's folder, which is built first; a .wasm file; or the name of one that comes with
    /// pinhost.
    #[arg(default_value = ".")]
    plugin: String,
    /// A case file, or a folder of them [default: `cases` in the folder, or beside the file]
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,
    /// Write what comes out into the case files, as what is expected from now on.
    #[arg(long, conflicts_with = "json")]
    update: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const CASE_FILES: &str = "\
A case file is a list of cases:

  - name: thousands are spelled out
    config: { column: n }
    columns: { at: timestamp }            # kinds that the values do not tell
    rows: [{ n: 46k }, { n: many }]
    expect:
      rows: [{ n: 46000 }]                # those kept, with all columns there are then
      dropped: []                         # numbers of rows, counted from 0
      rejected: [{ row: 1, reason: n is not a count }]
      tallies: { counts spelled out: 1 }

What is left out of `expect` is empty; details, helps and tallies that are left out are not compared.
A configuration that should be refused has, instead of rows,

      findings: [{ pointer: /column, message: there is no column `n` }]";

pub(super) fn run(args: &TestArgs) -> Result<Exit, CliError> {
    let subject = Subject::find(&args.plugin)?;
    // Before anything is built: a mistake in a case is told at once.
    let files = case_files(&subject, args.cases.as_ref())?;
    let sandbox = sandbox()?;
    let plugin = subject.load(&sandbox)?;
    let mut tested: Vec<Tested<'_>> = Vec::new();
    for file in &files {
        tested
            .extend(file.cases.iter().enumerate().map(|(at, case)| test(&plugin, file, at, case)));
    }
    if args.update {
        return update(&files, &tested);
    }
    let cost = cost(&tested);
    if args.json {
        output::json(&told_as_json(&plugin, &tested, cost.as_ref()))?;
    } else {
        output::result(told(&tested, cost.as_ref()))?;
    }
    let passed = tested.iter().all(Tested::passed);
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// What is wrong with a plugin by the cases in this folder; none if all of them pass.
pub(super) fn failed(plugin: &Plugin, cases: &Path) -> Result<Option<String>, CliError> {
    let files: Vec<CaseFile> =
        file::find(cases)?.iter().map(|path| file::read(path)).collect::<Result<_, _>>()?;
    let all = files.iter().flat_map(|file| {
        file.cases.iter().enumerate().map(move |(at, case)| test(plugin, file, at, case))
    });
    let failed: Vec<_> = all.filter(|tested| !tested.passed()).collect();
    Ok((!failed.is_empty()).then(|| told(&failed, None)))
}

fn case_files(subject: &Subject, given: Option<&PathBuf>) -> Result<Vec<CaseFile>, CliError> {
    let Some(path) = given.cloned().or_else(|| subject.cases()) else {
        return Err(CliError::input(format!("there are no golden cases for {subject}"))
            .help("name a case file, or a folder of them, with --cases"));
    };
    let paths = if given.is_none() && !path.exists() { Vec::new() } else { file::find(&path)? };
    let files: Vec<CaseFile> =
        paths.iter().map(|path| file::read(path)).collect::<Result<_, _>>()?;
    if files.iter().all(|file| file.cases.is_empty()) {
        let help = format!(
            "write one into {}, and let --update fill in what is expected:\n\
             - name: a short claim\n  config: {{ column: title }}\n  rows: [{{ title: \" Oak \" }}]",
            path.join("NAME.yaml").display()
        );
        return Err(
            CliError::input(format!("there are no golden cases in {}", path.display())).help(help)
        );
    }
    Ok(files)
}

struct Tested<'a> {
    file: &'a CaseFile,
    /// Its place in the file.
    at: usize,
    case: &'a Case,
    trial: Result<Trial, String>,
    differences: Vec<Difference>,
}

impl Tested<'_> {
    fn passed(&self) -> bool {
        self.trial.is_ok() && self.differences.is_empty()
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file.path.display(), self.case.line)
    }
}

fn test<'a>(plugin: &Plugin, file: &'a CaseFile, at: usize, case: &'a Case) -> Tested<'a> {
    let trial = trial::run(plugin, case);
    let differences = trial.as_ref().map_or_else(|_| Vec::new(), |trial| differences(case, trial));
    Tested { file, at, case, trial, differences }
}

struct Cost {
    nanos: f64,
    memory: usize,
    instructions: f64,
}

/// On the cases' own rows, so that what they stress is what is measured.
fn cost(tested: &[Tested<'_>]) -> Option<Cost> {
    const ROWS: usize = 1024;
    const TIME: Duration = Duration::from_millis(300);
    let mut costs = Vec::new();
    for tested in tested {
        let Ok(Trial { step: Some(step), .. }) = &tested.trial else { continue };
        let rows = json::batch(&tested.case.rows, &tested.case.fields);
        let rows = rows.expect("it was made into a batch before");
        if rows.rows() == 0 {
            continue;
        }
        let batch = measure::repeated(&rows, ROWS);
        let mut cleaner = step.cleaner();
        let speed = measure::speed(&mut cleaner, &batch, TIME / tested_max(costs.len()));
        // Rows that trap cost what they cost; that is no figure for the plugin.
        let (Ok(speed), Ok(instructions)) = (speed, measure::instructions(step, &batch)) else {
            continue;
        };
        costs.push(Cost { nanos: speed.median(), memory: cleaner.memory(), instructions });
    }
    let of = costs.len() as f64;
    Some(Cost {
        memory: costs.iter().map(|cost| cost.memory).max()?,
        nanos: costs.iter().map(|cost| cost.nanos).sum::<f64>() / of,
        instructions: costs.iter().map(|cost| cost.instructions).sum::<f64>() / of,
    })
}

/// The first cases are measured well, and a hundred of them not for long.
fn tested_max(measured: usize) -> u32 {
    u32::try_from(measured / 2 + 2).unwrap_or(u32::MAX)
}

fn told(tested: &[Tested<'_>], cost: Option<&Cost>) -> String {
    let mut told = String::new();
    for tested in tested {
        let name = &tested.case.name;
        if tested.passed() {
            let _ = writeln!(told, "{GOOD}ok{GOOD:#}    {name}");
            continue;
        }
        let place = tested.place();
        let _ =
            writeln!(told, "{BAD}FAIL{BAD:#}  {STRONG}{name}{STRONG:#}  {FAINT}{place}{FAINT:#}");
        if let Err(error) = &tested.trial {
            let _ = writeln!(told, "        {}", error.replace('\n', "\n        "));
        }
        for difference in &tested.differences {
            told += &output::difference(difference);
        }
    }
    let failed = tested.iter().filter(|tested| !tested.passed()).count();
    let passed = count(tested.len() - failed, "case");
    let _ = match failed {
        0 => write!(told, "\n{GOOD}{passed} passed{GOOD:#}"),
        _ => write!(told, "\n{passed} passed, {BAD}{} failed{BAD:#}", number(failed as u64)),
    };
    if let Some(cost) = cost {
        let _ = write!(
            told,
            "\n{FAINT}cost: {} a row, {}, {} instructions a row{FAINT:#}",
            nanoseconds(cost.nanos),
            bytes(cost.memory as u64),
            number(cost.instructions.round() as u64)
        );
    }
    if tested.iter().any(|tested| !tested.differences.is_empty()) {
        told +=
            "\nIf what came out is right, `pinhost plugin test --update` writes it into the cases.";
    }
    told
}

fn told_as_json(plugin: &Plugin, tested: &[Tested<'_>], cost: Option<&Cost>) -> serde_json::Value {
    let cases: Vec<_> = tested
        .iter()
        .map(|tested| {
            let differences: Vec<_> = tested
                .differences
                .iter()
                .map(|d| json!({"place": d.place, "expected": d.expected, "got": d.got}))
                .collect();
            json!({
                "name": tested.case.name,
                "file": tested.file.path.display().to_string(),
                "line": tested.case.line,
                "passed": tested.passed(),
                "error": tested.trial.as_ref().err(),
                "differences": differences,
            })
        })
        .collect();
    let passed = tested.iter().filter(|tested| tested.passed()).count();
    json!({
        "plugin": {
            "name": plugin.name(),
            "version": plugin.version(),
            "digest": plugin.file().digest().to_string(),
        },
        "passed": passed,
        "failed": tested.len() - passed,
        "cases": cases,
        "cost": cost.map(|cost| json!({
            "nanoseconds_per_row": cost.nanos,
            "memory_bytes": cost.memory,
            "instructions_per_row": cost.instructions,
        })),
    })
}

/// Writes what came out of cases that fail, file by file.
fn update(files: &[CaseFile], tested: &[Tested<'_>]) -> Result<Exit, CliError> {
    let mut left = Vec::new();
    let mut lines = Vec::new();
    for file in files {
        let mut outcomes: Vec<(usize, &Outcome)> = Vec::new();
        for tested in tested.iter().filter(|t| std::ptr::eq(t.file, file) && !t.passed()) {
            match &tested.trial {
                Ok(trial) if trial.is_settled() => outcomes.push((tested.at, &trial.outcome)),
                _ => left.push(tested),
            }
        }
        if outcomes.is_empty() {
            continue;
        }
        let text = updated(file, &outcomes).map_err(|case| {
            let place = format!("{}:{}", file.path.display(), case.line);
            CliError::input(format!(
                "{place}: `{}` is laid out so that it cannot be updated",
                case.name
            ))
            .help("write the case with its keys one below the other, and try again")
        })?;
        std::fs::write(&file.path, text).map_err(|error| {
            CliError::io(format!("cannot write {}", file.path.display()), &error)
        })?;
        for (at, _) in &outcomes {
            let case = &file.cases[*at];
            lines.push(format!(
                "updated  {}  {FAINT}{}:{}{FAINT:#}",
                case.name,
                file.path.display(),
                case.line
            ));
        }
    }
    for tested in &left {
        lines.push(format!(
            "{BAD}FAIL{BAD:#}     {}  {FAINT}{}{FAINT:#}",
            tested.case.name,
            tested.place()
        ));
        match &tested.trial {
            Err(error) => lines.push(format!("           {error}")),
            Ok(_) => lines.push("           what came out is not the same each time".to_owned()),
        }
    }
    if lines.is_empty() {
        lines.push(format!("{GOOD}{} passed{GOOD:#}, none changed", count(tested.len(), "case")));
    }
    output::result(lines.join("\n"))?;
    Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
}
