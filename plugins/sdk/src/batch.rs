//! A batch in the hands of a plugin, and what becomes of its rows.

use crate::contract::{Change, Cleaned, Rejection};
use crate::kind::{Column, Kind};
use crate::plan::{Read, Tally, Wiring, Write};
use crate::view::ColumnData;

/// Consecutive rows, column by column. Each column of the plan is written once.
#[derive(Debug)]
pub struct Batch<'a> {
    rows: usize,
    columns: &'a [ColumnData<'a>],
    wiring: &'a Wiring,
    changes: Vec<Option<Change>>,
    pub(crate) outcomes: Outcomes,
}

/// One row, while a function looks at it.
#[derive(Debug)]
pub struct Row<'b> {
    index: usize,
    tallies: &'b mut Bitmaps,
}

impl Row<'_> {
    /// Counts this row, once, if it stays.
    #[inline]
    pub fn tally(&mut self, tally: Tally) {
        self.tallies.set(tally.index as usize, self.index);
    }

    /// Its place in the batch: to look another column up, not to decide anything by.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }
}

/// Takes a row out of the batch: what a function returns as the error for it.
#[derive(Debug)]
pub enum Stop {
    /// On purpose: the row is counted and gone.
    Drop,
    /// The row cannot be cleaned and goes to the dead letters.
    Reject(Box<Reject>),
}

/// Why a row cannot be cleaned.
#[derive(Debug)]
pub struct Reject {
    reason: String,
    detail: Option<String>,
}

impl Stop {
    /// The reason is a short phrase that is the same for all rows with this fault:
    /// `follower_count is not a count`.
    #[cold]
    pub fn reject(reason: &str) -> Self {
        Self::Reject(Box::new(Reject { reason: cut(reason, 200), detail: None }))
    }

    /// What is special about this row: the value, say.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        if let Self::Reject(reject) = &mut self {
            reject.detail = Some(cut(detail, 1024));
        }
        self
    }
}

/// What a function returns for a row: something, or that as a `Result` which can take the row out.
pub trait Outcome<T> {
    #[doc(hidden)]
    fn outcome(self) -> Result<T, Stop>;
}

impl<T> Outcome<T> for T {
    #[inline]
    fn outcome(self) -> Result<T, Stop> {
        Ok(self)
    }
}

impl<T> Outcome<T> for Result<T, Stop> {
    #[inline]
    fn outcome(self) -> Self {
        self
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        rows: usize,
        columns: &'a [ColumnData<'a>],
        wiring: &'a Wiring,
    ) -> Result<Self, String> {
        let plan = &wiring.plan;
        let fit = columns.len() == plan.reads.len()
            && columns.iter().all(|column| {
                column.values.fit(rows)
                    && column.valid.is_none_or(|valid| valid.len() >= rows.div_ceil(8))
            });
        if !fit {
            return Err("the batch is not what the plan asked for".to_owned());
        }
        Ok(Self {
            rows,
            columns,
            wiring,
            changes: plan.writes.iter().map(|_| None).collect(),
            outcomes: Outcomes::new(rows, plan.tallies.len()),
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column as it came in, whatever was written since. It outlives the borrow of the batch, so functions for other columns can
    /// look into it.
    pub fn column<K: Kind>(&self, read: Read<K>) -> Column<'a, K> {
        let data = &self.columns[read.index as usize];
        let values = K::values(&data.values).expect("the plan checked the kind of this column");
        Column::new(values, data.valid)
    }

    /// Says what becomes of a column, in the contract's own words.
    pub fn set<K: Kind>(&mut self, write: Write<K>, change: Change) {
        self.changes[write.index as usize] = Some(change);
    }

    /// Counts a row, if it stays.
    pub fn tally(&mut self, tally: Tally, row: usize) {
        self.outcomes.row(row).tally(tally);
    }

    /// Takes a row out. The first reason counts.
    pub fn stop(&mut self, row: usize, stop: Stop) {
        self.outcomes.stop(row, stop);
    }

    /// The column read that this one takes the place of, if the kind stays.
    pub(crate) fn over<K: Kind>(&self, write: Write<K>) -> Option<Column<'a, K>> {
        let data = &self.columns[self.wiring.over[write.index as usize]?];
        K::values(&data.values).map(|values| Column::new(values, data.valid))
    }

    pub(crate) fn finish(self) -> Result<Cleaned, String> {
        let writes = self.wiring.plan.writes.iter().zip(&self.wiring.over);
        let changes = self.changes.into_iter().zip(writes).map(|(change, (write, over))| {
            change
                .or_else(|| over.map(|_| Change::Unchanged))
                .ok_or_else(|| format!("the plugin planned to write `{}` and did not", write.name))
        });
        let changes = changes.collect::<Result<_, _>>()?;
        let Outcomes { gone, tallies, dropped, rejected } = self.outcomes;
        Ok(Cleaned { changes, dropped, rejected, tallies: tallies.count_without(&gone) })
    }
}

