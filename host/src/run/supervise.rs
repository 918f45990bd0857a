//! A pipeline from start to end: connects its source with its sink, and keeps its lanes going.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::budget::Budget;
use super::conduct::Trouble;
use super::lane::{self, Halt, LaneEnd, Shared};
use super::live::{GenerationEvent, Generations, Live};
use super::patience::Patience;
use super::pool::Pool;
use crate::connect::{Sink, SinkContext, Writer};
use crate::ledger::{FirstRun, Ledger};
use crate::observe::{LaneHealth, Phase, Stats};
use crate::pipeline::Pipeline;
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, ErrorClass, Field, Lane, Position};
use crate::source::{Known, LaneChange, Most, Source};

/// A batch is large enough that a call into a plugin costs nothing, and small enough for the caches.
pub const BATCH: Most = Most { records: 1024, bytes: 1 << 20 };

/// Batches whose values may stand as examples in the summary.
const EXAMPLE_BATCHES: u32 = 8;

/// A lane that moved under another owner within this time is left to it.
const STANDBY: Duration = Duration::from_secs(60);

/// A pipeline that is to run.
#[derive(Debug, Clone)]
pub struct PipelineRun {
    pub pipeline: Arc<Pipeline>,
    pub stats: Arc<Stats>,
    pub pool: Pool,
    /// What is read, if it is not what the pipeline names.
    pub source: Option<Arc<dyn Source>>,
    /// Rows that the same records gave before make way.
    pub replaces: bool,
    /// The run ends when there is nothing new to read.
    pub until_end: bool,
    /// Stop reading, commit what was read, end.
    pub drain: CancellationToken,
}

/// Why a pipeline ended before its lanes did.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Nothing was ever committed.
    #[error("{cause}")]
    NotStarted {
        #[source]
        cause: Halt,
    },
    /// With an end in sight, waiting for somebody to mend it has one too.
    #[error("lane {lane} is halted: {cause}")]
    Halted {
        lane: Lane,
        #[source]
        cause: Halt,
    },
    #[error("{cause}")]
    Fatal {
        #[source]
        cause: Halt,
    },
}

impl PipelineError {
    pub fn into_cause(self) -> Halt {
        match self {
            Self::NotStarted { cause } | Self::Halted { cause, .. } | Self::Fatal { cause } => {
                cause
            }
        }
    }

    /// What lifts it, for this pipeline.
    pub fn help(&self, pipeline: &PipelineArgs) -> Option<String> {
        match self {
            Self::Halted { lane, cause } => cause.help(pipeline, lane),
            Self::NotStarted { cause } | Self::Fatal { cause } => cause.help_of_connector(),
        }
    }

    pub fn cause(&self) -> &Halt {
        match self {
            Self::NotStarted { cause } | Self::Halted { cause, .. } | Self::Fatal { cause } => {
                cause
            }
        }
    }
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

    /// Opens the source and the sink; none if it is drained meanwhile.
    pub async fn connect(self) -> Result<Option<Connected>, PipelineError> {
        let drain = self.drain.clone();
        drain.run_until_cancelled(self.connected()).await.transpose()
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
        let writer = writer.map_err(|error| PipelineError::NotStarted { cause: Halt::Sink(error) });
        let ends = (Arc::clone(&sink), writer?);
        let live = Live::new(&self.pipeline, generation, ends, EXAMPLE_BATCHES);
        let (generations, _events) = Generations::new(Arc::new(live));
        let ends = (source, sink.ledger().clone(), BTreeMap::new());
        self.keep_lanes(ends, generations, Instant::now(), Some(Duration::ZERO)).await
    }

