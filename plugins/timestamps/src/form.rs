//! A form that timestamps are written in.

use std::str::FromStr;

use pinhost_plugin::kernels::{days_in_month, days_since_1970};

/// What a text looks like, from its start to its end.
#[derive(Debug)]
pub(crate) struct Form {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    /// Four digits.
    Year,
    /// Two digits.
    Number(Unit),
    /// May be empty.
    Fraction,
    /// May be empty.
    Zone,
    Literal(u8),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// What stands in a form for a part of a text.
const CODES: [(&str, Part); 8] = [
    ("%Y", Part::Year),
    ("%m", Part::Number(Unit::Month)),
    ("%d", Part::Number(Unit::Day)),
    ("%H", Part::Number(Unit::Hour)),
    ("%M", Part::Number(Unit::Minute)),
    ("%S", Part::Number(Unit::Second)),
    ("%.f", Part::Fraction),
    ("%z", Part::Zone),
];

/// 0001-01-01T00:00:00Z and the first microsecond after 9999-12-31.
const MIN: i64 = -62_135_596_800_000_000;
const END: i64 = 253_402_300_800_000_000;

/// What a text stands for.
#[derive(Debug)]
pub(crate) struct Instant {
    /// Since 1970-01-01T00:00:00Z.
    pub(crate) micros: i64,
    /// Whether the text tells it in a zone that is not at UTC.
    pub(crate) shifted: bool,
    /// Whether the text is more exact than that.
    pub(crate) cut: bool,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(form: &str) -> Result<Self, String> {
        let mut parts = vec![];
        let mut rest = form.as_bytes();
        while let Some(first) = rest.first() {
            let code = CODES.iter().find(|(code, _)| rest.starts_with(code.as_bytes()));
            let (part, length) = match code {
                Some((code, part)) if parts.contains(part) => {
                    return Err(format!("{code} stands in it twice"));
                }
                Some((code, part)) => (*part, code.len()),
                None if *first == b'%' => {
                    let codes = CODES.map(|(code, _)| code).join(", ");
                    return Err(format!("a % is the start of one of {codes}"));
                }
                None => (Part::Literal(*first), 1),
            };
            parts.push(part);
            rest = &rest[length..];
        }

        let has = |code| CODES.iter().any(|(known, part)| *known == code && parts.contains(part));
        if !["%Y", "%m", "%d"].into_iter().all(has) {
            return Err("a form needs each of %Y, %m and %d".to_owned());
        }
        for (code, needed) in [("%M", "%H"), ("%S", "%M"), ("%.f", "%S"), ("%z", "%H")] {
            if has(code) && !has(needed) {
                return Err(format!("a form with {code} needs {needed} too"));
            }
        }
        Ok(Self { parts })
    }
}

impl Form {
    /// `None` if the text does not have this form, or there is no such instant. There is no second
    /// 60: what counts microseconds since 1970 has no leap seconds, and an instant of its own is not
    /// to become that of another.
    pub(crate) fn read(&self, text: &str) -> Option<Instant> {
        let mut rest = text.as_bytes();
        let (mut year, mut units) = (0, [0; 5]);
        let (mut fraction, mut cut, mut zone) = (0, false, 0);
        for part in &self.parts {
            match *part {
                Part::Year => year = take_number::<4>(&mut rest)?,
                Part::Number(unit) => units[unit as usize] = take_number::<2>(&mut rest)?,
                Part::Fraction => (fraction, cut) = take_fraction(&mut rest)?,
                Part::Zone => zone = take_zone(&mut rest)?,
                Part::Literal(byte) => {
                    rest.split_off_first().filter(|first| first.eq_ignore_ascii_case(&byte))?;
                }
            }
        }
        let [month, day, hour, minute, second] = units;
        let exists = rest.is_empty()
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !exists {
            return None;
        }
        let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - zone;
        let micros = (minutes * 60 + second) * 1_000_000 + fraction;
        (MIN..END).contains(&micros).then_some(Instant { micros, shifted: zone != 0, cut })
    }
}

#[inline]
fn take_number<const DIGITS: usize>(rest: &mut &[u8]) -> Option<i64> {
    let (digits, after) = rest.split_first_chunk::<DIGITS>()?;
    *rest = after;
    number(digits)
}

#[inline]
fn number(digits: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

/// The fraction of a second in microseconds, and whether more than zeros were cut off it.
fn take_fraction(rest: &mut &[u8]) -> Option<(i64, bool)> {
    let Some(after) = rest.strip_prefix(b".") else {
        return Some((0, false));
    };
    let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = after.split_at(length);
    *rest = after;
    let (kept, cut) = digits.split_at(length.min(6));
    let micros = number(kept)? * 10_i64.pow(6 - kept.len() as u32);
    (length > 0).then(|| (micros, cut.iter().any(|&digit| digit != b'0')))
}

/// How many minutes the zone is ahead of UTC.
fn take_zone(rest: &mut &[u8]) -> Option<i64> {
    let sign = match rest.first() {
        Some(b'Z' | b'z') => {
            *rest = &rest[1..];
            return Some(0);
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some(0),
    };
    *rest = &rest[1..];
    let hours = take_number::<2>(rest).filter(|&hours| hours < 24)?;
    let minutes = match rest {
        [b':', after @ ..] => {
            *rest = after;
            take_number::<2>(rest)?
        }
        [b'0'..=b'9', ..] => take_number::<2>(rest)?,
        _ => 0,
    };
    (minutes < 60).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(form: &str, text: &str) -> Option<i64> {
        form.parse::<Form>().unwrap().read(text).map(|instant| instant.micros)
    }

    #[test]
    fn a_form_is_the_whole_text() {
        for (form, text) in [
            ("%Y-%m-%d", "1970-01-02"),
            ("%d.%m.%Y", "02.01.1970"),
            ("%Y%m%d", "19700102"),
            ("le %d-%m-%Y à %Hh", "LE 02-01-1970 à 00H"),
            ("%H:%M %Y-%m-%d", "00:00 1970-01-02"),
            ("%Y-%m-%d %H:%M:%S%.f%z", "1970-01-02 00:00:00.000-00:00"),
            ("%Y-%m-%dT%H%M%z", "1970-01-02T0200+02"),
        ] {
            assert_eq!(micros(form, text), Some(86_400_000_000), "{form}");
            assert_eq!(micros(form, &format!("{text} ")), None, "{form}");
            assert_eq!(micros(form, &format!(" {text}")), None, "{form}");
            for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
                let shorter = micros(form, &text[..end]);
                assert!(shorter.is_none_or(|_| form.contains("%z")), "{form}: {}", &text[..end]);
            }
        }
    }

    #[test]
    fn both_ends_of_time_are_exact() {
        let form = "%Y-%m-%d %H:%M:%S%.f%z";
        assert_eq!(micros(form, "0001-01-01 00:00:00"), Some(MIN));
        assert_eq!(micros(form, "0000-12-31 23:59:59.999999"), None);
        assert_eq!(micros(form, "0000-12-31 23:00:00-01:00"), Some(MIN));
        assert_eq!(micros(form, "9999-12-31 23:59:59.9999999"), Some(END - 1));
        assert_eq!(micros(form, "9999-12-31 23:59:59-00:01"), None);
    }

    #[test]
    fn a_form_that_makes_no_sense_is_refused() {
        for (form, why) in [
            ("%Y-%m", "a form needs each of %Y, %m and %d"),
            ("", "a form needs each of %Y, %m and %d"),
            ("%Y-%m-%d %d", "%d stands in it twice"),
            ("%Y-%m-%d %M", "a form with %M needs %H too"),
            ("%Y-%m-%d %H:%S", "a form with %S needs %M too"),
            ("%Y-%m-%d%z", "a form with %z needs %H too"),
            ("%Y-%m-%d %I", "a % is the start of one of %Y, %m, %d, %H, %M, %S, %.f, %z"),
            ("%Y-%m-%d%", "a % is the start of one of %Y, %m, %d, %H, %M, %S, %.f, %z"),
        ] {
            assert_eq!(form.parse::<Form>().unwrap_err(), why, "{form}");
        }
    }
}
