//! Values as YAML that a person reads: in the order of their types' fields, in lines that are not
//! too long.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::written::{Templates, below, quoted};

/// Values in the order of their types' fields.
#[derive(Debug)]
pub(super) enum Document {
    Scalar(Value),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    /// With a comment below it.
    Noted(Box<Self>, String),
}

const LINE_CHARS_MAX: usize = 90;

impl Document {
    pub(super) fn of(config: &impl Serialize) -> Self {
        let json = serde_json::to_string(config).expect("keys are text");
        serde_json::from_str(&json).expect("it was written as JSON")
    }

    /// Puts texts as they were written in the place of what variables made of them.
    pub(super) fn put(&mut self, templates: &Templates, pointer: &str) {
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
    pub(super) fn write(&self, to: &mut String, indent: usize) {
        let margin = " ".repeat(indent);
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    match value.in_line(indent + key.len()) {
                        Some(line) => {
                            let _ = writeln!(to, "{margin}{}: {line}", quoted(key));
                        }
                        None => {
                            let _ = writeln!(to, "{margin}{}:", quoted(key));
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
                        Some(format!("{}: {value}", quoted(key)))
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
                    Some(format!("{{ {}: {} }}", quoted(key), scalar(value)))
                }
                _ => None,
            },
            Self::List(_) | Self::Noted(..) => None,
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(written) => quoted(written),
        other => other.to_string(),
    }
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
