//! Numbers as JSON writes them, and as columns hold them. Nothing is rounded on the way to an integer.

use super::value::Misfit;

/// A number in the grammar of JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'r>(pub(super) &'r str);

impl<'r> Number<'r> {
    /// All of `text` as a number.
    pub(super) fn of(text: &'r str) -> Option<Self> {
        let is_number = end(text.as_bytes()) == Ok(text.len());
        is_number.then_some(Self(text))
    }

    /// `1.0` is an integer, as that is how some writers say 1. `1e3` is not: only writers of floats
    /// use exponents.
    pub(super) fn integer(self) -> Result<i64, Misfit> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((self.0, ""));
        if !fraction.bytes().all(|digit| digit == b'0') || whole.contains(['e', 'E']) {
            return Err(Misfit::Kind);
        }
        // What is left is a sign and digits, so nothing but their number can be wrong.
        lexical_core::parse(whole.as_bytes()).map_err(|_| Misfit::OutOfRange)
    }

    /// The nearest float.
    pub(super) fn float(self) -> Result<f64, Misfit> {
        lexical_core::parse(self.0.as_bytes())
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or(Misfit::OutOfRange)
    }
}

/// Where the number at the start of `bytes` ends, or where it goes wrong.
pub(super) fn end(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 { Err(from) } else { Ok(from + digits) }
    };
    let first = usize::from(bytes.first() == Some(&b'-'));
    let mut at = match bytes.get(first) {
        // A digit after a leading zero is not part of the number.
        Some(b'0') => first + 1,
        _ => digits(first)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Ok(at)
}

/// An integer that needs no second look: up to 18 digits, no leading zero, fraction or exponent.
#[inline]
pub(super) fn short_integer(bytes: &[u8]) -> Option<(i64, usize)> {
    let first = usize::from(bytes.first() == Some(&b'-'));
    let mut value = 0;
    let mut at = first;
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
        && at < first + 18
    {
        value = value * 10 + i64::from(digit);
        at += 1;
    }
    let leading_zero = bytes.get(first) == Some(&b'0') && at > first + 1;
    let goes_on = matches!(bytes.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
    if at == first || leading_zero || goes_on {
        return None;
    }
    Some((if first == 1 { -value } else { value }, at))
}
