//! One value of the record goes into its column, or does not fit.

use crate::record::Kind;

use super::column::{Texts, Values, offset};
use super::cursor::Cursor;
use super::number::Number;
use super::reject::{Reject, Result, shown};
use super::timestamp;

/// Why a value does not go into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    Kind,
    /// Of the right kind, but for this.
    Because(&'static str),
    OutOfRange,
}

/// `Err` is a fault of the record's JSON, the inner one of the value.
type Fit<T> = Result<std::result::Result<T, Misfit>>;

impl Misfit {
    #[cold]
    pub(super) fn reject(
        self,
        field: &str,
        kind: Kind,
        seen: &str,
        at: impl Into<Option<usize>>,
    ) -> Box<Reject> {
        let what = match kind {
            Kind::Boolean => "a boolean",
            Kind::Integer => "an integer",
            Kind::Float => "a number",
            Kind::Text => "text",
            Kind::Timestamp => "a timestamp",
            Kind::TextList => "a list of text",
            Kind::FloatList => "a list of numbers",
        };
        let seen = shown(seen);
        match self {
            Self::Kind => Reject::new(format!("field {field} is not {what}"), seen, at),
            Self::Because(why) => {
                let detail = format!("{seen}: {why}");
                Reject::new(format!("field {field} is not {what}"), detail, at)
            }
            Self::OutOfRange => Reject::new(format!("field {field} is out of range"), seen, at),
        }
    }
}

/// Reads a value that is not null.
pub(super) struct Reader<'c, 'r> {
    pub(super) cursor: &'c mut Cursor<'r>,
    pub(super) scratch: &'c mut String,
    /// The field's name.
    pub(super) name: &'c str,
    pub(super) coerce: bool,
    /// How many objects are around the value.
    pub(super) depth: usize,
}

impl Reader<'_, '_> {
    #[inline]
    pub(super) fn value(&mut self, values: &mut Values) -> Fit<()> {
        match values {
            Values::Text(texts) => self.text(texts),
            Values::Integer(values) => Ok(self.integer()?.map(|value| values.push(value))),
            Values::Float(values) => Ok(self.float()?.map(|value| values.push(value))),
            Values::Boolean(values) => Ok(self.boolean()?.map(|value| values.append(value))),
            Values::Timestamp(values) => Ok(self.timestamp()?.map(|value| values.push(value))),
            Values::TextList { ends, items } => {
                if self.cursor.peek() != b'[' {
                    return Ok(Err(Misfit::Kind));
                }
                self.list("is not text", |reader| reader.text(items))?;
                ends.push(offset(items.len()));
                Ok(Ok(()))
            }
            Values::FloatList { ends, items } => {
                if self.cursor.peek() != b'[' {
                    return Ok(Err(Misfit::Kind));
                }
                self.list("is not a number", |reader| {
                    Ok(reader.float()?.map(|item| items.push(item)))
                })?;
                ends.push(offset(items.len()));
                Ok(Ok(()))
            }
        }
    }

    #[inline]
    fn text(&mut self, texts: &mut Texts) -> Fit<()> {
        match self.cursor.peek() {
            b'"' => self.cursor.string_into(texts.open(), self.name)?,
            b'-' | b'0'..=b'9' if self.coerce => {
                texts.open().push_str(self.cursor.number()?.0);
            }
            b't' | b'f' if self.coerce => {
                let value = self.cursor.boolean()?;
                texts.open().push_str(if value { "true" } else { "false" });
            }
            _ => return Ok(Err(Misfit::Kind)),
        }
        texts.end();
        Ok(Ok(()))
    }

    #[inline]
    fn integer(&mut self) -> Fit<i64> {
        match self.cursor.peek() {
            b'-' | b'0'..=b'9' => match self.cursor.short_integer() {
                Some(value) => Ok(Ok(value)),
                None => Ok(self.cursor.number()?.integer()),
            },
            _ => self.coerced(integer_of),
        }
    }

