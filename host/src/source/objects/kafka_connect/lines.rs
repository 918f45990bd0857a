//! An object line by line.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::super::ObjectsSourceError;
use super::super::object::Rest;
use crate::source::frame::KEPT_BYTES;

/// The lines of an object that are read and not taken.
#[derive(Debug)]
pub(in super::super) struct Lines {
    bytes: BytesMut,
    /// What is not read; none if that was all.
    rest: Option<Rest>,
    lines: VecDeque<Line>,
    /// Where the line in work begins in `bytes`, and what is the next byte of it to look at.
    start: usize,
    at: usize,
    /// How many bytes of the line in work were skipped, as it is too large.
    skipped: usize,
    line_bytes_max: usize,
}

/// A line, as a place in the bytes that come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub from: usize,
    pub to: usize,
    /// Where the next one begins.
    end: usize,
    /// How many bytes it has, of which some may have been skipped.
    pub length: usize,
}

impl Lines {
    pub fn new(start: BytesMut, rest: Option<Rest>, line_bytes_max: usize) -> Self {
        let mut lines = Self {
            bytes: start,
            rest,
            lines: VecDeque::new(),
            start: 0,
            at: 0,
            skipped: 0,
            line_bytes_max,
        };
        lines.scan();
        lines
    }

    /// How many can be taken.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn is_read(&self) -> bool {
        self.rest.is_none()
    }

    /// As many of the first lines as have no more bytes than that in sum, but one at least if there is one.
    pub(super) fn fitting(&self, lines: usize, bytes: usize) -> usize {
        let fits = |line: &&Line| line.end <= bytes;
        let fitting = self.lines.iter().take(lines).take_while(fits).count();
        fitting.max(1).min(lines).min(self.lines.len())
    }

    /// Reads until there are so many lines, or more bytes than that, or all there are. May be dropped while
    /// it waits: nothing is skipped.
    pub(super) async fn fill(
        &mut self,
        lines: usize,
        bytes: usize,
    ) -> Result<(), ObjectsSourceError> {
        while self.lines.len() < lines && (self.lines.is_empty() || self.bytes.len() <= bytes) {
            let Some(rest) = &mut self.rest else { return Ok(()) };
            if !rest.read(&mut self.bytes).await? {
                self.rest = None;
            }
            self.scan();
        }
        Ok(())
    }

    /// Finds the lines in what was read.
    fn scan(&mut self) {
        while let Some(found) = memchr(b'\n', &self.bytes[self.at..]) {
            let to = self.at + found;
            self.push(to, to + 1);
        }
        self.at = self.bytes.len();
        // The last one may have no end.
        if self.rest.is_none() && self.at > self.start {
            self.push(self.at, self.at);
        } else if self.at - self.start > self.line_bytes_max {
            let kept = self.start + self.line_bytes_max.min(KEPT_BYTES);
            self.skipped += self.at - kept;
            self.bytes.truncate(kept);
            self.at = kept;
        }
    }

    fn push(&mut self, to: usize, end: usize) {
        let from = self.start;
        let length = to - from + std::mem::take(&mut self.skipped);
        let is_large = length > self.line_bytes_max;
        let kept = if is_large { to.min(from + self.line_bytes_max.min(KEPT_BYTES)) } else { to };
        // As Windows ends lines.
        let kept = if self.bytes[from..kept].ends_with(b"\r") { kept - 1 } else { kept };
        self.lines.push_back(Line { from, to: kept, end, length });
        (self.start, self.at) = (end, end);
    }

    /// Takes the first lines off, with their bytes.
    pub(super) fn take(&mut self, lines: usize) -> (Bytes, Vec<Line>) {
        let taken: Vec<_> = self.lines.drain(..lines).collect();
        let end = taken.last().map_or(0, |line| line.end);
        let bytes = self.bytes.split_to(end).freeze();
        for line in &mut self.lines {
            line.from -= end;
            line.to -= end;
            line.end -= end;
        }
        self.start -= end;
        self.at -= end;
        (bytes, taken)
    }
}
