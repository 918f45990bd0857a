//! The rows of a unit and its deletes, and which of them to write: all, or the newest of each key.

use std::ops::Range;

use super::cell::{Cell, CellColumn};
use super::fault::TableFault;
use super::key::KeyForm;
use super::target::Target;
use super::version::{push_cell, push_version};
use crate::record::{
    Deletes, Field, Lane, Position, RawBatch, RawRecord, RowBytes, Rows, UnitPart,
};

/// A batch of rows, or of the keys of rows that are to go; and the records that they were made of.
#[derive(Debug)]
pub(crate) struct RowPart<'a> {
    /// Which of the unit's parts it is of, or which of the letters that are tried again.
    pub(crate) of: usize,
    pub(crate) is_delete: bool,
    lane: &'a str,
    /// Those of the target; of a delete, those that tell which row it is, and when.
    pub(crate) columns: Vec<CellColumn<'a>>,
    /// Which of the columns.
    key: Vec<usize>,
    newest: Option<usize>,
    /// The rows as bytes, if the sink made them.
    pub(crate) encoded: Option<&'a RowBytes>,
    origins: &'a [u32],
    raw: &'a RawBatch,
}

/// One of the rows or keys of `parts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAt {
    pub(crate) part: usize,
    pub(crate) row: usize,
}

/// Why a row, or a delete, is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) at: RowAt,
    /// The same for all rows with this fault.
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
}

/// Rows to write. Where they have keys, they stand in the order of these, the newest of a key first.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    rows: Vec<Candidate>,
    /// Keys and versions.
    bytes: Vec<u8>,
    /// Rows that cannot be written, or that no table could tell apart.
    pub(crate) refused: Vec<Refusal>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    part: u32,
    row: u32,
    key: u32,
    version: u32,
    end: u32,
}

impl<'a> RowPart<'a> {
    /// The rows of a part, and the keys of those that are to go.
    pub(crate) fn of(
        target: &Target,
        (of, lane, part): (usize, &'a Lane, &'a UnitPart),
    ) -> Result<Vec<Self>, TableFault> {
        let lane = lane.name();
        let (columns, encoded) = cells(&part.rows, &part.origins, &target.columns)?;
        let rows = Self {
            of,
            is_delete: false,
            lane,
            columns,
            key: target.key.clone(),
            newest: target.newest,
            encoded,
            origins: &part.origins,
            raw: &part.raw,
        };
        let Some(Deletes { keys, origins }) = &part.deletes else { return Ok(vec![rows]) };
        if target.key.is_empty() {
            return Err(TableFault::OtherColumns);
        }
        let given = target.deleted();
        let fields: Vec<_> = given.iter().map(|at| target.columns[*at].clone()).collect();
        let (columns, encoded) = cells(keys, origins, &fields)?;
        let deletes = Self {
            of,
            is_delete: true,
            lane,
            columns,
            key: (0..target.key.len()).collect(),
            newest: target.newest.and_then(|newest| given.iter().position(|at| *at == newest)),
            encoded,
            origins,
            raw: &part.raw,
        };
        Ok(vec![rows, deletes])
    }

    /// The values that tell which row it is.
    pub(crate) fn key(&self, row: usize) -> impl Iterator<Item = Cell<'a>> {
        self.key.iter().map(move |column| self.columns[*column].cell(row))
    }

    /// Which of its batch's records a row was made of.
    pub(crate) fn origin(&self, row: usize) -> u32 {
        self.origins[row]
    }

    /// Where the record of a row was read first: its lane, and its position there.
    pub(crate) fn place(&self, row: usize) -> (&'a str, Position) {
        self.raw.place(self.origin(row) as usize, self.lane)
    }

    /// Whether the sink is to write them as bytes that it never made.
    pub(crate) fn lacks_bytes(&self) -> bool {
        self.encoded.is_none() && !self.origins.is_empty()
    }

    pub(crate) fn record(&self, row: usize) -> &'a RawRecord {
        &self.raw.records[self.origins[row] as usize]
    }
}

/// As cells, and as bytes if the sink made some.
fn cells<'a>(
    rows: &'a Rows,
    origins: &[u32],
    fields: &[Field],
) -> Result<(Vec<CellColumn<'a>>, Option<&'a RowBytes>), TableFault> {
    let (batch, encoded) = match rows {
        Rows::Columns(batch) => (Some(batch), None),
        Rows::Bytes(rows) => (Some(&rows.columns), Some(rows)),
        Rows::Encoded(_) | Rows::Raw => (None, None),
    };
    let columns = match batch {
        Some(batch) if **batch.fields() == *fields => {
            let columns = batch.columns().iter().zip(fields);
            columns.map(|(column, field)| CellColumn::new(field.kind, column)).collect()
        }
        // A batch of which nothing is left may have lost its columns too.
        _ if origins.is_empty() => Vec::new(),
        _ => return Err(TableFault::OtherColumns),
    };
    Ok((columns, encoded))
}

