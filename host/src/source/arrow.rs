//! Rows as an Arrow IPC stream on the standard input: columns that come as columns.
//!
//! What was read cannot be read again, not even within the run: who reads it ends with it.

use std::io::{self, BufReader, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Journal, Known, LaneChange, LaneReader, Most, OneLane, Outset, Source};
use crate::decode::{DeclaredField, DecodeLimits, Intake, IntakeFault, Reject};
use crate::record::{
    ConnectorError, ErrorClass, Lane, Position, RawBatch, RawFault, RawRecord, SourceId, memory,
};

#[derive(Debug, thiserror::Error)]
pub enum ArrowSourceError {
    #[error("cannot read the standard input")]
    Read(#[source] io::Error),
    #[error("the standard input is not an Arrow IPC stream")]
    Malformed(#[source] ArrowError),
    #[error("the columns of the stream are not those of the rule")]
    Columns { faults: Vec<IntakeFault>, columns: Vec<String> },
    #[error("lane {lane} cannot be read again")]
    Gone { lane: Lane },
}

impl ArrowSourceError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            // There is no way back in the stream.
            Self::Read(_) | Self::Malformed(_) | Self::Columns { .. } | Self::Gone { .. } => {
                ErrorClass::Fatal
            }
        }
    }
}

impl From<ArrowError> for ArrowSourceError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) if error.kind() != ErrorKind::UnexpectedEof => {
                Self::Read(error)
            }
            other => Self::Malformed(other),
        }
    }
}

impl From<ArrowSourceError> for ConnectorError {
    fn from(error: ArrowSourceError) -> Self {
        Self::new(error.class(), error)
    }
}

#[derive(Debug)]
pub struct ArrowSource {
    lane: OneLane,
    reader: Mutex<Option<ArrowReader>>,
}

impl ArrowSource {
    /// Reads the stream's schema, and waits for it.
    pub async fn open(
        declared: &[DeclaredField],
        limits: DecodeLimits,
    ) -> Result<Self, ArrowSourceError> {
        Self::over(io::stdin(), declared, limits).await
    }

    async fn over(
        input: impl Read + Send + 'static,
        declared: &[DeclaredField],
        limits: DecodeLimits,
    ) -> Result<Self, ArrowSourceError> {
        let (to_schema, schema) = oneshot::channel();
        // One in the making, one waiting, one being cut into batches.
        let (to_batches, batches) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || read(input, to_schema, &to_batches));
        let schema = schema.await.expect("a stream has a schema, or none for a reason")?;
        let intake = Intake::new(declared, &schema, limits)
            .map_err(|faults| ArrowSourceError::Columns { faults, columns: columns(&schema) })?;
        let lane = OneLane::new("stdin");
        let reader = ArrowReader { batches, intake, batch: None, next: 0 };
        Ok(Self { lane, reader: Mutex::new(Some(reader)) })
    }
}

/// Reads a stream to its end, or until nobody wants more of it.
fn read(
    input: impl Read,
    schema: oneshot::Sender<Result<Arc<Schema>, ArrowSourceError>>,
    batches: &mpsc::Sender<Result<RecordBatch, ArrowSourceError>>,
) {
    let stream = match StreamReader::try_new(BufReader::new(input), None) {
        Ok(stream) => stream,
        Err(error) => {
            let _ = schema.send(Err(error.into()));
            return;
        }
    };
    if schema.send(Ok(stream.schema())).is_err() {
        return;
    }
    for batch in stream {
        if batches.blocking_send(batch.map_err(ArrowSourceError::from)).is_err() {
            return;
        }
    }
}

/// `title (Utf8)`
fn columns(schema: &Schema) -> Vec<String> {
    let fields = schema.fields().iter();
    fields.map(|field| format!("{} ({})", field.name(), field.data_type())).collect()
}

#[async_trait]
impl Source for ArrowSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        Ok(SourceId::new("stdin"))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        Ok(self.lane.resume(known))
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        Ok(self.lane.next_change())
    }

    async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
        Ok(Position::number(0))
    }

    async fn open(
        &self,
        lane: &Lane,
        _from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        match self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(reader) => Ok(Box::new(reader)),
            None => Err(ArrowSourceError::Gone { lane: lane.clone() }.into()),
        }
    }
}

#[derive(Debug)]
struct ArrowReader {
    batches: mpsc::Receiver<Result<RecordBatch, ArrowSourceError>>,
    intake: Intake,
    /// A batch of the stream, and its next row.
    batch: Option<(RecordBatch, usize)>,
    /// Rows of the stream so far.
    next: u64,
}

#[async_trait]
impl LaneReader for ArrowReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        loop {
            if let Some((batch, row)) = &mut self.batch
                && *row < batch.num_rows()
            {
                let rows = rows_of(batch, most).min(batch.num_rows() - *row);
                let slice = batch.slice(*row, rows);
                *row += rows;
                return Ok(Some(self.take(&slice)));
            }
            self.batch = None;
            match self.batches.recv().await {
                Some(batch) => self.batch = Some((batch?, 0)),
                None => return Ok(None),
            }
        }
    }
}

/// How many rows of it are about as much as is asked for.
fn rows_of(batch: &RecordBatch, most: Most) -> usize {
    let row_bytes = memory(batch.columns()) / batch.num_rows().max(1);
    (most.bytes / row_bytes.max(1)).clamp(1, most.records)
}

impl ArrowReader {
    fn take(&mut self, rows: &RecordBatch) -> RawBatch {
        let from = self.next;
        let taken = self.intake.take(rows);
        let fault = |reject: Box<Reject>| {
            Box::new(RawFault { reason: reject.reason, detail: reject.detail })
        };
        let record = |(at, reject): (u64, Option<Box<Reject>>)| RawRecord {
            value: None,
            fault: reject.map(fault),
            ..RawRecord::value(Position::number(at), 0..0)
        };
        let records: Vec<_> = (from..).zip(taken.rejects).map(record).collect();
        self.next += records.len() as u64;
        RawBatch {
            columns: Some(taken.batch),
            ..RawBatch::new(
                Bytes::new(),
                records,
                (Position::number(from), Position::number(self.next)),
            )
        }
    }
}
