//! Finds the end of a run of bytes that a JSON string holds as they are.

/// So many bytes are looked at together that for most strings it is once, and no branch is left that
/// depends on how long they are.
const BLOCK: usize = 64;

/// Where the first quote, backslash or control character from `from` on is, or the length of `bytes`.
#[inline]
pub(crate) fn find(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let marks = marks(block);
        if marks != 0 {
            return at + marks.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    find_near_end(bytes, at)
}

fn find_near_end(bytes: &[u8], from: usize) -> usize {
    let Some(last) = bytes.last_chunk() else {
        return find_in_short(bytes, from);
    };
    // The last block again, without what lies before `from`.
    let passed = from - (bytes.len() - BLOCK);
    let marks = marks(last).checked_shr(passed as u32).unwrap_or(0);
    if marks == 0 { bytes.len() } else { from + marks.trailing_zeros() as usize }
}

/// The same for less than a block.
fn find_in_short(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let marks = word_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return from + 8 * index + marks.trailing_zeros() as usize / 8;
        }
    }
    let special = match rest.last_chunk() {
        // The last word again, without what has been looked at.
        Some(last) if !tail.is_empty() => {
            let passed = 8 - tail.len();
            let marks = word_marks(u64::from_le_bytes(*last)) >> (8 * passed);
            (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
        }
        _ => tail.iter().position(|&byte| is_special(byte)),
    };
    special.map_or(bytes.len(), |at| bytes.len() - tail.len() + at)
}

/// The highest bit of the lowest special byte, and perhaps bits above it.
fn word_marks(word: u64) -> u64 {
    const LOW: u64 = u64::MAX / 0xff;
    let below = |word: u64, least: u8| word.wrapping_sub(LOW * u64::from(least)) & !word;
    let quote = below(word ^ (LOW * u64::from(b'"')), 1);
    let backslash = below(word ^ (LOW * u64::from(b'\\')), 1);
    (quote | backslash | below(word, 0x20)) & (LOW << 7)
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// A bit for each byte, from the lowest: whether it is special.
#[cfg(target_arch = "x86_64")]
#[inline]
fn marks(block: &[u8; BLOCK]) -> u64 {
    #[expect(unsafe_code, reason = "most of the time of decoding would go by in a loop over bytes")]
    // SAFETY: every x86_64 has SSE2.
    unsafe {
        marks_sse2(block)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn marks_sse2(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::*;

    let mut marks = 0;
    for (index, part) in block.as_chunks::<16>().0.iter().enumerate() {
        // Becomes a load.
        let bits = u128::from_le_bytes(*part);
        let bytes = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        // There is no unsigned comparison: a control character is what the minimum leaves alone.
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        let special = _mm_or_si128(_mm_or_si128(quote, backslash), control);
        marks |= u64::from(_mm_movemask_epi8(special) as u16) << (16 * index);
    }
    marks
}

/// A bit for each byte, from the lowest: whether it is special.
#[cfg(not(target_arch = "x86_64"))]
fn marks(block: &[u8; BLOCK]) -> u64 {
    let bit = |(index, &byte): (usize, &u8)| u64::from(is_special(byte)) << index;
    block.iter().enumerate().map(bit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_byte_is_found_at_every_place() {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 150] {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    let plain = [b'a', 0xff, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80];
                    let mut bytes: Vec<u8> = plain.into_iter().cycle().take(len).collect();
                    bytes[place] = byte;
                    for from in [0, place / 2, place, place + 1, len] {
                        let slow = bytes[from..].iter().position(|&byte| is_special(byte));
                        let slow = slow.map_or(len, |at| from + at);
                        assert_eq!(find(&bytes, from), slow, "{bytes:?} from {from}");
                    }
                }
            }
        }
    }
}
