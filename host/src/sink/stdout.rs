//! Rows as NDJSON on the standard output: at least once.
//!
//! What was written cannot be taken back, and where lanes stand is only known as long as the process
//! lives. Dead letters are counted, and the first of each unit told in the log.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::{
    Claim, Committed, DeadLetterFilter, LaneState, LineageRange, LineageSums, Retry, Sink,
    SinkContext, Stored, StoredDeadLetter,
};
use crate::pipeline::config::StdoutSinkConfig;
use crate::record::{
    Batch, ConnectorError, EncodedRows, ErrorClass, Generation, Lane, Position, RowBytes, Rows,
    SourceId, Unit, ndjson,
};

/// Dead letters of a unit that are told one by one.
const TOLD_MAX: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum StdoutSinkError {
    /// It has seen enough, as `head` has. Runs end quietly then.
    #[error("the reader of the standard output is gone")]
    Closed,
    #[error("cannot write to the standard output")]
    Io(#[source] io::Error),
    #[error("the standard output keeps no dead letters to try again")]
    Retry,
}

impl StdoutSinkError {
    pub fn class(&self) -> ErrorClass {
        match self {
            // Some rows may be written and others not: there is no second try.
            Self::Closed | Self::Io(_) | Self::Retry => ErrorClass::Fatal,
        }
    }
}

impl From<StdoutSinkError> for ConnectorError {
    fn from(error: StdoutSinkError) -> Self {
        Self::new(error.class(), error)
    }
}

type Output = Arc<Mutex<Box<dyn Write + Send>>>;

pub struct StdoutSink {
    source: Option<SourceId>,
    output: Output,
    lanes: Mutex<BTreeMap<Lane, LaneMemory>>,
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
    pub fn open(_: &StdoutSinkConfig, context: SinkContext) -> Self {
        Self::onto(Box::new(io::stdout()), context)
    }

    fn onto(output: Box<dyn Write + Send>, context: SinkContext) -> Self {
        let output = Arc::new(Mutex::new(output));
        Self { source: context.source, output, lanes: Mutex::default() }
    }

    /// What is known of a lane, if the claim of it still holds.
    fn with<T>(&self, claim: &Claim, act: impl FnOnce(&mut LaneMemory) -> T) -> Option<T> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get_mut(&claim.lane).filter(|lane| lane.state.owner == claim.token).map(act)
    }

    async fn write(&self, pieces: Vec<Bytes>) -> Result<(), StdoutSinkError> {
        let output = Arc::clone(&self.output);
        // A reader may be slow, and other tasks go on.
        let written = tokio::task::spawn_blocking(move || {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            pieces.iter().try_for_each(|piece| output.write_all(piece))?;
            output.flush()
        });
        written.await.expect("no panic").map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => StdoutSinkError::Closed,
            _ => StdoutSinkError::Io(error),
        })
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
            },
            journal: Vec::new(),
            lineage: Vec::new(),
        });
        (memory.state.owner, memory.state.claimed) = (token, now);
        Ok(Claim { lane: lane.clone(), token, position: memory.state.position })
    }

    fn encode(&self, rows: Batch) -> Rows {
        let bytes = ndjson::encode(&rows).into();
        let rows = rows.rows() as u32;
        Rows::Encoded(vec![EncodedRows { partition: Arc::default(), rows, bytes }])
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<Committed, ConnectorError> {
        if self.with(claim, |lane| lane.state.position == unit.from) != Some(true) {
            return Ok(Committed::Fenced);
        }
        self.write(unit.parts.iter().flat_map(|part| lines(&part.rows, part)).collect()).await?;
        tell_dead_letters(unit);
        let moved = self.with(claim, |lane| {
            (lane.state.position, lane.state.moved) = (unit.to, SystemTime::now());
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
}

/// A part's rows, or the records themselves if there is no rule.
fn lines(rows: &Rows, part: &crate::record::UnitPart) -> Vec<Bytes> {
    match rows {
        Rows::Encoded(encoded) => encoded.iter().map(|rows| rows.bytes.clone()).collect(),
        Rows::Columns(batch) | Rows::Bytes(RowBytes { columns: batch, .. }) => {
            vec![ndjson::encode(batch).into()]
        }
        Rows::Raw => {
            let values = part.origins.iter().map(|origin| part.raw.value(*origin as usize));
            values
                .flat_map(|value| [value.unwrap_or_default(), Bytes::from_static(b"\n")])
                .collect()
        }
    }
}

fn tell_dead_letters(unit: &Unit) {
    let letters = unit.parts.iter().flat_map(|part| {
        part.dead_letters.iter().map(|letter| (&part.raw.records[letter.record as usize], letter))
    });
    for (record, letter) in letters.take(TOLD_MAX) {
        let detail = letter.detail.as_deref().unwrap_or_default();
        tracing::warn!(
            lane = %unit.lane, place = %record.position.place(), detail,
            "dead letter: {}", letter.reason
        );
    }
    let dead = unit.dead_letters();
    if dead > TOLD_MAX as u64 {
        tracing::warn!(lane = %unit.lane, "{} more dead letters in this unit", dead - TOLD_MAX as u64);
    }
}
