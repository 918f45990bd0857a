//! Writes what came out into a case file: only the `expect` of cases that fail is touched, so that
//! comments and layout of all else stay as they are.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{Case, CaseFile, Cleaning, Expect, Outcome, file};
use crate::run::RowOutcome;

/// Lines longer than this are written as blocks.
const WIDTH: usize = 100;

/// The text with new expectations for some cases, by their place in the file. The error names the first
/// case of which the text is laid out in a way that cannot be changed safely.
pub(crate) fn updated<'a>(
    file: &'a CaseFile,
    outcomes: &[(usize, &Outcome)],
) -> Result<String, &'a Case> {
    let mut text = file.text.clone();
    // From the end, so that the places of earlier cases stay right.
    for (at, outcome) in outcomes.iter().rev() {
        let case = &file.cases[*at];
        let lines = written(case, outcome);
        let replaced = match case.expect_starts {
            Some(starts) => replaced(&text, starts, &lines),
            None => added(&text, case.starts, &lines),
        };
        // Read back, it has to say what it said before, and what came out.
        text = replaced.filter(|text| holds(&file.path, text, file, outcomes, *at)).ok_or(case)?;
    }
    Ok(text)
}

/// Whether the text reads back as the cases it had, and expects of the case at `at` what came out.
fn holds(
    path: &Path,
    text: &str,
    before: &CaseFile,
    outcomes: &[(usize, &Outcome)],
    at: usize,
) -> bool {
    let Ok(cases) = file::parse(path, text) else { return false };
    let same = |(now, before): (&Case, &Case)| {
        now.name == before.name
            && now.config == before.config
            && now.rows == before.rows
            && now.fields == before.fields
    };
    let untouched = |index: usize| {
        cases[index].expect == before.cases[index].expect
            || outcomes.iter().any(|(changed, _)| *changed == index)
    };
    cases.len() == before.cases.len()
        && cases.iter().zip(&before.cases).all(same)
        && (0..cases.len()).all(untouched)
        && cases[at].expect.is_some()
}

/// `expect` and what is below it, not indented.
fn written(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut lines = vec!["expect:".to_owned()];
    match outcome {
        Outcome::Refused(findings) => {
            lines.push("  findings:".to_owned());
            let helps = matches!(&case.expect, Some(Expect::Refused(before)) if before.iter().any(|f| f.help.is_some()));
            for finding in findings {
                let mut keys = vec![
                    ("pointer", Value::from(finding.pointer.as_str())),
                    ("message", Value::from(finding.message.as_str())),
                ];
                keys.extend(
                    finding.help.as_deref().filter(|_| helps).map(|h| ("help", Value::from(h))),
                );
                item(&mut lines, keys);
            }
        }
        Outcome::Cleaned(cleaning) => {
            rows(&mut lines, cleaning);
            ends(&mut lines, case, cleaning);
        }
    }
    lines
}

fn rows(lines: &mut Vec<String>, cleaning: &Cleaning) {
    let kept: Vec<_> = cleaning
        .rows
        .iter()
        .filter_map(|row| match row {
            RowOutcome::Kept(values) => Some(values),
            _ => None,
        })
        .collect();
    if kept.is_empty() {
        lines.push("  rows: []".to_owned());
        return;
    }
    lines.push("  rows:".to_owned());
    for values in kept {
        let names = cleaning.fields.iter().map(|field| &*field.name);
        item(lines, names.zip(values.iter().cloned()));
    }
}

