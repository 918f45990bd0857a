//! A pipeline from start to end: connects its source with its sink, and keeps its lanes going.

mod connect;
mod error;
mod machine;
mod shell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::halt::Halt;
use super::live::{GenerationEvent, Generations, Live};
use super::news::Listener;
use super::pool::Pool;
use crate::connect::{Sink, Writer};
use crate::pipeline::Pipeline;
use crate::record::{ConnectorError, Field, Lane, Position, SourceId};
use crate::source::{Most, Source};

use self::connect::Ends;
pub use self::error::PipelineError;
#[cfg(test)]
pub(crate) use self::machine::{Supervisor, SupervisorAction, SupervisorEvent, SupervisorSettings};

/// A batch is large enough that a call into a plugin costs nothing, and small enough for the caches.
pub const BATCH: Most = Most { records: 1024, bytes: 1 << 20 };

/// Batches whose values may stand as examples in the summary.
const EXAMPLE_BATCHES: u32 = 8;

/// A pipeline that is to run.
#[derive(Debug, Clone)]
pub struct PipelineRun {
    pub pipeline: Arc<Pipeline>,
    pub listener: Arc<dyn Listener>,
    pub pool: Pool,
    /// What is read, if it is not what the pipeline names.
    pub source: Option<Arc<dyn Source>>,
    /// Rows that the same records gave before make way.
    pub replaces: bool,
    /// The run ends when there is nothing new to read.
    pub until_end: bool,
    /// It is known to have committed before. Else its ledger is asked.
    pub has_committed: bool,
    /// Stop reading, commit what was read, end.
    pub drain: CancellationToken,
}

impl PipelineRun {
    /// Ends when its lanes have ended, when it is drained, or with an error that stops it. What is written
    /// is not looked at again.
    pub async fn run(self) -> Result<(), PipelineError> {
        let Some(connected) = self.connect().await? else { return Ok(()) };
        let sink = Arc::clone(&connected.sink);
        let live = Arc::new(connected.live());
        let ended = connected.begin(live).lanes.await;
        closed(&*sink).await;
        ended
    }

    /// Runs between a source and a sink that are open. What halts a lane ends the run: nobody is there to
    /// mend it.
    pub async fn run_between(
        self,
        source: Arc<dyn Source>,
        sink: Arc<dyn Sink>,
    ) -> Result<(), PipelineError> {
        let generation = self.pipeline.generation().digest;
        let writer = sink.writer(columns(&self.pipeline), false).await;
        let writer = writer.map_err(|error| {
            let cause = Arc::new(Halt::Sink(error));
            PipelineError::NotStarted { cause }
        })?;
        let ledger = sink.ledger().clone();
        let live = Live::new(&self.pipeline, generation, (sink, writer), EXAMPLE_BATCHES);
        let (generations, _events) = Generations::new(Arc::new(live));
        let (starts, of_lanes) = (BTreeMap::new(), BTreeMap::new());
        let ends = Ends { source, ledger, starts, has_committed: true, of_lanes };
        shell::keep_lanes(self, ends, generations, Some(Duration::ZERO), Arc::default()).await
    }
}

/// Everything that counts is committed. What is left to do is to leave no work to whoever opens it next.
pub async fn closed(sink: &dyn Sink) {
    if let Err(error) = sink.close().await {
        tracing::debug!("the sink is not closed: {error}");
    }
}

/// A pipeline whose source and sink are open.
#[derive(Debug)]
pub struct Connected {
    run: PipelineRun,
    pub source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    writer: Arc<dyn Writer>,
    pub maker: LiveMaker,
    has_committed: bool,
    starts: BTreeMap<Lane, Position>,
    /// Where lanes end by now, if the run has an end.
    ends: BTreeMap<Lane, Position>,
}

/// A pipeline that runs.
#[derive(Debug)]
pub struct Running<F> {
    pub generations: Arc<Generations>,
    pub events: mpsc::UnboundedReceiver<GenerationEvent>,
    /// How far it has come.
    pub course: Arc<Course>,
    /// Ends when its lanes have ended, when it is drained, or with an error that stops it.
    pub lanes: F,
}

/// How far a pipeline has come, for whoever has to know whether there is a way back.
#[derive(Debug, Default)]
pub struct Course {
    has_claimed: AtomicBool,
    has_committed: AtomicBool,
}

