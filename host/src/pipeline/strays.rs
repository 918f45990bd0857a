//! Records of other kinds that stray into a stream, told by their keys.
//!
//! This is for the person who reads dead letters: `required field title is missing` says what is
//! wrong with a record, `looks like a geo record` says why.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::config::RuleConfig;
use super::field::{self, Columns};
use super::load::read_tree;
use crate::decode::{DeclaredField, Origin};
use crate::written::{self, Cursor, Finding, nearest};

/// What records of one kind look like.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// Of the file with its rule.
    name: String,
    /// For each field that a record of the kind has, the keys under which it may stand.
    keys: Vec<Vec<String>>,
}

/// The kinds of record that a rule can tell, its own first.
#[derive(Debug, Clone, Default)]
pub(super) struct Strays(Vec<Kind>);

impl Kind {
    fn new(path: &Path, fields: &[DeclaredField]) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let keys = fields.iter().filter(|field| field.required).filter_map(|field| {
            let Origin::Value(paths) = &field.from else { return None };
            Some(paths.iter().map(|path| path.keys()[0].clone()).collect())
        });
        Self { name, keys: keys.collect() }
    }

    /// A single key is no likeness.
    fn fits(&self, keys: &HashSet<String>) -> bool {
        self.keys.len() > 1
            && self.keys.iter().all(|names| names.iter().any(|name| keys.contains(name)))
    }
}

impl Strays {
    /// Of the rule in `path`: its own fields, and those of the rules that it names.
    pub(super) fn of(
        path: &Path,
        fields: &[DeclaredField],
        named: &[String],
        at: Cursor<'_>,
        found: &mut Vec<Finding>,
    ) -> Self {
        if named.is_empty() {
            return Self::default();
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut kinds = vec![Kind::new(path, fields)];
        for (named, at) in named.iter().zip(at.items()) {
            let path = folder.join(named);
            if !fs::exists(&path).unwrap_or_default() {
                let told = at.finding(format!("there is no rule {}", path.display()));
                let known = nearest::file(&path, ".yaml");
                let help = known.unwrap_or_else(|| "a path is that from this file on".to_owned());
                found.push(told.help(help));
                continue;
            }
            kinds.extend(kind(&path, found));
        }
        Self(kinds)
    }

    /// What a record that was refused looks like.
    pub(super) fn likeness(&self, value: &[u8]) -> Option<String> {
        let (own, strays) = self.0.split_first()?;
        let record: Shape<'_> = serde_json::from_slice(value).ok()?;
        if own.fits(&record.keys) {
            return None;
        }
        if let Some(stray) = strays.iter().find(|kind| kind.fits(&record.keys)) {
            return Some(format!("looks like a {} record", stray.name));
        }
        let (member, inner) = record.only?;
        let inner: Shape<'_> = serde_json::from_str(inner.get()).ok()?;
        let kind = self.0.iter().find(|kind| kind.fits(&inner.keys))?;
        Some(format!("looks like a {} record under the key {member}", kind.name))
    }

    /// The other way round from [`Strays::told`].
    pub(super) fn restored(told: Vec<(String, Vec<Vec<String>>)>) -> Self {
        Self(told.into_iter().map(|(name, keys)| Kind { name, keys }).collect())
    }

    /// What decides about likenesses, to be part of a generation.
    pub(super) fn told(&self) -> serde_json::Value {
        self.0.iter().map(|kind| serde_json::json!([kind.name, kind.keys])).collect()
    }
}

/// Only fields count: what else is wrong with that rule is its own affair.
fn kind(path: &Path, found: &mut Vec<Finding>) -> Option<Kind> {
    let mut tree = read_tree(path, found)?;
    let mut aside = Vec::new();
    let config: RuleConfig = written::read(&mut tree, &mut aside)?;
    let (fields, _): (_, Columns) = field::declared(&config, tree.root(), &mut aside);
    Some(Kind::new(path, &fields))
}

/// The keys of an object.
struct Shape<'a> {
    keys: HashSet<String>,
    /// The single one, if there is one alone.
    only: Option<(String, &'a RawValue)>,
}

impl<'de> Deserialize<'de> for Shape<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Shape<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<'de>, A::Error> {
                let Some(first) = map.next_key::<String>()? else {
                    return Ok(Shape { keys: HashSet::new(), only: None });
                };
                let value = map.next_value::<&'de RawValue>()?;
                let mut keys = HashSet::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    keys.insert(key);
                }
                let only = keys.is_empty().then(|| (first.clone(), value));
                keys.insert(first);
                Ok(Shape { keys, only })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strays() -> Strays {
        let kind = |name: &str, keys: &[&[&str]]| Kind {
            name: name.to_owned(),
            keys: keys
                .iter()
                .map(|names| names.iter().map(|&key| key.to_owned()).collect())
                .collect(),
        };
        Strays(vec![
            kind("pin", &[&["ind", "index"], &["title"]]),
            kind("geo", &[&["ind", "index"], &["latitude"]]),
            kind("bare", &[&["ind"]]),
        ])
    }

    #[test]
    fn a_stray_is_told_by_its_keys() {
        for (record, likeness) in [
            (r#"{"index": 1, "latitude": null, "x": [1]}"#, Some("looks like a geo record")),
            (
                r#"{"value": {"ind": 1, "title": 2}}"#,
                Some("looks like a pin record under the key value"),
            ),
            (
                r#"{"index": {"index": 1, "latitude": 2}}"#,
                Some("looks like a geo record under the key index"),
            ),
            (r#"{"ind": 1}"#, None),
            (r#"{"ind": 1, "title": 2}"#, None),
            (r#"{"ind": 1, "latitude""#, None),
            (r#"{"value": [1]}"#, None),
            ("{}", None),
            ("[]", None),
        ] {
            assert_eq!(strays().likeness(record.as_bytes()).as_deref(), likeness, "{record}");
        }
    }
}
