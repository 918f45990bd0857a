//! Decimal numbers, exactly.

/// Why a text is not a whole number of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inexact {
    /// It is not digits, in groups of three or in one, with at most one point between them.
    Malformed,
    /// Something is left behind the point.
    Fraction,
    /// It takes more than 63 bits.
    Overflow,
}

/// What a number times a power of ten is: `("1.2", 6)` gives 1200000.
///
/// The number has digits on both sides of its point, if there is one; those before it may stand in
/// groups of three with commas between. No sign, no exponent, no blanks.
#[inline]
pub fn whole_number(number: &str, tens: u32) -> Result<i64, Inexact> {
    match (few_digits(number.as_bytes()), tens) {
        (Some(number), 0..=9) => Ok(number * POWERS[tens as usize]),
        _ => any_number(number, tens),
    }
}

const POWERS: [i64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// One to nine digits: most numbers.
#[inline]
fn few_digits(bytes: &[u8]) -> Option<i64> {
    if !(1..=9).contains(&bytes.len()) {
        return None;
    }
    let mut number = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
    }
    Some(i64::from(number))
}

fn any_number(number: &str, tens: u32) -> Result<i64, Inexact> {
    let bytes = number.as_bytes();
    let (whole, fraction) = match bytes.iter().position(|&byte| byte == b'.') {
        Some(point) => (&bytes[..point], Some(&bytes[point + 1..])),
        None => (bytes, None),
    };
    let mut sum = Some(0_i64);
    let mut add = |byte: u8| {
        sum = sum.and_then(|sum| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')));
    };
    // How many digits since the last comma; before the first, the group may be short.
    let (mut digits, mut grouped) = (0, false);
    for &byte in whole {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                add(byte);
            }
            b',' if digits == 3 || (!grouped && (1..3).contains(&digits)) => {
                (digits, grouped) = (0, true);
            }
            _ => return Err(Inexact::Malformed),
        }
    }
    if digits == 0 || (grouped && digits != 3) {
        return Err(Inexact::Malformed);
    }
    let mut tens = tens;
    if let Some(fraction) = fraction {
        if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return Err(Inexact::Malformed);
        }
        let zeros = fraction.iter().rev().take_while(|&&byte| byte == b'0').count();
        for &byte in &fraction[..fraction.len() - zeros] {
            tens = tens.checked_sub(1).ok_or(Inexact::Fraction)?;
            add(byte);
        }
    }
    sum.and_then(|sum| sum.checked_mul(10_i64.checked_pow(tens)?)).ok_or(Inexact::Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_exact() {
        let cases = [
            ("0", 0, Ok(0)),
            ("007", 0, Ok(7)),
            ("124", 3, Ok(124_000)),
            ("1.2", 6, Ok(1_200_000)),
            ("1.1", 3, Ok(1_100)),
            ("1.50", 1, Ok(15)),
            ("5.0", 0, Ok(5)),
            ("1,234", 0, Ok(1_234)),
            ("12,345,678.9", 1, Ok(123_456_789)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("9223372036854775808", 0, Err(Inexact::Overflow)),
            ("9223372036854775.808", 3, Err(Inexact::Overflow)),
            ("99999999999999999999", 0, Err(Inexact::Overflow)),
            ("1.2345", 3, Err(Inexact::Fraction)),
            ("99999999999999999999.5", 0, Err(Inexact::Fraction)),
        ];
        for (number, tens, expected) in cases {
            assert_eq!(whole_number(number, tens), expected, "{number} and {tens} zeros");
        }
    }

    #[test]
    fn what_is_not_a_number_is_malformed() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "+1",
            "-1",
            "1e3",
            " 1",
            "1 ",
            ",",
            ",123",
            "1,",
            "1,23",
            "1234,567",
            "1,2345",
            "1,,234",
            "1.2,345",
            "١٢",
            "1\u{0}",
            "99999999999999999999x",
        ] {
            assert_eq!(whole_number(text, 3), Err(Inexact::Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_wider_arithmetic(
            whole in 0_u64..=u64::MAX, fraction in "[0-9]{0,6}", tens in 0_u32..10,
        ) {
            let number = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
            let scaled: i128 = format!("{whole}{fraction}").parse::<i128>().unwrap() * 10_i128.pow(tens);
            let unit = 10_i128.pow(fraction.len() as u32);
            let expected = match scaled % unit {
                0 => i64::try_from(scaled / unit).map_err(|_| Inexact::Overflow),
                _ => Err(Inexact::Fraction),
            };
            prop_assert_eq!(whole_number(&number, tens), expected);
        }
    }
}
