//! What must not be shown: values that were filled in for variables, and passwords in URLs.
//!
//! Whatever talks (the command line, the log, metrics) passes its words through [`mask`]. Data does not:
//! rows on stdout are what they are.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// Of the process: a value stays a secret whatever pipeline it was filled into. The longest come first,
/// so that one that holds another is replaced as a whole.
static KNOWN: RwLock<Vec<Secret>> = RwLock::new(Vec::new());

#[derive(Debug, PartialEq, Eq)]
struct Secret {
    value: String,
    /// `${NAME}`
    shown: String,
    everywhere: bool,
}

/// A shorter value is no secret: it would be found in every other word.
const CHARS_MIN: usize = 4;

/// A value that is shorter, or a number, is replaced where it stands by itself only.
const CHARS_EVERYWHERE: usize = 8;

/// From now on `shown` stands wherever the value would.
pub(super) fn remember(value: &str, shown: &str) {
    let mut forms = vec![value.to_owned()];
    // Said in another form: as a piece of JSON, and line by line.
    forms.push(serde_json::Value::from(value).to_string().trim_matches('"').to_owned());
    forms.extend(value.lines().map(|line| line.trim().to_owned()));
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for form in forms {
        let is_known = known.iter().any(|secret| secret.value == form);
        if is_known || form.chars().count() < CHARS_MIN || matches!(&*form, "true" | "false") {
            continue;
        }
        let is_number = form.bytes().all(|byte| byte.is_ascii_digit());
        let everywhere = form.chars().count() >= CHARS_EVERYWHERE && !is_number;
        known.push(Secret { value: form, shown: shown.to_owned(), everywhere });
    }
    known.sort_by_key(|secret| std::cmp::Reverse(secret.value.len()));
}

/// The text as it may be shown.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for secret in &*KNOWN.read().unwrap_or_else(PoisonError::into_inner) {
        if masked.contains(&secret.value) {
            masked = Cow::Owned(replaced(&masked, secret));
        }
    }
    match without_passwords(&masked) {
        Some(masked) => Cow::Owned(masked),
        None => masked,
    }
}

fn replaced(text: &str, secret: &Secret) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = 0;
    for (at, value) in text.match_indices(&secret.value) {
        let ends = at + value.len();
        let inside_a_word = text[..at].ends_with(char::is_alphanumeric)
            || text[ends..].starts_with(char::is_alphanumeric);
        if secret.everywhere || !inside_a_word {
            masked.push_str(&text[rest..at]);
            masked.push_str(&secret.shown);
            rest = ends;
        }
    }
    masked.push_str(&text[rest..]);
    masked
}

/// `postgres://me:***@host` for `postgres://me:password@host`, if there is one.
fn without_passwords(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut rest = 0;
    for (at, mark) in text.match_indices("://") {
        let from = at + mark.len();
        if from < rest {
            continue;
        }
        // A password may hold an `@`, which then is not the last of its word.
        let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`');
        let authority = text[from..].split(is_end).next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else { continue };
        let Some((name, password)) = user.split_once(':') else { continue };
        if password.is_empty() {
            continue;
        }
        let begins = from + name.len() + 1;
        masked.push_str(&text[rest..begins]);
        // What stands for a variable says more than stars.
        masked.push_str(if password.starts_with("${") { password } else { "***" });
        rest = begins + password.len();
    }
    if rest == 0 {
        return None;
    }
    masked.push_str(&text[rest..]);
    Some(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_its_variable() {
        remember("correct horse battery", "${STAPLE}");
        remember("horse battery 12", "${LONGER}");
        assert_eq!(mask("it is correct horse battery!"), "it is ${STAPLE}!");
        assert_eq!(mask("xcorrect horse batteryx"), "x${STAPLE}x");
        assert_eq!(mask("correct horse"), "correct horse");
    }

    #[test]
    fn a_short_value_is_found_as_a_word_only() {
        remember("9092", "${PORT_OF_TEST}");
        remember("yes", "${TOO_SHORT}");
        assert_eq!(mask("localhost:9092, 19092, 90921"), "localhost:${PORT_OF_TEST}, 19092, 90921");
        assert_eq!(mask("yes"), "yes");
    }

    #[test]
    fn a_value_is_found_in_json_and_in_lines() {
        remember("-----BEGIN\nq\"uoted key", "${KEY_OF_TEST}");
        assert_eq!(mask(r#"{"a":"-----BEGIN\nq\"uoted key"}"#), r#"{"a":"${KEY_OF_TEST}"}"#);
        assert_eq!(mask("  q\"uoted key"), "  ${KEY_OF_TEST}");
    }

    #[test]
    fn passwords_in_urls_are_stars() {
        for (text, shown) in [
            ("postgres://me:pw@host/db", "postgres://me:***@host/db"),
            (
                "a postgres://me:p@w@host and b://c:d@e.",
                "a postgres://me:***@host and b://c:***@e.",
            ),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("postgres://me:@host", "postgres://me:@host"),
            ("postgres://me:${PW}@host", "postgres://me:${PW}@host"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("see: //x", "see: //x"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }
}
