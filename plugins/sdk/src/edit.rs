//! Text columns cleaned in place, a value at a time.

use crate::batch::{Batch, Outcome, Row};
use crate::contract::{self, Change, ColumnData, Patch, Slices, Values};
use crate::kernels::{bits, place_in};
use crate::kind::{Column, Text};
use crate::plan::Edits;

/// What becomes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// It stays.
    Keep,
    /// It becomes null.
    Null,
    /// It becomes a piece of itself, which costs no copy; or any other text, which is copied.
    Slice(&'a str),
    /// It becomes this.
    Text(String),
}

impl<'a> Batch<'a> {
    /// Cleans a text column in place. Nulls are skipped and stay null.
    ///
    /// What becomes of the column is told the host in the cheapest form that says it: that nothing
    /// changed, new nulls, a patch, pieces of the values, and only then a new column.
    #[inline]
    pub fn edit<O: Outcome<Edit<'a>>>(
        &mut self,
        column: Edits<Text>,
        mut edit: impl FnMut(&'a str, &mut Row<'_>) -> O,
    ) {
        let mut recorder = Recorder::new(self.column(column.read), column.read.index);
        for (row, value) in recorder.column.values().iter().enumerate() {
            if !recorder.is_valid(row) {
                continue;
            }
            let edited = self.outcomes.pass(row, |row| edit(value, row).outcome());
            if let Some(edited) = edited {
                recorder.record(row, value, edited);
            }
        }
        self.set(column.write, recorder.finish());
    }
}

/// Takes down what becomes of the texts of one column, in the order of rows.
pub(crate) struct Recorder<'a> {
    pub(crate) column: Column<'a, Text>,
    /// Which column, in `plan.reads`.
    index: u32,
    /// The rows not null from now on; empty until one more is null.
    valid: Vec<u8>,
    nulled: usize,
    /// Where each row's piece starts and ends; empty until there is one.
    starts: Vec<u32>,
    ends: Vec<u32>,
    sliced: usize,
    /// Rows with a text of their own, and where it ends in `text`.
    new: Vec<(u32, u32)>,
    text: String,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(column: Column<'a, Text>, index: u32) -> Self {
        Self {
            column,
            index,
            valid: vec![],
            nulled: 0,
            starts: vec![],
            ends: vec![],
            sliced: 0,
            new: vec![],
            text: String::new(),
        }
    }

    #[inline]
    pub(crate) fn is_valid(&self, row: usize) -> bool {
        crate::view::is_valid(self.column.valid(), row)
    }

    #[inline]
    pub(crate) fn record(&mut self, row: usize, value: &str, edit: Edit<'_>) {
        match edit {
            Edit::Keep => {}
            Edit::Null => self.null(row),
            Edit::Slice(piece) => match place_in(value, piece) {
                Some(start) => self.slice(row, start, start + piece.len(), value.len()),
                None => self.text(row, value, piece),
            },
            Edit::Text(text) => self.text(row, value, &text),
        }
    }

    #[inline]
    fn null(&mut self, row: usize) {
        if self.valid.is_empty() {
            self.valid = bits::owned(self.column.valid(), self.column.values().len());
        }
        bits::clear(&mut self.valid, row);
        self.nulled += 1;
    }

    #[inline]
    fn slice(&mut self, row: usize, start: usize, end: usize, length: usize) {
        if end - start == length {
            return;
        }
        if self.starts.is_empty() {
            self.start_slices();
        }
        self.starts[row] = start as u32;
        self.ends[row] = end as u32;
        self.sliced += 1;
    }

    #[cold]
    fn start_slices(&mut self) {
        let offsets = self.column.values().offsets();
        self.starts = vec![0; offsets.len() - 1];
        self.ends = offsets.array_windows().map(|[start, end]| end - start).collect();
    }

    fn text(&mut self, row: usize, value: &str, text: &str) {
        if text != value {
            self.text.push_str(text);
            self.new.push((row as u32, self.text.len() as u32));
        }
    }

    pub(crate) fn finish(self) -> Change {
        let rows = self.column.values().len();
        let changed = self.sliced + self.new.len();
        if changed == 0 {
            return if self.nulled == 0 { Change::Unchanged } else { Change::Nulls(self.valid) };
        }
        // A patch spares the host the rows between. Pieces are cheap for it too, but for very few.
        let patch_at_most = if self.new.is_empty() { rows / 8 } else { rows / 2 };
        if changed + self.nulled <= patch_at_most {
            return Change::Patched(self.patch());
        }
        if self.new.is_empty() {
            let valid = (self.nulled > 0).then_some(self.valid);
            return Change::Slices(Slices {
                column: self.index,
                starts: self.starts,
                ends: self.ends,
                valid,
            });
        }
        Change::Replaced(self.replacement())
    }

    fn patch(self) -> Patch {
        let mut rows = Vec::with_capacity(self.sliced + self.new.len() + self.nulled);
        let mut column = Builder::default();
        self.for_each(|row, value, changed| {
            if changed {
                rows.push(row as u32);
                column.push(value);
            }
        });
        Patch { rows, data: column.finish() }
    }

    fn replacement(self) -> ColumnData {
        let mut column = Builder::default();
        self.for_each(|_, value, _| column.push(value));
        column.finish()
    }

    /// Every row with what it holds now and whether that is something else than before.
    fn for_each(&self, mut function: impl FnMut(usize, Option<&str>, bool)) {
        let mut new = self.new.iter().peekable();
        let mut text_start = 0;
        for (row, value) in self.column.values().iter().enumerate() {
            if let Some(&(_, end)) = new.next_if(|new| new.0 as usize == row) {
                function(row, Some(&self.text[text_start..end as usize]), true);
                text_start = end as usize;
            } else if !self.is_valid(row) {
                function(row, None, false);
            } else if !self.valid.is_empty() && !bits::get(&self.valid, row) {
                function(row, None, true);
            } else if !self.starts.is_empty() {
                let piece = &value[self.starts[row] as usize..self.ends[row] as usize];
                function(row, Some(piece), piece.len() != value.len());
            } else {
                function(row, Some(value), false);
            }
        }
    }
}

#[derive(Default)]
struct Builder {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    nulls: Vec<usize>,
}

impl Builder {
    fn push(&mut self, value: Option<&str>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        match value {
            Some(value) => self.bytes.extend_from_slice(value.as_bytes()),
            None => self.nulls.push(self.offsets.len() - 1),
        }
        self.offsets.push(self.bytes.len() as u32);
    }

    fn finish(self) -> ColumnData {
        let mut valid = bits::owned(None, self.offsets.len() - 1);
        for &row in &self.nulls {
            bits::clear(&mut valid, row);
        }
        let texts = contract::Texts { offsets: self.offsets, bytes: self.bytes };
        let valid = (!self.nulls.is_empty()).then_some(valid);
        ColumnData { values: Values::Text(texts), valid }
    }
}
