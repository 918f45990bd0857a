//! Short words that are compared with over and over.

const HEAD: usize = size_of::<u128>();

/// Bytes to compare with. The first of them are compared as one number, which for short words is all.
#[derive(Debug)]
pub(in crate::decode) struct Word {
    head: u128,
    mask: u128,
    tail: Box<[u8]>,
    pub(super) len: usize,
}

impl Word {
    pub(in crate::decode) fn new(bytes: &[u8]) -> Self {
        let mut head = [0; HEAD];
        let mut mask = [0; HEAD];
        let len = bytes.len().min(HEAD);
        head[..len].copy_from_slice(&bytes[..len]);
        mask[..len].fill(0xff);
        Self {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            tail: bytes[len..].into(),
            len: bytes.len(),
        }
    }

    /// Whether `bytes` start with this.
    #[inline]
    pub(super) fn starts(&self, bytes: &[u8]) -> bool {
        let Some((head, tail)) = bytes.split_first_chunk() else {
            // The end of a record is near.
            let mut head = [0; HEAD];
            head[..bytes.len()].copy_from_slice(bytes);
            return self.tail.is_empty() && u128::from_le_bytes(head) & self.mask == self.head;
        };
        u128::from_le_bytes(*head) & self.mask == self.head
            && (self.tail.is_empty() || tail.starts_with(&self.tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_starts_what_it_is_a_prefix_of() {
        let text = b"\"is_image_or_video\": \"image\"";
        for len in 1..text.len() {
            let word = Word::new(&text[..len]);
            for end in 0..text.len() {
                assert_eq!(word.starts(&text[..end]), len <= end, "{len} of {end}");
            }
            let mut other = text.to_vec();
            other[len - 1] ^= 1;
            assert!(!word.starts(&other));
        }
    }
}
