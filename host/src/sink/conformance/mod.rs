//! What every sink keeps to, asked of each of them by the same tests.
//!
//! A sink's own tests implement [`Store`] for what it writes to, and say `ledger_tests!(store)` and
//! `writer_tests!(store)`. Each test gets a store that is empty. Where several targets share one state, as
//! tables of a database do, they name `another_target_under_the_same_name_is_refused` too.

mod claims;
mod columns;
mod letters;
mod members;
mod tables;
mod units;
mod upserts;
mod writer;

use std::ops::{Deref, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

pub(crate) use self::claims::*;
pub(crate) use self::columns::*;
pub(crate) use self::letters::*;
pub(crate) use self::members::*;
pub(crate) use self::tables::*;
pub(crate) use self::units::*;
pub(crate) use self::upserts::*;
pub(crate) use self::writer::*;
use crate::connect::{CommitOutcome, Sink, SinkContext, Stored, Writer};
use crate::ledger::{Claim, Ledger};
use crate::record::{
    Batch, DeadLetter, Digest, Field, Kind, Lane, Position, RawBatch, RawHeader, RawRecord,
    SourceId, Span, Unit, UnitPart,
};

/// Makes tests of what every ledger keeps to; `$store` gives an empty store.
macro_rules! ledger_tests {
    ($store:expr) => {
        $crate::sink::conformance::tests_on! {
            $store;
            an_empty_store_says_so
            a_first_claim_is_durable
            of_two_first_claimers_the_stored_start_counts
            a_first_run_is_decided_once
            of_two_first_runs_the_stored_one_counts
            whoever_beats_is_a_member_until_it_leaves
            another_source_under_the_same_name_is_refused
            pipelines_do_not_know_each_other
            whoever_writes_to_a_target_is_known
            a_lane_moves_on_request_and_leaves_a_gap
            rejects_that_were_accepted_are_used_up_by_units
            a_journal_grows_at_its_end_only
            units_of_one_generation_extend_one_range
            generations_are_kept_once
            a_generation_comes_back_as_it_was_kept
            of_the_verdicts_on_a_generation_the_last_one_counts
            who_judge_at_once_are_all_heard
            a_letter_keeps_all_of_its_record
            letters_are_listed_in_pieces
            letters_are_counted_by_generation
        }
    };
}
pub(crate) use ledger_tests;

/// Makes tests of what every writer keeps to.
macro_rules! writer_tests {
    ($store:expr) => {
        $crate::sink::conformance::tests_on! {
            $store;
            a_zombie_commits_nothing
            claimers_that_race_store_everything_once
            data_and_position_move_together
            a_unit_offered_again_is_stored_once
            a_unit_that_begins_elsewhere_is_fenced
            a_unit_of_rejects_only_moves_the_lane
            a_unit_whose_records_do_not_add_up_is_refused
            a_change_of_columns_makes_another_writer_and_no_other_owner
            a_dry_look_makes_nothing
            a_letter_is_retried_once
            a_letter_that_fails_again_stays_dead
            a_retry_is_all_or_nothing
        }
    };
}
pub(crate) use writer_tests;

/// Makes a test of each that is named.
macro_rules! tests_on {
    ($store:expr; $($test:ident)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                $crate::sink::conformance::$test(&$store).await;
            }
        )*
    };
}
pub(crate) use tests_on;

/// A sink as a process has it open: its ledger, and a writer for some columns.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) writer: Arc<dyn Writer>,
    pub(crate) columns: Arc<[Field]>,
}

impl Opened {
    pub(crate) async fn of(sink: impl Sink + 'static, columns: Arc<[Field]>) -> Self {
        sink.prepare().await.unwrap();
        let writer = sink.writer(Some(Arc::clone(&columns)), false).await.unwrap();
        Self { sink: Arc::new(sink), writer, columns }
    }

    pub(crate) async fn without_columns(sink: impl Sink + 'static) -> Self {
        sink.prepare().await.unwrap();
        let writer = sink.writer(None, false).await.unwrap();
        Self { sink: Arc::new(sink), writer, columns: [].into() }
    }
}

impl Deref for Opened {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        self.sink.ledger()
    }
}

/// What sinks of one kind write to, and read by somebody else.
#[async_trait]
pub(crate) trait Store: Sync {
    /// A sink as another process would open it, ready to be claimed.
    async fn open(&self, opening: Opening) -> Opened;

    /// Column `id` of what a reader of the target sees, ascending.
    async fn ids(&self, target: &str) -> Vec<i64>;

    /// What the target is like: the columns of a table.
    async fn shape(&self, target: &str) -> Vec<String> {
        let _ = target;
        Vec::new()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) pipeline: &'static str,
    pub(crate) source: &'static str,
    /// A table, a folder.
    pub(crate) target: &'static str,
}

