//! Rows on the standard output: at least once.
//!
//! What was written cannot be taken back, and where lanes stand is only known as long as the process
//! lives.

mod letters;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::{
    Claim, Committed, DeadLetterFilter, Judgement, LaneState, LineageRange, LineageSums, Retry,
    Sink, SinkContext, Stored, StoredDeadLetter,
};
use crate::pipeline::config::StdoutSinkConfig;
use crate::record::{
    Batch, ConnectorError, Digest, ErrorClass, Generation, Lane, Position, Rows, SourceId, Unit,
};

pub use letters::Letters;
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

pub struct StdoutSink {
    source: Option<SourceId>,
    format: StdoutFormat,
    output: Arc<Mutex<Output>>,
    lanes: Mutex<BTreeMap<Lane, LaneMemory>>,
}

struct Output {
    rows: RowWriter,
    letters: Letters,
}

#[derive(Debug)]
struct LaneMemory {
    state: LaneState,
    journal: Vec<Bytes>,
    lineage: Vec<LineageRange>,
}

impl fmt::Debug for StdoutSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutSink").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl StdoutSink {
    pub fn open(_: &StdoutSinkConfig, context: SinkContext) -> Result<Self, StdoutSinkError> {
        Self::of(StdoutFormat::Ndjson, Letters::Told, context)
    }

    pub fn of(
        format: StdoutFormat,
        letters: Letters,
        context: SinkContext,
    ) -> Result<Self, StdoutSinkError> {
        let columns = context.columns.as_deref().unwrap_or_default();
        let rows = RowWriter::open(format, columns, Box::new(io::stdout()))?;
        let output = Arc::new(Mutex::new(Output { rows, letters }));
        Ok(Self { source: context.source, format, output, lanes: Mutex::default() })
    }

    /// What is known of a lane, if the claim of it still holds.
    fn with<T>(&self, claim: &Claim, act: impl FnOnce(&mut LaneMemory) -> T) -> Option<T> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get_mut(&claim.lane).filter(|lane| lane.state.owner == claim.token).map(act)
    }

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
    async fn prepare(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

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

    async fn would_take(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, now) = (Uuid::new_v4(), SystemTime::now());
        let memory = lanes.entry(lane.clone()).or_insert_with(|| LaneMemory {
            state: LaneState {
                lane: lane.clone(),
                source: self.source.clone().unwrap_or_else(|| SourceId::new("")),
                position: start,
                owner: token,
                claimed: now,
                moved: now,
                accepted_rejects: 0,
                halted: None,
            },
            journal: Vec::new(),
            lineage: Vec::new(),
        });
        (memory.state.owner, memory.state.claimed) = (token, now);
        let LaneState { position, accepted_rejects, .. } = memory.state;
        Ok(Claim { lane: lane.clone(), token, position, accepted_rejects })
    }

    fn encode(&self, rows: Batch) -> Rows {
        self.format.encode(&rows)
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<Committed, ConnectorError> {
        if self.with(claim, |lane| lane.state.position == unit.from) != Some(true) {
            return Ok(Committed::Fenced);
        }
        let written = unit.clone();
        self.write(move |output| {
            output.letters.take(&written).map_err(StdoutSinkError::Letters)?;
            written.parts.iter().try_for_each(|part| output.rows.write(part))?;
            Ok(output.rows.flush()?)
        })
        .await?;
        let moved = self.with(claim, |lane| {
            (lane.state.position, lane.state.moved) = (unit.to, SystemTime::now());
            let accepted = &mut lane.state.accepted_rejects;
            *accepted = accepted.saturating_sub(unit.accepted_rejects);
            let sums = LineageSums {
                read: unit.records(),
                stored: unit.rows(),
                superseded: 0,
                dropped: unit.dropped(),
                dead: unit.dead_letters(),
            };
            let Unit { from, to, generation, .. } = *unit;
            match lane.lineage.last_mut() {
                Some(last) if last.generation == Some(generation) && last.to == from => {
                    (last.to, last.sums) = (to, last.sums + sums);
                }
                _ => lane.lineage.push(LineageRange {
                    lane: unit.lane.clone(),
                    from,
                    to,
                    generation: Some(generation),
                    sums,
                }),
            }
        });
        Ok(match moved {
            Some(()) => Committed::Done(Stored { rows: unit.rows(), ..Stored::default() }),
            None => Committed::Fenced,
        })
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
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

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lanes.values().map(|lane| lane.state.clone()).collect())
    }

    async fn writers(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = lanes.get_mut(lane).filter(|lane| lane.state.position == from) else {
            return Ok(false);
        };
        let now = SystemTime::now();
        let state = &mut memory.state;
        (state.position, state.moved, state.claimed, state.owner) = (to, now, now, Uuid::new_v4());
        let sums = LineageSums::default();
        let lane = lane.clone();
        memory.lineage.push(LineageRange { lane, from, to, generation: None, sums });
        Ok(true)
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = lanes.get_mut(lane) else { return Ok(false) };
        lane.state.accepted_rejects += records;
        Ok(true)
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lanes.values().flat_map(|lane| lane.lineage.iter().cloned()).collect())
    }

    async fn dead_letters(
        &self,
        _: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn commit_retry(&self, _: &Retry) -> Result<Committed, ConnectorError> {
        Err(StdoutSinkError::Retry.into())
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(self.write(|output| Ok(output.rows.finish()?)).await?)
    }
}