    async fn connected(self) -> Result<Connected, PipelineError> {
        let began = Instant::now();
        let pipeline = &self.pipeline;
        let options = pipeline.source_options(self.until_end);
        let open = || pipeline.source.open(&options);
        let source = match &self.source {
            Some(source) => Arc::clone(source),
            None => self.patiently(began, Halt::Source, open).await?,
        };
        let identity = self.patiently(began, Halt::Source, || source.identity()).await?;
        let context = SinkContext {
            pipeline: Arc::clone(&pipeline.name),
            source: Some(identity),
            has_rule: pipeline.rule.is_some(),
            keep_dead_letters: pipeline.dead_letters.keep.map(|keep| keep.0),
            replaces: self.replaces,
            replay_into: pipeline.replay_into(),
        };
        let sink =
            self.patiently(began, Halt::Sink, || pipeline.sink.open(context.clone())).await?;
        self.patiently(began, Halt::Sink, || sink.prepare()).await?;
        let writer = || sink.writer(columns(pipeline), false);
        let writer = self.patiently(began, Halt::Sink, writer).await?;
        let Ledger { claims, archive, .. } = sink.ledger();
        let known = self.patiently(began, Halt::Sink, || claims.lanes()).await?;
        let lanes: BTreeMap<_, _> =
            known.into_iter().map(|state| (state.lane, state.position)).collect();
        let first = self.patiently(began, Halt::Sink, || claims.first_run(None)).await?;
        let known = Known { has_run: first.is_some() || !lanes.is_empty(), lanes };
        let outset = self.patiently(began, Halt::Source, || source.resume(&known)).await?;
        let first = match first {
            None if !known.has_run => {
                let decided = || Some(FirstRun { starts: outset.starts.clone() });
                let stored = || claims.first_run(decided());
                self.patiently(began, Halt::Sink, stored).await?
            }
            first => first,
        };
        let starts = first.unwrap_or_default().starts;
        let generation = &pipeline.generation();
        self.patiently(began, Halt::Sink, || archive.keep(generation)).await?;
        let maker = LiveMaker { sink: Arc::clone(&sink) };
        Ok(Connected { run: self, source, sink, writer, maker, starts, began })
    }

    async fn keep_lanes(
        self,
        (source, ledger, starts): (Arc<dyn Source>, Ledger, BTreeMap<Lane, Position>),
        generations: Arc<Generations>,
        began: Instant,
        halt_time: Option<Duration>,
    ) -> Result<(), PipelineError> {
        let Self { pipeline, stats, pool, source: _, replaces: _, until_end: _, drain } = self;
        let shared = Shared {
            source,
            ledger,
            starts,
            generations,
            pool,
            budget: Budget::new(pipeline.limits.memory.0),
            stats,
            batch: BATCH,
            unit: (&pipeline.unit).into(),
            dead_ratio_max: pipeline.dead_letters.max_ratio,
        };
        shared.stats.phase(Phase::Running);
        let (args, start_time) = (pipeline.args(), pipeline.limits.start_time.0);
        let shared = Arc::new(shared);
        Arc::new(Keeper { shared, args, began, start_time, halt_time, drain }).keep_lanes().await
    }

    /// Tries what reaches outside until the time to start is over.
    async fn patiently<T, F: Future<Output = Result<T, ConnectorError>>>(
        &self,
        began: Instant,
        halt: fn(ConnectorError) -> Halt,
        attempt: impl Fn() -> F,
    ) -> Result<T, PipelineError> {
        let mut patience = Patience::new(Duration::from_secs(5));
        let mut told = false;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_over = began.elapsed() >= self.pipeline.limits.start_time.0;
            match error.class {
                ErrorClass::Fatal => return Err(PipelineError::Fatal { cause: halt(error) }),
                _ if is_over => return Err(PipelineError::NotStarted { cause: halt(error) }),
                _ if !told => {
                    tracing::warn!(pipeline = %self.pipeline.name, "not started yet, trying again: {error}");
                    told = true;
                }
                _ => {}
            }
            patience.wait().await;
        }
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
    source: Arc<dyn Source>,
    pub sink: Arc<dyn Sink>,
    writer: Arc<dyn Writer>,
    pub maker: LiveMaker,
    starts: BTreeMap<Lane, Position>,
    began: Instant,
}

