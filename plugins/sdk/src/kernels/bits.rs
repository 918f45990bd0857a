//! Bitmaps of a bit for each row: row `i` is bit `i % 8`, from the lowest, of byte `i / 8`.

#[inline]
pub fn get(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}

#[inline]
pub fn set(bits: &mut [u8], row: usize) {
    bits[row / 8] |= 1 << (row % 8);
}

#[inline]
pub fn clear(bits: &mut [u8], row: usize) {
    bits[row / 8] &= !(1 << (row % 8));
}

/// A copy to change; of nothing, all rows set.
pub fn owned(bits: Option<&[u8]>, rows: usize) -> Vec<u8> {
    bits.map_or_else(|| vec![0xff; rows.div_ceil(8)], |bits| bits[..rows.div_ceil(8)].to_vec())
}
