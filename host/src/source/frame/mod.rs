//! Framing: where records begin and end in bytes that come piece by piece.
//!
//! The records depend on the bytes alone, not on how they are cut, so that a position in an object means
//! the same record for ever.
//!
//! # The rule
//!
//! If the first byte that is neither blank nor a byte order mark is `[`, the input is an **array**: its
//! elements, whatever they are, are the records. If not, it is a **sequence** of objects, and lines are
//! no more than a hint in it. One rule thus reads NDJSON, objects with nothing between them, several on
//! a line and objects over many lines, in one file if need be.
//!
//! 1. Blanks and newlines between records are skipped; in an array commas are, too.
//! 2. From `{` on (in an array: from anything on) the [tokens] of one value are followed. Where it ends,
//!    the record ends, if nothing follows on its line but the next `{` (in an array: `,` or `]`).
//! 3. It is **malformed** if a token stands where it can't, if a text runs over the end of its line, if
//!    something else follows on its line, if the input ends, or if it does not begin with `{` (unless it
//!    is an element). The line on which it begins is then the record, and the next line is looked at
//!    anew: a line that was cut short costs none of those after it. There are two exceptions. Where the
//!    fault is on the first line, the record may end sooner, before a `{"` that comes after a `}`:
//!    objects with nothing between them have no lines. And if its first line is nothing but `{`, so that
//!    it was meant to have many, it ends before the next line that begins with `{` and is indented no
//!    deeper.
//! 4. A record larger than the limit is one record too: its first bytes are kept and the others skipped.
//!    If it turns out to be malformed, its first lines are gone already: the search for an end begins at
//!    the fault.
//!
//! Whether a record is JSON to the last letter is the decoder's business.

#[cfg(test)]
mod tests;
mod tokens;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2, memchr3_iter};

use crate::record::{RawFault, Span};

use super::Most;
use tokens::{Scan, Tokens};

/// How much is read at once, if there is so much.
const CHUNK_BYTES: usize = 1 << 20;
const SPACE_BYTES_MIN: usize = 64 << 10;
/// What is kept of a record that is too large.
pub(super) const KEPT_BYTES: usize = 64 << 10;
/// What stands further than this behind a value is not taken for a part of it.
const BLANKS_MAX: usize = 4 << 10;
/// How far a search for the next object looks into a line, and past a bracket.
const LOOKAHEAD_MAX: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes bytes and gives records.
#[derive(Debug)]
pub struct Framer {
    record_bytes_max: usize,
    buffer: BytesMut,
    /// Records that are complete, by their place in `buffer`.
    frames: Vec<Frame>,
    form: Option<Form>,
    state: State,
    /// Where in `buffer` the record in work begins.
    start: usize,
    /// The next byte of `buffer` to look at.
    at: usize,
    /// How many bytes of the record in work were skipped.
    skipped: usize,
    /// How many bytes there are between the beginning of the line, or the bracket or comma before, and
    /// `start`.
    indent: usize,
}

/// One record, as a place in the bytes that come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub value: Span,
    pub fault: Option<Box<RawFault>>,
}

/// Records, and the bytes that they are places in.
#[derive(Debug)]
pub struct Framed {
    pub bytes: Bytes,
    pub frames: Vec<Frame>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sequence,
    Array { is_open: bool },
}

#[derive(Debug)]
enum State {
    Between,
    /// In a value whose tokens stand where they may.
    Value(Box<Tokens>),
    /// After a value, which ends at `end`.
    Behind {
        end: usize,
    },
    /// In a malformed record, at or after its fault: the line ends it, or the next object.
    Line {
        search: Search,
    },
    /// In a malformed record of many lines, at the end of one of them.
    Lines,
}

/// How much of `}{"` has been seen; blanks and commas may come between.
#[derive(Debug, Clone, Copy)]
enum Search {
    Nothing,
    Close,
    Open { at: usize },
}

impl Framer {
    pub fn new(record_bytes_max: usize) -> Self {
        Self {
            record_bytes_max,
            buffer: BytesMut::new(),
            frames: Vec::new(),
            form: None,
            state: State::Between,
            start: 0,
            at: 0,
            skipped: 0,
            indent: 0,
        }
    }

    /// How many complete records there are to take.
    pub fn records(&self) -> usize {
        self.frames.len()
    }

