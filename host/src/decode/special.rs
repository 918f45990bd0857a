//! Finds the end of a run of plain string bytes.

/// Where the first quote, backslash or control character from `from` on is, or the length of `bytes`.
pub(super) fn find(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = block::find(block);
        if found < block::BYTES {
            return at + found;
        }
        at += block::BYTES;
    }
    while at < bytes.len() && !is_special(bytes[at]) {
        at += 1;
    }
    at
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

#[cfg(target_arch = "x86_64")]
mod block {
    use std::arch::x86_64::*;

    pub(super) const BYTES: usize = 16;

    /// Where the first special byte is, or 32.
    #[inline]
    pub(super) fn find(block: &[u8; BYTES]) -> usize {
        #[expect(unsafe_code, reason = "half the time of decoding goes by in here")]
        // SAFETY: every x86_64 has SSE2.
        unsafe {
            find_sse2(block)
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn find_sse2(block: &[u8; BYTES]) -> usize {
        // Compiles to one unaligned load.
        let bits = u128::from_le_bytes(*block);
        let bytes = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        // SSE2 has no unsigned comparison: a control character is what the minimum leaves alone.
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        let special = _mm_or_si128(_mm_or_si128(quote, backslash), control);
        (_mm_movemask_epi8(special) as u32).trailing_zeros() as usize
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod block {
    pub(super) const BYTES: usize = 8;

    /// Where the first special byte is, or `BYTES`.
    ///
    /// Looks at all bytes of a word at once. A borrow can mark bytes above a true find, but the
    /// lowest is the one asked for.
    #[inline]
    pub(super) fn find(block: &[u8; BYTES]) -> usize {
        const ONES: u64 = u64::MAX / 0xff;
        const HIGH: u64 = ONES << 7;
        let bytes = u64::from_le_bytes(*block);
        let quote = bytes ^ (ONES * b'"' as u64);
        let backslash = bytes ^ (ONES * b'\\' as u64);
        let special = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (bytes.wrapping_sub(ONES * 0x20) & !bytes);
        (special & HIGH).trailing_zeros() as usize / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_byte_is_found_at_every_place() {
        for len in 0..40 {
            for place in 0..=len {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; len];
                    bytes.extend_from_slice(&[0xff, 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80]);
                    bytes[place] = byte;
                    let slow = bytes.iter().position(|&byte| is_special(byte));
                    assert_eq!(find(&bytes, 0), slow.unwrap_or(bytes.len()), "{bytes:?}");
                }
            }
        }
    }
}
