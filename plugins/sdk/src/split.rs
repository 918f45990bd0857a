//! Texts split into lists, a row at a time.
//!
//! One scan over the whole column finds every separator. A list is told the host as pieces of the
//! texts, so no byte is moved, as long as every item is a piece.

use std::slice;

use crate::batch::{Batch, Outcome, Row};
use crate::contract::{self, Change, ColumnData, ListSlices, Values};
use crate::edit::{Edit, Recorder};
use crate::kernels::{Positions, bits, equal, place_in};
use crate::kind::{Column, Text, TextList};
use crate::plan::{Edits, Read, Write};
use crate::view::Texts;

/// The pieces of one text, between separators: `a,,b` has `a`, nothing, and `b`.
#[derive(Debug, Clone)]
pub struct Pieces<'a, 's> {
    texts: Texts<'a>,
    /// Where in the column the text starts and ends.
    text: (usize, usize),
    /// The separators in it that are left.
    separators: slice::Iter<'s, u32>,
    /// Where the next piece starts; behind the text's end, none does.
    next: usize,
}

impl<'a, 's> Pieces<'a, 's> {
    /// `separators` are those of the same column.
    #[inline]
    fn new(texts: Texts<'a>, row: usize, separators: &'s Positions) -> Self {
        let (start, end) = (texts.offsets()[row] as usize, texts.offsets()[row + 1] as usize);
        let separators = separators.within(start, end).iter();
        Self { texts, text: (start, end), separators, next: start }
    }

    /// The text that is split, whatever is left of it.
    #[inline]
    pub fn text(&self) -> &'a str {
        &self.texts.text()[self.text.0..self.text.1]
    }
}

impl<'a> Iterator for Pieces<'a, '_> {
    type Item = &'a str;

    #[inline]
    #[expect(unsafe_code, reason = "as for the texts")]
    fn next(&mut self) -> Option<&'a str> {
        let start = self.next;
        let end = match self.separators.next() {
            Some(&separator) => separator as usize,
            None if start <= self.text.1 => self.text.1,
            None => return None,
        };
        self.next = end + 1;
        // SAFETY: the text's own ends are sound, and so are both sides of a separator, which is ASCII
        // and was found in the text. They ascend.
        Some(unsafe { self.texts.part(start, end) })
    }
}

fn separators(separator: u8, texts: Texts<'_>) -> Positions {
    assert!(separator.is_ascii(), "a separator is an ASCII character");
    Positions::of(separator, texts.text().as_bytes())
}

/// The list that one row becomes.
#[derive(Debug)]
pub struct List<'a> {
    text: &'a str,
    starts: Vec<u32>,
    ends: Vec<u32>,
    /// How many items there are, of all rows; `starts` and `ends` have room for more.
    len: usize,
    /// The first item of this row.
    first: usize,
    null: bool,
    /// Items that are not pieces, by their index. What `starts` and `ends` say of them is nothing.
    own: Vec<(usize, String)>,
    /// For a hash of an item, the last row which had one, to compare only where it may pay.
    seen: Box<[u32; 1 << SEEN_BITS]>,
    row: u32,
}

impl<'a> List<'a> {
    fn new(items: usize) -> Self {
        Self {
            text: "",
            starts: vec![0; items],
            ends: vec![0; items],
            len: 0,
            first: 0,
            null: false,
            own: vec![],
            seen: Box::new([0; 1 << SEEN_BITS]),
            row: 0,
        }
    }

    #[inline]
    fn start(&mut self, text: &'a str) {
        self.text = text;
        self.first = self.len;
        self.null = false;
        self.row += 1;
    }

    /// Makes the row null, whatever it holds.
    #[inline]
    pub fn set_null(&mut self) {
        self.null = true;
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len - self.first
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == self.first
    }

    /// Adds an item. A piece of the text costs no copy.
    #[inline]
    pub fn push(&mut self, item: &str) {
        let index = self.len;
        match place_in(self.text, item) {
            Some(start) if index < self.starts.len() && index < self.ends.len() => {
                self.starts[index] = start as u32;
                self.ends[index] = (start + item.len()) as u32;
                self.len += 1;
            }
            _ => self.push_slowly(item),
        }
    }

    /// Makes room, or takes an item that is no piece.
    #[cold]
    fn push_slowly(&mut self, item: &str) {
        if self.len == self.starts.len() {
            let items = 2 * self.len + 64;
            self.starts.resize(items, 0);
            self.ends.resize(items, 0);
        }
        if place_in(self.text, item).is_some() {
            return self.push(item);
        }
        self.own.push((self.len, item.to_owned()));
        self.len += 1;
    }

    /// Adds an item unless the list has it already; says whether it was added.
    // By force: a call for each item costs more than the look at `seen`.
    #[inline(always)]
    pub fn push_new(&mut self, item: &str) -> bool {
        let hash = hash(item);
        if self.seen[hash] == self.row && self.contains(item) {
            return false;
        }
        self.seen[hash] = self.row;
        self.push(item);
        true
    }

    /// Whether the list has this item.
    #[cold]
    pub fn contains(&self, item: &str) -> bool {
        (self.first..self.len).any(|index| equal(self.item(self.text, index), item))
    }

    /// An item of the row with this text.
    fn item<'b>(&'b self, text: &'b str, index: usize) -> &'b str {
        match self.own.binary_search_by_key(&index, |own| own.0) {
            Ok(own) => &self.own[own].1,
            Err(_) => &text[self.starts[index] as usize..self.ends[index] as usize],
        }
    }

