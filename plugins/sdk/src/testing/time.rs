//! Timestamps as RFC 3339 in UTC.

use crate::kernels::days_since_1970 as days;

/// Microseconds since 1970; `None` if the text is not `2020-08-28T03:52:47Z`, with or without a
/// fraction of at most six digits.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':')?;
    let fraction: i64 = format!("{fraction:0<6}").parse().ok().filter(|_| fraction.len() <= 6)?;
    let seconds = (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + fraction)
}

pub(super) fn format(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (day_number, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years have 365 or 366 days, so this is the year or one before it.
    let mut year = 1970 + day_number.div_euclid(365).min(day_number.div_euclid(366));
    while days(year + 1, 1, 1) <= day_number {
        year += 1;
    }
    let month = (1..=12).rfind(|&month| days(year, month, 1) <= day_number).unwrap_or(1);
    let day = day_number - days(year, month, 1) + 1;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match fraction {
        0 => String::new(),
        _ => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text.split(separator).map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_there_and_back() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2020-08-28T03:52:47Z", 1_598_586_767_000_000),
            ("2020-02-29T23:59:59.5Z", 1_583_020_799_500_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
            assert_eq!(format(micros), text);
        }
        assert_eq!(parse("2020-08-28 03:52:47"), None);
    }
}