    /// What is held, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether one batch cannot hold the complete records.
    pub fn has_more_than(&self, most: Most) -> bool {
        let (Some(first), Some(last)) = (self.frames.first(), self.frames.last()) else {
            return false;
        };
        self.frames.len() > most.records || (last.value.to - first.value.from) as usize > most.bytes
    }

    /// Where to append what comes next; [`scan`](Self::scan) looks at it.
    pub fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < SPACE_BYTES_MIN {
            self.buffer.reserve(CHUNK_BYTES);
        }
        &mut self.buffer
    }

    /// The same for those who make room themselves.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.scan();
    }

    /// Finds the records in what was appended.
    pub fn scan(&mut self) {
        while self.step(false) {}
        self.skip();
    }

    /// The input ends here. What comes next belongs to another one.
    pub fn end(&mut self) {
        while self.step(true) {}
        if self.is_element() {
            self.frames.push(Frame { value: Span::new(self.at..self.at), fault: Some(unended()) });
        }
        self.form = None;
        self.indent = 0;
    }

    /// Drops complete records, the first ones, and says how many.
    pub fn forget(&mut self, records: u64) -> u64 {
        let records = usize::try_from(records).unwrap_or(usize::MAX).min(self.frames.len());
        if let Some(last) = records.checked_sub(1) {
            self.cut(last);
        }
        records as u64
    }

    /// As many of the complete records as `most` allows, if there are any.
    pub fn take(&mut self, most: Most) -> Option<Framed> {
        let last = most.fitting(&self.frames).checked_sub(1)?;
        let (bytes, frames) = self.cut(last);
        Some(Framed { bytes, frames })
    }

    /// Cuts all up to this complete record off.
    fn cut(&mut self, last: usize) -> (Bytes, Vec<Frame>) {
        let end = self.frames[last].value.to as usize;
        let mut frames = self.frames.split_off(last + 1);
        std::mem::swap(&mut frames, &mut self.frames);
        let bytes = self.buffer.split_to(end).freeze();
        for frame in &mut self.frames {
            let range = frame.value.range();
            frame.value = Span::new(range.start - end..range.end - end);
        }
        // Between records `start` is that of one that may be gone.
        self.start = self.start.saturating_sub(end);
        self.moved(end);
        (bytes, frames)
    }

    /// Bytes before the places that the search is at are gone.
    fn moved(&mut self, by: usize) {
        self.at -= by;
        match &mut self.state {
            State::Behind { end } => *end -= by,
            State::Line { search: Search::Open { at } } => *at -= by,
            State::Between | State::Value(_) | State::Line { .. } | State::Lines => {}
        }
    }

    /// Looks at some of the bytes; false when it takes more of them to go on.
    fn step(&mut self, is_end: bool) -> bool {
        match &mut self.state {
            State::Between => self.between(is_end),
            State::Value(tokens) => {
                let scan = tokens.scan(&self.buffer, self.at);
                self.value(scan, is_end)
            }
            &mut State::Behind { end } => self.behind(end, is_end),
            &mut State::Line { search } => self.line(search, is_end),
            State::Lines => self.lines(is_end),
        }
    }

    /// Looks for the next record.
    fn between(&mut self, is_end: bool) -> bool {
        while let Some(&byte) = self.buffer.get(self.at) {
            match byte {
                b'\n' => self.indent = 0,
                b' ' | b'\t' | b'\r' => self.indent += 1,
                b'\xef' if self.form.is_none() => {
                    let bytes = &self.buffer[self.at..];
                    if bytes.starts_with(BYTE_ORDER_MARK) {
                        self.at += BYTE_ORDER_MARK.len();
                        continue;
                    }
                    if BYTE_ORDER_MARK.starts_with(bytes) && !is_end {
                        return false;
                    }
                    return self.begin(byte);
                }
                _ => {
                    if self.begin(byte) {
                        return true;
                    }
                }
            }
            self.at += 1;
        }
        false
    }

    /// Takes a byte that is not blank: false if it is one between records, or if the whole record is
    /// framed already.
    fn begin(&mut self, byte: u8) -> bool {
        let form = self.form.get_or_insert(match byte {
            b'[' => Form::Array { is_open: false },
            _ => Form::Sequence,
        });
        match (byte, form) {
            (b'[', Form::Array { is_open: is_open @ false }) => {
                *is_open = true;
                self.indent = 0;
                return false;
            }
            (b']', Form::Array { is_open: is_open @ true }) => {
                *is_open = false;
                return false;
            }
            (b',', Form::Array { is_open: true }) => {
                self.indent = 0;
                return false;
            }
            (b'{', Form::Sequence) => {
                self.start = self.at;
                if let Some(end) = self.only_object_of_its_line() {
                    self.ended(end, end);
                    self.at = end - 1;
                    return false;
                }
                self.state = State::Value(Box::new(Tokens::new()));
            }
            (b'{', _) | (_, Form::Array { is_open: true }) => {
                self.state = State::Value(Box::new(Tokens::new()));
            }
            _ => self.state = State::Line { search: Search::Nothing },
        }
        self.start = self.at;
        true
    }

    /// The end of the object that begins at `start`, if that is easily told. A line with one brace at its
    /// beginning, one at its end and none between them is one record, well-formed or not.
    fn only_object_of_its_line(&self) -> Option<usize> {
        let bytes = &self.buffer[self.start + 1..];
        let mut braces = memchr3_iter(b'\n', b'{', b'}', bytes);
        let brace = braces.next().filter(|at| bytes[*at] == b'}')?;
        let newline = braces.next().filter(|at| bytes[*at] == b'\n')?;
        let is_last = bytes[brace + 1..newline].iter().all(|byte| is_blank(*byte));
        (is_last && newline < self.record_bytes_max).then_some(self.start + 1 + brace + 1)
    }

    fn value(&mut self, scan: Scan, is_end: bool) -> bool {
        match scan {
            Scan::More if is_end => self.malformed(self.buffer.len(), false),
            Scan::More => {
                self.at = self.buffer.len();
                return false;
            }
            Scan::Ended(end) => {
                self.at = end;
                self.state = State::Behind { end };
            }
            Scan::Misplaced { at, is_line_start } => self.malformed(at, is_line_start),
        }
        true
    }

    fn behind(&mut self, end: usize, is_end: bool) -> bool {
        let is_element = self.is_element();
        loop {
            match self.buffer.get(self.at) {
                _ if self.at - end > BLANKS_MAX => break,
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\n' | b'{') => break,
                Some(b',' | b']') if is_element => break,
                Some(_) => {
                    self.malformed(self.at, false);
                    return true;
                }
                None if is_end => break,
                None => return false,
            }
        }
        self.ended(end, end);
        true
    }

    /// The record in work can't be one: decides what it comprises.
    fn malformed(&mut self, fault: usize, is_line_start: bool) {
        let is_large = fault - self.start + self.skipped > self.record_bytes_max;
        let seen = if is_large { fault.min(self.start + self.kept_bytes_max()) } else { fault };
        let first_line = memchr(b'\n', &self.buffer[self.start..seen]);
        let is_brace = |line: &[u8]| {
            line.split_first().is_some_and(|(first, rest)| {
                *first == b'{' && rest.iter().all(|byte| is_blank(*byte))
            })
        };
        let has_lines = first_line
            .is_some_and(|length| is_brace(&self.buffer[self.start..self.start + length]));
        match first_line {
            _ if is_large && is_line_start && self.buffer[fault] == b'{' => {
                self.ended(fault, fault);
            }
            Some(length) if has_lines => {
                self.at = if is_large { fault } else { self.start + length };
                self.state = State::Lines;
            }
            Some(length) if !is_large => self.ended_malformed(self.start + length),
            _ => {
                self.at = fault;
                self.state = State::Line { search: Search::Nothing };
            }
        }
    }

    fn line(&mut self, mut search: Search, is_end: bool) -> bool {
        let is_element = self.is_element();
        while let Some(&byte) = self.buffer.get(self.at) {
            let is_between = is_blank(byte) || byte == b',' && is_element;
            search = match (byte, search) {
                (b'\n', _) => {
                    self.ended_malformed(self.at);
                    return true;
                }
                (b'"', Search::Open { at }) => {
                    self.ended_malformed(at);
                    return true;
                }
                (b'}', _) => Search::Close,
                (b'{', Search::Close) => Search::Open { at: self.at },
                (_, Search::Close) if is_between => search,
                (_, Search::Open { at }) if is_blank(byte) && self.at - at < LOOKAHEAD_MAX => {
                    search
                }
                _ => Search::Nothing,
            };
            self.at += 1;
            if matches!(search, Search::Nothing) {
                let rest = &self.buffer[self.at..];
                self.at += memchr2(b'\n', b'}', rest).unwrap_or(rest.len());
            }
        }
        if is_end {
            self.ended_malformed(self.at);
        } else {
            self.state = State::Line { search };
        }
        is_end
    }

    fn lines(&mut self, is_end: bool) -> bool {
        while let Some(length) = memchr(b'\n', &self.buffer[self.at..]) {
            let line = self.at + length + 1;
            match next_object(&self.buffer[line..], self.indent) {
                NextObject::At(at) => {
                    self.ended_malformed(line + at);
                    return true;
                }
                NextObject::Unknown if !is_end => {
                    self.at = line - 1;
                    return false;
                }
                NextObject::No | NextObject::Unknown => self.at = line,
            }
        }
        self.at = self.buffer.len();
        if is_end {
            self.ended_malformed(self.at);
        }
        is_end
    }

    /// The record in work ends before `end`, without what is blank before that.
    fn ended_malformed(&mut self, end: usize) {
        let is_element = self.is_element();
        let is_between = |byte: u8| is_blank(byte) || byte == b'\n' || byte == b',' && is_element;
        let bytes = &self.buffer[self.start..end];
        let trimmed = bytes.iter().rposition(|byte| !is_between(*byte)).map_or(0, |last| last + 1);
        self.ended(end, self.start + trimmed);
    }

    /// The record in work ends before `end`; its value may be a little shorter.
    fn ended(&mut self, end: usize, value_end: usize) {
        let bytes = end - self.start + self.skipped;
        let is_large = bytes > self.record_bytes_max;
        let value_end =
            if is_large { end.min(self.start + self.kept_bytes_max()) } else { value_end };
        self.frames.push(Frame {
            value: Span::new(self.start..value_end),
            fault: is_large.then(|| too_large(bytes, self.record_bytes_max)),
        });
        self.at = end;
        self.skipped = 0;
        self.indent = 0;
        self.state = State::Between;
    }

    /// Skips what no record needs, once everything has been looked at.
    fn skip(&mut self) {
        let needed = match self.state {
            State::Between => {
                if self.frames.is_empty() && self.at == self.buffer.len() {
                    self.buffer.clear();
                    self.at = 0;
                }
                return;
            }
            State::Behind { .. } => return,
            State::Line { search: Search::Open { at } } => at,
            State::Value(_) | State::Line { .. } | State::Lines => self.at,
        };
        if needed - self.start + self.skipped > self.record_bytes_max {
            let kept = self.start + self.kept_bytes_max();
            let (skipped, past) = (needed - kept, self.buffer.len());
            self.buffer.copy_within(needed..past, kept);
            self.buffer.truncate(past - skipped);
            self.skipped += skipped;
            self.moved(skipped);
        }
    }

    fn is_element(&self) -> bool {
        self.form == Some(Form::Array { is_open: true })
    }

    fn kept_bytes_max(&self) -> usize {
        KEPT_BYTES.min(self.record_bytes_max)
    }
}

