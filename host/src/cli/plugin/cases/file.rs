//! Case files: YAML, read with the places where things stand.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{Error as YamlError, Location, Spanned};

use super::{Case, CaseFile, Expect, ExpectCleaned, ExpectFinding, ExpectRejection};
use crate::cli::CliError;
use crate::record::Kind;
use crate::record::json::{self, JsonRow, ValueFault};
use crate::written::Place;
use crate::written::nearest::nearest;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: Spanned<String>,
    #[serde(default)]
    config: Option<Spanned<Value>>,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    rows: Vec<Spanned<JsonRow>>,
    #[serde(default)]
    expect: Option<Spanned<WrittenExpect>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenExpect {
    #[serde(default)]
    rows: Option<Vec<JsonRow>>,
    #[serde(default)]
    dropped: Option<Vec<u32>>,
    #[serde(default)]
    rejected: Option<Vec<ExpectRejection>>,
    #[serde(default)]
    tallies: Option<Tallies>,
    #[serde(default)]
    findings: Option<Vec<ExpectFinding>>,
}

/// Kinds that the values do not tell.
#[derive(Default)]
struct Columns(Vec<(String, Kind)>);

struct Tallies(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer, "columns and their kinds, like { title: text }").map(Self)
    }
}

impl<'de> Deserialize<'de> for Tallies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer, "tallies and their counts").map(Self)
    }
}

