//! How rows that a table does not take are found.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::fault::TableFault;
use super::rows::Candidates;

/// A group that has a refused row is written in so many parts.
const PARTS: usize = 8;

/// What a search may take. A table that refuses more than that does not have a few bad rows: it is not
/// what the rule is made for. The time is for what hangs: a busy machine alone must not use it up, as the
/// lane would halt at the same rows for ever.
const BUDGET: Budget = Budget { rows: 5_000, time: Duration::from_secs(60) };

#[derive(Debug, Clone, Copy)]
struct Budget {
    rows: usize,
    time: Duration,
}

/// A search writes most rows once more: where that is slow, it may take so many times what it took.
const TIMES: u32 = 4;

/// Which rows are to be written next. A group that is refused is written again in parts, so that in the
/// end a row is refused by itself alone; the others keep their order.
#[derive(Debug)]
pub(crate) struct Search {
    order: Vec<u32>,
    todo: Vec<Range<usize>>,
    budget: Budget,
    began: Instant,
    /// From the first refusal on.
    ends: Option<Instant>,
    found: usize,
}

impl Search {
    /// The newest rows of each key, `group` of them at once.
    pub(crate) fn new(candidates: &Candidates, group: usize) -> Self {
        let order = candidates.newest();
        let todo = pieces(0..order.len(), group).rev().collect();
        Self { order, todo, budget: BUDGET, began: Instant::now(), ends: None, found: 0 }
    }

    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        self.todo.pop()
    }

    pub(crate) fn rows(&self, group: &Range<usize>) -> &[u32] {
        &self.order[group.clone()]
    }

    /// Something of the group was refused, for this reason: says what, once it is a single row.
    pub(crate) fn refused(
        &mut self,
        group: Range<usize>,
        candidates: &Candidates,
        reason: &str,
    ) -> Result<Option<u32>, TableFault> {
        let now = Instant::now();
        let ends = *self.ends.get_or_insert_with(|| {
            now + self.budget.time.max(TIMES * now.duration_since(self.began))
        });
        self.found += usize::from(group.len() == 1);
        if self.found > self.budget.rows || now > ends {
            let (found, reason) = (self.found, reason.to_owned());
            return Err(TableFault::TooManyRefused { found, reason });
        }
        if group.len() > 1 {
            self.todo.extend(pieces(group.clone(), group.len().div_ceil(PARTS)).rev());
            return Ok(None);
        }
        let refused = self.order[group.start];
        if let Some(next) = candidates.next_newest(refused) {
            self.order.push(next);
            self.todo.push(self.order.len() - 1..self.order.len());
        }
        Ok(Some(refused))
    }
}

fn pieces(range: Range<usize>, size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let starts =
        (0..range.len().div_ceil(size.max(1))).map(move |piece| range.start + piece * size);
    starts.map(move |start| start..(start + size).min(range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the rows are found that are all refused, and how it ends.
    fn search(rows: usize, budget: Budget) -> (usize, Result<(), TableFault>) {
        let order = (0..rows as u32).collect();
        let todo = pieces(0..rows, rows).collect();
        let mut search =
            Search { order, todo, budget, began: Instant::now(), ends: None, found: 0 };
        let mut found = 0;
        while let Some(group) = search.next() {
            match search.refused(group, &Candidates::default(), "no good") {
                Ok(row) => found += usize::from(row.is_some()),
                Err(fault) => return (found, Err(fault)),
            }
        }
        (found, Ok(()))
    }

    #[test]
    fn a_search_ends_with_its_budget() {
        let budget = Budget { rows: 20, time: Duration::from_secs(3600) };
        assert!(matches!(search(20, budget), (20, Ok(()))));
        let (found, end) = search(21, budget);
        let fault = end.unwrap_err();
        assert_eq!((found, fault.class()), (20, crate::record::ErrorClass::Systemic));
        assert!(fault.to_string().contains("no good"), "{fault}");
        let budget = Budget { rows: usize::MAX, time: Duration::ZERO };
        let (found, end) = search(1 << 20, budget);
        assert!(found < 1 << 20 && matches!(end, Err(TableFault::TooManyRefused { .. })));
    }
}
