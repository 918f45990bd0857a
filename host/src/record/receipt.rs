//! What became of each record of a unit, for a source at which somebody waits for that.

use super::{DeadLetter, Position, Unit};

/// What became of the records of a unit: of the attempt that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipts {
    /// Of each record, in the order of the lane.
    pub records: Vec<Receipt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Its row is in the sink, or a newer one of the same key. Where, if the sink has places for its rows: a
    /// partition and an offset, or a sequence number and the number of its shard.
    Stored { at: Option<Position> },
    /// A newer row of the same unit has its key.
    Superseded,
    /// A step took it out on purpose.
    Dropped,
    Dead {
        /// The step that rejected it; none if it could not be decoded or stored.
        step: Option<String>,
        reason: String,
        detail: Option<String>,
    },
}

/// What a sink knows of a row beyond that it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowReceipt {
    /// As an index into the parts of the unit.
    pub part: usize,
    /// As an index into the records of that part.
    pub record: u32,
    pub receipt: Receipt,
}

impl Receipt {
    pub fn dead(letter: &DeadLetter) -> Self {
        Self::Dead {
            step: letter.step.as_deref().map(str::to_owned),
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
        }
    }
}

impl Receipts {
    /// Of a unit that is committed: as it went to the sink, and as the sink says of single rows.
    pub fn of(unit: &Unit, rows: &[RowReceipt]) -> Self {
        let mut records = Vec::with_capacity(unit.records() as usize);
        let mut starts = Vec::with_capacity(unit.parts.len());
        for part in &unit.parts {
            let start = records.len();
            starts.push(start);
            // What is neither a row nor a delete nor a dead letter was dropped.
            records.resize(start + part.raw.records.len(), Receipt::Dropped);
            let deletes = part.deletes.iter().flat_map(|deletes| &deletes.origins);
            for origin in part.origins.iter().chain(deletes) {
                records[start + *origin as usize] = Receipt::Stored { at: None };
            }
            for letter in &part.dead_letters {
                records[start + letter.record as usize] = Receipt::dead(letter);
            }
        }
        for row in rows {
            records[starts[row.part] + row.record as usize] = row.receipt.clone();
        }
        Self { records }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::{Deletes, Digest, Lane, RawBatch, RawRecord, Rows, UnitPart};
    use super::*;

    fn part(from: u64, records: u64, origins: Vec<u32>) -> UnitPart {
        let raw = RawBatch {
            bytes: Bytes::new(),
            records: (from..from + records)
                .map(|at| RawRecord::value(Position::number(at), 0..0))
                .collect(),
            headers: Vec::new(),
            columns: None,
            topic: None,
            partition: None,
            from: Position::number(from),
            to: Position::number(from + records),
            past: None,
        };
        UnitPart {
            raw: Arc::new(raw),
            rows: Rows::Raw,
            origins,
            deletes: None,
            dropped: 0,
            dead_letters: Vec::new(),
        }
    }

    #[test]
    fn each_record_has_one_receipt_in_the_order_of_the_lane() {
        let letter = DeadLetter { record: 1, step: None, reason: "odd".to_owned(), detail: None };
        let dead = Receipt::dead(&letter);
        let mut first = part(0, 3, vec![0]);
        first.dropped = 1;
        first.dead_letters = vec![letter];
        let mut second = part(3, 3, vec![0, 2]);
        second.deletes = Some(Deletes { keys: Rows::Raw, origins: vec![1] });
        let unit = Unit {
            lane: Lane::new("a"),
            from: Position::number(0),
            to: Position::number(6),
            generation: Digest::of(b"one"),
            parts: vec![first, second],
            accepted_rejects: 0,
            refusals_max: 0,
            wants_receipts: true,
        };
        let stored = Receipt::Stored { at: None };
        let at = Receipt::Stored { at: Some(Position::at(&[4, 17])) };
        let rows = [
            RowReceipt { part: 1, record: 0, receipt: at.clone() },
            RowReceipt { part: 1, record: 2, receipt: Receipt::Superseded },
        ];
        let told = Receipts::of(&unit, &rows).records;
        assert_eq!(told, [stored.clone(), dead, Receipt::Dropped, at, stored, Receipt::Superseded]);
    }
}
