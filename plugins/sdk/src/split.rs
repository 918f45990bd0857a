//! Texts split into lists, a row at a time.
//!
//! One scan over the whole column finds every separator. A list is told the host as pieces of the
//! texts, so no byte is moved, as long as every item is a piece.

use crate::batch::{Batch, Outcome, Row};
use crate::contract::{self, Change, ColumnData, ListSlices, Values};
use crate::edit::{Edit, Recorder};
use crate::kernels::{bits, equal, place_in, positions};
use crate::kind::{Column, Text, TextList};
use crate::plan::{Edits, Read, Write};
use crate::view::Texts;

/// The pieces of one text, between separators: `a,,b` has `a`, nothing, and `b`.
#[derive(Debug)]
pub struct Pieces<'a> {
    texts: Texts<'a>,
    /// Every separator of the column, then the end of time.
    separators: Vec<u32>,
    /// The first separator not passed.
    next: usize,
    text: (usize, usize),
    /// Where the rest of the text starts; behind its end, nothing is left.
    rest: usize,
}

impl<'a> Pieces<'a> {
    fn new(column: &Column<'a, Text>, separator: u8) -> Self {
        assert!(separator.is_ascii(), "a separator is an ASCII character");
        let texts = column.values();
        let mut separators = positions(texts.text().as_bytes(), separator);
        separators.push(u32::MAX);
        Self { texts, separators, next: 0, text: (0, 0), rest: 1 }
    }

    #[inline]
    fn start(&mut self, row: usize) {
        let offsets = self.texts.offsets();
        let text = (offsets[row] as usize, offsets[row + 1] as usize);
        self.text = text;
        self.rest = text.0;
        while (self.separators[self.next] as usize) < text.0 {
            self.next += 1;
        }
    }

    /// The text that is split, whatever is left of it.
    #[inline]
    pub fn text(&self) -> &'a str {
        &self.texts.text()[self.text.0..self.text.1]
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    #[inline]
    #[expect(unsafe_code, reason = "as for the texts")]
    fn next(&mut self) -> Option<&'a str> {
        let start = self.rest;
        if start > self.text.1 {
            return None;
        }
        let separator = self.separators[self.next] as usize;
        let end = if separator < self.text.1 {
            self.next += 1;
            separator
        } else {
            self.text.1
        };
        self.rest = end + 1;
        // SAFETY: the text's own ends are sound, and so is what touches a separator, which is ASCII and
        // was found in this very column; none before the rest of the text is left.
        Some(unsafe { self.texts.part(start, end) })
    }
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
    seen: Box<[u32; 256]>,
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
            seen: Box::new([0; 256]),
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
        if self.len == self.starts.len() {
            self.grow();
        }
        match place_in(self.text, item) {
            Some(start) => {
                self.starts[self.len] = start as u32;
                self.ends[self.len] = (start + item.len()) as u32;
            }
            None => self.own.push((self.len, item.to_owned())),
        }
        self.len += 1;
    }

    /// Adds an item unless the list has it already; says whether it was added.
    #[inline]
    pub fn push_new(&mut self, item: &str) -> bool {
        let seen = &mut self.seen[usize::from(hash(item))];
        if *seen == self.row && self.contains(item) {
            return false;
        }
        self.seen[usize::from(hash(item))] = self.row;
        self.push(item);
        true
    }

    /// Whether the list has this item.
    pub fn contains(&self, item: &str) -> bool {
        (self.first..self.len).any(|index| equal(self.item(self.text, index), item))
    }

    #[cold]
    fn grow(&mut self) {
        let items = 2 * self.starts.len() + 64;
        self.starts.resize(items, 0);
        self.ends.resize(items, 0);
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

/// Differs for most texts of one list.
#[inline]
fn hash(text: &str) -> u8 {
    let bytes = text.as_bytes();
    let (first, last) = (bytes.first().copied().unwrap_or(0), bytes.last().copied().unwrap_or(0));
    let key = u32::from(first) | u32::from(last) << 8 | (bytes.len() as u32) << 16;
    (key.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

impl<'a> Batch<'a> {
    /// Splits texts at an ASCII character into lists: the function takes pieces and pushes items.
    /// Nulls are skipped and stay null.
    #[inline]
    pub fn split<O: Outcome<()>>(
        &mut self,
        from: Read<Text>,
        into: Write<TextList>,
        separator: u8,
        mut split: impl FnMut(&mut Pieces<'a>, &mut List<'a>, &mut Row<'_>) -> O,
    ) {
        let column = self.column(from);
        let texts = column.values();
        let mut pieces = Pieces::new(&column, separator);
        let mut list = List::new(pieces.separators.len() + texts.len());
        let mut offsets = Vec::with_capacity(texts.len() + 1);
        let mut nulls: Vec<u8> = vec![];
        offsets.push(0);
        for (row, text) in texts.iter().enumerate() {
            if crate::view::is_valid(column.valid(), row) {
                pieces.start(row);
                list.start(text);
                let done =
                    self.outcomes.pass(row, |row| split(&mut pieces, &mut list, row).outcome());
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
        mut split: impl FnMut(&mut Pieces<'a>, &mut List<'a>, &mut Row<'_>) -> O,
    ) {
        let mut recorder = Recorder::new(self.column(column.read), column.read.index);
        let texts = recorder.column.values();
        let mut pieces = Pieces::new(&recorder.column, separator);
        let mut list = List::new(64);
        for (row, text) in texts.iter().enumerate() {
            if !recorder.is_valid(row) {
                continue;
            }
            pieces.start(row);
            list.start(text);
            if self.outcomes.pass(row, |row| split(&mut pieces, &mut list, row).outcome()).is_some()
            {
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