impl Most {
    /// How many of these fit, the first ones: one at least, if there is one.
    pub(super) fn fitting(self, frames: &[Frame]) -> usize {
        let Some(first) = frames.first() else { return 0 };
        let bytes = |frame: &Frame| (frame.value.to - first.value.from) as usize;
        let fits = |(at, frame): &(usize, &Frame)| *at == 0 || bytes(frame) <= self.bytes;
        frames.iter().take(self.records.max(1)).enumerate().take_while(fits).count()
    }
}

enum NextObject {
    At(usize),
    No,
    /// It takes more bytes to tell.
    Unknown,
}

/// Where on this line an object begins that is indented no deeper than `indent`: brackets that are
/// closed and commas may stand before it.
fn next_object(line: &[u8], indent: usize) -> NextObject {
    let mut is_indent = true;
    for (at, byte) in line.iter().enumerate().take(LOOKAHEAD_MAX) {
        match byte {
            b'{' => return NextObject::At(at),
            b'}' | b',' => is_indent = false,
            b' ' | b'\t' if !is_indent || at < indent => {}
            _ => return NextObject::No,
        }
    }
    if line.len() < LOOKAHEAD_MAX { NextObject::Unknown } else { NextObject::No }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// What stands in the place of the records that are missing.
#[cold]
fn unended() -> Box<RawFault> {
    Box::new(RawFault { reason: RawFault::UNENDED.to_owned(), detail: None })
}

#[cold]
pub(super) fn too_large(bytes: usize, bytes_max: usize) -> Box<RawFault> {
    Box::new(RawFault {
        reason: RawFault::TOO_LARGE.to_owned(),
        detail: Some(format!("{bytes} bytes; the limit is {bytes_max}")),
    })
}
