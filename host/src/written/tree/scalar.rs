//! What a scalar can be read as: the core schema of YAML 1.2, and what a filled-in variable adds to
//! it.

use super::Scalar;

/// A scalar where its reader takes anything.
#[derive(Debug, PartialEq)]
pub(super) enum Meant<'a> {
    Null,
    Boolean(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar {
    /// The text as it was written: what may be shown.
    pub(super) fn shown(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.text)
    }

    /// A variable's value is never null: a value cannot take a key away.
    pub(super) fn is_null(&self) -> bool {
        let is_null = matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        is_null && !self.quoted && self.template.is_none()
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.number_or_word()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i128> {
        integer(self.number_or_word()?)
    }

    pub(super) fn float(&self) -> Option<f64> {
        float(self.number_or_word()?)
    }

    /// The text, if it may be something else than text: `"${PORT}"` is a number where one is
    /// wanted, as quotes around variables are a habit.
    fn number_or_word(&self) -> Option<&str> {
        (!self.quoted || self.template.is_some()).then_some(&self.text)
    }

    pub(super) fn meant(&self) -> Meant<'_> {
        if self.quoted {
            return Meant::Text(&self.text);
        }
        if self.is_null() {
            return Meant::Null;
        }
        if let Some(boolean) = self.boolean() {
            return Meant::Boolean(boolean);
        }
        if let Some(integer) = self.integer() {
            if let Ok(unsigned) = u64::try_from(integer) {
                return Meant::Unsigned(unsigned);
            }
            if let Ok(signed) = i64::try_from(integer) {
                return Meant::Signed(signed);
            }
        }
        self.float().map_or(Meant::Text(&self.text), Meant::Float)
    }
}

/// Whether this is text without quotes.
pub(crate) fn is_text(plain: &str) -> bool {
    let text = plain.to_owned();
    let scalar = Scalar { text, quoted: false, template: None, unfilled: false };
    matches!(scalar.meant(), Meant::Text(_))
}

fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let unsigned = |digits: &str, radix| {
        // The standard library takes a sign here, YAML does not.
        if digits.starts_with(['+', '-']) { None } else { i128::from_str_radix(digits, radix).ok() }
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    unsigned(text.strip_prefix("0o")?, 8)
}

/// Numbers only: what is infinite or not a number has no JSON.
fn float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit())
        || digits
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let number: f64 = text.parse().ok().filter(|_| starts)?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.into(), quoted: false, template: None, unfilled: false }
    }

    #[test]
    fn a_plain_scalar_is_what_it_looks_like() {
        for (text, meant) in [
            ("", Meant::Null),
            ("~", Meant::Null),
            ("true", Meant::Boolean(true)),
            ("yes", Meant::Text("yes")),
            ("12", Meant::Unsigned(12)),
            ("-12", Meant::Signed(-12)),
            ("0x1f", Meant::Unsigned(31)),
            ("0o17", Meant::Unsigned(15)),
            ("0x-1", Meant::Text("0x-1")),
            ("1.5", Meant::Float(1.5)),
            (".5", Meant::Float(0.5)),
            ("1e3", Meant::Float(1000.0)),
            ("1e999", Meant::Text("1e999")),
            ("18446744073709551616", Meant::Float(18_446_744_073_709_551_616.0)),
            (".inf", Meant::Text(".inf")),
            ("inf", Meant::Text("inf")),
            ("nan", Meant::Text("nan")),
            ("46k", Meant::Text("46k")),
            ("1.2.3", Meant::Text("1.2.3")),
        ] {
            assert_eq!(plain(text).meant(), meant, "{text}");
        }
    }

    #[test]
    fn quotes_make_text_unless_a_variable_stands_in_them() {
        let quoted = Scalar { quoted: true, ..plain("8080") };
        assert_eq!((quoted.meant(), quoted.integer()), (Meant::Text("8080"), None));
        let filled = Scalar { template: Some("${PORT}".into()), ..quoted };
        assert_eq!((filled.meant(), filled.integer()), (Meant::Text("8080"), Some(8080)));
        let nothing = Scalar { template: Some("${NONE:-}".into()), ..plain("") };
        assert_eq!(nothing.meant(), Meant::Text(""));
    }
}
