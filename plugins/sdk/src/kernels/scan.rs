//! Where a byte stands, 64 bytes at a time.

/// Where a byte stands.
#[derive(Debug, Clone)]
pub struct Positions {
    /// Ascending.
    positions: Vec<u32>,
    /// For each 64 bytes, a bit for each, and how many there are before them.
    blocks: Vec<(u64, u32)>,
}

impl Positions {
    /// The bits of each 64 bytes are turned into positions eight at a time, needed or not: a loop
    /// over just those that are set would leave at another turn each time, and be mispredicted.
    pub fn of(byte: u8, bytes: &[u8]) -> Self {
        let (whole, rest) = bytes.as_chunks::<64>();
        let mut last = [!byte; 64];
        last[..rest.len()].copy_from_slice(rest);
        let mut positions = vec![0; bytes.len() / 8 + 64];
        let mut blocks = Vec::with_capacity(whole.len() + 1);
        let mut count = 0;
        for (index, block) in whole.iter().chain([&last]).enumerate() {
            let mut hits = matches(block, byte);
            blocks.push((hits, count as u32));
            let (base, end) = (index as u32 * 64, count + hits.count_ones() as usize);
            if positions.len() < count + 64 {
                positions.resize(2 * positions.len() + 64, 0);
            }
            for group in positions[count..count + 64].as_chunks_mut::<8>().0 {
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
        positions.truncate(count);
        Self { positions, blocks }
    }

    pub fn all(&self) -> &[u32] {
        &self.positions
    }

    /// Those in a part of the bytes.
    #[inline]
    pub fn within(&self, start: usize, end: usize) -> &[u32] {
        &self.positions[self.before(start)..self.before(end)]
    }

    /// How many there are before a place.
    #[inline]
    fn before(&self, place: usize) -> usize {
        let (hits, before) = self.blocks[place / 64];
        before as usize + (hits & ((1 << (place % 64)) - 1)).count_ones() as usize
    }
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
        fn every_position_is_found(
            bytes in prop::collection::vec(prop_oneof![4 => Just(b','), 6 => any::<u8>()], 0..300),
        ) {
            for byte in [b',', 0, 0xff] {
                let expected: Vec<u32> =
                    (0..bytes.len()).filter(|&at| bytes[at] == byte).map(|at| at as u32).collect();
                let positions = Positions::of(byte, &bytes);
                prop_assert_eq!(positions.all(), &expected);
                let (start, end) = (bytes.len() / 3, bytes.len() - bytes.len() / 5);
                let within = expected.iter().filter(|&&at| (start..end).contains(&(at as usize)));
                prop_assert!(positions.within(start, end).iter().eq(within));
                prop_assert_eq!(positions.within(0, bytes.len()), &expected);
            }
        }
    }

    #[test]
    fn nothing_but_the_byte_makes_room() {
        let positions = Positions::of(b',', &[b','; 10_000]);
        assert_eq!(positions.all(), (0..10_000).collect::<Vec<_>>());
    }
}