/// Rows that are not kept, and the tallies.
fn ends(lines: &mut Vec<String>, case: &Case, cleaning: &Cleaning) {
    let before = match &case.expect {
        Some(Expect::Cleaned(before)) => Some(before),
        _ => None,
    };
    let rows = || cleaning.rows.iter().enumerate();
    let dropped: Vec<_> = rows()
        .filter(|(_, row)| matches!(row, RowOutcome::Dropped))
        .map(|(row, _)| row.to_string())
        .collect();
    if !dropped.is_empty() {
        lines.push(format!("  dropped: [{}]", dropped.join(", ")));
    }
    let mut rejected = rows()
        .filter_map(|(row, outcome)| match outcome {
            RowOutcome::Rejected { reason, detail } => Some((row, reason, detail)),
            _ => None,
        })
        .peekable();
    if rejected.peek().is_some() {
        lines.push("  rejected:".to_owned());
    }
    for (row, reason, detail) in rejected {
        let mut keys = vec![("row", Value::from(row)), ("reason", Value::from(reason.as_str()))];
        // Who left a detail out did not want it compared.
        let wanted = before.is_none_or(|before| {
            let same = before.rejected.iter().find(|r| r.row as usize == row);
            same.is_none_or(|same| same.detail.is_some())
        });
        keys.extend(detail.as_deref().filter(|_| wanted).map(|d| ("detail", Value::from(d))));
        item(lines, keys);
    }
    let named = before.map(|before| before.tallies.as_deref());
    let tallies: Vec<_> = cleaning
        .tallies
        .iter()
        .filter(|(name, count)| match named {
            None => *count > 0,
            Some(None) => false,
            Some(Some(named)) => *count > 0 || named.iter().any(|(named, _)| named == name),
        })
        .map(|(name, count)| format!("{}: {count}", scalar(&Value::from(name.as_str()))))
        .collect();
    if !tallies.is_empty() {
        lines.push(format!("  tallies: {{ {} }}", tallies.join(", ")));
    }
}

/// An item of a list, in a line if it is short.
fn item<'a>(lines: &mut Vec<String>, keys: impl IntoIterator<Item = (&'a str, Value)>) {
    let keys: Vec<_> =
        keys.into_iter().map(|(key, value)| (scalar(&Value::from(key)), flow(&value))).collect();
    let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let line = format!("    - {{ {} }}", pairs.join(", "));
    if pairs.is_empty() {
        lines.push("    - {}".to_owned());
    } else if line.chars().count() <= WIDTH {
        lines.push(line);
    } else {
        for (at, pair) in pairs.into_iter().enumerate() {
            lines.push(format!("    {} {pair}", if at == 0 { "-" } else { " " }));
        }
    }
}

/// A value as YAML in a line.
fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", "))
        }
        value => scalar(value),
    }
}

/// Without quotes where nobody could take it for anything but text.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    const WORDS: [&str; 10] =
        ["null", "true", "false", "yes", "no", "on", "off", "nan", "inf", "infinity"];
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | '.' | '(' | ')' | '`');
    let plain = text.starts_with(|first: char| first.is_alphabetic() || first == '/')
        && !text.ends_with(' ')
        && text.chars().all(is_plain)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.clone() } else { quoted(text) }
}

/// A JSON string, which is a YAML string too, also where YAML would want more to be escaped.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut quoted = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", char as u32);
            }
            char => quoted.push(char),
        }
    }
    quoted
}

/// Puts the lines in the place of the `expect` whose value starts at `starts`.
fn replaced(text: &str, starts: usize, lines: &[String]) -> Option<String> {
    let key = text[..starts].rfind("expect")?;
    // Nothing but a colon, blanks and comments lies between a key and its value.
    let between = text[key + "expect".len()..starts].trim_start().strip_prefix(':')?;
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if !between.split('\n').all(blank) {
        return None;
    }
    let line = text[..key].rfind('\n').map_or(0, |end| end + 1);
    let before = &text[line..key];
    if !before.chars().all(|c| matches!(c, ' ' | '-')) {
        return None;
    }
    let end = end_of_block(text, starts, before.len());
    let new = indented(lines, before.len());
    Some(format!("{}{}{}", &text[..key], new.trim_start(), &text[end..]))
}

/// Puts the lines at the end of the case that starts at `starts`.
fn added(text: &str, starts: usize, lines: &[String]) -> Option<String> {
    let line = text[..starts].rfind('\n').map_or(0, |end| end + 1);
    let indent = starts - line;
    let is_block = text[line..starts].chars().all(|c| matches!(c, ' ' | '-'))
        && !text[starts..].starts_with('{');
    if !is_block || indent == 0 {
        return None;
    }
    let end = end_of_block(text, starts, indent - 1);
    Some(format!("{}\n{}{}", &text[..end], indented(lines, indent), &text[end..]))
}

