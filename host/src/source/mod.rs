//! Sources read lanes. How far a lane has come is kept by the sink, never here.
//!
//! Retries, batching, back-pressure and shutdown belong to the runtime: a source says what it has, and
//! what went wrong.

pub mod arrow;
pub mod frame;
pub mod generate;
mod inflate;
pub mod kafka;
pub mod objects;
pub mod stdin;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::generate::GenerateSource;
use self::kafka::KafkaSource;
use self::objects::ObjectsSource;
use self::stdin::StdinSource;
use crate::pipeline::Pipeline;
use crate::pipeline::config::SourceConfig;
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, Lane, Position, RawBatch, SourceId};

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

impl SourceOptions {
    pub fn of(pipeline: &Pipeline, until_end: bool) -> Self {
        /// What is on its way further on has the rest.
        const PREFETCH_SHARE: u64 = 8;
        let limits = &pipeline.limits;
        Self {
            pipeline: Arc::clone(&pipeline.name),
            args: pipeline.args(),
            until_end,
            record_bytes_max: usize::try_from(limits.record.0).unwrap_or(usize::MAX),
            prefetch_bytes: limits.memory.0 / PREFETCH_SHARE,
        }
    }
}

/// Opens the source that a pipeline names.
pub async fn open(
    config: &SourceConfig,
    options: &SourceOptions,
) -> Result<Arc<dyn Source>, ConnectorError> {
    Ok(match config {
        SourceConfig::Generate(config) => Arc::new(GenerateSource::new(config)),
        SourceConfig::Kafka(config) => Arc::new(KafkaSource::open(config, options)?),
        SourceConfig::Stdin(config) => Arc::new(StdinSource::new(config, options.record_bytes_max)),
        SourceConfig::Objects(config) => Arc::new(ObjectsSource::open(config, options).await?),
    })
}

#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// What positions of this source belong to. Asked once, before anything else.
    async fn identity(&self) -> Result<SourceId, ConnectorError>;

    /// The lanes of the pipeline that its sink knows: none, if it runs for the first time. Told once, before
    /// the first change is asked for.
    async fn resume(&self, known: &[Lane]) -> Result<(), ConnectorError> {
        let _ = known;
        Ok(())
    }

    /// The next lane that became ours or stopped being ours; `None` when there will be no other.
    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError>;

    /// Whether somebody outside says whose each lane is, as a consumer group does. A lane that another
    /// process claimed is then claimed again for as long as it is said to be ours.
    fn has_group(&self) -> bool {
        false
    }

    /// Where a lane starts of which the sink knows nothing.
    async fn start(&self, lane: &Lane) -> Result<Position, ConnectorError>;

    /// Between which positions a lane can be read now.
    async fn bounds(&self, lane: &Lane) -> Result<Bounds, ConnectorError> {
        let _ = lane;
        Ok(Bounds::default())
    }

    /// Reads a lane from a position on. It may be opened again after its reader is dropped.
    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError>;

    /// Everything before `to` is in the sink. For lag displays; never read back.
    fn hint(&self, lane: &Lane, to: Position) {
        let _ = (lane, to);
    }
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
    Assigned(Lane),
    Revoked(Lane),
}

#[async_trait]
pub trait LaneReader: Debug + Send {
    /// The next records in order, as soon as there is at least one; `None` when the lane has ended. May be
    /// dropped while it waits, and called again: nothing is skipped.
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError>;
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
