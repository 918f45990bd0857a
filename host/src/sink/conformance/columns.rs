//! Writers of other columns.

use std::sync::Arc;

use super::{PINS, Store, at, batch, claim, done, fields, position, raw};
use crate::record::{Batch, Digest, Field, Kind, Unit, UnitPart};

fn more_fields() -> Arc<[Field]> {
    fields().iter().cloned().chain([Field::new("more", Kind::Integer)]).collect()
}

/// One row, of record `at`.
fn more_rows(at: u64) -> Batch {
    let rows = batch(&[at.cast_signed()]);
    let more = Arc::clone(&rows.columns()[0]);
    let columns = rows.columns().iter().cloned().chain([more]).collect();
    Batch::new(1, more_fields(), columns)
}

/// What a process knows of its lanes is one, whatever columns its writers have: a change of columns and back
/// fences nobody.
pub(crate) async fn a_change_of_columns_makes_another_writer_and_no_other_owner(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let mut owner = claim(&sink).await;
    let other = sink.sink.writer(Some(more_fields()), false).await.unwrap();
    for record in 0..6 {
        let is_more = record % 2 == 1;
        let (writer, rows) = match is_more {
            true => (&other, more_rows(record)),
            false => (&sink.writer, batch(&[record.cast_signed()])),
        };
        let part = UnitPart {
            raw: Arc::new(raw(record..record + 1)),
            rows: writer.encode(rows),
            origins: vec![0],
            deletes: None,
            dropped: 0,
            dead_letters: Vec::new(),
        };
        let unit = Unit {
            lane: owner.lane.clone(),
            from: at(record),
            to: at(record + 1),
            generation: Digest::of(if is_more { b"more" } else { b"less" }),
            accepted_rejects: 0,
            refusals_max: 0,
            wants_receipts: false,
            parts: vec![part],
        };
        assert_eq!(writer.commit(&owner, &unit).await.unwrap(), done(1), "record {record}");
        owner.position = unit.to;
    }
    assert_eq!(store.ids(PINS.target).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(position(&sink).await, at(6));
}

pub(crate) async fn a_dry_look_makes_nothing(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let before = store.shape(PINS.target).await;
    let dry = sink.sink.writer(Some(more_fields()), true).await.unwrap();
    assert_eq!(store.shape(PINS.target).await, before);
    // It makes what it lacks with its first commit.
    let owner = claim(&sink).await;
    let part = UnitPart {
        raw: Arc::new(raw(0..1)),
        rows: dry.encode(more_rows(0)),
        origins: vec![0],
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    };
    let unit = Unit {
        lane: owner.lane.clone(),
        from: at(0),
        to: at(1),
        generation: Digest::of(b"more"),
        accepted_rejects: 0,
        refusals_max: 0,
        wants_receipts: false,
        parts: vec![part],
    };
    assert_eq!(dry.commit(&owner, &unit).await.unwrap(), done(1));
    assert_eq!(store.ids(PINS.target).await, [0]);
}
