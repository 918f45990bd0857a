//! Forms in which texts stand for times, as the plugin `timestamps` understands them.

use std::collections::BTreeMap;

/// Tried in this order. None of them fits a text that another one reads as another time.
const FORMS: [&str; 16] = [
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y:%m:%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
];

/// Day first and month first: which one it is has to be told by a number above twelve.
const TWIN_FORMS: [[&str; 2]; 4] = [
    ["%d/%m/%Y, %H:%M:%S%.f", "%m/%d/%Y, %H:%M:%S%.f"],
    ["%d/%m/%Y %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S%.f"],
    ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"],
    ["%d/%m/%Y", "%m/%d/%Y"],
];

/// Eight digits are a day only where the name says so.
const DIGITS: &str = "%Y%m%d";

/// Whether eight digits may be a day.
pub(super) fn is_day(text: &str) -> bool {
    fits(DIGITS, text)
}

/// What texts are that may be times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Times {
    /// All as RFC 3339 has it.
    Rfc3339,
    /// These forms read them, but for so many values.
    Forms {
        forms: Vec<String>,
        strays: u64,
    },
    /// Day and month may be either way round.
    Ambiguous,
    No,
}

/// What these texts are; each with the number of its values.
pub(super) fn times<'a>(
    texts: impl Iterator<Item = (&'a str, u64)>,
    is_called_day: bool,
    strays_max: impl Fn(u64) -> u64,
) -> Times {
    let mut found: BTreeMap<usize, &'static str> = BTreeMap::new();
    let mut twins: BTreeMap<usize, [bool; 2]> = BTreeMap::new();
    let (mut all, mut strays, mut is_rfc3339) = (0, 0, true);
    for (text, count) in texts {
        all += count;
        let text = text.trim();
        is_rfc3339 &= is_strict(text);
        if let Some(at) = FORMS.iter().position(|form| fits(form, text)) {
            found.insert(at, FORMS[at]);
        } else if is_called_day && fits(DIGITS, text) {
            found.insert(FORMS.len(), DIGITS);
        } else if let Some((at, fit)) = twin(text) {
            let both = twins.entry(at).or_insert([true; 2]);
            *both = [both[0] && fit[0], both[1] && fit[1]];
        } else {
            strays += count;
        }
    }
    if all == 0 || strays > strays_max(all) {
        return Times::No;
    }
    if is_rfc3339 {
        return Times::Rfc3339;
    }
    let mut forms: Vec<String> = found.into_values().map(str::to_owned).collect();
    // One column is written by one people: what one form tells holds for the others.
    let day = twins.values().all(|fit| fit[0]);
    let month = twins.values().all(|fit| fit[1]);
    let which = match (twins.is_empty(), day, month) {
        (true, ..) => None,
        (false, true, true) => return Times::Ambiguous,
        (false, true, false) => Some(0),
        (false, false, true) => Some(1),
        (false, false, false) => return Times::No,
    };
    if let Some(which) = which {
        forms.extend(twins.into_keys().map(|at| TWIN_FORMS[at][which].to_owned()));
    }
    Times::Forms { forms, strays }
}

fn twin(text: &str) -> Option<(usize, [bool; 2])> {
    let fit = TWIN_FORMS.iter().map(|twins| twins.map(|form| fits(form, text)));
    fit.enumerate().find(|(_, fit)| fit.contains(&true))
}

/// What the decoder takes without a plugin.
fn is_strict(text: &str) -> bool {
    let is_form = fits(FORMS[0], text) || fits(FORMS[1], text);
    let has_offset = text.len() > 6 && {
        let zone = &text.as_bytes()[text.len() - 6..];
        matches!(zone[0], b'+' | b'-') && zone[3] == b':'
    };
    is_form && (text.ends_with(['Z', 'z']) || has_offset)
}

