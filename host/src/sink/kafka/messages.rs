//! Rows, and records as they came, become messages: key, value, headers, time, and where they go. No I/O.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::KafkaSinkError;
use super::config::{KafkaSinkConfig, TargetPartition, TargetTopic};
use super::producer::{Delivered, Message};
use super::topics::Targets;
use crate::record::ndjson::RowWriter;
use crate::record::provenance::{GENERATION, LANE, LaneName, POSITION, VERSION};
use crate::record::{
    Batch, DeadLetter, Deletes, Digest, Position, RawBatch, Receipt, Rfc3339, RowBytes, RowReceipt,
    Rows, UnitPart,
};
use crate::sink::table::cell::{Cell, CellColumn};
use crate::sink::table::version::push_version;

/// Rows as JSON, ready to be sent.
pub(super) fn encode(batch: Batch) -> RowBytes {
    let writer = RowWriter::new(&batch);
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(batch.rows());
    for row in 0..batch.rows() {
        writer.write(row, &mut bytes);
        ends.push(u32::try_from(bytes.len()).expect("a batch stays below 4 GiB"));
    }
    drop(writer);
    RowBytes { columns: batch, bytes: bytes.into(), ends, refused: Vec::new() }
}

/// What made the rows of a unit, or of a retry.
#[derive(Debug)]
pub(super) struct Makers {
    pub generation: Digest,
    /// For each part its lane as rows name it.
    pub lanes: Vec<LaneName>,
}

/// The rows and deletes of parts, in their order, as messages to be.
#[derive(Debug)]
pub(super) struct Messages<'a> {
    config: &'a KafkaSinkConfig,
    targets: &'a Targets,
    generation: String,
    views: Vec<View<'a>>,
    /// Those that can be sent.
    rows: Vec<RowAt>,
    /// Those that cannot, and why.
    pub refused: Vec<(usize, DeadLetter)>,
}

/// The rows of a part, or its deletes.
#[derive(Debug)]
struct View<'a> {
    /// Which of the parts.
    part: usize,
    body: Body<'a>,
    origins: &'a [u32],
    raw: &'a RawBatch,
    lane: &'a LaneName,
    keys: Vec<CellColumn<'a>>,
    headers: Vec<(&'a str, CellColumn<'a>)>,
}

#[derive(Debug, Clone, Copy)]
enum Body<'a> {
    Rows(&'a RowBytes),
    Deletes,
    Raw,
}

#[derive(Debug, Clone, Copy)]
struct RowAt {
    view: u32,
    row: u32,
}

impl<'a> Messages<'a> {
    pub fn new(
        config: &'a KafkaSinkConfig,
        targets: &'a Targets,
        parts: &'a [UnitPart],
        makers: &'a Makers,
    ) -> Result<Self, KafkaSinkError> {
        let mut messages = Self {
            config,
            targets,
            generation: makers.generation.to_string(),
            views: Vec::new(),
            rows: Vec::new(),
            refused: Vec::new(),
        };
        for (part, (of, lane)) in parts.iter().zip(&makers.lanes).enumerate() {
            messages.add(part, &of.rows, &of.origins, false, (&of.raw, lane))?;
            if let Some(Deletes { keys, origins }) = &of.deletes {
                messages.add(part, keys, origins, true, (&of.raw, lane))?;
            }
        }
        messages.sort();
        messages.look()?;
        Ok(messages)
    }

    fn add(
        &mut self,
        part: usize,
        rows: &'a Rows,
        origins: &'a [u32],
        is_delete: bool,
        (raw, lane): (&'a Arc<RawBatch>, &'a LaneName),
    ) -> Result<(), KafkaSinkError> {
        if origins.is_empty() {
            return Ok(());
        }
        let (body, columns) = match rows {
            Rows::Bytes(rows) if is_delete => (Body::Deletes, Some(&rows.columns)),
            Rows::Bytes(rows) => (Body::Rows(rows), Some(&rows.columns)),
            Rows::Raw => (Body::Raw, None),
            Rows::Columns(_) | Rows::Encoded(_) => return Err(KafkaSinkError::OtherRows),
        };
        let column = |name: &String| {
            let columns = columns?;
            let at = columns.fields().iter().position(|field| *field.name == **name)?;
            Some(CellColumn::new(columns.fields()[at].kind, &columns.columns()[at]))
        };
        let (mut keys, mut headers) = (Vec::new(), Vec::new());
        if columns.is_some() {
            for name in &self.config.key {
                keys.push(column(name).ok_or(KafkaSinkError::OtherRows)?);
            }
            if !is_delete {
                for name in &self.config.headers {
                    let column = column(name).ok_or(KafkaSinkError::OtherRows)?;
                    headers.push((name.as_str(), column));
                }
            }
        }
        let view = View { part, body, origins, raw, lane, keys, headers };
        let number = self.views.len() as u32;
        self.rows.extend((0..origins.len() as u32).map(|row| RowAt { view: number, row }));
        self.views.push(view);
        Ok(())
    }