/// What became of rows as wholes.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// One bitmap: the rows dropped or rejected.
    gone: Bitmaps,
    tallies: Bitmaps,
    dropped: Vec<u32>,
    rejected: Vec<Rejection>,
}

impl Outcomes {
    fn new(rows: usize, tallies: usize) -> Self {
        Self {
            gone: Bitmaps::new(1, rows),
            tallies: Bitmaps::new(tallies, rows),
            dropped: vec![],
            rejected: vec![],
        }
    }

    #[inline]
    pub(crate) fn row(&mut self, index: usize) -> Row<'_> {
        Row { index, tallies: &mut self.tallies }
    }

    /// What a function says about a row; `None` if it takes the row out.
    #[inline]
    pub(crate) fn pass<T>(
        &mut self,
        index: usize,
        function: impl FnOnce(&mut Row<'_>) -> Result<T, Stop>,
    ) -> Option<T> {
        match function(&mut self.row(index)) {
            Ok(value) => Some(value),
            Err(stop) => {
                self.stop(index, stop);
                None
            }
        }
    }

    #[cold]
    fn stop(&mut self, index: usize, stop: Stop) {
        if self.gone.get(0, index) {
            return;
        }
        self.gone.set(0, index);
        let row = index as u32;
        // Functions run one after the other, so a row may come behind later ones.
        match stop {
            Stop::Drop => {
                let at = self.dropped.partition_point(|&other| other < row);
                self.dropped.insert(at, row);
            }
            Stop::Reject(reject) => {
                let Reject { reason, detail } = *reject;
                let rejection = Rejection { row, reason, detail };
                let at = self.rejected.partition_point(|other| other.row < row);
                self.rejected.insert(at, rejection);
            }
        }
    }
}

/// Bitmaps of a bit for each row, one behind the other.
#[derive(Debug)]
struct Bitmaps {
    words: Vec<u64>,
    stride: usize,
}

impl Bitmaps {
    fn new(count: usize, rows: usize) -> Self {
        let stride = rows.div_ceil(64);
        Self { words: vec![0; count * stride], stride }
    }

    #[inline]
    fn set(&mut self, bitmap: usize, row: usize) {
        self.words[bitmap * self.stride + row / 64] |= 1 << (row % 64);
    }

    fn get(&self, bitmap: usize, row: usize) -> bool {
        self.words[bitmap * self.stride + row / 64] >> (row % 64) & 1 == 1
    }

    /// How many rows each has that are not in the other one.
    fn count_without(&self, other: &Self) -> Vec<u32> {
        let count = |bitmap: &[u64]| {
            bitmap.iter().zip(&other.words).map(|(a, b)| (a & !b).count_ones()).sum()
        };
        self.words.chunks_exact(self.stride).map(count).collect()
    }
}

/// At most so many bytes of a text, cut between characters.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}
