//! Inner loops that are fast in the sandbox, where `memcmp` and `memcpy` are calls, and each turn of
//! a loop also looks at the clock. They work on short texts; none of them is in any way special to
//! plugins.

pub mod bits;
mod calendar;
mod decimal;
mod scan;

pub use calendar::{days_in_month, days_since_1970};
pub use decimal::{Inexact, whole_number};
pub use scan::Positions;

/// Where a piece of a text starts in it; `None` if it is not a piece of it but some other text.
#[inline]
pub fn place_in(text: &str, piece: &str) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    let start = piece.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    (start <= text.len() && piece.len() <= text.len() - start).then_some(start)
}

/// `a == b`, a word at a time.
#[inline]
pub fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && same_bytes(a.as_bytes(), b.as_bytes())
}

/// `text.strip_prefix(prefix)`, a word at a time.
#[inline]
pub fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.as_bytes().get(..prefix.len())?;
    same_bytes(head, prefix.as_bytes()).then(|| &text[prefix.len()..])
}

/// `text.trim()`, at once where there is nothing to trim.
#[inline]
pub fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => trim_blanks(text),
    }
}

#[cold]
fn trim_blanks(text: &str) -> &str {
    text.trim()
}

/// Whether slices of one length are the same. Words that overlap spare the loop over what is left.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if let (Some(a_last), Some(b_last)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        return a_last == b_last && a_words.iter().zip(b_words).all(|(a, b)| a == b);
    }
    if let (Some(a_last), Some(b_last)) = (a.last_chunk::<4>(), b.last_chunk::<4>()) {
        return a_last == b_last && a.first_chunk::<4>() == b.first_chunk::<4>();
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// A few texts to look for. Most values differ from all of them in length, and are not looked at.
#[derive(Debug, Clone)]
pub struct OneOf {
    /// Bit `i`: a text has `i` bytes; bit 63: or more.
    lengths: u64,
    texts: Vec<String>,
}

impl OneOf {
    pub fn new(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        let lengths = texts.iter().fold(0, |lengths, text| lengths | 1 << text.len().min(63));
        Self { lengths, texts }
    }

    /// Whether the text is one of these.
    #[inline]
    pub fn contains(&self, text: &str) -> bool {
        self.lengths >> text.len().min(63) & 1 == 1 && self.look(text)
    }

    fn look(&self, text: &str) -> bool {
        self.texts.iter().any(|one| equal(one, text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_compare_as_bytes_do(a in "[ab]{0,20}", b in "[ab]{0,20}") {
            prop_assert_eq!(equal(&a, &b), a == b);
            prop_assert!(equal(&a, &a.clone()));
            prop_assert_eq!(strip_prefix(&a, &b), a.strip_prefix(&*b));
            let whole = format!("{a}{b}");
            prop_assert_eq!(strip_prefix(&whole, &a), Some(&*b));
            prop_assert_eq!(OneOf::new([&*b, "x"]).contains(&a), a == b);
        }
    }

    #[test]
    fn a_piece_is_known_by_where_it_lies() {
        let text = String::from("a piece of text");
        assert_eq!(place_in(&text, &text[2..7]), Some(2));
        assert_eq!(place_in(&text, ""), Some(0));
        assert_eq!(place_in(&text[2..7], &text), None);
        assert_eq!(place_in(&text, &text.clone()[2..7]), None);
    }
}
