//! Rows in the form that `COPY … (FORMAT binary)` reads: for each value its length and its bytes, as the
//! server keeps them. https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4

use std::sync::Arc;

use super::NulCharacters;
use super::ddl::{FLOAT, TEXT};
use crate::record::{Batch, RowBytes};
use crate::sink::table::cell::{Cell, CellColumn, CellList, Items};

pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// 2000-01-01, where the server's microseconds begin.
const EPOCH: i64 = 946_684_800_000_000;

/// The values of each row, without the number of fields that begins a row: what the sink adds for a row
/// stands behind them.
pub(super) fn encode(columns: Batch, nul: NulCharacters) -> RowBytes {
    let cells: Vec<_> = columns
        .fields()
        .iter()
        .zip(columns.columns())
        .map(|(field, column)| (&field.name, CellColumn::new(field.kind, column)))
        .collect();
    let mut bytes = Vec::with_capacity(size(&cells, columns.rows()));
    let mut ends = Vec::with_capacity(columns.rows());
    let mut refused = Vec::new();
    for row in 0..columns.rows() {
        let start = bytes.len();
        for (name, column) in &cells {
            if push(&mut bytes, column.cell(row), nul).is_err() {
                bytes.truncate(start);
                let reason = format!("column {name} has a U+0000, which PostgreSQL does not keep");
                refused.push((row as u32, reason));
                break;
            }
        }
        ends.push(u32::try_from(bytes.len()).expect("a batch stays below 4 GiB"));
    }
    drop(cells);
    RowBytes { columns, bytes: bytes.into(), ends, refused }
}

/// About what it takes.
fn size(cells: &[(&Arc<str>, CellColumn)], rows: usize) -> usize {
    let values = cells.iter().map(|(_, column)| match column {
        CellColumn::Text(texts) => {
            let offsets = texts.value_offsets();
            (offsets[rows] - offsets[0]) as usize
        }
        CellColumn::TextView(texts) => texts.lengths().map(|length| length as usize).sum(),
        _ => rows * size_of::<i64>(),
    });
    values.sum::<usize>() + rows * cells.len() * NULL.len()
}

struct HasNul;

fn push(bytes: &mut Vec<u8>, cell: Cell, nul: NulCharacters) -> Result<(), HasNul> {
    match cell {
        Cell::Null => bytes.extend_from_slice(&NULL),
        Cell::Boolean(value) => push_bytes(bytes, &[u8::from(value)]),
        Cell::Integer(value) => push_bytes(bytes, &value.to_be_bytes()),
        Cell::Float(value) => push_bytes(bytes, &value.to_be_bytes()),
        Cell::Timestamp(micros) => push_bytes(bytes, &timestamp(micros).to_be_bytes()),
        Cell::Text(text) => push_text(bytes, text, nul)?,
        Cell::List(list) => {
            sized(bytes, |bytes| push_list(bytes, &list, nul))?;
        }
    }
    Ok(())
}

/// The first and the last numbers stand for infinity there: what would be one of them, or is outside, is
/// a time that the server refuses.
fn timestamp(micros: i64) -> i64 {
    let finite = |micros: &i64| !matches!(*micros, i64::MIN | i64::MAX);
    micros.checked_sub(EPOCH).filter(finite).unwrap_or(i64::MIN + 1)
}

fn push_list(bytes: &mut Vec<u8>, list: &CellList, nul: NulCharacters) -> Result<(), HasNul> {
    match list.items() {
        Items::Texts(texts, range) => {
            push_dimension(bytes, TEXT, range.len());
            range.into_iter().try_for_each(|at| push_text(bytes, texts.value(at), nul))
        }
        Items::TextViews(texts, range) => {
            push_dimension(bytes, TEXT, range.len());
            range.into_iter().try_for_each(|at| push_text(bytes, texts.value(at), nul))
        }
        Items::Floats(floats) => {
            push_dimension(bytes, FLOAT, floats.len());
            for float in floats {
                push_bytes(bytes, &float.to_be_bytes());
            }
            Ok(())
        }
    }
}

/// One dimension that counts from 1, or none if there is nothing; no nulls.
fn push_dimension(bytes: &mut Vec<u8>, item: u32, items: usize) {
    let length = items as u32;
    bytes.extend_from_slice(&u32::from(length > 0).to_be_bytes());
    bytes.extend_from_slice(&0_u32.to_be_bytes());
    bytes.extend_from_slice(&item.to_be_bytes());
    if length > 0 {
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&1_u32.to_be_bytes());
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str, nul: NulCharacters) -> Result<(), HasNul> {
    let text = text.as_bytes();
    match (memchr::memchr(0, text), nul) {
        (None, _) => push_bytes(bytes, text),
        (Some(_), NulCharacters::Reject) => return Err(HasNul),
        (Some(_), NulCharacters::Strip) => sized(bytes, |bytes| {
            bytes.extend(text.iter().filter(|byte| **byte != 0));
            Ok(())
        })?,
    }
    Ok(())
}

/// A value of known length.
#[inline]
pub(super) fn push_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// A value whose length is known once it is written.
pub(super) fn sized<E>(
    bytes: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = bytes.len();
    bytes.extend_from_slice(&NULL);
    write(bytes)?;
    let length = (bytes.len() - start - NULL.len()) as u32;
    bytes[start..start + NULL.len()].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_becomes_infinity() {
        for (micros, expected) in [
            (0, -EPOCH),
            (EPOCH, 0),
            (i64::MAX, i64::MAX - EPOCH),
            (i64::MIN, i64::MIN + 1),
            (i64::MIN + EPOCH, i64::MIN + 1),
        ] {
            assert_eq!(timestamp(micros), expected);
        }
    }
}
