//! `${NAME}` in what was written: `${NAME:-default}`, `${NAME:?message}`,
//! `${file:/run/secrets/name}`, and `$${` for a literal `${`.
//!
//! Variables are filled into the texts of scalars after the YAML was read: whatever a value holds,
//! it stays inside of its scalar. Values of the environment and of files are secrets from then on.

use std::env::{self, VarError};
use std::fs;
use std::ops::Range;
use std::path::Path;

use super::secrets;

/// Where values come from.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a> {
    pub(crate) environment: &'a dyn Fn(&str) -> Result<String, VarError>,
}

impl Variables<'static> {
    pub(crate) fn of_process() -> Self {
        Self { environment: &|name| env::var(name) }
    }
}

/// A variable that cannot be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfilled {
    /// Where it stands in the text.
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

const VALUE_BYTES_MAX: u64 = 1024 * 1024;

impl Variables<'_> {
    /// The text with its variables filled in; none if there is nothing to fill in. Paths are those
    /// from `folder` on.
    pub(crate) fn fill(&self, text: &str, folder: &Path) -> Result<Option<String>, Unfilled> {
        if !text.contains("${") {
            return Ok(None);
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = 0;
        while let Some(found) = text[rest..].find("${") {
            let opens = rest + found;
            if text[rest..opens].ends_with('$') {
                filled.push_str(&text[rest..opens - 1]);
                filled.push_str("${");
                rest = opens + 2;
                continue;
            }
            filled.push_str(&text[rest..opens]);
            let inner = opens + 2;
            let Some(length) = text[inner..].find('}') else {
                let unfilled = unfilled(opens..text.len(), "this `${` has no `}`");
                return Err(Unfilled { help: Some(LITERAL.to_owned()), ..unfilled });
            };
            rest = inner + length + 1;
            let value = self.value(&text[inner..inner + length], folder);
            let value = value
                .map_err(|(message, help)| Unfilled { help, ..unfilled(opens..rest, message) })?;
            filled.push_str(&value);
        }
        filled.push_str(&text[rest..]);
        Ok(Some(filled))
    }

    /// The error is a message and what to do about it.
    fn value(&self, written: &str, folder: &Path) -> Result<String, (String, Option<String>)> {
        let shown = format!("${{{written}}}");
        if let Some(path) = written.strip_prefix("file:") {
            let value = read(&folder.join(path))
                .map_err(|why| (format!("the file of {shown} cannot be read: {why}"), None))?;
            secrets::remember(&value, &shown);
            return Ok(value);
        }
        let name = written.find(':').map_or(written, |at| &written[..at]);
        let otherwise = &written[name.len()..];
        let known = matches!(otherwise.as_bytes(), [] | [b':', b'-' | b'?', ..]);
        if !is_name(name) || !known || otherwise.contains("${") {
            return Err((format!("{shown} is no variable"), Some(format!("{FORMS}; {LITERAL}"))));
        }
        match (self.environment)(name) {
            Ok(value) if !value.is_empty() || otherwise.is_empty() => {
                secrets::remember(&value, &format!("${{{name}}}"));
                return Ok(value);
            }
            Ok(_) | Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => {
                return Err((format!("the value of the variable {name} is not UTF-8"), None));
            }
        }
        if let Some(default) = otherwise.strip_prefix(":-") {
            return Ok(default.to_owned());
        }
        let help = match otherwise.strip_prefix(":?") {
            Some(message) if !message.trim().is_empty() => message.trim().to_owned(),
            _ => format!("set it, or give it a default: ${{{name}:-…}}; {LITERAL}"),
        };
        Err((format!("the variable {name} is not set"), Some(help)))
    }
}

const FORMS: &str = "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:PATH}";
const LITERAL: &str = "for a literal `${` write `$${`";

fn unfilled(at: Range<usize>, message: impl Into<String>) -> Unfilled {
    Unfilled { at, message: message.into(), help: None }
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_part) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn read(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > VALUE_BYTES_MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let mut text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // Whatever wrote the file has ended its line.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<Option<String>, Unfilled> {
        let environment = |name: &str| match name {
            "HOST" => Ok("db".to_owned()),
            "EMPTY" => Ok(String::new()),
            _ => Err(VarError::NotPresent),
        };
        Variables { environment: &environment }.fill(text, Path::new("."))
    }

    #[test]
    fn variables_are_filled_in_where_they_stand() {
        for (text, filled) in [
            ("${HOST}", "db"),
            ("http://${HOST}:${PORT:-80}/", "http://db:80/"),
            ("${EMPTY}|${EMPTY:-x}|${NONE:-}", "|x|"),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${HOST} ${HOST}", "${HOST} db"),
            ("$$${HOST}", "$${HOST}"),
            ("$HOST $ ${HOST}", "$HOST $ db"),
        ] {
            assert_eq!(fill(text).unwrap().as_deref(), Some(filled), "{text}");
        }
        assert_eq!(fill("no variable: $HOST"), Ok(None));
    }

    #[test]
    fn what_cannot_be_filled_in_is_told_by_its_place() {
        for (text, at, message) in [
            ("a ${NONE} b", 2..9, "the variable NONE is not set"),
            ("${NONE:?}", 0..9, "the variable NONE is not set"),
            ("${EMPTY:?set it}", 0..16, "the variable EMPTY is not set"),
            ("${HOST", 0..6, "this `${` has no `}`"),
            ("${A B}", 0..6, "${A B} is no variable"),
            ("${HOST:x}", 0..9, "${HOST:x} is no variable"),
            ("${}", 0..3, "${} is no variable"),
            ("${NONE:-${HOST}}", 0..15, "${NONE:-${HOST} is no variable"),
        ] {
            let unfilled = fill(text).unwrap_err();
            assert_eq!((unfilled.at, unfilled.message.as_str()), (at, message), "{text}");
        }
        assert_eq!(fill("${EMPTY:?set it}").unwrap_err().help.as_deref(), Some("set it"));
    }

    #[test]
    fn a_file_loses_one_end_of_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "two\nlines\n\n").unwrap();
        let variables = Variables::of_process();
        let filled = variables.fill("${file:secret}", folder.path()).unwrap();
        assert_eq!(filled.as_deref(), Some("two\nlines\n"));
        let missing = variables.fill("${file:none}", folder.path()).unwrap_err();
        assert!(missing.message.starts_with("the file of ${file:none} cannot be read: "));
    }
}
