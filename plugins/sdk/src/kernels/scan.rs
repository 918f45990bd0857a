//! Where a byte stands, 64 bytes at a time.

/// The positions of a byte, ascending.
///
/// The bits of each 64 bytes are turned into positions eight at a time, needed or not: a loop over
/// just those that are set would leave at another turn each time, and be mispredicted.
pub fn positions(bytes: &[u8], byte: u8) -> Vec<u32> {
    let mut found = vec![0; bytes.len() / 8 + 64];
    let mut count = 0;
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut last = [!byte; 64];
    last[..rest.len()].copy_from_slice(rest);
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let mut hits = matches(block, byte);
        let (base, end) = (index as u32 * 64, count + hits.count_ones() as usize);
        if found.len() < count + 64 {
            found.resize(2 * found.len() + 64, 0);
        }
        for group in found[count..count + 64].as_chunks_mut::<8>().0 {
            for position in group {
                *position = base + hits.trailing_zeros();
                hits &= hits.wrapping_sub(1);
            }
            if hits == 0 {
                break;
            }
        }
        count = end;
    }
    found.truncate(count);
    found
}

/// A bit for each byte that is the one looked for, from the lowest.
#[inline]
fn matches(block: &[u8; 64], byte: u8) -> u64 {
    let mut hits = 0;
    for (index, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        hits |= u64::from(matches_16(lane, byte)) << (16 * index);
    }
    hits
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn matches_16(lane: &[u8; 16], byte: u8) -> u16 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, u64x2};
    let [low, high] = words(lane);
    u8x16_bitmask(u8x16_eq(u64x2(low, high), u8x16_splat(byte)))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "intrinsics, which only the sandbox's own can be called without")]
fn matches_16(lane: &[u8; 16], byte: u8) -> u16 {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let [low, high] = words(lane);
    // SAFETY: SSE2 is part of every x86-64.
    unsafe {
        let lane = _mm_set_epi64x(high as i64, low as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8))) as u16
    }
}

#[cfg(not(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64")))]
#[inline]
fn matches_16(lane: &[u8; 16], byte: u8) -> u16 {
    lane.iter()
        .enumerate()
        .fold(0, |hits, (index, &other)| hits | u16::from(other == byte) << index)
}

#[cfg(any(all(target_arch = "wasm32", target_feature = "simd128"), target_arch = "x86_64"))]
#[inline]
fn words(lane: &[u8; 16]) -> [u64; 2] {
    let (halves, _) = lane.as_chunks::<8>();
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_position_is_found(bytes in prop::collection::vec(prop_oneof![4 => Just(b','), 6 => any::<u8>()], 0..300)) {
            for byte in [b',', 0, 0xff] {
                let expected: Vec<u32> =
                    (0..bytes.len()).filter(|&at| bytes[at] == byte).map(|at| at as u32).collect();
                prop_assert_eq!(positions(&bytes, byte), expected);
            }
        }
    }

    #[test]
    fn nothing_but_the_byte_makes_room() {
        assert_eq!(positions(&[b','; 10_000], b','), (0..10_000).collect::<Vec<_>>());
    }
}