    /// Rows and deletes of a part in the order of their records.
    fn sort(&mut self) {
        let views = &self.views;
        self.rows.sort_by_key(|at| {
            let view = &views[at.view as usize];
            (view.part, view.origins[at.row as usize])
        });
    }

    /// Takes out what no message can be made of.
    fn look(&mut self) -> Result<(), KafkaSinkError> {
        let mut rows = std::mem::take(&mut self.rows);
        let (mut fault, mut refused) = (None, Vec::new());
        rows.retain(|at| match self.fault(*at) {
            Ok(None) => true,
            Ok(Some((reason, detail))) => {
                refused.push(self.letter(*at, reason, detail));
                false
            }
            Err(error) => {
                fault.get_or_insert(error);
                false
            }
        });
        self.rows = rows;
        self.refused.extend(refused);
        fault.map_or(Ok(()), Err)
    }

    fn fault(&self, at: RowAt) -> Result<Option<(String, Option<String>)>, KafkaSinkError> {
        let view = &self.views[at.view as usize];
        let mut keys = self.config.key.iter().zip(&view.keys);
        let null = keys.find(|(_, column)| matches!(column.cell(at.row as usize), Cell::Null));
        if let Some((name, _)) = null {
            return Ok(Some((format!("key column {name} is null"), None)));
        }
        let topic = match self.topic(view) {
            Ok(topic) => topic,
            Err(found) => {
                let reason = "the record's topic is not one of `allow:`".to_owned();
                return Ok(Some((reason, found.map(str::to_owned))));
            }
        };
        let partitions = self.targets.get(topic).map_or(1, |facts| facts.partitions);
        match self.partition(view, topic, false) {
            Some(partition) if partition as usize >= partitions => {
                Err(KafkaSinkError::NoPartition { topic: topic.to_owned(), partition, partitions })
            }
            _ => Ok(None),
        }
    }

    fn topic(&self, view: &View<'a>) -> Result<&'a str, Option<&'a str>> {
        match &self.config.topic {
            TargetTopic::Named(topic) => Ok(topic),
            TargetTopic::Routed(routed) => {
                let from = view.raw.topic.as_deref();
                let allowed = routed.allow.iter().find(|allowed| Some(allowed.as_str()) == from);
                allowed.map(String::as_str).ok_or(from)
            }
        }
    }

    /// None leaves it to the key.
    fn partition(&self, view: &View<'a>, topic: &str, has_key: bool) -> Option<i32> {
        let of_record = view.raw.partition.and_then(|number| i32::try_from(number).ok());
        let of_lane = || {
            let partitions = self.targets.get(topic).map_or(1, |facts| facts.partitions) as u64;
            let number =
                of_record.map_or_else(|| hash(&view.lane.lane), |at| at.unsigned_abs().into());
            (number % partitions.max(1)) as i32
        };
        match self.config.partition {
            TargetPartition::Key if has_key => None,
            TargetPartition::Key | TargetPartition::Lane => Some(of_lane()),
            TargetPartition::Same => Some(of_record.unwrap_or_else(of_lane)),
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The part and the record that a message is made of.
    fn origin(&self, number: usize) -> (usize, u32) {
        let at = self.rows[number];
        let view = &self.views[at.view as usize];
        (view.part, view.origins[at.row as usize])
    }

    /// Where each row is stored, and why others are not.
    pub fn receipts(&self, delivered: &[Delivered]) -> Vec<RowReceipt> {
        // Behind the rows stand dead letters, and entries of the ledger.
        let rows = delivered.iter().filter(|at| at.number < self.rows.len());
        let stored = rows.map(|at| {
            let (part, record) = self.origin(at.number);
            let place = [at.partition, at.offset].map(i64::cast_unsigned);
            RowReceipt { part, record, receipt: Receipt::Stored { at: Some(Position::at(&place)) } }
        });
        let dead = self.refused.iter().map(|(part, letter)| RowReceipt {
            part: *part,
            record: letter.record,
            receipt: Receipt::dead(letter),
        });
        stored.chain(dead).collect()
    }

    /// Takes messages out, which become dead letters.
    pub fn refuse(&mut self, refused: &[(usize, String, Option<String>)]) {
        for (number, reason, detail) in refused {
            let letter = self.letter(self.rows[*number], reason.clone(), detail.clone());
            self.refused.push(letter);
        }
        let mut number = 0;
        self.rows.retain(|_| {
            let is_refused = refused.iter().any(|(refused, ..)| *refused == number);
            number += 1;
            !is_refused
        });
    }

    fn letter(&self, at: RowAt, reason: String, detail: Option<String>) -> (usize, DeadLetter) {
        let view = &self.views[at.view as usize];
        let record = view.origins[at.row as usize];
        (view.part, DeadLetter { record, step: None, reason, detail })
    }

    /// Some of them, by number.
    pub fn some<'b>(&'b self, numbers: &'b [usize]) -> impl Iterator<Item = Message<'b>> {
        numbers.iter().map(|number| self.message(self.rows[*number]))
    }

    pub fn all(&self) -> impl Iterator<Item = Message<'_>> {
        self.rows.iter().map(|at| self.message(*at))
    }

    fn message(&self, at: RowAt) -> Message<'_> {
        let view = &self.views[at.view as usize];
        let row = at.row as usize;
        let index = view.origins[row] as usize;
        let record = &view.raw.records[index];
        let topic = self.topic(view).unwrap_or_default();
        let raw_key = || record.key.map(|span| Cow::Borrowed(view.raw.bytes_of(span)));
        let (key, value) = match view.body {
            Body::Raw => (raw_key(), record.value.map(|span| view.raw.bytes_of(span))),
            Body::Rows(rows) => (view.key(row), rows.row(row).strip_suffix(b"\n")),
            Body::Deletes => (view.key(row), None),
        };
        let partition = self.partition(view, topic, key.is_some());
        let headers = match view.body {
            Body::Raw => raw_headers(view.raw, index),
            Body::Rows(_) | Body::Deletes => self.headers(view, row),
        };
        let millis = record.timestamp_micros.map(|micros| micros.div_euclid(1000));
        Message { topic, partition, key, value, millis, headers }
    }

