//! Writes rows unit by unit.

use std::sync::Arc;

use self::Change::{Delete, Put};
use super::Opened;
use crate::connect::{CommitOutcome, SinkContext, Stored};
use crate::ledger::Claim;
use crate::record::json::{JsonRow, batch};
use crate::record::{
    Deletes, Digest, Field, Kind, Lane, Position, RawBatch, RawRecord, SourceId, Unit, UnitPart,
};

pub(crate) fn columns(columns: &[(&str, Kind)]) -> Arc<[Field]> {
    columns.iter().map(|(name, kind)| Field::new(*name, *kind)).collect()
}

pub(crate) fn context() -> SinkContext {
    SinkContext {
        pipeline: "test".into(),
        source: Some(SourceId::new("test")),
        has_rule: true,
        keep_dead_letters: None,
        replaces: false,
        replay_into: None,
    }
}

/// What a record does, as JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Put(&'a str),
    /// The row with this first column, which is the key.
    Delete(&'a str),
}

/// A lane that goes on where its last unit ended.
pub(crate) struct LaneWriter<'a> {
    sink: &'a Opened,
    pub(crate) claim: Claim,
}

impl<'a> LaneWriter<'a> {
    pub(crate) async fn new(sink: &'a Opened, lane: &str) -> Self {
        let claim = sink.claims.claim(&Lane::new(lane), Position::number(0)).await.unwrap();
        Self { sink, claim }
    }

    /// A row for each JSON object; `at` is its record's time.
    pub(crate) fn part(&self, rows: &[(&str, Option<i64>)]) -> UnitPart {
        let records: Vec<_> = rows.iter().map(|(row, time)| (Put(row), *time)).collect();
        self.part_of(&records)
    }

    fn part_of(&self, given: &[(Change<'_>, Option<i64>)]) -> UnitPart {
        let from = self.claim.position.as_number().unwrap();
        let records = given.iter().zip(from..).map(|((_, time), at)| RawRecord {
            timestamp_micros: *time,
            ..RawRecord::value(Position::number(at), 0..0)
        });
        let raw = RawBatch::new(
            bytes::Bytes::new(),
            records.collect(),
            (self.claim.position, Position::number(from + given.len() as u64)),
        );
        let (mut rows, mut origins) = (Vec::<JsonRow>::new(), Vec::new());
        let (mut keys, mut deleted) = (Vec::<JsonRow>::new(), Vec::new());
        for ((change, _), at) in given.iter().zip(0..) {
            let (json, of) = match change {
                Put(row) => (row, (&mut rows, &mut origins)),
                Delete(key) => (key, (&mut keys, &mut deleted)),
            };
            of.0.push(serde_json::from_str(json).unwrap());
            of.1.push(at);
        }
        let deletes = (!keys.is_empty()).then(|| Deletes {
            keys: self.sink.writer.encode(batch(&keys, &self.sink.columns[..1].into()).unwrap()),
            origins: deleted,
        });
        UnitPart {
            raw: Arc::new(raw),
            rows: self.sink.writer.encode(batch(&rows, &self.sink.columns).unwrap()),
            origins,
            deletes,
            dropped: 0,
            dead_letters: Vec::new(),
        }
    }

    pub(crate) fn unit(&self, rows: &[(&str, Option<i64>)]) -> Unit {
        self.unit_of(self.part(rows))
    }

    fn unit_of(&self, part: UnitPart) -> Unit {
        Unit {
            lane: self.claim.lane.clone(),
            from: part.raw.from,
            to: part.raw.to,
            generation: Digest::of(b"test"),
            accepted_rejects: 0,
            refusals_max: u64::MAX,
            wants_receipts: false,
            parts: vec![part],
        }
    }

    pub(crate) async fn write(&mut self, rows: &[(&str, Option<i64>)]) -> Stored {
        let unit = self.unit(rows);
        self.commit(unit).await
    }

    pub(crate) async fn change(&mut self, changes: &[(Change<'_>, Option<i64>)]) -> Stored {
        let unit = self.unit_of(self.part_of(changes));
        self.commit(unit).await
    }

    pub(crate) async fn commit(&mut self, unit: Unit) -> Stored {
        let committed = self.sink.writer.commit(&self.claim, &unit).await.unwrap();
        let CommitOutcome::Done(stored) = committed else { panic!("fenced") };
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
    Stored { rows, superseded, refused, receipts: None }
}