    fn float(&mut self) -> Fit<f64> {
        match self.cursor.peek() {
            b'-' | b'0'..=b'9' => Ok(self.cursor.number()?.float()),
            _ => self.coerced(float_of),
        }
    }

    fn boolean(&mut self) -> Fit<bool> {
        match self.cursor.peek() {
            b't' | b'f' => Ok(Ok(self.cursor.boolean()?)),
            _ => self.coerced(boolean_of),
        }
    }

    fn timestamp(&mut self) -> Fit<i64> {
        if self.cursor.peek() != b'"' {
            return Ok(Err(Misfit::Kind));
        }
        let text = self.cursor.string(self.scratch, self.name)?;
        Ok(timestamp::parse(text))
    }

    /// A value that is written as a string.
    fn coerced<T>(&mut self, parse: fn(&str) -> std::result::Result<T, Misfit>) -> Fit<T> {
        if !self.coerce || self.cursor.peek() != b'"' {
            return Ok(Err(Misfit::Kind));
        }
        let text = self.cursor.string(self.scratch, self.name)?;
        Ok(parse(text))
    }

    /// Reads an array, `wrong` being what is said of an item of another kind.
    fn list(&mut self, wrong: &str, mut item: impl FnMut(&mut Self) -> Fit<()>) -> Result<()> {
        self.cursor.check_depth(self.depth)?;
        self.cursor.take(b'[');
        self.cursor.skip_blanks();
        if self.cursor.take(b']') {
            return Ok(());
        }
        loop {
            let from = self.cursor.at();
            if let Err(misfit) = item(self)? {
                return Err(self.refuse_item(from, misfit, wrong));
            }
            if !self.cursor.next_item(b']')? {
                return Ok(());
            }
        }
    }

    /// The value at `from` does not fit; but if it isn't JSON in the first place, that is the fault.
    #[cold]
    pub(super) fn refuse(&mut self, from: usize, misfit: Misfit, kind: Kind) -> Box<Reject> {
        self.cursor.go_back(from);
        match self.cursor.skip_value(self.depth) {
            Ok(()) => misfit.reject(self.name, kind, self.cursor.since(from), from),
            Err(malformed) => malformed,
        }
    }

    #[cold]
    fn refuse_item(&mut self, from: usize, misfit: Misfit, wrong: &str) -> Box<Reject> {
        self.cursor.go_back(from);
        if let Err(malformed) = self.cursor.skip_value(self.depth + 1) {
            return malformed;
        }
        let seen = self.cursor.since(from);
        let wrong = match misfit {
            Misfit::OutOfRange => "is out of range",
            Misfit::Kind | Misfit::Because(_) if seen == "null" => "is null",
            Misfit::Kind | Misfit::Because(_) => wrong,
        };
        let reason = format!("field {} has an item that {wrong}", self.name);
        Reject::new(reason, shown(seen), from)
    }
}

/// Appends what stands outside of the JSON as text.
pub(super) fn push_text(values: &mut Values, text: &str) -> std::result::Result<(), Misfit> {
    match values {
        Values::Text(texts) => {
            texts.open().push_str(text);
            texts.end();
        }
        Values::Boolean(values) => values.append(boolean_of(text)?),
        Values::Integer(values) => values.push(integer_of(text)?),
        Values::Float(values) => values.push(float_of(text)?),
        Values::Timestamp(values) => values.push(timestamp::parse(text)?),
        Values::TextList { .. } | Values::FloatList { .. } => return Err(Misfit::Kind),
    }
    Ok(())
}

fn boolean_of(text: &str) -> std::result::Result<bool, Misfit> {
    text.parse().map_err(|_| Misfit::Kind)
}

fn integer_of(text: &str) -> std::result::Result<i64, Misfit> {
    Number::of(text).ok_or(Misfit::Kind)?.integer()
}

fn float_of(text: &str) -> std::result::Result<f64, Misfit> {
    Number::of(text).ok_or(Misfit::Kind)?.float()
}
