//! How rows that a table does not take are found.

use std::ops::Range;

use super::rows::Candidates;

/// A group that has a refused row is written in so many parts.
const PARTS: usize = 8;

/// Which rows are to be written next. A group that is refused is written again in parts, so that in the
/// end a row is refused by itself alone; the others keep their order.
#[derive(Debug)]
pub(crate) struct Search {
    order: Vec<u32>,
    todo: Vec<Range<usize>>,
}

impl Search {
    /// The newest rows of each key, `group` of them at once.
    pub(crate) fn new(candidates: &Candidates, group: usize) -> Self {
        let order = candidates.newest();
        let todo = pieces(0..order.len(), group).rev().collect();
        Self { order, todo }
    }

    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        self.todo.pop()
    }

    pub(crate) fn rows(&self, group: &Range<usize>) -> &[u32] {
        &self.order[group.clone()]
    }

    /// Something of the group was refused: says what, once it is a single row.
    pub(crate) fn refused(&mut self, group: Range<usize>, candidates: &Candidates) -> Option<u32> {
        if group.len() > 1 {
            self.todo.extend(pieces(group.clone(), group.len().div_ceil(PARTS)).rev());
            return None;
        }
        let refused = self.order[group.start];
        if let Some(next) = candidates.next_newest(refused) {
            self.order.push(next);
            self.todo.push(self.order.len() - 1..self.order.len());
        }
        Some(refused)
    }
}

fn pieces(range: Range<usize>, size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let starts =
        (0..range.len().div_ceil(size.max(1))).map(move |piece| range.start + piece * size);
    starts.map(move |start| start..(start + size).min(range.end))
}
