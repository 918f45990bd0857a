//! `pinhost test`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::output::{BAD, FAINT, GOOD, STRONG, count, number};
use super::{CliError, Exit, output};
use crate::decode::DecodeLimits;
use crate::pipeline::{Document, Rule, RuleTest};
use crate::plugin::{CacheFolder, Sandbox};
use crate::run::{Difference, RuleTests};
use crate::written::{Place, secrets};

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Rules, and pipelines, whose rule is tested.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write a report in JUnit's format.
    #[arg(long, value_name = "PATH")]
    junit: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TestArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let mut documents = Vec::new();
    // All of them first: a mistake in the last file is told at once.
    for file in &args.files {
        documents.push((file, Document::load(file, &sandbox)?));
    }
    let mut tested = Vec::new();
    for (file, document) in &documents {
        let (rule, limits) = match document {
            Document::Pipeline(pipeline) => {
                (pipeline.rule.as_deref(), pipeline.limits.to_decode_limits())
            }
            Document::Rule(rule) => (Some(&**rule), DecodeLimits::default()),
        };
        let Some(rule) = rule.filter(|rule| !rule.tests.is_empty()) else {
            return Err(without_tests(file));
        };
        tested.extend(test(rule, limits)?);
    }
    if let Some(path) = &args.junit {
        write_junit(path, &tested)?;
    }
    if args.json {
        output::json(&as_json(&tested))?;
    } else {
        output::result(told(&tested))?;
    }
    let passed = tested.iter().all(Tested::passed);
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

fn without_tests(file: &Path) -> CliError {
    CliError::input(format!("there are no tests in {}", file.display())).help(
        "write one into its rule:\n\
         tests:\n  \
           - name: a short claim\n    \
             records: ['{\"title\": \"Oak\"}']\n    \
             rows: [{ title: Oak }]",
    )
}

/// What came of one test.
struct Tested<'a> {
    name: &'a str,
    place: &'a Place,
    took: Duration,
    /// The error is one that no expectation covers.
    outcome: Result<Vec<Difference>, String>,
}

impl Tested<'_> {
    fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Vec::is_empty)
    }

    fn file(&self) -> String {
        self.place.path.display().to_string()
    }

    fn at(&self) -> String {
        format!("{}:{}", self.file(), self.place.line)
    }

    /// All that is wrong with it, in lines.
    fn faults(&self) -> String {
        match &self.outcome {
            Ok(differences) => differences.iter().map(output::difference).collect(),
            Err(error) => format!("        {}\n", error.replace('\n', "\n        ")),
        }
    }
}

fn test<'a>(rule: &'a Rule, limits: DecodeLimits) -> Result<Vec<Tested<'a>>, CliError> {
    let tests =
        RuleTests::new(rule, limits).map_err(|error| CliError::failed(error.to_string()))?;
    let run = |RuleTest { test, place }: &'a RuleTest| {
        let began = Instant::now();
        let outcome = tests.run(test).map_err(|error| error.to_string());
        Tested { name: &test.name, place, took: began.elapsed(), outcome }
    };
    Ok(rule.tests.iter().map(run).collect())
}

fn told(tested: &[Tested<'_>]) -> String {
    let mut told = String::new();
    for tested in tested {
        if tested.passed() {
            let _ = writeln!(told, "{GOOD}ok{GOOD:#}    {}", tested.name);
            continue;
        }
        let (name, at) = (tested.name, tested.at());
        let _ = writeln!(told, "{BAD}FAIL{BAD:#}  {STRONG}{name}{STRONG:#}  {FAINT}{at}{FAINT:#}");
        told += &tested.faults();
    }
    let failed = tested.iter().filter(|tested| !tested.passed()).count();
    let passed = count(tested.len() - failed, "test");
    let _ = match failed {
        0 => write!(told, "\n{GOOD}{passed} passed{GOOD:#}"),
        _ => write!(told, "\n{passed} passed, {BAD}{} failed{BAD:#}", number(failed as u64)),
    };
    told
}

fn as_json(tested: &[Tested<'_>]) -> Value {
    let tests: Vec<_> = tested
        .iter()
        .map(|tested| {
            let differences = tested.outcome.as_deref().unwrap_or_default().iter();
            let differences: Vec<_> = differences
                .map(|d| json!({ "place": d.place, "expected": d.expected, "got": d.got }))
                .collect();
            json!({
                "name": tested.name,
                "file": tested.file(),
                "line": tested.place.line,
                "passed": tested.passed(),
                "error": tested.outcome.as_ref().err(),
                "differences": differences,
            })
        })
        .collect();
    let passed = tested.iter().filter(|tested| tested.passed()).count();
    json!({ "passed": passed, "failed": tested.len() - passed, "tests": tests })
}

/// A suite for each file.
fn write_junit(path: &Path, tested: &[Tested<'_>]) -> Result<(), CliError> {
    let mut report = Report::new("pinhost");
    for tested in tested.chunk_by(|one, next| one.place.path == next.place.path) {
        let Some(first) = tested.first() else { continue };
        let mut suite = TestSuite::new(first.file());
        for tested in tested {
            let status = if tested.passed() {
                TestCaseStatus::success()
            } else {
                let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let faults = anstream::adapter::strip_str(&tested.faults()).to_string();
                failure.set_description(secrets::mask(&faults).into_owned());
                failure
            };
            let mut case = TestCase::new(tested.name, status);
            case.set_classname(tested.file()).set_time(tested.took);
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    let xml = report.to_string().map_err(|error| CliError::failed("no report").because(&error))?;
    std::fs::write(path, xml)
        .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))
}