/// A pipeline that runs.
#[derive(Debug)]
pub struct Running<F> {
    pub generations: Arc<Generations>,
    pub events: mpsc::UnboundedReceiver<GenerationEvent>,
    /// Ends when its lanes have ended, when it is drained, or with an error that stops it.
    pub lanes: F,
}

impl Connected {
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
        let Self { run, source, sink, began, starts, writer: _, maker: _ } = self;
        let (generations, events) = Generations::new(first);
        let halt_time = run.until_end.then_some(run.pipeline.limits.halt_time.0);
        let lanes = run.keep_lanes(
            (source, sink.ledger().clone(), starts),
            Arc::clone(&generations),
            began,
            halt_time,
        );
        Running { generations, events, lanes }
    }
}

/// Makes generations ready for work beside one that is at work.
#[derive(Debug, Clone)]
pub struct LiveMaker {
    sink: Arc<dyn Sink>,
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

    /// Has the place made where rows of a generation go.
    pub async fn make_place(&self, live: &mut Live) -> Result<(), ConnectorError> {
        live.writer = self.sink.writer(live.columns().cloned(), false).await?;
        Ok(())
    }
}

fn columns(pipeline: &Pipeline) -> Option<Arc<[Field]>> {
    pipeline.rule.as_ref().map(|rule| Arc::clone(rule.columns()))
}

/// A lane that holds its position.
#[derive(Debug)]
struct Halted {
    reason: String,
    since: Instant,
}

/// Keeps the lanes of a running pipeline going.
#[derive(Debug)]
struct Keeper {
    shared: Arc<Shared>,
    args: PipelineArgs,
    began: Instant,
    start_time: Duration,
    /// How long a lane may be halted; for ever, if none.
    halt_time: Option<Duration>,
    drain: CancellationToken,
}

impl Keeper {
    async fn keep_lanes(self: Arc<Self>) -> Result<(), PipelineError> {
        let mut lanes = JoinSet::new();
        let mut tasks = HashMap::new();
        let mut may_change = true;
        loop {
            tokio::select! {
                change = self.shared.source.next_change(), if may_change && !self.drain.is_cancelled() => match change {
                    Ok(Some(LaneChange::Assigned { lane, after: _ })) => {
                        let keeper = Arc::clone(&self);
                        let task = lanes.spawn({
                            let lane = lane.clone();
                            async move { keeper.keep(&lane).await }
                        });
                        tasks.insert(lane, task);
                    }
                    Ok(Some(LaneChange::Revoked(lane))) => {
                        if let Some(task) = tasks.remove(&lane) {
                            task.abort();
                        }
                        self.shared.stats.gone(&lane);
                    }
                    Ok(None) => may_change = false,
                    Err(error) => return Err(PipelineError::NotStarted { cause: Halt::Source(error) }),
                },
                ended = lanes.join_next_with_id(), if !lanes.is_empty() => match ended {
                    Some(Ok((id, end))) => {
                        tasks.retain(|_, task: &mut AbortHandle| task.id() != id);
                        end?;
                    }
                    // It was revoked.
                    Some(Err(error)) if error.is_cancelled() => {}
                    Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                    None => {}
                },
                () = self.drain.cancelled(), if may_change => may_change = false,
                else => return Ok(()),
            }
        }
    }

