//! Writes a proposal as YAML for a person to continue.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{FieldPlace, Proposal, ProposedField, ProposedStep};
use crate::written::quoted;

/// A record of the sample, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TestOfSample {
    pub name: String,
    /// As it stood there.
    pub record: String,
    pub end: EndOfRecord,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EndOfRecord {
    Row(Vec<(String, Value)>),
    Reject { reason: String },
}

/// Nobody reads longer lines.
const LINE_CHARS_MAX: usize = 96;

/// Longer texts are left out of tests: nobody compares them by eye.
const VALUE_CHARS_MAX: usize = 160;

/// The rule. `sample` says where the records are from.
pub fn rule_text(proposal: &Proposal, sample: &str, tests: &[TestOfSample]) -> String {
    let mut text = String::new();
    let records = proposal.records;
    let _ = writeln!(
        text,
        "# Made from {records} records of {sample}. Look through it: all of it is a guess."
    );
    let _ = writeln!(
        text,
        "# `pinhost preview` shows what becomes of records, `pinhost test` runs the tests below."
    );
    for note in &proposal.notes {
        let _ = writeln!(text, "# {note}.");
    }
    let _ = writeln!(
        text,
        "\n# A record's fields, by the names of their columns; what is not declared is skipped."
    );
    if proposal.fields.iter().any(|field| field.required && !field.key) {
        let _ = writeln!(
            text,
            "# A record without a required one is a dead letter: all records of the sample have these."
        );
    }
    text.push_str("fields:\n");
    let names = proposal.fields.iter().map(|field| quoted(&field.name).chars().count());
    let width = names.max().unwrap_or(0).min(32) + 1;
    for field in &proposal.fields {
        text += &field_text(field, width, records);
    }
    text += &steps_text(&proposal.steps);
    text.push_str("\n# The columns of a row in their order, if not all of them as they are:\n");
    let shown: Vec<_> = proposal.fields.iter().take(2).map(|field| quoted(&field.name)).collect();
    let _ = writeln!(text, "# output: [{}, {{ another_name: column }}]", shown.join(", "));
    text += &tests_text(tests);
    text
}

fn field_text(field: &ProposedField, width: usize, records: u64) -> String {
    let ProposedField { name, kind, values, from, .. } = field;
    let mut settings = vec![format!("type: {kind}")];
    match from {
        FieldPlace::Name => {}
        FieldPlace::Path(keys) => settings.push(format!("path: {}", quoted(&keys.join(".")))),
        FieldPlace::Alias(key) => settings.push(format!("aliases: [{}]", quoted(key))),
        FieldPlace::Rest => settings.push("from: $rest".to_owned()),
    }
    for (is_set, setting) in
        [(field.required, "required"), (field.key, "key"), (field.coerce, "coerce")]
    {
        if is_set {
            settings.push(format!("{setting}: true"));
        }
    }
    let written = match &settings[..] {
        [_] => kind.to_string(),
        _ => format!("{{ {} }}", settings.join(", ")),
    };
    let mut text = String::new();
    if let Some(note) = &field.note {
        text += &comment(note, "  ");
    }
    let _ = write!(text, "  {:<width$} {written}", format!("{}:", quoted(name)));
    if *values < records {
        let _ = write!(text, "  # in {values} of {records}");
    }
    text.push('\n');
    text
}

/// In lines that can be read. What comes from a record must not end them.
fn comment(note: &str, margin: &str) -> String {
    let mut text = String::new();
    let mut line = String::new();
    let note: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in note.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() > LINE_CHARS_MAX {
            let _ = writeln!(text, "{margin}#{line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{margin}#{line}");
    text
}

fn steps_text(steps: &[ProposedStep]) -> String {
    let mut text = String::from(
        "\n# What is done to rows, one step after the other. `pinhost plugin list` shows what comes with\n\
         # pinhost; a plugin of your own is a path, like ./my_plugin.wasm.\n",
    );
    text.push_str(if steps.iter().all(|step| step.is_idea) { "# steps:\n" } else { "steps:\n" });
    let mut steps_text = String::new();
    for step in steps {
        let written = step_text(step);
        if step.is_idea {
            for line in written.lines() {
                let _ = match line.strip_prefix("  ").filter(|line| !line.starts_with('#')) {
                    Some(inner) => writeln!(steps_text, "  # {inner}"),
                    None => writeln!(steps_text, "{line}"),
                };
            }
        } else {
            steps_text += &written;
        }
    }
    text + &steps_text
}

fn step_text(step: &ProposedStep) -> String {
    let mut text = comment(&step.note, "  ");
    match &step.id {
        Some(id) => {
            let _ = writeln!(text, "  - id: {}\n    plugin: {}", quoted(id), step.plugin);
        }
        None => {
            let _ = writeln!(text, "  - plugin: {}", step.plugin);
        }
    }
    text + &block("with", &Value::Object(step.with.clone()), 4)
}

/// `key: value`, in a line if it fits.
fn block(key: &str, value: &Value, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let line = format!("{margin}{}: {}", quoted(key), flow(value));
    match value {
        Value::Object(entries) if line.chars().count() > LINE_CHARS_MAX && !entries.is_empty() => {
            let entries = entries.iter().map(|(key, value)| block(key, value, indent + 2));
            format!("{margin}{}:\n{}", quoted(key), entries.collect::<String>())
        }
        Value::Array(items) if line.chars().count() > LINE_CHARS_MAX && !items.is_empty() => {
            let items = items.iter().map(|item| format!("{margin}  - {}\n", flow(item)));
            format!("{margin}{}:\n{}", quoted(key), items.collect::<String>())
        }
        _ => line + "\n",
    }
}

/// In a line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => literal(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => flow_map(entries),
        other => other.to_string(),
    }
}

fn flow_map(entries: &Map<String, Value>) -> String {
    let entries = entries.iter().map(|(key, value)| format!("{}: {}", literal(key), flow(value)));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// Text of a record: nothing in it is a variable.
fn literal(text: &str) -> String {
    quoted(&text.replace("${", "$${"))
}

fn tests_text(tests: &[TestOfSample]) -> String {
    if tests.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n# Records of the sample, and what becomes of them. They are real: look whether they may be kept here.\n\
         tests:\n",
    );
    for TestOfSample { name, record, end } in tests {
        let _ =
            writeln!(text, "  - name: {}\n    records:\n      - {}", quoted(name), literal(record));
        match end {
            EndOfRecord::Row(row) => {
                text.push_str("    rows:\n");
                let is_short = |value: &Value| {
                    value.as_str().is_none_or(|text| text.chars().count() <= VALUE_CHARS_MAX)
                };
                let shown = row.iter().filter(|(_, value)| is_short(value));
                let mut margin = "      - ";
                for (column, value) in shown {
                    let _ = writeln!(text, "{margin}{}: {}", quoted(column), flow(value));
                    margin = "        ";
                }
                if margin == "      - " {
                    text.push_str("      - {}\n");
                }
            }
            EndOfRecord::Reject { reason } => {
                let _ = writeln!(
                    text,
                    "    rejects:\n      - {{ record: 0, reason: {} }}",
                    literal(reason)
                );
            }
        }
        text.push('\n');
    }
    text.pop();
    text
}
