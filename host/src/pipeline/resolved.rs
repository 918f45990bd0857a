//! A pipeline or a rule as YAML, with everything that was left out filled in.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::tree::{Templates, below, is_text};
use super::{Pipeline, Rule};
use crate::record::Field;

impl Pipeline {
    /// The whole pipeline with its rule in it, all defaults, and the columns after each step. Variables
    /// stand as they were written.
    pub fn resolved(&self) -> String {
        let mut document = Document::of(&self.config);
        document.put(&self.templates, "");
        if let Some(rule) = &self.rule {
            let inner = rule.document();
            if let Document::Map(entries) = &mut document
                && let Some((_, written)) = entries.iter_mut().find(|(key, _)| key == "rule")
            {
                *written = inner;
            }
        }
        let generation = self.generation().digest.short();
        let mut yaml = format!("# delivery: {}\n# generation: {generation}\n", self.delivery());
        document.write(&mut yaml, 0);
        yaml
    }
}

impl Rule {
    pub fn resolved(&self) -> String {
        let mut yaml = String::new();
        self.document().write(&mut yaml, 0);
        yaml
    }

    fn document(&self) -> Document {
        let mut document = Document::of(&self.config);
        document.put(&self.templates, "");
        let Document::Map(entries) = &mut document else { return document };
        for (key, value) in entries {
            let Document::List(steps) = value else { continue };
            if key != "steps" {
                continue;
            }
            for (written, step) in steps.iter_mut().zip(&self.steps) {
                let bare = std::mem::replace(written, Document::List(Vec::new()));
                let after = format!("after it: {}", columns(step.step.output()));
                *written = Document::Noted(Box::new(bare), after);
            }
        }
        document
    }
}

/// `title (text), n (integer)`
fn columns(fields: &[Field]) -> String {
    let columns = fields.iter().map(|field| format!("{} ({})", field.name, field.kind));
    columns.collect::<Vec<_>>().join(", ")
}

/// Values in the order of their types' fields.
#[derive(Debug)]
enum Document {
    Scalar(Value),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    /// With a comment below it.
    Noted(Box<Self>, String),
}

const LINE_CHARS_MAX: usize = 90;

impl Document {
    fn of(config: &impl Serialize) -> Self {
        let json = serde_json::to_string(config).expect("keys are text");
        serde_json::from_str(&json).expect("it was written as JSON")
    }

    /// Puts texts as they were written in the place of what variables made of them.
    fn put(&mut self, templates: &Templates, pointer: &str) {
        if let Some(template) = templates.get(pointer)
            && let Self::Scalar(value) = self
        {
            *value = Value::from(template.as_str());
        }
        match self {
            Self::Scalar(_) => {}
            Self::Noted(document, _) => document.put(templates, pointer),
            Self::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.put(templates, &format!("{pointer}/{index}"));
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries {
                    value.put(templates, &below(pointer, key));
                }
            }
        }
    }

    /// Each entry and item on lines of its own, unless it is short.
    fn write(&self, to: &mut String, indent: usize) {
        let margin = " ".repeat(indent);
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    match value.in_line(indent + key.len()) {
                        Some(line) => {
                            let _ = writeln!(to, "{margin}{}: {line}", text(key));
                        }
                        None => {
                            let _ = writeln!(to, "{margin}{}:", text(key));
                            value.write(to, indent + 2);
                        }
                    }
                    if indent == 0 {
                        to.push('\n');
                    }
                }
                if indent == 0 {
                    to.pop();
                }
            }
            Self::List(items) => {
                for item in items {
                    let (item, note) = match item {
                        Self::Noted(item, note) => (&**item, Some(note)),
                        item => (item, None),
                    };
                    match item.in_line(indent) {
                        Some(line) => {
                            let _ = writeln!(to, "{margin}- {line}");
                        }
                        None => {
                            let mut lines = String::new();
                            item.write(&mut lines, indent + 2);
                            let _ = write!(to, "{margin}- {}", lines.trim_start());
                        }
                    }
                    if let Some(note) = note {
                        let _ = writeln!(to, "{margin}  # {note}");
                    }
                }
            }
            Self::Scalar(_) | Self::Noted(..) => {
                let line = self.in_line(0).unwrap_or_default();
                let _ = writeln!(to, "{margin}{line}");
            }
        }
    }

    /// What it is in one line, if it fits. Lists and maps of anything but scalars never do.
    fn in_line(&self, indent: usize) -> Option<String> {
        let line = match self {
            Self::Scalar(value) => return Some(scalar(value)),
            Self::Noted(..) => return None,
            Self::List(items) => {
                let items =
                    items.iter().map(Self::scalar_or_renamed).collect::<Option<Vec<_>>>()?;
                format!("[{}]", items.join(", "))
            }
            Self::Map(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| {
                        let value = match value {
                            Self::List(items) => {
                                let items: Option<Vec<_>> =
                                    items.iter().map(Self::scalar_or_renamed).collect();
                                format!("[{}]", items?.join(", "))
                            }
                            value => value.scalar_or_renamed()?,
                        };
                        Some(format!("{}: {value}", text(key)))
                    })
                    .collect::<Option<Vec<_>>>()?;
                format!("{{ {} }}", entries.join(", "))
            }
        };
        (indent + line.chars().count() <= LINE_CHARS_MAX).then_some(line)
    }

    /// A scalar, or `{ name: column }`.
    fn scalar_or_renamed(&self) -> Option<String> {
        match self {
            Self::Scalar(value) => Some(scalar(value)),
            Self::Map(entries) => match &entries[..] {
                [(key, Self::Scalar(value))] => {
                    Some(format!("{{ {}: {} }}", text(key), scalar(value)))
                }
                _ => None,
            },
            Self::List(_) | Self::Noted(..) => None,
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(written) => text(written),
        other => other.to_string(),
    }
}

/// In quotes unless it is text without them, wherever it stands.
fn text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./$ ".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./$".contains(c));
    if begins && text.chars().all(is_plain) && !text.ends_with(' ') && is_text(text) {
        return text.to_owned();
    }
    if text.contains('"') && !text.contains('\'') && !text.contains(char::is_control) {
        return format!("'{text}'");
    }
    Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Document;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document::Scalar(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
                Ok(Document::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
                Ok(Document::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
                Ok(Document::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
                Ok(Document::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Document, E> {
                Ok(Document::Scalar(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Document::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Document::Map(entries))
            }
        }

        deserializer.deserialize_any(Written)
    }
}
