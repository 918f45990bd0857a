//! Rows on the standard output: at least once.
//!
//! What was written cannot be taken back, and where lanes stand is only known as long as the process
//! lives.

mod config;
mod kind;
mod letters;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Stored, Writer};
use crate::ledger::model::{self, LaneModel};
use crate::ledger::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, Ledger, Letters,
    LineageRange, LineageSums, Member, Members, StoredDeadLetter,
};
use crate::record::{
    Batch, ConnectorError, Digest, ErrorClass, Field, Generation, Lane, Position, Rows, SourceId,
    Unit,
};

pub use config::StdoutSinkConfig;
pub use kind::Stdout;
pub use letters::LetterOutput;
use rows::RowWriter;
pub use rows::StdoutFormat;

#[derive(Debug, thiserror::Error)]
pub enum StdoutSinkError {
    /// It has seen enough, as `head` has. Runs end quietly then.
    #[error("the reader of the standard output is gone")]
    Closed,
    #[error("cannot write to the standard output")]
    Io(#[source] io::Error),
    #[error("cannot write the dead letters")]
    Letters(#[source] io::Error),
    #[error("the standard output keeps no dead letters to try again")]
    Retry,
}

impl StdoutSinkError {
    pub fn class(&self) -> ErrorClass {
        match self {
            // Some rows may be written and others not: there is no second try.
            Self::Closed | Self::Io(_) | Self::Letters(_) | Self::Retry => ErrorClass::Fatal,
        }
    }
}

impl From<io::Error> for StdoutSinkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<StdoutSinkError> for ConnectorError {
    fn from(error: StdoutSinkError) -> Self {
        Self::new(error.class(), error)
    }
}

/// Rows of any columns are lines: all writers are this one.
#[derive(Debug)]
pub struct StdoutSink {
    ledger: Ledger,
    writer: Arc<StdoutWriter>,
}

struct StdoutWriter {
    format: StdoutFormat,
    output: Arc<Mutex<Output>>,
    memory: Arc<LedgerInMemory>,
}

/// Known as long as the process lives.
#[derive(Debug)]
struct LedgerInMemory {
    source: Option<SourceId>,
    member: Uuid,
    first_run: Mutex<Option<FirstRun>>,
    lanes: Mutex<BTreeMap<Lane, LaneMemory>>,
}

struct Output {
    rows: RowWriter,
    letters: LetterOutput,
}

#[derive(Debug)]
struct LaneMemory {
    state: LaneModel,
    claimed: SystemTime,
    moved: SystemTime,
    journal: Vec<Bytes>,
    lineage: Vec<LineageRange>,
}

impl LaneMemory {
    fn extend(&mut self, next: LineageRange) {
        let extended = self.lineage.last().and_then(|last| model::extended(last, &next));
        match (self.lineage.last_mut(), extended) {
            (Some(last), Some(extended)) => *last = extended,
            _ => self.lineage.push(next),
        }
    }
}

impl fmt::Debug for StdoutWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutWriter").field("format", &self.format).finish_non_exhaustive()
    }
}

impl StdoutSink {
    /// One to which nothing is written, with its writer: for tests of what happens around a sink.
    #[cfg(test)]
    pub(crate) fn of_tests() -> (Arc<dyn Sink>, Arc<dyn Writer>) {
        use futures_util::FutureExt as _;

        let context = SinkContext {
            pipeline: "a".into(),
            source: None,
            has_rule: false,
            keep_dead_letters: None,
            replaces: false,
            replay_into: None,
        };
        let sink = Self::open(&StdoutSinkConfig::default(), context).expect("it opens nothing");
        let writer = sink.writer(None, false).now_or_never().expect("it asks nobody");
        (Arc::new(sink), writer.expect("it takes all rows"))
    }

    pub fn open(_: &StdoutSinkConfig, context: SinkContext) -> Result<Self, StdoutSinkError> {
        Self::of(StdoutFormat::Ndjson, &[], LetterOutput::Told, context)
    }

    /// Formats with a schema want to know the columns at once.
    pub fn of(
        format: StdoutFormat,
        columns: &[Field],
        letters: LetterOutput,
        context: SinkContext,
    ) -> Result<Self, StdoutSinkError> {
        let rows = RowWriter::open(format, columns, Box::new(io::stdout()))?;
        let output = Arc::new(Mutex::new(Output { rows, letters }));
        let memory = Arc::new(LedgerInMemory {
            source: context.source,
            member: Uuid::new_v4(),
            first_run: Mutex::default(),
            lanes: Mutex::default(),
        });
        let ledger = Ledger::of(&memory);
        Ok(Self { ledger, writer: Arc::new(StdoutWriter { format, output, memory }) })
    }
}

impl LedgerInMemory {
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Lane, LaneMemory>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a lane, if the claim of it still holds.
    fn with<T>(&self, claim: &Claim, act: impl FnOnce(&mut LaneMemory) -> T) -> Option<T> {
        let mut lanes = self.lanes();
        lanes.get_mut(&claim.lane).filter(|lane| lane.state.owner == claim.token).map(act)
    }
}

