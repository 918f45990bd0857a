//! Classifies a single text.

/// Texts that stand for no value wherever they stand, in lower case.
const FILLERS: [&str; 17] = [
    "",
    "n/a",
    "#n/a",
    "null",
    "nil",
    "nan",
    "undefined",
    "-",
    "--",
    "?",
    "not available",
    "(not set)",
    "(not provided)",
    "(none)",
    "(null)",
    "\\n",
    "missing",
];

/// Texts that do so among numbers and times; elsewhere they may be ordinary words.
const WORDS: [&str; 8] =
    ["na", "none", "unknown", "tbd", "error", "empty", "not provided", "unavailable"];

/// Phrases of texts that say a value is missing.
const ABSENCES: [&str; 8] = [
    "not available",
    "unavailable",
    "no data",
    "data available",
    "not provided",
    "not set",
    "src error",
    "info error",
];

pub(super) fn is_filler(text: &str) -> bool {
    FILLERS.contains(&text.trim().to_lowercase().as_str())
}

pub(super) fn is_filler_among_values(text: &str) -> bool {
    is_filler(text) || WORDS.contains(&text.trim().to_lowercase().as_str())
}

/// Whether the text says that there is none.
pub(super) fn tells_absence(text: &str) -> bool {
    let text = text.to_lowercase();
    let is_no = text.starts_with("no ") && text.contains("available");
    is_no || ABSENCES.iter().any(|phrase| text.contains(phrase))
}

/// A number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts = digits.starts_with(|first: char| first.is_ascii_digit());
    let is_padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    starts && !is_padded && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

pub(super) fn is_integer(text: &str) -> bool {
    is_number(text) && text.parse::<i64>().is_ok()
}

/// Digits that are a code rather than a number, such as a postal code.
pub(super) fn is_padded(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A count as people write it, as the plugin `follower-count` understands it.
pub(super) fn is_count(text: &str) -> bool {
    let text = text.trim();
    let number = text.strip_suffix(['k', 'K', 'm', 'M', 'b', 'B']);
    let has_suffix = number.is_some();
    let number = number.unwrap_or(text).trim_end();
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let is_grouped = are_digits(first)
        && groups.all(|group| group.len() == 3 && are_digits(group))
        && (!whole.contains(',') || first.len() <= 3);
    let is_whole =
        fraction.is_none_or(|fraction| has_suffix && fraction.len() <= 3 && are_digits(fraction));
    is_grouped && is_whole
}

/// A number between or behind marks, or with a comma for its point: `€1.234,50`, `12,5 %`.
pub(super) fn is_marked_number(text: &str) -> bool {
    let text = text.trim();
    let is_mark = |c: char| !c.is_alphanumeric() && !"-_/:#@&".contains(c) || c == '-';
    let is_code = |word: &str| word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase());
    let words = text.split_whitespace().filter(|word| !is_code(word));
    let is_made_of_digits = words.flat_map(str::chars).all(|c| c.is_ascii_digit() || is_mark(c));
    // Digits with points are addresses and versions.
    let is_telling = |c: char| !c.is_ascii_digit() && !c.is_whitespace() && !".-".contains(c);
    text.contains(|c: char| c.is_ascii_digit()) && text.contains(is_telling) && is_made_of_digits
}

pub(super) fn is_yes_or_no(text: &str) -> bool {
    const WORDS: [&str; 8] = ["yes", "no", "y", "n", "on", "off", "true", "false"];
    WORDS.contains(&text.trim().to_lowercase().as_str())
}

/// What is untidy about a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Untidy {
    pub entities: bool,
    pub controls: bool,
    pub blanks: bool,
    pub trim: bool,
}

impl Untidy {
    pub fn of(text: &str) -> Self {
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\t');
        Self {
            entities: has_entity(text),
            controls: text.chars().any(|c| c.is_control() && !is_break(c)),
            blanks: text.contains(['\u{a0}', '\u{202f}', '\u{2007}']),
            trim: !text.trim().is_empty() && text.trim().len() < text.len(),
        }
    }

    pub fn is_tidy(self) -> bool {
        self == Self::default()
    }

    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            entities: self.entities || other.entities,
            controls: self.controls || other.controls,
            blanks: self.blanks || other.blanks,
            trim: self.trim || other.trim,
        }
    }
}

/// `&amp;`, `&#39;` and the like.
fn has_entity(text: &str) -> bool {
    const NAMED: [&str; 7] = ["amp", "lt", "gt", "quot", "apos", "nbsp", "rsquo"];
    text.split('&').skip(1).any(|after| {
        let Some((name, _)) = after.split_once(';') else { return false };
        let is_digits = |digits: &str| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let digits = name.strip_prefix('#').map(|rest| rest.trim_start_matches(['x', 'X']));
        NAMED.contains(&name) || digits.is_some_and(is_digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        for count in ["46k", "1.2M", "1,234", "998", "12,345,678", "0"] {
            assert!(is_count(count), "{count}");
        }
        for other in ["12,34", "1234,567", "-3", "1.5", "k", "", "1.2345k", "€5"] {
            assert!(!is_count(other), "{other}");
        }
        for marked in ["€1.234,50", "12,5 %", "$ 3.20", "1.234,50 EUR", "USD 5", "-12,50"] {
            assert!(is_marked_number(marked), "{marked}");
        }
        for other in ["a 5", "2024-01-05T", "", "€", "Oak, 5 pieces", "10:20", "2.11.1"] {
            assert!(!is_marked_number(other), "{other}");
        }
        for number in ["0", "-1.5", "12e3", "0.50"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["01", "1.", ".5", "+1", "", "1,5", "NaN"] {
            assert!(!is_number(other), "{other}");
        }
    }

    #[test]
    fn what_is_untidy_is_seen() {
        let untidy = Untidy::of(" Fish &amp; Chips\u{a0}");
        assert!(untidy.entities && untidy.blanks && untidy.trim && !untidy.controls);
        assert!(Untidy::of("R&D; ?a=1&b=2").is_tidy());
    }
}
