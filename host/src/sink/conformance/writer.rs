//! Writes rows unit by unit.

use std::sync::Arc;

use crate::record::json::{JsonRow, batch};
use crate::record::{
    Digest, Field, Kind, Lane, Position, RawBatch, RawRecord, SourceId, Unit, UnitPart,
};
use crate::sink::{Claim, Committed, Sink, SinkContext, Stored};

/// A sink, and the columns that it was opened for.
pub(crate) trait TestSink: Sink {
    fn columns(&self) -> Arc<[Field]>;
}

pub(crate) fn columns(columns: &[(&str, Kind)]) -> Arc<[Field]> {
    columns.iter().map(|(name, kind)| Field::new(*name, *kind)).collect()
}

pub(crate) fn context(columns: &Arc<[Field]>) -> SinkContext {
    SinkContext {
        pipeline: "test".into(),
        source: Some(SourceId::new("test")),
        columns: Some(Arc::clone(columns)),
        keep_dead_letters: None,
    }
}

/// A lane that goes on where its last unit ended.
pub(crate) struct Writer<'a, S> {
    sink: &'a S,
    columns: Arc<[Field]>,
    pub(crate) claim: Claim,
}

impl<'a, S: TestSink> Writer<'a, S> {
    pub(crate) async fn new(sink: &'a S, lane: &str) -> Self {
        let columns = sink.columns();
        let claim = sink.claim(&Lane::new(lane), Position::Record(0)).await.unwrap();
        Self { sink, columns, claim }
    }

    /// A row for each JSON object; `at` is its record's time.
    pub(crate) fn part(&self, rows: &[(&str, Option<i64>)]) -> UnitPart {
        let Position::Record(from) = self.claim.position else { unreachable!() };
        let json: Vec<JsonRow> =
            rows.iter().map(|(row, _)| serde_json::from_str(row).unwrap()).collect();
        let records = rows.iter().zip(from..).map(|((_, time), at)| RawRecord {
            timestamp_micros: *time,
            ..RawRecord::value(Position::Record(at), 0..0)
        });
        let raw = RawBatch {
            bytes: bytes::Bytes::new(),
            records: records.collect(),
            headers: Vec::new(),
            topic: None,
            partition: None,
            columns: None,
            from: self.claim.position,
            to: Position::Record(from + rows.len() as u64),
        };
        UnitPart {
            raw: Arc::new(raw),
            rows: self.sink.encode(batch(&json, &self.columns).unwrap()),
            origins: (0..rows.len() as u32).collect(),
            dropped: 0,
            dead_letters: Vec::new(),
        }
    }

    pub(crate) fn unit(&self, rows: &[(&str, Option<i64>)]) -> Unit {
        let part = self.part(rows);
        Unit {
            lane: self.claim.lane.clone(),
            from: part.raw.from,
            to: part.raw.to,
            generation: Digest::of(b"test"),
            accepted_rejects: 0,
            refusals_max: u64::MAX,
            parts: vec![part],
        }
    }

    pub(crate) async fn write(&mut self, rows: &[(&str, Option<i64>)]) -> Stored {
        let unit = self.unit(rows);
        let committed = self.sink.commit(&self.claim, &unit).await.unwrap();
        let Committed::Done(stored) = committed else { panic!("fenced") };
        self.claim.position = unit.to;
        stored
    }

    pub(crate) async fn write_rows(&mut self, rows: &[&str]) -> Stored {
        let rows: Vec<_> = rows.iter().map(|row| (*row, None)).collect();
        self.write(&rows).await
    }
}

pub(crate) fn stored(rows: u64, superseded: u64, refused: &[(&str, u64)]) -> Stored {
    let refused = refused.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    Stored { rows, superseded, refused }
}
