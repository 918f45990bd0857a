//! One record becomes one row.

use std::ops::Range;

use crate::record::{Position, Record};

use super::column::{Column, Values};
use super::cursor::Cursor;
use super::declare::{DeclaredField, Origin};
use super::reject::{Reject, Result, invalid_utf8, shown};
use super::shape::{Meaning, Shape};
use super::timestamp;
use super::value::{Misfit, Reader, push_text};

/// The row in the making. If it fails, a part of it is left in the columns.
pub(super) struct Row<'r> {
    pub(super) cursor: Cursor<'r>,
    pub(super) declared: &'r [DeclaredField],
    pub(super) shape: &'r mut Shape,
    pub(super) columns: &'r mut [Column],
    /// The column of what is not declared, if there is one.
    pub(super) rest: Option<usize>,
    /// For each slot of the shape, the place at which this record gives it.
    pub(super) given: &'r mut [Option<u16>],
    pub(super) scratch: &'r mut String,
    pub(super) row: usize,
    /// Whether one of the fields that are not key fields has to be something other than null.
    pub(super) needs_value: bool,
    pub(super) has_value: bool,
}

impl Row<'_> {
    pub(super) fn read(&mut self, record: &Record<'_>) -> Result<()> {
        self.given.fill(None);
        self.cursor.skip_blanks();
        if self.cursor.peek() != b'{' {
            return Err(self.not_an_object());
        }
        if let Some(rest) = self.rest() {
            rest.push('{');
        }
        self.object(0, 0)?;
        self.cursor.skip_blanks();
        if !self.cursor.is_at_end() {
            return Err(self.cursor.expected("the end of the record"));
        }
        self.fields_not_given(record)?;
        if self.needs_value && !self.has_value {
            return Err(Reject::new("all fields are null", None, None));
        }
        Ok(())
    }

    /// Reads what stands around a record.
    pub(super) fn read_surroundings(&mut self, record: &Record<'_>) -> Result<()> {
        self.given.fill(None);
        if let Some(rest) = self.rest() {
            rest.push('{');
        }
        self.fields_not_given(record)
    }

    #[cold]
    fn not_an_object(&mut self) -> Box<Reject> {
        if self.cursor.is_at_end() {
            return Reject::new("record is empty", None, None);
        }
        let what = match self.cursor.peek() {
            b'[' => "an array",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            0xef if self.cursor.take_all("\u{feff}".as_bytes()) => {
                let detail = "UTF-8 in JSON has none".to_owned();
                return Reject::new("record starts with a byte order mark", detail, 0);
            }
            _ => "a number",
        };
        let at = self.cursor.at();
        if let Err(malformed) = self.cursor.skip_value(0) {
            return malformed;
        }
        self.cursor.skip_blanks();
        if !self.cursor.is_at_end() {
            return self.cursor.expected("the end of the record");
        }
        Reject::new("record is not a JSON object", what.to_owned(), at)
    }

    /// Reads an object of the shape, which is inside of `depth` others.
    fn object(&mut self, object: u16, depth: usize) -> Result<()> {
        self.cursor.check_depth(depth)?;
        self.cursor.expect(b'{', "an object")?;
        self.cursor.skip_blanks();
        if self.cursor.take(b'}') {
            return Ok(());
        }
        self.shape.begin(object);
        loop {
            let from = self.cursor.at();
            let meaning = self.shape.key(object, &mut self.cursor, self.scratch)?;
            let key = from..self.cursor.at();
            match meaning {
                Meaning::Field { field, place } => {
                    let field = usize::from(field);
                    self.give(field, place, from)?;
                    self.cursor.colon()?;
                    self.value(field, depth + 1)?;
                }
                Meaning::Undeclared => {
                    self.cursor.colon()?;
                    self.undeclared(key, depth + 1)?;
                }
                Meaning::Object { object, place } => {
                    self.give(self.shape.object_slot(object), place, from)?;
                    self.cursor.colon()?;
                    self.inner_object(key, object, place, depth + 1)?;
                }
            }
            if !self.cursor.next_item(b'}')? {
                return Ok(());
            }
        }
    }

    /// Marks a field, or an object that holds fields, as given at this place.
    #[inline]
    fn give(&mut self, slot: usize, place: u16, at: usize) -> Result<()> {
        match self.given[slot].replace(place) {
            None => Ok(()),
            Some(before) => Err(self.given_twice(slot, before, place, at)),
        }
    }

    #[cold]
    fn given_twice(&self, slot: usize, before: u16, place: u16, at: usize) -> Box<Reject> {
        let (before, place) = (self.shape.place_name(before), self.shape.place_name(place));
        let name = self.declared.get(slot).map_or(place, |field| &field.name);
        let detail = format!("first as {before}, then as {place} at byte {at}");
        Reject::new(format!("field {name} is given twice"), detail, at)
    }

    fn value(&mut self, field: usize, depth: usize) -> Result<()> {
        let column = &mut self.columns[field];
        if self.cursor.peek() == b'n' {
            self.cursor.literal("null")?;
            column.push_null(self.row);
            return Ok(());
        }
        let declared = &self.declared[field];
        let from = self.cursor.at();
        let mut reader = Reader {
            cursor: &mut self.cursor,
            scratch: self.scratch,
            name: &declared.name,
            coerce: declared.coerce,
            depth,
        };
        match reader.value(&mut column.values)? {
            Ok(()) => {
                self.has_value |= !declared.key;
                Ok(())
            }
            Err(misfit) => Err(reader.refuse(from, misfit, declared.kind)),
        }
    }

    fn undeclared(&mut self, key: Range<usize>, depth: usize) -> Result<()> {
        let from = self.cursor.at();
        self.cursor.skip_value(depth)?;
        let (key, value) = (self.cursor.text(key), self.cursor.since(from));
        if let Some(rest) = self.rest() {
            push_key(rest, key);
            rest.push_str(value);
        }
        Ok(())
    }

    /// Reads an object on the way to fields. Null stands for one that has none of them.
    fn inner_object(
        &mut self,
        key: Range<usize>,
        object: u16,
        place: u16,
        depth: usize,
    ) -> Result<()> {
        match self.cursor.peek() {
            b'{' => {}
            b'n' => return self.cursor.literal("null"),
            _ => {
                let from = self.cursor.at();
                self.cursor.skip_value(depth)?;
                let name = self.shape.place_name(place);
                let seen = shown(self.cursor.since(from));
                return Err(Reject::new(format!("field {name} is not an object"), seen, from));
            }
        }
        let key = self.cursor.text(key);
        let Some(rest) = self.rest() else {
            return self.object(object, depth);
        };
        let outside = rest.len();
        push_key(rest, key);
        rest.push('{');
        let inside = rest.len();
        self.object(object, depth)?;
        if let Some(rest) = self.rest() {
            if rest.len() == inside {
                rest.truncate(outside);
            } else {
                rest.push('}');
            }
        }
        Ok(())
    }

    /// The rest so far: an object that is still open.
    fn rest(&mut self) -> Option<&mut String> {
        match &mut self.columns[self.rest?].values {
            Values::Text(texts) => Some(texts.open()),
            _ => None,
        }
    }

    /// What is known only behind the last byte, or comes from elsewhere.
    fn fields_not_given(&mut self, record: &Record<'_>) -> Result<()> {
        for (index, field) in self.declared.iter().enumerate() {
            if self.given[index].is_some() {
                continue;
            }
            match &field.from {
                Origin::Value(_) => push_missing(&mut self.columns[index], field, self.row)?,
                Origin::Rest => {
                    if let Values::Text(texts) = &mut self.columns[index].values {
                        texts.open().push('}');
                        texts.end();
                    }
                }
                Origin::Key => self.text_around(index, record.key)?,
                Origin::Topic => self.text_around(index, record.topic.map(str::as_bytes))?,
                Origin::Header(name) => {
                    let header = record.headers.iter().rfind(|header| header.name == name);
                    self.text_around(index, header.and_then(|header| header.value))?;
                }
                Origin::Partition => self.number_around(index, record.partition)?,
                Origin::Offset => self.number_around(index, record.offset)?,
                Origin::Timestamp => self.number_around(index, record.timestamp_micros)?,
                Origin::Sequence => {
                    let sequence = record.position.as_ref().and_then(sequence);
                    self.text_around(index, sequence.as_deref().map(str::as_bytes))?;
                }
                Origin::Shard => {
                    let shard = record.partition.map(|number| format!("shardId-{number:012}"));
                    self.text_around(index, shard.as_deref().map(str::as_bytes))?;
                }
            }
        }
        Ok(())
    }

    fn text_around(&mut self, index: usize, text: Option<&[u8]>) -> Result<()> {
        let (field, column) = (&self.declared[index], &mut self.columns[index]);
        let Some(bytes) = text else {
            return push_missing(column, field, self.row);
        };
        let text = simdutf8::basic::from_utf8(bytes)
            .map_err(|_| invalid_utf8(&format!("field {}", field.name), bytes))?;
        push_text(&mut column.values, text)
            .map_err(|misfit| misfit.reject(&field.name, field.kind, text, None))
    }

    fn number_around(&mut self, index: usize, number: Option<i64>) -> Result<()> {
        let (field, column) = (&self.declared[index], &mut self.columns[index]);
        let Some(number) = number else {
            return push_missing(column, field, self.row);
        };
        match &mut column.values {
            Values::Timestamp(_) if !timestamp::is_in_range(number) => {
                let seen = number.to_string();
                Err(Misfit::OutOfRange.reject(&field.name, field.kind, &seen, None))
            }
            Values::Integer(values) | Values::Timestamp(values) => {
                values.push(number);
                Ok(())
            }
            _ => unreachable!("checked fields take integers from the surroundings as such"),
        }
    }
}

/// A sequence number; of records that were put together, all but the first have theirs with a number behind.
fn sequence(position: &Position) -> Option<String> {
    let sequence = position.sequence()?;
    let is_further = matches!(position, Position::At(place) if place.words().get(3) > Some(&0));
    Some(if is_further { position.place().to_string() } else { sequence.to_string() })
}

fn push_missing(column: &mut Column, field: &DeclaredField, row: usize) -> Result<()> {
    if field.required {
        let reason = format!("required field {} is missing", field.name);
        return Err(Reject::new(reason, None, None));
    }
    column.push_null(row);
    Ok(())
}

/// Appends a key to an object that is still open. `quoted` is the key as the record has it.
fn push_key(object: &mut String, quoted: &str) {
    // No value ends in an opening brace.
    if !object.ends_with('{') {
        object.push(',');
    }
    object.push_str(quoted);
    object.push(':');
}