    fn headers(&self, view: &View<'a>, row: usize) -> Headers<'_> {
        let mut headers: Headers<'_> = Vec::with_capacity(view.headers.len() + 4);
        for (name, column) in &view.headers {
            if let Some(text) = text(column.cell(row)) {
                headers.push((Cow::Borrowed(name), Some(text)));
            }
        }
        if self.config.provenance {
            let index = view.origins[row] as usize;
            let position = view.raw.position(index);
            let mut own = |name, value: Vec<u8>| {
                headers.push((Cow::Borrowed(name), Some(Cow::Owned(value))));
            };
            own(LANE, view.lane.at(&position).into_bytes());
            own(POSITION, position.place().to_string().into_bytes());
            own(VERSION, version(view, index));
            headers
                .push((Cow::Borrowed(GENERATION), Some(Cow::Borrowed(self.generation.as_bytes()))));
        }
        headers
    }
}

pub(super) type Headers<'a> = Vec<(Cow<'a, str>, Option<Cow<'a, [u8]>>)>;

/// The headers that a record came with.
pub(super) fn raw_headers(raw: &RawBatch, record: usize) -> Headers<'_> {
    let headers = raw.headers[raw.records[record].headers.range()].iter();
    let header = headers.map(|header| {
        let value = header.value.map(|span| Cow::Borrowed(raw.bytes_of(span)));
        (Cow::Borrowed(&*header.name), value)
    });
    header.collect()
}

/// What tells which of two rows of one key is newer, as text that is ordered in the same way.
fn version(view: &View<'_>, record: usize) -> Vec<u8> {
    let time = view.raw.time_micros(record).map_or(Cell::Null, Cell::Timestamp);
    let (lane, place) = view.raw.order(record, &view.lane.lane);
    let mut bytes = Vec::with_capacity(64);
    push_version(&mut bytes, time, lane, place);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text.into_bytes()
}

impl<'a> View<'a> {
    /// The text of the column; of several, a JSON array of them.
    fn key(&self, row: usize) -> Option<Cow<'a, [u8]>> {
        match &self.keys[..] {
            [] => None,
            [column] => text(column.cell(row)),
            several => {
                let texts = several.iter().map(|column| match column.cell(row) {
                    Cell::Boolean(value) => value.into(),
                    Cell::Integer(value) => value.into(),
                    other => {
                        text(other).map(|text| String::from_utf8_lossy(&text).into_owned()).into()
                    }
                });
                let texts: Vec<serde_json::Value> = texts.collect();
                Some(Cow::Owned(serde_json::to_vec(&texts).expect("plain values")))
            }
        }
    }
}

/// A value as rows write it, without quotes.
fn text(cell: Cell<'_>) -> Option<Cow<'_, [u8]>> {
    Some(match cell {
        Cell::Null => return None,
        Cell::Text(text) => Cow::Borrowed(text.as_bytes()),
        Cell::Boolean(value) => Cow::Owned(value.to_string().into_bytes()),
        Cell::Integer(value) => Cow::Owned(value.to_string().into_bytes()),
        Cell::Float(value) => Cow::Owned(serde_json::to_vec(&value).expect("a number")),
        Cell::Timestamp(micros) => Cow::Owned(Rfc3339(micros).to_string().into_bytes()),
        Cell::List(list) => Cow::Owned(list.json().into_bytes()),
    })
}

/// The same in all processes and for ever.
fn hash(lane: &str) -> u64 {
    // FNV-1a.
    lane.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
