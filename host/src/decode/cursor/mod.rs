//! A place in a record's text, and the grammar of JSON from there on.
//!
//! Every method leaves the cursor behind what it has read, or says what is wrong. None recurses.

mod string;
mod word;

use std::ops::Range;

use super::number::{self, Number};
use super::reject::{Reject, Result};
pub(super) use word::Word;

pub(super) struct Cursor<'r> {
    text: &'r str,
    bytes: &'r [u8],
    at: usize,
    depth_max: usize,
    /// The closing brackets that the skipping of a value still waits for.
    open: &'r mut Vec<u8>,
}

impl<'r> Cursor<'r> {
    pub(super) fn new(text: &'r str, depth_max: usize, open: &'r mut Vec<u8>) -> Self {
        open.clear();
        Self { text, bytes: text.as_bytes(), at: 0, depth_max, open }
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Back to a place where it was before.
    pub(super) fn go_back(&mut self, at: usize) {
        self.at = at;
    }

    /// What was read since `from`.
    #[inline]
    pub(super) fn since(&self, from: usize) -> &'r str {
        &self.text[from..self.at]
    }

    pub(super) fn text(&self, range: Range<usize>) -> &'r str {
        &self.text[range]
    }

    /// The next byte; 0 at the end, which is as wrong there as anywhere outside a string.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        // Most writers put one blank after a comma or colon, or none.
        if self.peek() == b' ' {
            self.at += 1;
        }
        if self.peek() <= b' ' {
            self.skip_more_blanks();
        }
    }

    #[cold]
    fn skip_more_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Whether the next byte is this one; if so, it is read.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Whether these bytes are next; if so, they are read.
    #[inline]
    pub(super) fn take_all(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.bytes[self.at..].starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Whether this word is next; if so, it is read.
    #[inline]
    pub(super) fn take_word(&mut self, word: &Word) -> bool {
        let is_next = word.starts(&self.bytes[self.at..]);
        if is_next {
            self.at += word.len;
        }
        is_next
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, name: &str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.expected(name)) }
    }

    #[cold]
    pub(super) fn expected(&self, what: &str) -> Box<Reject> {
        Reject::malformed(format!("expected {what}"), self.at, self.bytes.len())
    }

    /// Between a value in a list or object and the next: whether there is a next.
    #[inline]
    pub(super) fn next_item(&mut self, close: u8) -> Result<bool> {
        if self.take_spaced(b',') {
            return Ok(true);
        }
        self.skip_blanks();
        if self.take(b',') {
            self.skip_blanks();
            return Ok(true);
        }
        if self.take(close) {
            return Ok(false);
        }
        Err(self.expected(if close == b'}' { "a comma or }" } else { "a comma or ]" }))
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Result<()> {
        if self.take_spaced(b':') {
            return Ok(());
        }
        self.skip_blanks();
        self.expect(b':', "a colon")?;
        self.skip_blanks();
        Ok(())
    }

    /// Takes a byte and the blank after it, if it is this one with one blank or none, as nearly all
    /// writers have it. The cursor moves once only, as what comes next waits for that.
    #[inline]
    fn take_spaced(&mut self, byte: u8) -> bool {
        let Some(&[first, second, third]) = self.bytes[self.at..].first_chunk() else {
            return false;
        };
        let len = if second == b' ' { 2 } else { 1 };
        let is_next = first == byte && (if second == b' ' { third } else { second }) > b' ';
        if is_next {
            self.at += len;
        }
        is_next
    }

    pub(super) fn literal(&mut self, word: &str) -> Result<()> {
        if self.take_all(word.as_bytes()) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        let value = self.peek() == b't';
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// A number in JSON's grammar, as it is written.
    pub(super) fn number(&mut self) -> Result<Number<'r>> {
        let from = self.at;
        match number::end(&self.bytes[from..]) {
            Ok(len) => {
                self.at += len;
                Ok(Number(self.since(from)))
            }
            Err(len) => {
                self.at += len;
                Err(self.expected(if self.at == from { "a value" } else { "a digit" }))
            }
        }
    }

    /// An integer of up to 18 digits and nothing else to it; anything else is not read.
    #[inline]
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let (value, len) = number::short_integer(&self.bytes[self.at..])?;
        self.at += len;
        Some(value)
    }

    /// Skips a value inside of `depth` objects and arrays.
    pub(super) fn skip_value(&mut self, depth: usize) -> Result<()> {
        loop {
            match self.peek() {
                b'"' => {
                    self.skip_string()?;
                }
                b'{' => {
                    if self.open(b'}', depth)? {
                        self.skip_key()?;
                        continue;
                    }
                }
                b'[' => {
                    if self.open(b']', depth)? {
                        continue;
                    }
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => {
                    self.number()?;
                }
            }
            // A value ends here, and maybe those around it.
            loop {
                let Some(&close) = self.open.last() else {
                    return Ok(());
                };
                if self.next_item(close)? {
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    break;
                }
                self.open.pop();
            }
        }
    }

    /// Begins to skip an object or array; tells whether there is something in it.
    fn open(&mut self, close: u8, depth: usize) -> Result<bool> {
        self.check_depth(depth + self.open.len())?;
        self.at += 1;
        self.skip_blanks();
        if self.take(close) {
            return Ok(false);
        }
        self.open.push(close);
        Ok(true)
    }

    fn skip_key(&mut self) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.expected("a key"));
        }
        self.skip_string()?;
        self.colon()
    }

    /// Whether an object or array may begin here, inside of `depth` others.
    pub(super) fn check_depth(&self, depth: usize) -> Result<()> {
        if depth < self.depth_max {
            return Ok(());
        }
        Err(Reject::too_deep(self.depth_max, self.at))
    }
}