impl Candidates {
    /// `forms` has the key's columns in their order.
    pub(crate) fn new(target: &Target, forms: &[KeyForm], parts: &[RowPart]) -> Self {
        let mut candidates = Self::default();
        for (at, part) in parts.iter().enumerate() {
            let unwritable = part.encoded.map_or(&[][..], |rows| &rows.refused);
            let mut unwritable = unwritable.iter().peekable();
            for row in 0..part.origins.len() {
                let at = RowAt { part: at, row };
                let unwritable = unwritable.next_if(|(refused, _)| *refused as usize == row);
                let reason = match (unwritable, null_in_key(target, part, row)) {
                    (Some((_, reason)), _) => reason.clone(),
                    (None, Some(column)) => format!("key column {column} is null"),
                    (None, None) => {
                        candidates.push(target, forms, part, at);
                        continue;
                    }
                };
                candidates.refused.push(Refusal { at, reason, detail: None });
            }
        }
        if !target.key.is_empty() {
            let Self { rows, bytes, .. } = &mut candidates;
            // By key, as the table's index is: neighbours share its pages.
            rows.sort_unstable_by(|a, b| {
                let keys = a.key(bytes).cmp(b.key(bytes));
                keys.then_with(|| b.version(bytes).cmp(a.version(bytes)))
            });
        }
        candidates
    }

    fn push(&mut self, target: &Target, forms: &[KeyForm], part: &RowPart, at: RowAt) {
        let bytes = &mut self.bytes;
        let key = offset(bytes.len());
        for (cell, form) in part.key(at.row).zip(forms) {
            form.lend(cell, |cell| push_cell(bytes, cell));
        }
        let version = offset(bytes.len());
        if !target.key.is_empty() {
            let record = part.origin(at.row) as usize;
            let newest = match part.newest {
                Some(column) => part.columns[column].cell(at.row),
                None => part.raw.time_micros(record).map_or(Cell::Null, Cell::Timestamp),
            };
            let (lane, place) = part.raw.order(record, part.lane);
            push_version(bytes, newest, lane, place);
        }
        let end = offset(bytes.len());
        self.rows.push(Candidate { part: offset(at.part), row: offset(at.row), key, version, end });
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn at(&self, candidate: u32) -> RowAt {
        let Candidate { part, row, .. } = self.rows[candidate as usize];
        RowAt { part: part as usize, row: row as usize }
    }

    pub(crate) fn key(&self, candidate: u32) -> &[u8] {
        self.rows[candidate as usize].key(&self.bytes)
    }

    pub(crate) fn version(&self, candidate: u32) -> &[u8] {
        self.rows[candidate as usize].version(&self.bytes)
    }

    /// The newest of each key; every row, if there is no key.
    pub(crate) fn newest(&self) -> Vec<u32> {
        let all = 0..offset(self.rows.len());
        all.filter(|row| *row == 0 || !self.is_same_key(row - 1, *row)).collect()
    }

    /// The row of the same key that counts if this one does not.
    pub(crate) fn next_newest(&self, candidate: u32) -> Option<u32> {
        let next = candidate + 1;
        (next < offset(self.rows.len()) && self.is_same_key(candidate, next)).then_some(next)
    }

    /// Those of whose key a newer one was written. A row that was refused makes way for the next of its key.
    pub(crate) fn superseded(&self, refused: &[Refusal]) -> Vec<RowAt> {
        let is_refused = |at: RowAt| refused.iter().any(|refusal| refusal.at == at);
        let mut superseded = Vec::new();
        let mut has_winner = false;
        for row in 0..offset(self.rows.len()) {
            has_winner &= row > 0 && self.is_same_key(row - 1, row);
            let at = self.at(row);
            if is_refused(at) {
                continue;
            }
            if std::mem::replace(&mut has_winner, true) {
                superseded.push(at);
            }
        }
        superseded
    }

    fn is_same_key(&self, a: u32, b: u32) -> bool {
        // Without a key, nothing is the same.
        !self.key(a).is_empty() && self.key(a) == self.key(b)
    }
}

impl Candidate {
    fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[range(self.key, self.version)]
    }

    fn version(self, bytes: &[u8]) -> &[u8] {
        &bytes[range(self.version, self.end)]
    }
}

fn range(from: u32, to: u32) -> Range<usize> {
    from as usize..to as usize
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a unit is cut long before its keys have 4 GiB")
}

fn null_in_key<'a>(target: &'a Target, part: &RowPart, row: usize) -> Option<&'a str> {
    let null = part.key(row).position(|cell| matches!(cell, Cell::Null));
    null.map(|at| &*target.columns[target.key[at]].name)
}
