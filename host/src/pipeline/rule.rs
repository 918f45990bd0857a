//! What a record means and how it is cleaned, ready to run.

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{RuleConfig, TestConfig};
use super::field::{self, Columns};
use super::output::{self, Projection};
use super::step::{self, PluginSwap, Plugins, RuleStep};
use super::strays::Strays;
use crate::decode::{DeclaredField, Reject};
use crate::plugin::{ConfigureError, Origin, PluginLimits, Sandbox};
use crate::record::Field;
use crate::written::{Cursor, Finding, Place, Templates, nearest};

/// Fields, steps and output: sound, as far as can be told without a record.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The file in which it stands: a rule's own, or the pipeline's.
    pub path: PathBuf,
    pub fields: Vec<DeclaredField>,
    pub steps: Vec<RuleStep>,
    pub output: Projection,
    pub tests: Vec<RuleTest>,
    pub(super) strays: Strays,
    /// As it was written, with defaults.
    pub(super) config: RuleConfig,
    pub(super) templates: Templates,
}

/// Records, and what they have to become.
#[derive(Debug, Clone)]
pub struct RuleTest {
    pub test: TestConfig,
    pub place: Place,
}

impl Rule {
    /// The columns of a row.
    pub fn columns(&self) -> &Arc<[Field]> {
        self.output.fields()
    }

    /// For each column of a row, what it is called after the last step.
    pub fn origins(&self) -> impl Iterator<Item = &Arc<str>> {
        let input = || self.fields.iter().map(|field| &field.name).collect::<Vec<_>>();
        let last = self.steps.last().map(|last| last.step.output());
        let names = last.map_or_else(input, |last| last.iter().map(|field| &field.name).collect());
        self.output.places().map(move |at| names[at])
    }

    /// Why a record that cannot be decoded is not what it should be.
    #[cold]
    pub fn explain(&self, value: Option<&[u8]>, mut reject: Reject) -> Reject {
        if let Some(likeness) = value.and_then(|value| self.strays.likeness(value)) {
            reject.detail = Some(match reject.detail {
                Some(detail) => format!("{detail}; {likeness}"),
                None => likeness,
            });
        }
        reject
    }

    /// The same with steps that say nothing: for rows that are run only to see what becomes of
    /// them.
    pub fn quiet(&self) -> Result<Self, ConfigureError> {
        let steps = self.steps.iter().map(RuleStep::quiet).collect::<Result<_, _>>()?;
        Ok(Self { steps, ..self.clone() })
    }

    /// The same without what is done to rows: they are what records say.
    pub fn without_steps(&self) -> Self {
        let output = Projection::all(&self.input());
        Self { steps: Vec::new(), output, ..self.clone() }
    }

    /// The files that it is made of.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let strays = self.config.strays.iter().map(|named| folder.join(named));
        let plugins =
            self.steps.iter().filter_map(|step| match step.step.plugin().file().origin() {
                Origin::File(path) => Some(path.clone()),
                Origin::Standard(_) | Origin::Kept(_) => None,
            });
        iter::once(self.path.clone()).chain(strays).chain(plugins)
    }

    /// The columns as records have them, before the first step.
    pub fn input(&self) -> Arc<[Field]> {
        self.fields.iter().map(|field| Field::new(Arc::clone(&field.name), field.kind)).collect()
    }
}

/// Where plugins come from.
#[derive(Debug, Clone, Copy)]
pub struct Workshop<'a> {
    pub sandbox: &'a Sandbox,
    /// Steps that run: their plugins are not compiled again.
    pub running: &'a [RuleStep],
    pub swaps: &'a [PluginSwap],
}

/// A rule as far as it is sound. It must not run if anything was found.
pub(super) struct Resolved {
    pub(super) rule: Rule,
    /// What is known of the output's columns.
    pub(super) columns: Columns,
}

pub(super) fn resolve(
    config: RuleConfig,
    path: &Path,
    at: Cursor<'_>,
    workshop: Workshop<'_>,
    limits: &Arc<PluginLimits>,
    found: &mut Vec<Finding>,
) -> Resolved {
    let swaps = workshop.swaps;
    let mut plugins = Plugins::new(workshop, limits, path.parent().unwrap_or(Path::new("")));
    let (fields, mut columns) = field::declared(&config, at, found);
    let steps = match at.get("steps") {
        Some(at) => step::configured(&config.steps, at, &mut plugins, &mut columns, found),
        None => {
            step::check_swaps(swaps, &[], found);
            Vec::new()
        }
    };
    let (output, columns) =
        output::projection(config.output.as_deref(), at.get("output"), &columns, found);
    let tests = if at.has("tests") {
        tests(&config, at.key("tests"), &output, &columns, found)
    } else {
        Vec::new()
    };
    let strays = Strays::of(path, &fields, &config.strays, at.key("strays"), found);
    let path = path.to_owned();
    let templates = at.templates();
    Resolved {
        rule: Rule { path, fields, steps, output, tests, strays, config, templates },
        columns,
    }
}

fn tests(
    config: &RuleConfig,
    at: Cursor<'_>,
    output: &Projection,
    columns: &Columns,
    found: &mut Vec<Finding>,
) -> Vec<RuleTest> {
    let mut tests: Vec<RuleTest> = Vec::new();
    for (test, at) in config.tests.iter().zip(at.items()) {
        let name = at.key("name");
        if tests.iter().any(|before| before.test.name == test.name) {
            found.push(
                name.finding(format!("a test before this one is called `{}` too", test.name)),
            );
        }
        for (row, at) in test.rows.iter().zip(at.key("rows").items()) {
            for column in row.names() {
                let is_known = output.fields().iter().any(|field| &*field.name == column);
                if !is_known && !columns.open {
                    let known: Vec<_> = output.fields().iter().map(|field| &*field.name).collect();
                    let told = Finding::new(format!("no row has a column `{column}`"));
                    found.push(Finding {
                        help: nearest::help(column, &known, "there are"),
                        ..told.at(at.key(column).key_place())
                    });
                }
            }
        }
        for (reject, at) in test.rejects.iter().zip(at.key("rejects").items()) {
            if reject.record as usize >= test.records.len() {
                let told =
                    at.key("record").finding(format!("there is no record {}", reject.record));
                found.push(told.help("records are counted from 0"));
            }
        }
        tests.push(RuleTest { test: test.clone(), place: name.place() });
    }
    tests
}
