//! Text arrays from parts that somebody else made: checked once, then taken without a copy.

use std::sync::Arc;

use arrow::array::builder::make_view;
use arrow::array::{Array, ArrayRef, AsArray, ByteView, StringArray, StringViewArray, make_array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

/// Why bytes and offsets are no texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextsError {
    #[error("offsets do not start at 0, ascend, and end at the length")]
    Offsets,
    #[error("text that is not UTF-8")]
    Utf8,
}

/// Offsets as they must be for `values` values over `length` items.
pub fn offsets(
    offsets: Vec<u32>,
    values: usize,
    length: usize,
) -> Result<OffsetBuffer<i32>, TextsError> {
    let ends_right = offsets.len() == values + 1
        && offsets[0] == 0
        && offsets[values] as usize == length
        && i32::try_from(length).is_ok();
    // No early exit: the compiler makes vector code of it.
    let descents: u32 = offsets.windows(2).map(|pair| u32::from(pair[0] > pair[1])).sum();
    if !ends_right || descents > 0 {
        return Err(TextsError::Offsets);
    }
    let offsets = ScalarBuffer::new(Buffer::from_vec(offsets), 0, values + 1);
    #[expect(unsafe_code, reason = "OffsetBuffer::new would look at every offset again")]
    // SAFETY: not empty, from 0, never descending, and so none above `length`, which fits an i32.
    Ok(unsafe { OffsetBuffer::new_unchecked(offsets) })
}

/// Texts of which nothing has been checked yet.
pub fn texts(
    offset_list: Vec<u32>,
    bytes: Vec<u8>,
    values: usize,
    nulls: Option<NullBuffer>,
) -> Result<StringArray, TextsError> {
    let offsets = offsets(offset_list, values, bytes.len())?;
    let text = simdutf8::basic::from_utf8(&bytes).map_err(|_| TextsError::Utf8)?;
    if !text.is_ascii() && !offsets.iter().all(|at| text.is_char_boundary(*at as usize)) {
        return Err(TextsError::Utf8);
    }
    assert!(nulls.as_ref().is_none_or(|nulls| nulls.len() == values), "a bit for every value");
    #[expect(unsafe_code, reason = "StringArray::new would check the UTF-8 again, and slower")]
    // SAFETY: the offsets end at the length; the bytes are UTF-8 and every offset lies between two
    // characters; there are as many null bits as values.
    Ok(unsafe { StringArray::new_unchecked(offsets, Buffer::from_vec(bytes), nulls) })
}

/// The same values with other nulls; the values are shared.
///
/// # Panics
/// If there is not one bit for each value.
pub fn with_nulls(array: &ArrayRef, nulls: NullBuffer) -> ArrayRef {
    assert_eq!(array.len(), nulls.len(), "a bit for every value");
    let data = array.to_data().into_builder().nulls(Some(nulls));
    #[expect(unsafe_code, reason = "the checked build would go through all values again")]
    // SAFETY: all but the nulls comes from a valid array, which stays valid whichever of its values
    // are null; there is a bit for each of them.
    make_array(unsafe { data.build_unchecked() })
}

/// Bytes of all texts in a column of texts or of text lists; 0 for others.
pub(crate) fn text_bytes(array: &ArrayRef) -> u64 {
    if let Some(plain) = array.as_string_opt::<i32>() {
        let offsets = plain.value_offsets();
        (offsets[plain.len()] - offsets[0]) as u64
    } else if let Some(views) = array.as_string_view_opt() {
        views.lengths().map(u64::from).sum()
    } else if let Some(lists) = array.as_list_opt::<i32>() {
        let (first, past) = (lists.value_offsets()[0], lists.value_offsets()[lists.len()]);
        text_bytes(&lists.values().slice(first as usize, (past - first) as usize))
    } else {
        0
    }
}

/// Where texts come from of which pieces are taken without copying: plain texts, or pieces again.
#[derive(Debug)]
pub struct PieceSource<'a> {
    kind: SourceKind<'a>,
    views: Vec<u128>,
    buffers: Arc<[Buffer]>,
}

#[derive(Debug)]
enum SourceKind<'a> {
    Plain { offsets: &'a [i32], bytes: &'a [u8], ascii: bool },
    Views(&'a StringViewArray),
}

impl<'a> PieceSource<'a> {
    /// # Panics
    /// If the array is neither `Utf8` nor `Utf8View`.
    pub fn new(array: &'a ArrayRef, pieces: usize) -> Self {
        let views = Vec::with_capacity(pieces);
        if let Some(plain) = array.as_any().downcast_ref::<StringArray>() {
            let (offsets, bytes) = (plain.value_offsets(), plain.value_data());
            // Of a slice only its own texts: the rest may be much more.
            let ascii = bytes[offsets[0] as usize..offsets[plain.len()] as usize].is_ascii();
            let kind = SourceKind::Plain { offsets, bytes, ascii };
            Self { kind, views, buffers: Arc::new([plain.values().clone()]) }
        } else {
            let source = array.as_any().downcast_ref::<StringViewArray>().expect("a text column");
            let buffers = Arc::clone(source.data_buffers());
            Self { kind: SourceKind::Views(source), views, buffers }
        }
    }

