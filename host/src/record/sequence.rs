//! Numbers of 192 bits in decimal: as such, people know the sequence numbers of Kinesis.

use std::fmt;

/// Whether words that begin with this one are a sequence number. Those of Kinesis have 186 bits, and no
/// count of anything comes as far.
pub(super) fn is_one(high: u64) -> bool {
    high >= 1 << 56
}

pub(super) fn write(mut words: [u64; 3], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// As many digits as fit into a word.
    const CHUNK: u128 = 10_000_000_000_000_000_000;
    let mut chunks = Vec::new();
    while words != [0; 3] {
        let mut rest = 0;
        for word in &mut words {
            let value = rest << 64 | u128::from(*word);
            *word = (value / CHUNK) as u64;
            rest = value % CHUNK;
        }
        chunks.push(rest);
    }
    write!(f, "{}", chunks.pop().unwrap_or_default())?;
    chunks.iter().rev().try_for_each(|chunk| write!(f, "{chunk:019}"))
}

/// None if it is larger, or so small that it would not be written as one number.
pub(super) fn read(digits: &str) -> Option<[u64; 3]> {
    let mut words = [0_u64; 3];
    for digit in digits.bytes() {
        let mut carry = u128::from(char::from(digit).to_digit(10)?);
        for word in words.iter_mut().rev() {
            let sum = u128::from(*word) * 10 + carry;
            *word = sum as u64;
            carry = sum >> 64;
        }
        if carry > 0 {
            return None;
        }
    }
    is_one(words[0]).then_some(words)
}
