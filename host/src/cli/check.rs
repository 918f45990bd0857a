//! `pinhost check`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{FAINT, GOOD, STRONG, count};
use super::{CliError, Exit, output};
use crate::pipeline::{Document, Pipeline, Rule};
use crate::plugin::{CacheFolder, Sandbox};
use crate::written::{Finding, Findings, secrets};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Pipelines and rules.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print each file with all defaults, its rule, and the columns after each step.
    #[arg(long)]
    resolved: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "resolved")]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let sandbox = Sandbox::new(&CacheFolder::Usual)?;
    let mut checked: Vec<(&Path, Result<Document, Findings>)> = Vec::new();
    for file in &args.files {
        checked.push((file, Document::load(file, &sandbox)));
    }
    let sound = checked.iter().filter_map(|(_, checked)| match checked {
        Ok(Document::Pipeline(pipeline)) => Some(&**pipeline),
        Ok(Document::Rule(_)) | Err(_) => None,
    });
    let distinct = Pipeline::distinct(sound);
    if args.json {
        let files: Vec<_> = checked.iter().map(|(file, checked)| as_json(file, checked)).collect();
        let more = distinct.as_ref().err().map(Findings::as_slice).unwrap_or_default();
        let more: Vec<_> = more.iter().map(finding_as_json).collect();
        output::json(&json!({ "files": files, "findings": more }))?;
    } else {
        for (file, checked) in &checked {
            tell(file, checked, args.resolved)?;
        }
        if let Err(findings) = &distinct {
            output::talk(findings);
        }
    }
    let passed = distinct.is_ok() && checked.iter().all(|(_, checked)| checked.is_ok());
    Ok(if passed { Exit::Done } else { Exit::Input })
}

fn tell(file: &Path, checked: &Result<Document, Findings>, resolved: bool) -> Result<(), CliError> {
    let (summary, yaml) = match checked {
        Err(findings) => {
            output::talk(findings);
            return Ok(());
        }
        Ok(Document::Pipeline(pipeline)) => {
            for warning in &pipeline.warnings {
                output::talk(format!("{warning}\n"));
            }
            (of_pipeline(pipeline), resolved.then(|| pipeline.resolved()))
        }
        Ok(Document::Rule(rule)) => (of_rule(rule), resolved.then(|| rule.resolved())),
    };
    let file = file.display();
    match yaml {
        Some(yaml) => output::result(format!("# {file}\n{}", yaml.trim_end())),
        None => output::result(format!(
            "{GOOD}ok{GOOD:#}  {STRONG}{file}{STRONG:#}  {FAINT}{summary}{FAINT:#}"
        )),
    }
}

fn of_pipeline(pipeline: &Pipeline) -> String {
    let Pipeline { name, source, sink, rule, .. } = pipeline;
    let steps =
        rule.as_ref().map_or_else(|| "no rule".to_owned(), |rule| count(rule.steps.len(), "step"));
    let (source, sink, delivery) = (source.kind(), sink.kind(), pipeline.delivery());
    format!("{name}: {source} → {steps} → {sink}; {delivery}")
}

fn of_rule(rule: &Rule) -> String {
    let columns = count(rule.output.fields().len(), "column");
    let (fields, steps) = (count(rule.fields.len(), "field"), count(rule.steps.len(), "step"));
    format!("{fields} → {steps} → {columns}; {}", count(rule.tests.len(), "test"))
}

fn as_json(file: &Path, checked: &Result<Document, Findings>) -> Value {
    let findings: &[Finding] = match checked {
        Err(findings) => findings.as_slice(),
        Ok(Document::Pipeline(pipeline)) => &pipeline.warnings,
        Ok(Document::Rule(_)) => &[],
    };
    let mut told = json!({
        "file": file.display().to_string(),
        "ok": checked.is_ok(),
        "findings": findings.iter().map(finding_as_json).collect::<Vec<_>>(),
    });
    if let Ok(Document::Pipeline(pipeline)) = checked {
        told["pipeline"] = json!({
            "name": &*pipeline.name,
            "source": pipeline.source.kind(),
            "sink": pipeline.sink.kind(),
            "delivery": pipeline.delivery().to_string(),
            "generation": pipeline.generation().digest.to_string(),
        });
    }
    told
}

fn finding_as_json(finding: &Finding) -> Value {
    let place = finding.place.as_ref().map(|place| {
        json!({
            "file": place.path.display().to_string(),
            "line": place.line,
            "column": place.column,
            "width": place.width,
        })
    });
    json!({
        "severity": if finding.is_error() { "error" } else { "warning" },
        "message": secrets::mask(&finding.message),
        "help": finding.help,
        "place": place,
    })
}