    /// Takes the piece `start .. end` of value `row`; `None` if there is no such piece. In a view's
    /// null stands the empty text.
    #[inline]
    pub fn push(&mut self, row: usize, start: u32, end: u32) -> Option<()> {
        match &self.kind {
            SourceKind::Plain { offsets, bytes, ascii } => {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                let (first, past) = (from + start as usize, from + end as usize);
                if first > past || past > to {
                    return None;
                }
                let between = |at: usize| at == to || (bytes[at] as i8) >= -0x40;
                if !(*ascii || between(first) && between(past)) {
                    return None;
                }
                self.views.push(view(bytes, first, past - first));
            }
            SourceKind::Views(source) => {
                let value = if source.is_null(row) { "" } else { source.value(row) };
                let piece = value.get(start as usize..end as usize)?;
                let whole = ByteView::from(source.views()[row]);
                // A short value stands in the view itself; then so does the piece, and where it would
                // lie in a buffer does not matter.
                let at = whole.offset.wrapping_add(start);
                self.views.push(make_view(piece.as_bytes(), whole.buffer_index, at));
            }
        }
        Some(())
    }

    /// # Panics
    /// If there are null bits, but not one for each piece.
    pub fn finish(self, nulls: Option<NullBuffer>) -> StringViewArray {
        assert!(
            nulls.as_ref().is_none_or(|nulls| nulls.len() == self.views.len()),
            "a bit a piece"
        );
        let views = ScalarBuffer::from(self.views);
        #[expect(unsafe_code, reason = "StringViewArray::new would check the UTF-8 of every piece")]
        // SAFETY: `push` makes each view of a piece that lies within one value of a text column and
        // between two of its characters; its buffer and offset are those of that value's bytes.
        unsafe {
            StringViewArray::new_unchecked(views, self.buffers, nulls)
        }
    }
}

/// The view of `length` bytes at `from` in the only buffer. What `make_view` does, without a call
/// and without a branch for every length.
#[inline]
fn view(bytes: &[u8], from: usize, length: usize) -> u128 {
    const INLINE: usize = 12;
    let Some(next) = bytes.get(from..from + 16) else {
        return make_view(&bytes[from..from + length], 0, from as u32);
    };
    let next = u128::from_le_bytes(next.try_into().expect("16 bytes"));
    if length <= INLINE {
        let piece = next & ((1 << (8 * length)) - 1);
        piece << 32 | length as u128
    } else {
        let prefix = next & u128::from(u32::MAX);
        (from as u128) << 96 | prefix << 32 | length as u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(source: &ArrayRef, pieces: &[(usize, u32, u32)]) -> Option<Vec<String>> {
        let mut taken = PieceSource::new(source, pieces.len());
        for &(row, start, end) in pieces {
            taken.push(row, start, end)?;
        }
        let pieces = taken.finish(None);
        // The full check, which `finish` leaves out.
        pieces.to_data().validate_full().expect("valid views");
        Some(pieces.iter().map(|piece| piece.expect("no nulls").to_owned()).collect())
    }

    const VALUES: [&str; 4] = ["short", "", "a text of more than twelve bytes", "Wörter Tattoos"];

    fn plain() -> ArrayRef {
        Arc::new(StringArray::from_iter_values(VALUES))
    }

    fn views() -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(VALUES))
    }

    #[test]
    fn every_piece_between_characters_is_what_a_slice_would_be() {
        for source in [plain(), views(), plain().slice(1, 3), views().slice(1, 3)] {
            let values = &VALUES[4 - source.len()..];
            for (row, value) in values.iter().enumerate() {
                for start in 0..=value.len() + 1 {
                    for end in 0..=value.len() + 1 {
                        let expected = value.get(start..end).map(|piece| vec![piece.to_owned()]);
                        let pieces = [(row, start as u32, end as u32)];
                        assert_eq!(taken(&source, &pieces), expected, "{start}..{end}");
                    }
                }
            }
        }
    }

    #[test]
    fn pieces_of_pieces_keep_their_place() {
        let plain = plain();
        let mut first = PieceSource::new(&plain, 1);
        first.push(2, 2, 32).expect("a piece");
        let first: ArrayRef = Arc::new(first.finish(None));
        assert_eq!(taken(&first, &[(0, 0, 20)]).unwrap(), ["text of more than tw"]);
    }

    #[test]
    fn only_sound_offsets_and_utf8_become_texts() {
        let made = |offsets: &[u32], bytes: &[u8]| {
            texts(offsets.to_vec(), bytes.to_vec(), 2, None).map(|texts| texts.len())
        };
        assert_eq!(made(&[0, 1, 3], "aö".as_bytes()), Ok(2));
        assert_eq!(made(&[0, 2, 3], "aö".as_bytes()), Err(TextsError::Utf8), "within a character");
        assert_eq!(made(&[0, 1, 2], b"a\xff"), Err(TextsError::Utf8));
        assert_eq!(made(&[0, 1], b"a"), Err(TextsError::Offsets), "too few");
        assert_eq!(made(&[0, 1, 1, 1], b"a"), Err(TextsError::Offsets), "too many");
        assert_eq!(made(&[1, 1, 1], b"a"), Err(TextsError::Offsets), "not from 0");
        assert_eq!(made(&[0, 1, 2], b"a"), Err(TextsError::Offsets), "past the end");
        assert_eq!(made(&[0, 0, 0], b"a"), Err(TextsError::Offsets), "not to the end");
        assert_eq!(made(&[0, 2, 1], b"a"), Err(TextsError::Offsets), "descending");
    }
}
