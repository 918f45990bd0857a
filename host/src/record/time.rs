//! Instants as RFC 3339 writes them: in UTC, with a fraction only if it is not zero.

use std::fmt;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// `2020-08-28T03:52:47.123456Z`
const LENGTH_MAX: usize = 27;
/// 0000-03-01, in days: where years of 400 begin that end with the leap day.
const ERA_START: i64 = -719_468;
const ERA_DAYS: i64 = 146_097;

/// Microseconds since 1970-01-01T00:00:00Z, to be written. Years are those that columns may hold: 1 to
/// 9999; for others the number of microseconds stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rfc3339(pub i64);

impl Rfc3339 {
    /// Appends it; false if it is no time that can be written.
    pub(crate) fn write(self, out: &mut Vec<u8>) -> bool {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let Some(length) = self.fill(&mut text) else { return false };
        out.extend_from_slice(&text);
        out.truncate(out.len() - LENGTH_MAX + length);
        true
    }

    fn fill(self, text: &mut [u8; LENGTH_MAX]) -> Option<usize> {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let micros = self.0.rem_euclid(DAY);
        let (seconds, fraction) = (micros / SECOND, micros % SECOND);
        if !(1..=9999).contains(&year) {
            return None;
        }
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], seconds / 3600);
        digits(&mut text[14..16], seconds / 60 % 60);
        digits(&mut text[17..19], seconds % 60);
        let mut length = 19;
        if fraction > 0 {
            digits(&mut text[20..26], fraction);
            length = 26;
            while text[length - 1] == b'0' {
                length -= 1;
            }
        }
        text[length] = b'Z';
        Some(length + 1)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(LENGTH_MAX);
        if self.write(&mut text) {
            f.write_str(std::str::from_utf8(&text).expect("digits"))
        } else {
            write!(f, "{} µs since 1970", self.0)
        }
    }
}

/// Year, month and day of days since 1970, in the Gregorian calendar whatever the year.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days - ERA_START;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March: their lengths repeat every five months, 153 days.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

fn digits(text: &mut [u8], mut number: i64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fractions_end_with_their_last_digit() {
        for (micros, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_598_586_767_500_000, "2020-08-28T03:52:47.5Z"),
            (951_782_400_000_010, "2000-02-29T00:00:00.00001Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "253402300800000000 µs since 1970"),
            (-62_135_596_800_000_001, "-62135596800000001 µs since 1970"),
            (i64::MIN, "-9223372036854775808 µs since 1970"),
        ] {
            assert_eq!(Rfc3339(micros).to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn the_calendar_is_the_one_that_others_have(
            micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000,
        ) {
            let time = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(Rfc3339(micros).to_string(), time.to_string());
        }
    }
}
