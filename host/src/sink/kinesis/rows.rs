//! Rows become entries: their JSON, and the keys that they are put under. No I/O.

use bytes::Bytes;

use super::{KinesisSinkConfig, KinesisSinkError};
use crate::record::time::Rfc3339;
use crate::record::{Batch, DeadLetter, Field, Lane, Rows, UnitPart, ndjson};
use crate::sink::table::cell::{Cell, CellColumn};

/// Of a partition key, in characters.
const KEY_MAX: usize = 256;

/// A row that is to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub hash_key: Option<String>,
    pub data: Bytes,
}

impl Entry {
    pub fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

/// Those of a unit, and rows that no stream takes, each with the number of its part.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub rows: Vec<Entry>,
    pub refused: Vec<(usize, DeadLetter)>,
}

/// Which columns mean something.
#[derive(Debug)]
pub(super) struct Shape {
    key: Option<usize>,
    hash_key: Option<usize>,
    record_max: usize,
}

impl Shape {
    pub fn new(
        config: &KinesisSinkConfig,
        columns: Option<&[Field]>,
    ) -> Result<Self, KinesisSinkError> {
        let at = |setting, name: &Option<String>| {
            let Some(name) = name else { return Ok(None) };
            let mut columns = columns.unwrap_or_default().iter();
            let at = columns.position(|field| *field.name == **name);
            let missing = || KinesisSinkError::NoColumn { setting, column: name.clone() };
            at.ok_or_else(missing).map(Some)
        };
        Ok(Self {
            key: at("key", &config.key)?,
            hash_key: at("hash_key", &config.hash_key)?,
            record_max: usize::try_from(config.record.0).unwrap_or(usize::MAX),
        })
    }

    /// The rows of a part, or of a letter that is tried again, with its number.
    pub fn push(&self, entries: &mut Entries, of: usize, lane: &Lane, part: &UnitPart) {
        let cells = match &part.rows {
            Rows::Columns(batch) => Some(Cells::new(batch)),
            Rows::Encoded(_) | Rows::Bytes(_) | Rows::Raw => None,
        };
        for (row, origin) in part.origins.iter().enumerate() {
            let data = match &cells {
                Some(cells) => cells.json(row),
                None => part.raw.value(*origin as usize).unwrap_or_default(),
            };
            let column = |at: Option<usize>| Some(cells.as_ref()?.text(at?, row));
            let key = match column(self.key) {
                Some(key) => key.ok_or("partition key is null"),
                None => Ok(own_key(lane, part, *origin)),
            };
            let hash_key = column(self.hash_key).flatten();
            match self.entry(key, hash_key, data) {
                Ok(entry) => entries.rows.push(entry),
                Err(reason) => {
                    let (reason, detail) = (reason.to_owned(), None);
                    let letter = DeadLetter { record: *origin, step: None, reason, detail };
                    entries.refused.push((of, letter));
                }
            }
        }
    }

    fn entry(
        &self,
        key: Result<String, &'static str>,
        hash_key: Option<String>,
        data: Bytes,
    ) -> Result<Entry, &'static str> {
        let entry = Entry { key: key?, hash_key, data };
        if entry.key.is_empty() {
            return Err("partition key is empty");
        }
        if entry.key.chars().count() > KEY_MAX {
            return Err("partition key is longer than 256 characters");
        }
        if entry.hash_key.as_ref().is_some_and(|hash| hash.parse::<u128>().is_err()) {
            return Err("hash key is no number of 128 bits");
        }
        if entry.bytes() > self.record_max {
            return Err("row is larger than the stream takes");
        }
        Ok(entry)
    }
}

/// The record's key, as far as it is text; else one that no other row has.
fn own_key(lane: &Lane, part: &UnitPart, origin: u32) -> String {
    let record = origin as usize;
    let own = part.raw.records[record].key.map(|key| part.raw.bytes_of(key));
    match own.and_then(|key| std::str::from_utf8(key).ok()) {
        Some(key) if !key.is_empty() => key.to_owned(),
        _ => {
            let (lane, position) = part.raw.place(record, lane.name());
            format!("{lane}/{}", position.place())
        }
    }
}

/// A batch, one row at a time.
struct Cells<'a> {
    rows: ndjson::RowWriter<'a>,
    columns: Vec<CellColumn<'a>>,
}

impl<'a> Cells<'a> {
    fn new(batch: &'a Batch) -> Self {
        let columns = batch.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| CellColumn::new(field.kind, column));
        Self { rows: ndjson::RowWriter::new(batch), columns: columns.collect() }
    }

    /// Without a line break.
    fn json(&self, row: usize) -> Bytes {
        let mut line = Vec::new();
        self.rows.write(row, &mut line);
        line.truncate(line.len().saturating_sub(1));
        line.into()
    }

    fn text(&self, column: usize, row: usize) -> Option<String> {
        Some(match self.columns[column].cell(row) {
            Cell::Null => return None,
            Cell::Boolean(is) => is.to_string(),
            Cell::Integer(number) => number.to_string(),
            Cell::Float(number) => number.to_string(),
            Cell::Text(text) => text.to_owned(),
            Cell::Timestamp(micros) => {
                let mut text = Vec::new();
                Rfc3339(micros).write(&mut text);
                String::from_utf8(text).unwrap_or_default()
            }
            Cell::List(list) => list.json(),
        })
    }
}
