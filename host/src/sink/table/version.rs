//! Which of two rows of one key is newer, and which rows have one key: as bytes, so that every database
//! compares them alike.
//!
//! A version is the record's time (or the column named `newest:`), then the lane, then the place in it:
//! one total order, in which two versions are equal only if they are of one record. Bytes are ordered as
//! versions are. They are stored: what is written here can't be written in another way later.

use crate::record::Position;

use super::cell::Cell;

/// Appends the version of a row. Versions whose `newest` is of one kind have an order; one without it is
/// older than all others.
pub(crate) fn push_version(bytes: &mut Vec<u8>, newest: Cell, lane: &str, place: Position) {
    push_cell(bytes, newest);
    push_text(bytes, lane);
    place.push_bytes(bytes);
}

/// Appends one of the values that are a row's key.
pub(crate) fn push_cell(bytes: &mut Vec<u8>, cell: Cell) {
    if matches!(cell, Cell::Null) {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    match cell {
        Cell::Null => {}
        Cell::Boolean(value) => bytes.push(u8::from(value)),
        Cell::Integer(value) | Cell::Timestamp(value) => {
            bytes.extend_from_slice(&in_order(value.cast_unsigned()));
        }
        Cell::Float(value) => {
            // 0.0 and -0.0 are one number.
            let bits = (value + 0.0).to_bits();
            let negative = value < 0.0;
            bytes.extend_from_slice(&in_order(if negative {
                bits ^ (u64::MAX >> 1)
            } else {
                bits
            }));
        }
        Cell::Text(text) => push_text(bytes, text),
        Cell::List(list) => push_text(bytes, &list.json()),
    }
}

/// Two's complement in the order of its numbers.
fn in_order(bits: u64) -> [u8; 8] {
    (bits ^ (1 << 63)).to_be_bytes()
}

/// A text that ends before all that go on, whatever comes after it.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    for piece in text.as_bytes().split_inclusive(|byte| *byte == 0) {
        bytes.extend_from_slice(piece);
        if piece.last() == Some(&0) {
            bytes.push(0xff);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(newest: Cell, lane: &str, place: [u64; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_version(&mut bytes, newest, lane, Position::at(&place));
        bytes
    }

    fn float(value: Option<f64>) -> Cell<'static> {
        value.map_or(Cell::Null, Cell::Float)
    }

    // Short, with what has to be escaped: the interesting ones are those that begin alike.
    const TEXT: &str = "[a\u{0}\u{1}ÿ]{0,4}";

    proptest! {
        #[test]
        fn versions_by_time_are_ordered_as_their_parts(
            a: Option<i64>, b: Option<i64>, same: bool,
            (x, p) in (TEXT, any::<[u64; 3]>()), (y, q) in (TEXT, any::<[u64; 3]>()),
        ) {
            let b = if same { a } else { b };
            let cell = |time: Option<i64>| time.map_or(Cell::Null, Cell::Timestamp);
            let expected = (a, &x, p).cmp(&(b, &y, q));
            prop_assert_eq!(version(cell(a), &x, p).cmp(&version(cell(b), &y, q)), expected);
        }

        #[test]
        fn versions_by_text_are_ordered_as_their_parts(
            a in TEXT, b in TEXT, (x, p) in (TEXT, any::<[u64; 3]>()),
            (y, q) in (TEXT, any::<[u64; 3]>()),
        ) {
            let expected = (&a, &x, p).cmp(&(&b, &y, q));
            let (one, other) = (version(Cell::Text(&a), &x, p), version(Cell::Text(&b), &y, q));
            prop_assert_eq!(one.cmp(&other), expected);
        }

        #[test]
        fn floats_are_ordered_as_numbers_and_after_nulls(
            a in proptest::option::of(proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL),
            b in proptest::option::of(proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL),
        ) {
            let of = |value| version(float(value), "", [0; 3]);
            prop_assert_eq!(of(a).cmp(&of(b)), a.partial_cmp(&b).unwrap());
        }

        #[test]
        fn keys_are_one_only_if_all_their_values_are(a: [Option<i64>; 2], b: [Option<i64>; 2], x in TEXT, y in TEXT) {
            let key = |numbers: [Option<i64>; 2], text: &str| {
                let mut bytes = Vec::new();
                push_cell(&mut bytes, numbers[0].map_or(Cell::Null, Cell::Integer));
                push_cell(&mut bytes, Cell::Text(text));
                push_cell(&mut bytes, numbers[1].map_or(Cell::Null, Cell::Integer));
                bytes
            };
            prop_assert_eq!(key(a, &x) == key(b, &y), (a, &x) == (b, &y));
        }
    }

    #[test]
    fn a_version_is_written_as_it_always_was() {
        let bytes = version(Cell::Timestamp(1), "a\0b", [0, 1, 258]);
        let words = [[0; 8], 1u64.to_be_bytes(), 258u64.to_be_bytes()];
        let place = [b"\x04".as_slice(), &words.join(&1), &[0]].concat();
        let expected = [b"\x01\x80\0\0\0\0\0\0\x01a\0\xffb\0\0".as_slice(), &place].concat();
        assert_eq!(bytes, expected);
        let place = [b"\x04".as_slice(), &[[0; 8]; 3].join(&1), &[0]].concat();
        assert_eq!(version(Cell::Null, "", [0; 3]), [[0].as_slice(), &[0, 0], &place].concat());
    }
}