    /// Keeps one lane going until it has ended.
    async fn keep(&self, lane: &Lane) -> Result<(), PipelineError> {
        let mut patience = Patience::new(Duration::from_secs(30));
        let mut halted: Option<Halted> = None;
        let mut breaker = Breaker::new(self.shared.dead_ratio_max);
        let stats = &self.shared.stats;
        stats.health(lane, LaneHealth::Starting);
        let mut changes = self.shared.generations.follow();
        loop {
            changes.mark_unchanged();
            let before = stats.position(lane);
            let is_probe = halted.is_some();
            let end = lane::run(&self.shared, lane, is_probe, &mut breaker, &self.drain).await;
            // Something of it was committed, or somebody moved it.
            if stats.position(lane) != before {
                halted = None;
                patience = Patience::new(Duration::from_secs(30));
            }
            match end {
                LaneEnd::Ended => {
                    stats.health(lane, LaneHealth::Ended);
                    return Ok(());
                }
                LaneEnd::Drained => return Ok(()),
                LaneEnd::Fenced if self.shared.source.has_group() => {
                    tracing::debug!(lane = %lane, "another process claimed the lane, which is ours; claiming it again");
                    if self.drain.run_until_cancelled(patience.wait()).await.is_none() {
                        return Ok(());
                    }
                }
                LaneEnd::Fenced => {
                    if self.stand_by(lane).await.is_none() {
                        return Ok(());
                    }
                }
                LaneEnd::Halted(cause) => {
                    if !self.gives_way(lane, &cause) {
                        halted = Some(self.halted(lane, cause, halted)?);
                    }
                    let wait = async {
                        tokio::select! {
                            () = patience.wait() => false,
                            // A new generation may do what the one before could not.
                            changed = changes.changed() => changed.is_ok(),
                        }
                    };
                    match self.drain.run_until_cancelled(wait).await {
                        None => return Ok(()),
                        Some(false) => {}
                        Some(true) => {
                            halted = None;
                            breaker = Breaker::new(self.shared.dead_ratio_max);
                            patience = Patience::new(Duration::from_secs(30));
                        }
                    }
                }
            }
        }
    }

    /// Whether it was a generation on probation that halted the lane: the one before takes over again.
    fn gives_way(&self, lane: &Lane, cause: &Halt) -> bool {
        let Halt::TooManyRefused { generation, .. } = cause else { return false };
        let live = self.shared.generations.current();
        let at = self.shared.stats.position(lane).map(|position| (lane, position));
        live.generation == *generation
            && self.shared.generations.roll_back(&live, Trouble::Halted(cause.to_string()), at)
    }

    /// Says so, once for each reason, if the lane is to be tried again.
    fn halted(
        &self,
        lane: &Lane,
        cause: Halt,
        before: Option<Halted>,
    ) -> Result<Halted, PipelineError> {
        let class = cause.class();
        if class == ErrorClass::Fatal {
            return Err(PipelineError::Fatal { cause });
        }
        let stats = &self.shared.stats;
        let is_outside = matches!(cause, Halt::Source(_) | Halt::Sink(_));
        if is_outside && !stats.has_committed() && self.began.elapsed() >= self.start_time {
            return Err(PipelineError::NotStarted { cause });
        }
        let since = before.as_ref().map_or_else(Instant::now, |before| before.since);
        if self.halt_time.is_some_and(|time| since.elapsed() >= time) {
            return Err(PipelineError::Halted { lane: lane.clone(), cause });
        }
        let help = cause.help(&self.args, lane);
        let reason = cause.to_string();
        if before.is_none_or(|before| before.reason != reason) {
            let shown = help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
            tracing::error!(lane = %lane, "the lane is halted: {reason}{shown}");
        }
        stats.health(lane, LaneHealth::Halted { reason: reason.clone(), help, since });
        Ok(Halted { reason, since })
    }

    /// Waits until the lane's new owner is gone; none if the pipeline is to end before.
    async fn stand_by(&self, lane: &Lane) -> Option<()> {
        let mut patience = Patience::new(Duration::from_secs(5));
        tracing::warn!(lane = %lane, "another process has the lane; standing by");
        self.shared.stats.health(lane, LaneHealth::Standby);
        loop {
            self.drain.run_until_cancelled(patience.wait()).await?;
            let Ok(lanes) = self.shared.ledger.claims.lanes().await else { continue };
            let state = lanes.iter().find(|state| state.lane == *lane);
            let moved = state.map(|state| state.moved.max(state.claimed));
            let is_quiet = moved.is_none_or(|moved| {
                SystemTime::now().duration_since(moved).unwrap_or_default() >= STANDBY
            });
            if is_quiet {
                tracing::info!(lane = %lane, "the other process is quiet; taking the lane over");
                return Some(());
            }
        }
    }
}