impl StdoutWriter {
    /// On a thread where it may wait: a reader may be slow, and other tasks go on.
    async fn write(
        &self,
        write: impl FnOnce(&mut Output) -> Result<(), StdoutSinkError> + Send + 'static,
    ) -> Result<(), StdoutSinkError> {
        let output = Arc::clone(&self.output);
        let written = tokio::task::spawn_blocking(move || {
            write(&mut output.lock().unwrap_or_else(PoisonError::into_inner))
        });
        written.await.expect("no panic")
    }
}

#[async_trait]
impl Sink for StdoutSink {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn writer(
        &self,
        _columns: Option<Arc<[Field]>>,
        _dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        Ok(Arc::<StdoutWriter>::clone(&self.writer))
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(self.writer.write(|output| Ok(output.rows.finish()?)).await?)
    }
}

#[async_trait]
impl Writer for StdoutWriter {
    fn encode(&self, rows: Batch) -> Rows {
        self.format.encode(&rows)
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        if self.memory.with(claim, |lane| lane.state.position == unit.from) != Some(true) {
            return Ok(CommitOutcome::Fenced);
        }
        let written = unit.clone();
        self.write(move |output| {
            output.letters.take(&written).map_err(StdoutSinkError::Letters)?;
            written.parts.iter().try_for_each(|part| output.rows.write(part))?;
            Ok(output.rows.flush()?)
        })
        .await?;
        let sums = LineageSums {
            read: unit.records(),
            stored: unit.rows(),
            superseded: 0,
            dropped: unit.dropped(),
            dead: unit.dead_letters(),
        };
        let moved = self.memory.with(claim, |lane| {
            let moves = (unit.from, unit.to);
            let is_moved = lane.state.commit(claim.token, moves, unit.accepted_rejects);
            if is_moved {
                lane.moved = SystemTime::now();
                lane.extend(model::own_range(unit, sums));
            }
            is_moved
        });
        Ok(match moved {
            Some(true) => {
                let receipts = unit.wants_receipts.then(Vec::new);
                CommitOutcome::Done(Stored { rows: unit.rows(), receipts, ..Stored::default() })
            }
            Some(false) | None => CommitOutcome::Fenced,
        })
    }

    async fn commit_retry(&self, _: &Retry) -> Result<CommitOutcome, ConnectorError> {
        Err(StdoutSinkError::Retry.into())
    }
}

#[async_trait]
impl Claims for LedgerInMemory {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        let mut stored = self.first_run.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.is_none() {
            *stored = decided;
        }
        Ok(stored.clone())
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let mut lanes = self.lanes();
        let (token, now) = (Uuid::new_v4(), SystemTime::now());
        let memory = lanes.entry(lane.clone()).or_insert_with(|| LaneMemory {
            state: LaneModel::opened(start, token, None),
            claimed: now,
            moved: now,
            journal: Vec::new(),
            lineage: Vec::new(),
        });
        memory.state.claim(token, Some(self.member));
        memory.claimed = now;
        Ok(memory.state.claimed(lane))
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        let mut lanes = self.lanes();
        let Some(memory) = lanes.get_mut(lane) else { return Ok(false) };
        if !memory.state.move_to((from, to), Uuid::new_v4()) {
            return Ok(false);
        }
        memory.moved = SystemTime::now();
        if let Some(gap) = model::gap(lane, from, to) {
            memory.extend(gap);
        }
        Ok(true)
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(lane) else { return Ok(false) };
        lane.state.accept_rejects(records);
        Ok(true)
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        self.with(claim, |lane| lane.state.note_halt(claim.token, reason));
        Ok(())
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let source = self.source.clone().unwrap_or_else(|| SourceId::new(""));
        let lanes = self.lanes();
        let state = |(lane, memory): (&Lane, &LaneMemory)| LaneState {
            lane: lane.clone(),
            source: source.clone(),
            position: memory.state.position,
            owner: memory.state.owner,
            member: memory.state.member,
            claimed: memory.claimed,
            moved: memory.moved,
            accepted_rejects: memory.state.accepted_rejects,
            halted: memory.state.halted.clone(),
        };
        Ok(lanes.iter().map(state).collect())
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Archive for LedgerInMemory {
    async fn keep(&self, _: &Generation) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn generation(&self, _: Digest) -> Result<Option<Generation>, ConnectorError> {
        Ok(None)
    }

    async fn judge(&self, _: &Judgement) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let lanes = self.lanes();
        Ok(lanes.values().flat_map(|lane| lane.lineage.iter().cloned()).collect())
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let lanes = self.lanes();
        Ok(lanes.get(lane).map_or_else(Vec::new, |lane| lane.journal.clone()))
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let appended = self.with(claim, |lane| {
            let is_next = lane.journal.len() as u64 == number;
            lane.journal.extend(is_next.then_some(entry));
            is_next
        });
        Ok(appended == Some(true))
    }
}

#[async_trait]
impl Letters for LedgerInMemory {
    async fn list(&self, _: &DeadLetterFilter) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn count(&self, _: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        Ok(0)
    }
}

/// There is one process.
#[async_trait]
impl Members for LedgerInMemory {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, _note: &str) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        Ok(vec![Member { id: self.member, age: Duration::ZERO, note: String::new() }])
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
