//! Sources read lanes. How far a lane has come is kept by the sink, never here.
//!
//! Retries, batching, back-pressure and shutdown belong to the runtime: a source says what it has, and
//! what went wrong.

pub mod arrow;
pub mod frame;
pub mod generate;
pub mod http;
mod inflate;
pub mod kafka;
pub mod kinesis;
pub mod members;
pub mod objects;
mod run_lane;
pub mod stdin;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::connect::SourceKind;
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, Lane, Position, RawBatch, Receipts, SourceId, Start};

/// The kinds of sources that there are: a new one is a folder, its `mod` and its line here.
pub static SOURCES: &[&dyn SourceKind] = &[
    &generate::Generate,
    &http::Http,
    &kafka::Kafka,
    &kinesis::Kinesis,
    &objects::Objects,
    &stdin::Stdin,
];

/// How one is written, for those who have left it out.
pub const SOURCE_EXAMPLE: &str = "source: { objects: { url: ./posts/ } }";

/// What a run asks of its sources.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Who asks.
    pub pipeline: Arc<str>,
    /// The same, as commands name it.
    pub args: PipelineArgs,
    /// Lanes end where there is nothing new to read, also where more may come.
    pub until_end: bool,
    /// `limits.record`: what is larger is not kept whole.
    pub record_bytes_max: usize,
    /// What may wait inside of a source that reads ahead, in all of its lanes together.
    pub prefetch_bytes: u64,
}

#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// What positions of this source belong to. Asked once, before anything else.
    async fn identity(&self) -> Result<SourceId, ConnectorError>;

    /// A run begins. Told before the first change is asked for, and again when another run begins with the
    /// same source: all lanes that are ours are changes then once more.
    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError>;

    /// The next lane that became ours or stopped being ours; `None` when there will be no other. May be
    /// dropped while it waits, and called again: nothing is left out.
    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError>;

    /// Where a lane starts that was not there when the pipeline first ran, or that starts at its beginning.
    async fn start(&self, lane: &Lane) -> Result<Position, ConnectorError>;

    /// Between which positions a lane can be read now.
    async fn bounds(&self, lane: &Lane) -> Result<Bounds, ConnectorError> {
        let _ = lane;
        Ok(Bounds::default())
    }

    /// The first record of a lane that arrived at this time or later; `None` if the source cannot tell.
    async fn at_time(
        &self,
        lane: &Lane,
        time: Timestamp,
    ) -> Result<Option<Position>, ConnectorError> {
        let _ = (lane, time);
        Ok(None)
    }

    /// Reads a lane from a position on. It may be opened again after its reader is dropped. A lane that was
    /// taken away is no error: this waits then, as does its reader, for whoever hears of the change to drop
    /// it.
    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError>;

    /// A promise: everything of the lane before `to` is committed. Called after each commit, in order. An
    /// acknowledgement to somebody outside may rest on it. Without receipts if the source does not ask for
    /// them ([`SourceFacts::is_awaited`](crate::connect::SourceFacts::is_awaited)), or if only the position
    /// tells that the unit was committed.
    fn committed(&self, lane: &Lane, to: Position, receipts: Option<&Receipts>) {
        let _ = (lane, to, receipts);
    }

    /// Asked last, when everything that was to be committed is, and nothing is read any more. Whoever still
    /// waits for an answer is given one.
    async fn close(&self) {}
}

/// What the ledger knows of a pipeline's lanes when a run begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Where each lane stands.
    pub lanes: BTreeMap<Lane, Position>,
    /// Whether it is decided where the lanes start that were there when the pipeline first ran.
    pub has_run: bool,
}

/// What a source says when a run begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outset {
    /// If the pipeline never ran: all lanes that there are, and where each starts. It is decided once: of two
    /// processes that ask at the same time, what is stored first counts.
    pub starts: BTreeMap<Lane, Position>,
    /// If lanes are to end: all lanes that there are, and where each ends. The run is over when each of them
    /// was read up to there. Where nobody knows the place of an end, `Start(Latest)` stands for it: then the
    /// lane's reader says when it has come so far.
    pub ends: BTreeMap<Lane, Position>,
}

/// Ends of a lane, as far as its source knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first record that can be read.
    pub earliest: Option<Position>,
    /// Behind the last record that there is.
    pub latest: Option<Position>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneChange {
    /// It is ours. Those of `after` have to end for good before it is read.
    Assigned { lane: Lane, after: Vec<Lane> },
    /// Somebody else may have it from now on. What was read of it is not committed any more.
    Revoked(Lane),
}

impl LaneChange {
    /// A lane that waits for no other.
    pub fn assigned(lane: Lane) -> Self {
        Self::Assigned { lane, after: Vec::new() }
    }
}

/// The lane of a source that has one.
#[derive(Debug)]
struct OneLane {
    lane: Lane,
    is_told: AtomicBool,
}

impl OneLane {
    fn new(name: impl Into<Arc<str>>) -> Self {
        Self { lane: Lane::new(name), is_told: AtomicBool::new(false) }
    }

    /// A run begins: the lane is told again.
    fn resume(&self, known: &Known) -> Outset {
        self.is_told.store(false, Ordering::Relaxed);
        Outset::of_one(&self.lane, known)
    }

    fn next_change(&self) -> Option<LaneChange> {
        let was_told = self.is_told.swap(true, Ordering::Relaxed);
        (!was_told).then(|| LaneChange::assigned(self.lane.clone()))
    }
}

impl Outset {
    /// Of a source with one lane, which starts at its beginning.
    fn of_one(lane: &Lane, known: &Known) -> Self {
        let mut outset = Self::default();
        if !known.has_run {
            outset.starts.insert(lane.clone(), Position::Start(Start::Earliest));
        }
        outset
    }
}

#[async_trait]
pub trait LaneReader: Debug + Send {
    /// The next records in order, as soon as there is at least one; `None` when the lane has ended. May be
    /// dropped while it waits, and called again: nothing is skipped.
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError>;

    /// How many records are there behind those that were read, if that is known without asking.
    fn ahead(&self) -> Option<u64> {
        None
    }
}

/// How much one batch may hold. A single record may be larger than `bytes`.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    pub records: usize,
    pub bytes: usize,
}

/// What a lane's owner writes down beside its position, in the sink: the plans of a source whose records
/// have no order of their own. Append only.
#[async_trait]
pub trait Journal: Debug + Send + Sync {
    /// All entries, the oldest first.
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError>;

    /// Appends the entry with this number, which is the number of entries before it. Fails if the lane is
    /// no longer ours.
    async fn append(&self, number: u64, entry: Bytes) -> Result<(), ConnectorError>;
}
