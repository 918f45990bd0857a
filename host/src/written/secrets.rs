//! What must not be shown: values that were filled in for variables, and passwords in URLs.
//!
//! Whatever talks (the command line, the log, metrics) passes its words through [`mask`]. Data does
//! not: rows on stdout are what they are.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

/// Of the process: a value stays a secret whatever pipeline it was filled into. The longest come
/// first, so that one that holds another is replaced as a whole.
static KNOWN: RwLock<Vec<Secret>> = RwLock::new(Vec::new());

#[derive(Debug, PartialEq, Eq)]
struct Secret {
    value: String,
    /// `${NAME}`
    shown: String,
    everywhere: bool,
}

const STARS: &str = "***";

/// A shorter value is no secret: it would be found in every other word.
const CHARS_MIN: usize = 4;

/// A value that is shorter, or a number, is replaced where it stands by itself only.
const CHARS_EVERYWHERE: usize = 8;

/// From now on `shown` stands wherever the value would.
pub(crate) fn remember(value: &str, shown: &str) {
    // Said in another form: as a piece of JSON, and line by line.
    let json = serde_json::Value::from(value).to_string();
    let lines = value.lines().map(str::trim);
    let forms = [value, json.trim_matches('"')].into_iter().chain(lines);
    let mut secrets: Vec<(String, &str)> = forms.map(|form| (form.to_owned(), shown)).collect();
    // Whoever takes a URL apart may name its password alone.
    for at in passwords(value) {
        let password = &value[at];
        secrets.extend([(password.to_owned(), STARS), (decoded(password), STARS)]);
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for (value, shown) in secrets {
        let is_known = known.iter().any(|secret| secret.value == value);
        let chars = value.chars().count();
        if is_known || chars < CHARS_MIN || matches!(&*value, "true" | "false") {
            continue;
        }
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        let everywhere = chars >= CHARS_EVERYWHERE && !is_number;
        known.push(Secret { value, shown: shown.to_owned(), everywhere });
    }
    known.sort_by_key(|secret| std::cmp::Reverse(secret.value.len()));
}

/// It turned out to be no secret.
pub(crate) fn forget(value: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.retain(|secret| secret.value != value);
}

/// From now on stars stand wherever the value would, unless it came out of a variable.
pub(crate) fn conceal(value: &str) {
    remember(value, STARS);
}

/// The text as it may be shown.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for secret in &*KNOWN.read().unwrap_or_else(PoisonError::into_inner) {
        if masked.contains(&secret.value) {
            masked = Cow::Owned(replaced(&masked, secret));
        }
    }
    let passwords = passwords(&masked);
    if passwords.is_empty() {
        return masked;
    }
    let mut masked = masked.into_owned();
    for at in passwords.into_iter().rev() {
        masked.replace_range(at, STARS);
    }
    Cow::Owned(masked)
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

/// Where passwords of URLs stand: `postgres://me:password@host`, and `?password=` or `password=`.
fn passwords(text: &str) -> Vec<Range<usize>> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let word = |from: usize| {
        let rest = &text[from..];
        from..from + rest.find(is_end).unwrap_or(rest.len())
    };
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let word = word(at + mark.len());
        let begins = word.start;
        let word = &text[word];
        let authority = word.split(['/', '?', '#']).next().unwrap_or_default();
        let Some(colon) = authority.find(':') else { continue };
        // A password may hold an `@`, which then is not the last one; or a slash, if it was not
        // encoded as it should be, and what follows the colon is no port.
        let port = authority[colon + 1..].bytes().all(|byte| byte.is_ascii_digit());
        let ends = authority.rfind('@').or_else(|| word.rfind('@').filter(|_| !port));
        if let Some(ends) = ends.filter(|ends| *ends > colon + 1) {
            found.push(begins + colon + 1..begins + ends);
        }
    }
    for (at, mark) in text.match_indices("password=") {
        let word = word(at + mark.len());
        let length = text[word.clone()].find('&').unwrap_or(word.len());
        found.push(word.start..word.start + length);
    }
    // What stands for a variable says more than stars.
    found.retain(|at| !at.is_empty() && !text[at.clone()].starts_with("${"));
    found.sort_by_key(|at| at.start);
    found.dedup_by(|next, one| next.start < one.end);
    found
}

/// Without the `%40` that stand for `@` in a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).filter(|_| *first == b'%').and_then(|hex| str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
    fn what_is_no_secret_is_shown() {
        remember("200017", "${RECORDS_OF_TEST}");
        forget("200017");
        assert_eq!(mask("it stands at 200017"), "it stands at 200017");
    }

    #[test]
    fn a_value_is_found_in_json_and_in_lines() {
        remember("-----BEGIN\nq\"uoted key", "${KEY_OF_TEST}");
        assert_eq!(mask(r#"{"a":"-----BEGIN\nq\"uoted key"}"#), r#"{"a":"${KEY_OF_TEST}"}"#);
        assert_eq!(mask("  q\"uoted key"), "  ${KEY_OF_TEST}");
    }

    #[test]
    fn the_password_of_a_url_is_a_secret_by_itself() {
        remember("postgres://me:hunter%40two@host/db", "${URL_OF_TEST}");
        assert_eq!(
            mask("cannot reach postgres://me:hunter%40two@host/db"),
            "cannot reach ${URL_OF_TEST}"
        );
        assert_eq!(mask("`hunter@two` was refused, hunter%40two"), "`***` was refused, ***");
    }

    #[test]
    fn passwords_in_urls_are_stars() {
        for (text, shown) in [
            ("postgres://me:pw@host/db", "postgres://me:***@host/db"),
            (
                "a postgres://me:p@w@host and b://c:d@e.",
                "a postgres://me:***@host and b://c:***@e.",
            ),
            ("b://me:p/w?x@host/db", "b://me:***@host/db"),
            ("b://h?user=me&password=pw&x=y", "b://h?user=me&password=***&x=y"),
            ("host=h password=pw user=me", "host=h password=*** user=me"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("postgres://me:@host", "postgres://me:@host"),
            ("postgres://me:${PW}@host", "postgres://me:${PW}@host"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("http://host:80?a=b:c@d", "http://host:80?a=b:c@d"),
            ("see: //x", "see: //x"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }
}
