//! The rows of a unit, and which of them to write: all, or the newest of each key.

use std::ops::Range;
use std::sync::Arc;

use super::error::SqliteFault;
use super::table::Table;
use crate::record::{Lane, RawBatch, RawRecord, Rows, UnitPart};
use crate::sink::cell::{Cell, CellColumn};
use crate::sink::version::{push_cell, push_version};

/// A batch of rows, and the records that they were made of.
#[derive(Debug)]
pub(super) struct RowPart<'a> {
    pub(super) lane: Arc<str>,
    pub(super) columns: Vec<CellColumn<'a>>,
    origins: &'a [u32],
    raw: &'a RawBatch,
}

/// One of the rows of `parts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowAt {
    pub(super) part: usize,
    pub(super) row: usize,
}

/// Rows to write. Where they have keys, they stand in the order of these, the newest of a key first.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    rows: Vec<Candidate>,
    /// Keys and versions.
    bytes: Vec<u8>,
    /// Rows that no table could tell apart, and why.
    pub(super) refused: Vec<(RowAt, String)>,
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
    pub(super) fn new(table: &Table, lane: &Lane, part: &'a UnitPart) -> Result<Self, SqliteFault> {
        let columns = match &part.rows {
            Rows::Columns(batch) if *batch.fields() == table.columns => {
                let columns = batch.columns().iter().zip(&*table.columns);
                columns.map(|(column, field)| CellColumn::new(field.kind, column)).collect()
            }
            // A batch of which nothing is left may have lost its columns too.
            _ if part.origins.is_empty() => Vec::new(),
            _ => return Err(SqliteFault::OtherColumns),
        };
        Ok(Self { lane: lane.name().into(), columns, origins: &part.origins, raw: &part.raw })
    }

    /// Which of its batch's records a row was made of.
    pub(super) fn origin(&self, row: usize) -> u32 {
        self.origins[row]
    }

    pub(super) fn record(&self, row: usize) -> &'a RawRecord {
        &self.raw.records[self.origins[row] as usize]
    }
}

impl Candidates {
    pub(super) fn new(table: &Table, parts: &[RowPart]) -> Self {
        let mut candidates = Self::default();
        for (at, part) in parts.iter().enumerate() {
            for row in 0..part.origins.len() {
                let at = RowAt { part: at, row };
                match null_in_key(table, part, row) {
                    Some(column) => {
                        candidates.refused.push((at, format!("key column {column} is null")));
                    }
                    None => candidates.push(table, part, at),
                }
            }
        }
        if !table.key.is_empty() {
            let Self { rows, bytes, .. } = &mut candidates;
            // By key, as the table's index is: neighbours share its pages.
            rows.sort_unstable_by(|a, b| {
                let keys = a.key(bytes).cmp(b.key(bytes));
                keys.then_with(|| b.version(bytes).cmp(a.version(bytes)))
            });
        }
        candidates
    }

    fn push(&mut self, table: &Table, part: &RowPart, at: RowAt) {
        let bytes = &mut self.bytes;
        let key = offset(bytes.len());
        for column in &table.key {
            push_cell(bytes, part.columns[*column].cell(at.row));
        }
        let version = offset(bytes.len());
        if !table.key.is_empty() {
            let record = part.record(at.row);
            let newest = match table.newest {
                Some(column) => part.columns[column].cell(at.row),
                None => record.timestamp_micros.map_or(Cell::Null, Cell::Timestamp),
            };
            let (lane, place) = part.raw.place(part.origin(at.row) as usize, &part.lane);
            push_version(bytes, newest, lane, place);
        }
        let end = offset(bytes.len());
        self.rows.push(Candidate { part: offset(at.part), row: offset(at.row), key, version, end });
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn at(&self, candidate: u32) -> RowAt {
        let Candidate { part, row, .. } = self.rows[candidate as usize];
        RowAt { part: part as usize, row: row as usize }
    }

    pub(super) fn key(&self, candidate: u32) -> &[u8] {
        self.rows[candidate as usize].key(&self.bytes)
    }

    pub(super) fn version(&self, candidate: u32) -> &[u8] {
        self.rows[candidate as usize].version(&self.bytes)
    }

    /// The newest of each key; every row, if there is no key.
    pub(super) fn newest(&self) -> Vec<u32> {
        let all = 0..offset(self.rows.len());
        all.filter(|row| *row == 0 || !self.is_same_key(row - 1, *row)).collect()
    }

    /// The row of the same key that counts if this one does not.
    pub(super) fn next_newest(&self, candidate: u32) -> Option<u32> {
        let next = candidate + 1;
        (next < offset(self.rows.len()) && self.is_same_key(candidate, next)).then_some(next)
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

fn null_in_key<'a>(table: &'a Table, part: &RowPart, row: usize) -> Option<&'a str> {
    let is_null = |column: &&usize| matches!(part.columns[**column].cell(row), Cell::Null);
    table.key.iter().find(is_null).map(|column| &*table.columns[*column].name)
}