impl Course {
    /// A lane was claimed: source and sink fit each other.
    pub fn has_claimed(&self) -> bool {
        self.has_claimed.load(Ordering::Acquire)
    }

    /// Something was committed, now or before.
    pub fn has_committed(&self) -> bool {
        self.has_committed.load(Ordering::Acquire)
    }
}

impl Connected {
    /// How long what it is connected with may fail before its lanes begin.
    pub fn patience(&self) -> Duration {
        let limits = &self.run.pipeline.limits;
        match (self.has_committed, self.run.until_end) {
            (false, _) => limits.start_time.0,
            (true, true) => limits.halt_time.0,
            (true, false) => Duration::MAX,
        }
    }

    /// The generation that is written, at work.
    pub fn live(&self) -> Live {
        let pipeline = &self.run.pipeline;
        let generation = pipeline.generation().digest;
        let ends = (Arc::clone(&self.sink), Arc::clone(&self.writer));
        Live::new(pipeline, generation, ends, EXAMPLE_BATCHES)
    }

    /// Begins with a generation, which need not be the one that is written.
    pub fn begin(
        self,
        first: Arc<Live>,
    ) -> Running<impl Future<Output = Result<(), PipelineError>> + Send> {
        let Self { run, source, sink, writer: _, maker: _, has_committed, starts, ends } = self;
        let (generations, events) = Generations::new(first);
        let halt_time = run.until_end.then_some(run.pipeline.limits.halt_time.0);
        let ledger = sink.ledger().clone();
        let ends = Ends { source, ledger, starts, has_committed, of_lanes: ends };
        let course = Arc::new(Course {
            has_claimed: AtomicBool::new(false),
            has_committed: AtomicBool::new(has_committed),
        });
        let of_it = (Arc::clone(&generations), Arc::clone(&course));
        let lanes = shell::keep_lanes(run, ends, of_it.0, halt_time, of_it.1);
        Running { generations, events, course, lanes }
    }
}

/// Makes generations ready for work beside one that is at work.
#[derive(Debug, Clone)]
pub struct LiveMaker {
    sink: Arc<dyn Sink>,
    source: SourceId,
}

impl LiveMaker {
    /// With the writer of the one that is at work, if its rows have the same columns. Otherwise with one that
    /// has looked whether rows would find their place, and has made nothing yet.
    pub async fn live(&self, pipeline: &Pipeline, beside: &Live) -> Result<Live, ConnectorError> {
        let columns = columns(pipeline);
        let writer = if columns.as_ref() == beside.columns() {
            Arc::clone(&beside.writer)
        } else {
            self.sink.writer(columns, true).await?
        };
        let ends = (Arc::clone(&self.sink), writer);
        Ok(Live::new(pipeline, pipeline.generation().digest, ends, 0))
    }

    /// Whether another source or sink could take the place of those at work: each answers, rows would find
    /// their place, and the lanes that the ledger knows are theirs. Nothing is claimed. What is the same is
    /// not asked: it may be out of reach for now, and is waited for as before. Nor is a source to which records
    /// are brought, as there is one place only where it can wait for them.
    pub async fn could_begin(&self, next: &Pipeline, running: &Pipeline) -> Result<(), Halt> {
        let source = if next.source == running.source || next.source.facts().is_awaited {
            self.source.clone()
        } else {
            let source = next.source.open(&next.source_options(false)).await;
            source.map_err(Halt::Source)?.identity().await.map_err(Halt::Source)?
        };
        if next.source == running.source && next.sink == running.sink {
            return Ok(());
        }
        let opened = next.sink.open(connect::context(next, Some(source), false)).await;
        let sink = opened.map_err(Halt::Sink)?;
        sink.prepare().await.map_err(Halt::Sink)?;
        sink.writer(columns(next), true).await.map_err(Halt::Sink)?;
        sink.ledger().claims.meet().await.map_err(Halt::Sink)?;
        closed(&*sink).await;
        Ok(())
    }

    /// Has the place made where rows of a generation go.
    pub async fn make_place(&self, live: &mut Live) -> Result<(), ConnectorError> {
        live.writer = self.sink.writer(live.columns().cloned(), false).await?;
        Ok(())
    }
}

fn columns(pipeline: &Pipeline) -> Option<Arc<[Field]>> {
    pipeline.rule.as_ref().map(|rule| Arc::clone(rule.columns()))
}