/// Whether the form reads the text, as a time of these centuries.
fn fits(form: &str, text: &str) -> bool {
    let mut rest = text.as_bytes();
    let (mut year, mut month, mut day) = (2000, 1, 1);
    let mut form = form.bytes();
    while let Some(byte) = form.next() {
        if byte != b'%' {
            match rest.split_first() {
                Some((first, after)) if first.eq_ignore_ascii_case(&byte) => rest = after,
                _ => return false,
            }
            continue;
        }
        let kind = form.next().unwrap_or_default();
        let read = match kind {
            b'Y' => number(&mut rest, 4, 1900..=2199).map(|value| year = value),
            b'm' => number(&mut rest, 2, 1..=12).map(|value| month = value),
            b'd' => number(&mut rest, 2, 1..=31).map(|value| day = value),
            b'H' => number(&mut rest, 2, 0..=23).map(drop),
            b'M' | b'S' => number(&mut rest, 2, 0..=59).map(drop),
            b'.' => {
                form.next();
                fraction(&mut rest)
            }
            _ => zone(&mut rest),
        };
        if read.is_none() {
            return false;
        }
    }
    rest.is_empty() && day <= days(year, month)
}

fn number(rest: &mut &[u8], digits: usize, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *rest = tail;
    let value = head.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    range.contains(&value).then_some(value)
}

/// A point and digits, or nothing.
fn fraction(rest: &mut &[u8]) -> Option<()> {
    if let Some(after) = rest.strip_prefix(b".") {
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *rest = &after[digits..];
        return (digits > 0).then_some(());
    }
    Some(())
}

/// `Z`, `+02:00`, `+0200`, `+02`, or nothing.
fn zone(rest: &mut &[u8]) -> Option<()> {
    let is_zone = match *rest {
        [] | [b'Z' | b'z'] => true,
        [b'+' | b'-', hours @ ..] => match hours {
            [h, k] => [h, k].iter().all(|digit| digit.is_ascii_digit()),
            [h, k, m, n] | [h, k, b':', m, n] => {
                [h, k, m, n].iter().all(|digit| digit.is_ascii_digit())
            }
            _ => false,
        },
        _ => false,
    };
    *rest = &[];
    is_zone.then_some(())
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Times {
        times(texts.iter().map(|text| (*text, 1)), false, |_| 0)
    }

    fn forms(forms: &[&str]) -> Times {
        Times::Forms { forms: forms.iter().map(|&form| form.to_owned()).collect(), strays: 0 }
    }

    #[test]
    fn what_the_decoder_takes_needs_no_plugin() {
        let texts = ["2024-02-29T10:00:00Z", "2024-01-05 10:20:30.123456+00:00"];
        assert_eq!(of(&texts), Times::Rfc3339);
        assert_eq!(of(&["2023-02-29T10:00:00Z"]), Times::No, "there is no such day");
    }

    #[test]
    fn several_forms_are_told_apart() {
        let texts = ["2024-01-05T10:20:30", "05.01.2024 10:20", "2024-01-05"];
        assert_eq!(of(&texts), forms(&["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d", "%d.%m.%Y %H:%M"]));
        assert_eq!(of(&["2024-01-05 10:20:30 UTC"]), forms(&["%Y-%m-%d %H:%M:%S%.f UTC"]));
    }

    #[test]
    fn day_and_month_are_told_apart_by_numbers_above_twelve() {
        assert_eq!(of(&["01/02/2024", "13/02/2024"]), forms(&["%d/%m/%Y"]));
        assert_eq!(of(&["01/02/2024", "02/13/2024"]), forms(&["%m/%d/%Y"]));
        assert_eq!(of(&["01/02/2024"]), Times::Ambiguous);
        assert_eq!(of(&["13/02/2024", "02/13/2024"]), Times::No);
        let texts = ["01/02/2024, 10:00:00", "28/02/2024"];
        assert_eq!(of(&texts), forms(&["%d/%m/%Y, %H:%M:%S%.f", "%d/%m/%Y"]));
    }

    #[test]
    fn eight_digits_are_a_day_where_the_name_says_so() {
        let texts = || [("20240105", 3)].into_iter();
        assert_eq!(times(texts(), true, |_| 0), forms(&["%Y%m%d"]));
        assert_eq!(times(texts(), false, |_| 0), Times::No);
    }
}
