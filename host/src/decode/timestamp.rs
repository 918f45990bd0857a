//! Timestamps as RFC 3339 writes them.

use super::value::Misfit;

const DAY_MICROS: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00Z and the first microsecond after 9999-12-31.
const MIN: i64 = -62_135_596_800_000_000;
const END: i64 = 253_402_300_800_000_000;

/// Whether a timestamp lies in the years that columns hold: 1 to 9999.
pub(super) fn is_in_range(micros: i64) -> bool {
    (MIN..END).contains(&micros)
}

/// Microseconds since 1970-01-01T00:00:00Z, or what is wrong with the text.
///
/// Digits after the sixth of a fraction are cut off. There is no second 60: what is counted here has
/// no leap seconds, and an instant of its own is not to become that of another.
pub(super) fn parse(text: &str) -> Result<i64, Misfit> {
    const FORM: Misfit = Misfit::Because("expected the form 2020-08-28T03:52:47Z");
    const ZONE: Misfit = Misfit::Because("expected Z or an offset such as +02:00 at the end");
    let bytes = text.as_bytes();
    let (Some(head), Some(tail)) = (bytes.first_chunk::<19>(), bytes.get(19..)) else {
        return Err(FORM);
    };
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    // RFC 3339 has the T in either case, and leaves it to the reader to take a blank.
    let [b'-', b'-', b'T' | b't' | b' ', b':', b':'] = separators else {
        return Err(FORM);
    };
    let two = |at: usize| digits(&head[at..at + 2]).ok_or(FORM);
    let year = digits(&head[0..4]).ok_or(FORM)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return Err(Misfit::Because("no such day"));
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Misfit::Because("no such time of day"));
    }

    let (fraction, zone) = fraction_micros(tail).ok_or(FORM)?;
    let zone = zone_minutes(zone).ok_or(ZONE)?;
    let minutes = hour * 60 + minute - zone;
    let micros = days_since_1970(year, month, day) * DAY_MICROS
        + (minutes * 60 + second) * 1_000_000
        + fraction;
    if is_in_range(micros) { Ok(micros) } else { Err(Misfit::OutOfRange) }
}

/// The fraction at the start of `tail`, if there is one, and what follows.
fn fraction_micros(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(tail) = tail.strip_prefix(b".") else {
        return Some((0, tail));
    };
    let len = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = tail.split_at(len);
    let micros = digits(&fraction[..len.min(6)])?;
    let missing = 6 - len.min(6) as u32;
    Some((micros * 10_i64.pow(missing), zone))
}

/// How many minutes the zone is ahead of UTC.
fn zone_minutes(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', minute_tens, minute_ones] => {
            let minutes = digits(&[*minute_tens, *minute_ones]).filter(|&minutes| minutes < 60)?;
            let hours = digits(hours).filter(|&value| hours.len() == 2 && value < 24)?;
            let ahead = hours * 60 + minutes;
            Some(if *sign == b'+' { ahead } else { -ahead })
        }
        _ => None,
    }
}

/// A few digits as a number; `None` if there are none, or other bytes.
fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    (!bytes.is_empty()).then_some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days in the Gregorian calendar, for years that are not negative.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that a leap day is its last and months have a regular length:
    // 31 30 31 30 31, 31 30 31 30 31, 31 and the rest.
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    use jiff::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_rfc_3339_are_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00z", 0),
            ("1970-01-01 00:00:00Z", 0),
            ("1970-01-01T00:00:00.5Z", 500_000),
            ("1970-01-01T00:00:00.123456789Z", 123_456),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("1970-01-01T02:30:00+02:30", 0),
            ("1969-12-31T16:00:00-08:00", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("0001-01-01T00:00:00Z", MIN),
            ("9999-12-31T23:59:59.999999Z", END - 1),
        ] {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "form"),
            ("2020-08-28", "form"),
            ("2020:08:28 03:52:47", "form"),
            ("08/28/2020, 03:52:47", "form"),
            ("2020-08-28T03:52Z", "form"),
            ("2020-08-28_03:52:47Z", "form"),
            ("2020-8-28T03:52:47Z.", "form"),
            ("+020-08-28T03:52:47Z", "form"),
            ("2020-08-28T03:52:47.Z", "form"),
            ("2020-08-28T03:52:47,5Z", "offset"),
            ("2020-08-28 03:52:47", "offset"),
            ("2020-08-28T03:52:47 Z", "offset"),
            ("2020-08-28T03:52:47+0200", "offset"),
            ("2020-08-28T03:52:47+02", "offset"),
            ("2020-08-28T03:52:47+002:00", "offset"),
            ("2020-08-28T03:52:47+24:00", "offset"),
            ("2020-08-28T03:52:47+02:60", "offset"),
            ("2020-08-28T03:52:47.000+0000", "offset"),
            ("2020-08-28T03:52:47Z[UTC]", "offset"),
            ("2021-02-29T00:00:00Z", "day"),
            ("1900-02-29T00:00:00Z", "day"),
            ("2020-13-01T00:00:00Z", "day"),
            ("2020-00-01T00:00:00Z", "day"),
            ("2020-01-00T00:00:00Z", "day"),
            ("2020-01-01T24:00:00Z", "time"),
            ("2020-01-01T00:60:00Z", "time"),
            ("2016-12-31T23:59:60Z", "time"),
            ("0000-12-31T23:59:59Z", "years"),
            ("0001-01-01T00:00:00+00:01", "years"),
            ("9999-12-31T23:59:59-00:01", "years"),
        ] {
            let told = match parse(text) {
                Err(Misfit::Because(told)) => told,
                Err(Misfit::OutOfRange) => "not in the years 1 to 9999",
                other => panic!("{text}: {other:?}"),
            };
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_read_as_jiff_writes_it(micros in MIN..END - 2 * DAY_MICROS) {
            let written = Timestamp::from_microsecond(micros).unwrap().to_string();
            prop_assert_eq!(parse(&written), Ok(micros));
        }
    }
}