/// A map in the order in which it is written.
fn pairs<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<Vec<(String, T)>, D::Error> {
    struct Pairs<T>(&'static str, std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(expected, std::marker::PhantomData))
}

/// The case files at a path: itself, or those in the folder, by name.
pub(crate) fn find(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error| CliError::io(format!("{} cannot be read", path.display()), &error);
    if !path.metadata().map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_yaml = |path: &PathBuf| {
        path.extension().and_then(OsStr::to_str).is_some_and(|end| end == "yaml" || end == "yml")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        files.push(entry.map_err(unreadable)?.path());
    }
    files.retain(is_yaml);
    files.sort();
    Ok(files)
}

pub(crate) fn read(path: &Path) -> Result<CaseFile, CliError> {
    let text = fs::read_to_string(path)
        .map_err(|error| CliError::io(format!("{} cannot be read", path.display()), &error))?;
    let cases = parse(path, &text)?;
    Ok(CaseFile { path: path.to_owned(), text, cases })
}

/// Reads cases; the error shows the place in the text.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Case>, CliError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
    };
    let source = Source { path, text };
    let written: Vec<Spanned<WrittenCase>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| source.told(&error))?;
    let mut names = BTreeSet::new();
    written
        .into_iter()
        .map(|written| {
            let at = written.referenced;
            let name = &written.value.name;
            if !names.insert(name.value.clone()) {
                let error = CliError::input(format!("two cases are called `{}`", name.value));
                return Err(source.mark(error, name.referenced));
            }
            source.case(at, written.value)
        })
        .collect()
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn case(&self, at: Location, written: WrittenCase) -> Result<Case, CliError> {
        let WrittenCase { name, config, columns: Columns(columns), rows, expect } = written;
        let (places, rows): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|row| (row.referenced, row.value)).unzip();
        let told = |error: json::JsonRowError| {
            let told = CliError::input(error.to_string());
            let told = match &error.fault {
                ValueFault::Mixed { .. } => {
                    told.help(format!("say which it is: columns: {{ {}: text }}", error.column))
                }
                ValueFault::Misfit { kind: Kind::Text, .. } => told.help("put it in quotes"),
                _ => told,
            };
            let row = places[error.row];
            match offset(row).and_then(|row| self.key_below(row, &error.column)) {
                Some(key) => self.mark_at(told, key, error.column.len()),
                None => self.mark(told, row),
            }
        };
        let fields = json::infer(&rows, &columns).map_err(told)?;
        json::batch(&rows, &fields).map_err(told)?;

        let config = match config {
            None => Value::Object(Map::new()),
            Some(config) if config.value.is_object() => config.value,
            Some(config) => {
                let error = CliError::input("a configuration is an object, like { column: title }");
                return Err(self.mark(error, config.referenced));
            }
        };
        let expect_starts = expect.as_ref().and_then(|expect| offset(expect.referenced));
        let expect = match expect {
            None => None,
            Some(expect) => Some(self.expect(expect.referenced, expect.value)?),
        };
        Ok(Case {
            name: name.value,
            line: at.line() as usize,
            config,
            fields,
            rows,
            expect,
            starts: offset(at).unwrap_or_default(),
            expect_starts,
        })
    }

    fn expect(&self, at: Location, written: WrittenExpect) -> Result<Expect, CliError> {
        let WrittenExpect { rows, dropped, rejected, tallies, findings } = written;
        let cleaned =
            rows.is_some() || dropped.is_some() || rejected.is_some() || tallies.is_some();
        match findings {
            Some(_) if cleaned => {
                let error = CliError::input("a configuration that is refused cleans no rows")
                    .help("expect either findings, or rows with dropped, rejected and tallies");
                Err(self.mark(error, at))
            }
            Some(findings) if findings.is_empty() => {
                let error = CliError::input("a refusal has at least one finding")
                    .help("if the configuration holds, leave `findings` out");
                Err(self.mark(error, at))
            }
            Some(findings) => Ok(Expect::Refused(findings)),
            None => Ok(Expect::Cleaned(ExpectCleaned {
                rows: rows.unwrap_or_default(),
                dropped: dropped.unwrap_or_default(),
                rejected: rejected.unwrap_or_default(),
                tallies: tallies.map(|Tallies(tallies)| tallies),
            })),
        }
    }

    /// An error of the YAML reader, in the words of this format.
    fn told(&self, error: &YamlError) -> CliError {
        let (message, help) = match error {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                let help = match nearest(field, expected.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known here are {}", expected.join(", ")),
                };
                (format!("unknown key `{field}`"), Some(help))
            }
            YamlError::SerdeUnknownVariant { variant, expected, .. } => {
                let help = match nearest(variant, expected.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the kinds are {}", expected.join(", ")),
                };
                (format!("there is no kind `{variant}`"), Some(help))
            }
            YamlError::SerdeMissingField { field, .. } => {
                (format!("the key `{field}` is missing"), None)
            }
            YamlError::DuplicateMappingKey { key: Some(key), .. } => {
                (format!("`{key}` is there twice"), None)
            }
            YamlError::SerdeInvalidType { unexpected, expected, .. } => {
                (format!("here should be {expected}, not {unexpected}"), None)
            }
            YamlError::Unexpected { expected: "sequence start", location }
                if location.line() == 1 =>
            {
                (
                    "a case file is a list".to_owned(),
                    Some("each case starts with `- name: `".to_owned()),
                )
            }
            YamlError::Unexpected { expected: "sequence start", .. } => {
                ("here should be a list, like [a, b]".to_owned(), None)
            }
            YamlError::Unexpected { expected: "mapping start", .. } => {
                ("here should be keys and values, like { a: b }".to_owned(), None)
            }
            YamlError::Eof { .. } => ("there are no cases in it".to_owned(), None),
            other => (without_place(other), None),
        };
        let told = CliError::input(message);
        let told = match help {
            Some(help) => told.help(help),
            None => told,
        };
        self.mark(told, error.location().unwrap_or(Location::UNKNOWN))
    }

    /// Where the first key of this name stands, from a place on.
    fn key_below(&self, starts: usize, key: &str) -> Option<usize> {
        let is_key = |at: &usize| {
            let rest = self.text[*at + key.len()..].trim_start_matches(['"', '\'']);
            rest.trim_start().starts_with(':')
        };
        self.text[starts..].match_indices(key).map(|(at, _)| starts + at).find(is_key)
    }

    fn mark(&self, error: CliError, at: Location) -> CliError {
        let Some(starts) = offset(at) else { return self.mark_at(error, 0, 1) };
        let length = at.span().byte_len().unwrap_or_default() as usize;
        let marked = self.text.get(starts..starts + length).unwrap_or_default();
        // Of what reaches over several lines, and of what has no length, the word.
        let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let rest = self.text.get(starts..).unwrap_or_default();
        let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let one_line = !marked.is_empty() && !marked.contains('\n');
        self.mark_at(error, starts, if one_line { length } else { word })
    }

    /// Shows some bytes of the text.
    fn mark_at(&self, error: CliError, starts: usize, length: usize) -> CliError {
        let starts = self.text.floor_char_boundary(starts);
        let before = &self.text[..starts];
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let marked = self.text.get(starts..starts + length).unwrap_or_default();
        error.at(Place {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: self.text[line..starts].chars().count() + 1,
            width: marked.chars().count().max(1),
            text: self.text[line..].lines().next().unwrap_or_default().to_owned(),
        })
    }
}

fn offset(at: Location) -> Option<usize> {
    at.span().byte_offset().map(|offset| offset as usize)
}

/// What the YAML reader says, of which the last words are the place.
fn without_place(error: &YamlError) -> String {
    let said = error.without_snippet().to_string();
    let said = said.lines().next().unwrap_or_default();
    said.rsplit_once(" at line ")
        .map_or(said, |(said, _)| said)
        .trim_end_matches([',', ':'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_first_characters() {
        let text = "\
# comment
- name: ä
  config: { column: n }
  rows: [{ n: 1 }]
  expect:
    rows:
      - { n: 1 }
- { name: b, expect: { rows: [] } }
";
        let cases = parse(Path::new("a.yaml"), text).unwrap();
        let at = |offset: usize| text[offset..].lines().next().unwrap();
        assert_eq!(cases[0].line, 2);
        assert_eq!(at(cases[0].starts), "name: ä");
        assert_eq!(at(cases[0].expect_starts.unwrap()), "rows:");
        assert_eq!(at(cases[1].starts), "{ name: b, expect: { rows: [] } }");
        assert_eq!(at(cases[1].expect_starts.unwrap()), "{ rows: [] } }");
    }
}