    /// Takes the items of this row back.
    fn undo(&mut self) {
        self.len = self.first;
        while self.own.pop_if(|own| own.0 >= self.first).is_some() {}
    }
}

/// Differs for nearly all texts of one list. Tags like to start or end with the same word, so both
/// ends and the length take part.
#[inline]
fn hash(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u32::from_le_bytes(*last) ^ u32::from_le_bytes(*first).wrapping_mul(3)
        }
        _ => bytes.iter().fold(0, |ends, &byte| ends << 8 | u32::from(byte)),
    };
    let key = ends.wrapping_add((bytes.len() as u32).wrapping_mul(0x0100_0193));
    (key.wrapping_mul(0x9e37_79b1) >> (32 - SEEN_BITS)) as usize
}

const SEEN_BITS: u32 = 10;

impl<'a> Batch<'a> {
    /// Splits texts at an ASCII character into lists: the function takes pieces and pushes items.
    /// Nulls are skipped and stay null.
    #[inline]
    pub fn split<O: Outcome<()>>(
        &mut self,
        from: Read<Text>,
        into: Write<TextList>,
        separator: u8,
        mut split: impl FnMut(Pieces<'a, '_>, &mut List<'a>, &mut Row<'_>) -> O,
    ) {
        let column = self.column(from);
        let texts = column.values();
        let separators = separators(separator, texts);
        let mut list = List::new(separators.all().len() + texts.len());
        let mut offsets = Vec::with_capacity(texts.len() + 1);
        let mut nulls: Vec<u8> = vec![];
        offsets.push(0);
        for (row, text) in texts.iter().enumerate() {
            if crate::view::is_valid(column.valid(), row) {
                let pieces = Pieces::new(texts, row, &separators);
                list.start(text);
                let done = self.outcomes.pass(row, |row| split(pieces, &mut list, row).outcome());
                if list.null || done.is_none() {
                    list.undo();
                    if nulls.is_empty() {
                        nulls = bits::owned(column.valid(), texts.len());
                    }
                    bits::clear(&mut nulls, row);
                }
            }
            offsets.push(list.len as u32);
        }
        let valid = (!nulls.is_empty()).then_some(nulls);
        let change = list.finish(from.index, &column, offsets, valid);
        self.set(into, change);
    }

    /// The same, with the items of a row joined again into a text: a list that stayed as it was
    /// costs nothing.
    #[inline]
    pub fn split_and_join<O: Outcome<()>>(
        &mut self,
        column: Edits<Text>,
        separator: u8,
        mut split: impl FnMut(Pieces<'a, '_>, &mut List<'a>, &mut Row<'_>) -> O,
    ) {
        let mut recorder = Recorder::new(self.column(column.read), column.read.index);
        let texts = recorder.column.values();
        let separators = separators(separator, texts);
        let mut list = List::new(64);
        for (row, text) in texts.iter().enumerate() {
            if !recorder.is_valid(row) {
                continue;
            }
            let pieces = Pieces::new(texts, row, &separators);
            list.start(text);
            if self.outcomes.pass(row, |row| split(pieces, &mut list, row).outcome()).is_some() {
                recorder.record(row, text, list.joined(separator));
            }
            list.undo();
        }
        self.set(column.write, recorder.finish());
    }
}

impl<'a> List<'a> {
    fn finish(
        mut self,
        column: u32,
        from: &Column<'a, Text>,
        offsets: Vec<u32>,
        valid: Option<Vec<u8>>,
    ) -> Change {
        self.starts.truncate(self.len);
        self.ends.truncate(self.len);
        if self.own.is_empty() {
            let (starts, ends) = (self.starts, self.ends);
            return Change::ListSlices(ListSlices { column, offsets, starts, ends, valid });
        }
        let texts = from.values();
        let mut item_offsets = Vec::with_capacity(self.len + 1);
        let mut bytes = Vec::with_capacity(texts.text().len());
        item_offsets.push(0);
        let mut own = self.own.iter().peekable();
        for (text, &[first, end]) in texts.iter().zip(offsets.array_windows()) {
            for index in first as usize..end as usize {
                let item = match own.next_if(|own| own.0 == index) {
                    Some((_, own)) => own,
                    None => &text[self.starts[index] as usize..self.ends[index] as usize],
                };
                bytes.extend_from_slice(item.as_bytes());
                item_offsets.push(bytes.len() as u32);
            }
        }
        let items = contract::Texts { offsets: item_offsets, bytes };
        let valid = valid.or_else(|| from.valid().map(<[u8]>::to_vec));
        Change::Replaced(ColumnData {
            values: Values::TextList(contract::TextLists { offsets, items }),
            valid,
        })
    }

    fn joined(&self, separator: u8) -> Edit<'a> {
        if self.null {
            return Edit::Null;
        }
        // Pieces with nothing but a separator between them are one piece.
        let items = self.first..self.len;
        let touch = |index: usize| {
            let end = self.ends[index - 1];
            self.starts[index] == end + 1 && self.text.as_bytes()[end as usize] == separator
        };
        if self.own.is_empty() && !self.is_empty() && items.clone().skip(1).all(touch) {
            let (start, end) = (self.starts[self.first], self.ends[self.len - 1]);
            return Edit::Slice(&self.text[start as usize..end as usize]);
        }
        let mut text = String::with_capacity(self.text.len());
        for index in items {
            if index > self.first {
                text.push(char::from(separator));
            }
            text.push_str(self.item(self.text, index));
        }
        Edit::Text(text)
    }
}