/// The end of the last line, from that at `starts` on, that is indented by more than `indent`. Blank
/// lines and comments after it stay outside.
fn end_of_block(text: &str, starts: usize, indent: usize) -> usize {
    let mut end = text[starts..].find('\n').map_or(text.len(), |end| starts + end);
    let mut at = end + 1;
    while at < text.len() {
        let next = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let line = &text[at..next];
        let content = line.trim_start_matches(' ');
        if !content.trim().is_empty() {
            if line.len() - content.len() <= indent {
                break;
            }
            if !content.starts_with('#') {
                end = next;
            }
        }
        at = next + 1;
    }
    end
}

fn indented(lines: &[String], indent: usize) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("{:indent$}{line}", "")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::record::{Field, Kind};

    const TEXT: &str = "\
# Golden.
- name: first    # a remark
  rows: [{ n: a }, { n: b }]
  expect:
    # this goes
    rows:
      - { n: x }
    rejected: [{ row: 1, reason: bad }]
  # this stays

- name: second
  expect: { rows: [] }
  rows: []

- name: third
  rows:
    - n: a

# the end
";

    fn read(text: &str) -> CaseFile {
        let path = PathBuf::from("cases/a.yaml");
        let cases = file::parse(&path, text).unwrap();
        CaseFile { path, text: text.to_owned(), cases }
    }

    fn outcome() -> Outcome {
        let rejected = RowOutcome::Rejected { reason: "bad: n".into(), detail: Some("b".into()) };
        Outcome::Cleaned(Cleaning {
            fields: [Field::new("n", Kind::Text), Field::new("tag list", Kind::TextList)].into(),
            rows: vec![RowOutcome::Kept(vec![json!("46k"), json!(["A b", "1"])]), rejected],
            tallies: vec![("seen".into(), 1), ("not".into(), 0)],
        })
    }

    #[test]
    fn only_the_expectation_of_the_case_is_changed() {
        let file = read(TEXT);
        let outcome = outcome();
        let expected = TEXT
            .replace("    # this goes\n", "")
            .replace("- { n: x }", "- { n: \"46k\", tag list: [A b, \"1\"] }")
            .replace(
                "rejected: [{ row: 1, reason: bad }]",
                "rejected:\n      - { row: 1, reason: \"bad: n\" }",
            );
        assert_eq!(updated(&file, &[(0, &outcome)]).unwrap(), expected);
    }

    #[test]
    fn an_expectation_that_is_not_there_is_added_with_all_there_is() {
        let file = read(TEXT);
        let outcome = outcome();
        let new = "- n: a
  expect:
    rows:
      - { n: \"46k\", tag list: [A b, \"1\"] }
    rejected:
      - { row: 1, reason: \"bad: n\", detail: b }
    tallies: { seen: 1 }
";
        let expected = TEXT.replace("- n: a\n", new);
        assert_eq!(updated(&file, &[(2, &outcome)]).unwrap(), expected);
        let all = updated(&file, &[(0, &outcome), (1, &outcome), (2, &outcome)]).unwrap();
        assert!(all.contains("# this stays") && all.ends_with("# the end\n"), "{all}");
        assert_eq!(read(&all).cases.len(), 3);
    }

    #[test]
    fn a_layout_that_could_be_spoiled_is_left_alone() {
        let file = read("- { name: a, expect: { rows: [] } }\n- { name: b }\n");
        let outcome = outcome();
        assert_eq!(updated(&file, &[(0, &outcome)]).unwrap_err().name, "a");
        assert_eq!(updated(&file, &[(1, &outcome)]).unwrap_err().name, "b");
    }

    #[test]
    fn text_reads_back_as_text() {
        for text in [
            "46k",
            "yes",
            "null",
            "~",
            "a: b",
            "a #b",
            "- a",
            "",
            " a",
            "a ",
            "ä`b`",
            "1e3",
            "\u{85}",
            "{",
            "a,b",
            "a\nb",
            "\"",
            "\\",
            "/column",
            ".nan",
            "nan",
            "0x1",
            "2020-01-01",
            "é\u{2028}",
        ] {
            let yaml = format!("{{ a: {} }}", scalar(&Value::from(text)));
            let options = serde_saphyr::options! { strict_booleans: true };
            let read: Value = serde_saphyr::from_str_with_options(&yaml, options).unwrap();
            assert_eq!(read, json!({"a": text}), "{yaml}");
        }
    }
}