pub(crate) const PINS: Opening = Opening { pipeline: "pins", source: "test://pins", target: "pin" };

impl Opening {
    pub(crate) fn context(&self) -> SinkContext {
        SinkContext {
            pipeline: self.pipeline.into(),
            source: Some(SourceId::new(self.source)),
            has_rule: true,
            keep_dead_letters: None,
            replaces: false,
            replay_into: None,
        }
    }
}

pub(crate) fn fields() -> Arc<[Field]> {
    [Field::new("id", Kind::Integer), Field::new("word", Kind::Text)].into()
}

fn lane() -> Lane {
    Lane::new("posts-0")
}

fn at(record: u64) -> Position {
    Position::number(record)
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Row,
    Dropped,
    Dead(&'static str),
}

/// A unit of the records `range`: rows, but for `fates`. Row and record have one number.
fn unit_of(sink: &Opened, range: Range<u64>, generation: &str, fates: &[(u64, Fate)]) -> Unit {
    let fate =
        |record: u64| fates.iter().find(|(at, _)| *at == record).map_or(Fate::Row, |it| it.1);
    // Two batches, as most units have several.
    let middle = range.start + (range.end - range.start) / 2;
    Unit {
        lane: lane(),
        from: at(range.start),
        to: at(range.end),
        generation: Digest::of(generation.as_bytes()),
        accepted_rejects: 0,
        refusals_max: u64::MAX,
        wants_receipts: false,
        parts: [range.start..middle, middle..range.end].map(|range| part(sink, range, fate)).into(),
    }
}

fn unit(sink: &Opened, range: Range<u64>) -> Unit {
    unit_of(sink, range, "one", &[])
}

fn part(sink: &Opened, range: Range<u64>, fate: impl Fn(u64) -> Fate) -> UnitPart {
    let mut origins = Vec::new();
    let mut dead_letters = Vec::new();
    let mut dropped = 0;
    for (index, record) in (0..).zip(range.clone()) {
        match fate(record) {
            Fate::Row => origins.push(index),
            Fate::Dropped => dropped += 1,
            Fate::Dead(reason) => dead_letters.push(DeadLetter {
                record: index,
                step: Some("cleaner".into()),
                reason: reason.to_owned(),
                detail: Some(format!("record {record}")),
            }),
        }
    }
    let ids: Vec<i64> =
        origins.iter().map(|index| range.start.cast_signed() + i64::from(*index)).collect();
    let rows = sink.writer.encode(batch(&ids));
    UnitPart { raw: Arc::new(raw(range)), rows, origins, deletes: None, dropped, dead_letters }
}

fn batch(ids: &[i64]) -> Batch {
    let words = ids.iter().map(|id| format!("word {id}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(StringArray::from_iter_values(words)),
    ];
    Batch::new(ids.len(), fields(), columns)
}

/// Records with all that a record can have, and bytes that are no text.
fn raw(range: Range<u64>) -> RawBatch {
    let mut bytes = BytesMut::new();
    let mut add = |piece: &[u8]| {
        let from = bytes.len();
        bytes.extend_from_slice(piece);
        Some(Span::new(from..bytes.len()))
    };
    let mut headers = Vec::new();
    let mut records = Vec::new();
    for record in range.clone() {
        let first = headers.len();
        headers.push(RawHeader { name: "trace".into(), value: add(b"7\x009") });
        headers.push(RawHeader { name: "none".into(), value: None });
        records.push(RawRecord {
            position: at(record),
            value: add(&[format!("value {record} ").as_bytes(), b"\x00\xff"].concat()),
            key: add(b"k\xfe"),
            timestamp_micros: Some(record.cast_signed() * 1_000_000),
            headers: Span::new(first..headers.len()),
            fault: None,
        });
    }
    RawBatch {
        bytes: Bytes::from(bytes),
        records,
        headers,
        columns: None,
        topic: Some("posts".into()),
        partition: Some(3),
        from: at(range.start),
        to: at(range.end),
        past: None,
    }
}

async fn claim(sink: &Opened) -> Claim {
    sink.claims.claim(&lane(), at(0)).await.unwrap()
}

async fn position(sink: &Opened) -> Position {
    let lanes = sink.claims.lanes().await.unwrap();
    let states: Vec<_> = lanes.iter().filter(|state| state.lane == lane()).collect();
    assert_eq!(states.len(), 1, "a lane is listed once: {lanes:?}");
    states[0].position
}

fn done(rows: u64) -> CommitOutcome {
    CommitOutcome::Done(Stored { rows, ..Stored::default() })
}
