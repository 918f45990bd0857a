//! The Gregorian calendar, also for the years before there was one.

/// Days from 1970-01-01 to a day that there is.
#[inline]
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // In years that start in March, the day that leap years have more is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 719_469
}

#[inline]
pub fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_is_left_out_or_counted_twice() {
        let mut days = days_since_1970(-1, 1, 1);
        for year in -1..=10_000 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
                    days += 1;
                }
            }
        }
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days, days_since_1970(10_001, 1, 1));
        assert_eq!([1900, 2000, 2020, 2021].map(|year| days_in_month(year, 2)), [28, 29, 29, 28]);
    }
}
