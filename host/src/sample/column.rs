//! Decides what the values at one place are, and how they are read.

use super::name::{ends_in, has_word};
use super::seen::Seen;
use super::text::{
    Untidy, is_count, is_filler, is_filler_among_values, is_integer, is_marked_number, is_number,
    is_padded, is_yes_or_no, tells_absence,
};
use super::time::{self, Times};
use crate::record::Kind;

/// How a column is read and cleaned.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub kind: Kind,
    pub becomes: Kind,
    pub coerce: bool,
    /// Texts that stand for no value, other than the empty one.
    pub placeholders: Vec<String>,
    pub has_empty: bool,
    pub untidy: Untidy,
    pub cleaning: Cleaning,
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cleaning {
    None,
    Times(Vec<String>),
    Counts,
    Tags,
}

impl Reading {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            becomes: kind,
            coerce: false,
            placeholders: Vec::new(),
            has_empty: false,
            untidy: Untidy::default(),
            cleaning: Cleaning::None,
            note: None,
        }
    }

    /// Of a list of texts or of numbers, which needs nothing.
    pub fn list(kind: Kind) -> Self {
        Self::of(kind)
    }

    fn coerced(kind: Kind) -> Self {
        Self { coerce: true, ..Self::of(kind) }
    }

    fn noted(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

/// Last words of names whose digits are identifiers rather than numbers.
const IDENTIFIERS: [&str; 24] = [
    "id", "ids", "uuid", "guid", "key", "code", "zip", "zipcode", "postcode", "postal", "plz",
    "phone", "tel", "mobile", "sku", "isbn", "ean", "upc", "iban", "hash", "version", "ref", "oid",
    "card",
];

const COUNTS: [&str; 14] = [
    "id", "count", "qty", "quantity", "number", "no", "year", "age", "size", "total", "num",
    "index", "n", "items",
];

const DAYS: [&str; 5] = ["date", "day", "datum", "dt", "time"];

/// How many values of a column may be something else. In a small sample, none.
fn strays_max(values: u64) -> u64 {
    values / 50
}

/// Reads what is neither an object nor a list.
pub(super) fn reading(name: &str, seen: &Seen) -> Reading {
    let texts = seen.text_values();
    let (numbers, booleans) = (seen.numbers(), seen.booleans);
    match (texts > 0, numbers > 0, booleans > 0) {
        (false, false, false) => {
            Reading::coerced(Kind::Text).noted("it is null in all records of the sample")
        }
        (false, false, true) => Reading::of(Kind::Boolean),
        (false, true, false) => number(name, seen),
        (false, true, true) => mixed(),
        (true, ..) => text(name, seen),
    }
}

fn mixed() -> Reading {
    Reading::coerced(Kind::Text).noted("its values are of several types")
}

fn number(name: &str, seen: &Seen) -> Reading {
    if seen.huge > 0 {
        if seen.pointed + seen.fractions > 0 {
            return Reading::of(Kind::Float);
        }
        let note = "integers of more than 64 bits keep all of their digits as text";
        return Reading::coerced(Kind::Text).noted(note);
    }
    if seen.fractions > 0 || seen.pointed > 0 && !ends_in(name, &COUNTS) {
        return Reading::of(Kind::Float);
    }
    let integer = Reading::of(Kind::Integer);
    let is_time = has_word(name, &["time", "timestamp", "ts", "at", "on", "date", "created"]);
    let since_1970 = |unit: i64| {
        let (from, to) = (900_000_000 * unit, 4_000_000_000 * unit);
        seen.integers > 0 && seen.least >= from && seen.greatest < to
    };
    let units = [(1, "seconds"), (1_000, "milliseconds"), (1_000_000, "microseconds")];
    match units.into_iter().find(|(unit, _)| is_time && since_1970(*unit)) {
        Some((_, unit)) => integer.noted(format!("{unit} since 1970, it seems")),
        None => integer,
    }
}

/// The texts of a column, sorted by what they are.
struct Texts<'a> {
    seen: &'a Seen,
    /// Those that are not fillers, by the stricter list for numbers and times.
    solid: Vec<(&'a str, u64)>,
    fillers: Vec<String>,
    has_empty: bool,
}

impl<'a> Texts<'a> {
    fn of(seen: &'a Seen) -> Self {
        let all = || seen.texts.iter().map(|(text, count)| (text.as_str(), *count));
        let fillers = all().filter(|(text, _)| is_filler_among_values(text));
        Self {
            seen,
            solid: all().filter(|(text, _)| !is_filler_among_values(text)).collect(),
            fillers: fillers
                .map(|(text, _)| text.to_owned())
                .filter(|text| !text.is_empty())
                .collect(),
            has_empty: seen.texts.contains_key(""),
        }
    }

    fn values(&self) -> u64 {
        self.solid.iter().map(|(_, count)| count).sum()
    }

    /// If all but a few texts are like this: how many are not.
    fn strays(&self, is_it: impl Fn(&str) -> bool) -> Option<u64> {
        let others = self.solid.iter().filter(|(text, _)| !is_it(text));
        let others = others.map(|(_, count)| count).sum();
        (!self.solid.is_empty() && others <= strays_max(self.values())).then_some(others)
    }

    fn any(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.solid.iter().any(|(text, _)| is_it(text))
    }

    fn has_fillers(&self) -> bool {
        self.has_empty || !self.fillers.is_empty()
    }

    /// Takes the fillers out before something else reads the text.
    fn without_fillers(&self, reading: Reading) -> Reading {
        Reading { placeholders: self.fillers.clone(), has_empty: self.has_empty, ..reading }
    }

    /// Text that numbers may stand among.
    fn as_text(&self) -> Reading {
        let is_pure = self.seen.numbers() + self.seen.booleans == 0;
        if is_pure { Reading::of(Kind::Text) } else { Reading::coerced(Kind::Text) }
    }
}

fn text(name: &str, seen: &Seen) -> Reading {
    let texts = Texts::of(seen);
    let is_pure = seen.numbers() + seen.booleans == 0;
    if texts.solid.is_empty() {
        return only_fillers(&texts);
    }
    if seen.numbers() == 0 && texts.strays(|text| matches!(text, "true" | "false")) == Some(0) {
        return if texts.has_fillers() {
            texts.without_fillers(texts.as_text())
        } else {
            Reading::coerced(Kind::Boolean)
        };
    }
    let is_day = has_word(name, &DAYS);
    if seen.booleans == 0
        && let Some(strays) = texts.strays(is_number)
        && !texts.any(is_padded)
        && !ends_in(name, &IDENTIFIERS)
        && !(is_day && texts.strays(time::is_day) == Some(0))
    {
        return numeric(&texts, strays);
    }
    if !is_pure {
        return texts.without_fillers(mixed());
    }
    match time::times(texts.solid.iter().copied(), is_day, strays_max) {
        Times::Rfc3339 if !texts.has_fillers() => return Reading::of(Kind::Timestamp),
        Times::Rfc3339 => return timed(&texts, vec!["%Y-%m-%dT%H:%M:%S%.f%z".to_owned()], 0),
        Times::Forms { forms, strays } => return timed(&texts, forms, strays),
        Times::Ambiguous => {
            let note = "days or months first? Nothing tells: the plugin `timestamps` reads either";
            return texts.without_fillers(Reading::of(Kind::Text)).noted(note);
        }
        Times::No => {}
    }
    if let Some(strays) = texts.strays(is_count)
        && texts.any(|text| is_count(text) && !is_integer(text) && !is_padded(text))
        && !ends_in(name, &IDENTIFIERS)
    {
        let counts = Reading {
            becomes: Kind::Integer,
            cleaning: Cleaning::Counts,
            note: said_of(strays),
            ..Reading::of(Kind::Text)
        };
        return texts.without_fillers(counts);
    }
    words(name, &texts)
}

fn said_of(strays: u64) -> Option<String> {
    (strays > 0).then(|| format!("{strays} of the sample are something else: dead letters"))
}

fn timed(texts: &Texts<'_>, forms: Vec<String>, strays: u64) -> Reading {
    let read = Reading {
        becomes: Kind::Timestamp,
        cleaning: Cleaning::Times(forms),
        note: said_of(strays),
        ..Reading::of(Kind::Text)
    };
    texts.without_fillers(read)
}

/// Numbers in quotes, and perhaps without.
fn numeric(texts: &Texts<'_>, strays: u64) -> Reading {
    let seen = texts.seen;
    let is_whole = texts.any(is_integer)
        && texts.strays(|text| !is_number(text) || is_integer(text)) == Some(0);
    let is_whole = is_whole && seen.huge + seen.pointed + seen.fractions == 0;
    let is_negative = seen.least < 0 || texts.any(|text| text.starts_with('-'));
    if !texts.has_fillers() {
        let kind = if is_whole { Kind::Integer } else { Kind::Float };
        return Reading { note: said_of(strays), ..Reading::coerced(kind) };
    }
    if is_whole && !is_negative {
        let counts = Reading {
            becomes: Kind::Integer,
            cleaning: Cleaning::Counts,
            note: said_of(strays),
            ..texts.as_text()
        };
        return texts.without_fillers(counts);
    }
    let note =
        "numbers, but some are missing in words: it stays text, as no standard plugin reads these";
    texts.without_fillers(texts.as_text()).noted(note)
}

/// Nothing but fillers, and perhaps numbers or booleans beside them.
fn only_fillers(texts: &Texts<'_>) -> Reading {
    let seen = texts.seen;
    let is_whole = seen.integers > 0 && seen.integers == seen.numbers() && seen.booleans == 0;
    if is_whole && seen.least >= 0 {
        let counts = Reading {
            becomes: Kind::Integer,
            cleaning: Cleaning::Counts,
            ..Reading::coerced(Kind::Text)
        };
        return texts.without_fillers(counts);
    }
    if seen.numbers() + seen.booleans > 0 {
        return texts.without_fillers(mixed());
    }
    let certain = texts.fillers.iter().filter(|text| is_filler(text)).cloned().collect();
    Reading { placeholders: certain, has_empty: texts.has_empty, ..Reading::of(Kind::Text) }
}

/// Text that is read as text.
fn words(name: &str, texts: &Texts<'_>) -> Reading {
    let seen = texts.seen;
    let untidy = seen.texts.keys().map(|text| Untidy::of(text));
    let untidy = untidy.fold(Untidy::default(), Untidy::or);
    let values = seen.text_values();
    let is_frequent = |count: u64| count >= 3.max(values / 50) && seen.texts.len() >= 10;
    let placeholders = seen.texts.iter().filter(|(text, count)| {
        !text.is_empty() && is_filler(text) || is_frequent(**count) && tells_absence(text)
    });
    let shown = |text: &str| if untidy.trim { text.trim() } else { text }.to_owned();
    let mut placeholders: Vec<_> = placeholders.map(|(text, _)| shown(text)).collect();
    placeholders.dedup();
    let reading =
        Reading { placeholders, has_empty: texts.has_empty, untidy, ..Reading::of(Kind::Text) };
    let with_comma = seen.texts.iter().filter(|(text, _)| text.contains(','));
    let with_comma: u64 = with_comma.map(|(_, count)| count).sum();
    let lists = ["tag", "tags", "labels", "label", "keywords", "hashtags", "topics", "categories"];
    if has_word(name, &lists) && with_comma * 2 >= values {
        return Reading { becomes: Kind::TextList, cleaning: Cleaning::Tags, ..reading };
    }
    let all = |is_it: fn(&str) -> bool| texts.strays(is_it) == Some(0);
    if all(is_yes_or_no) {
        return reading.noted("yes and no stay text: no standard plugin makes booleans of words");
    }
    if all(is_marked_number) && !ends_in(name, &IDENTIFIERS) {
        let first = texts.solid.first().map_or("", |(text, _)| text);
        return reading.noted(format!(
            "numbers with marks, like {first}, stay text: `pinhost plugin new` begins a plugin that reads them"
        ));
    }
    reading
}
