//! Opens source and sink, and asks the ledger what it knows, before the first lane is claimed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::time::{sleep, timeout};

use super::super::halt::Halt;
use super::super::patience::Patience;
use super::{Connected, LiveMaker, PipelineError, PipelineRun, columns};
use crate::connect::{Sink, SinkContext, Spread};
use crate::ledger::{FirstRun, Ledger, Pace};
use crate::pipeline::Pipeline;
use crate::record::{ConnectorError, ErrorClass, Lane, Position, SourceId};
use crate::source::members::SharedSource;
use crate::source::{Known, Outset, Source};

/// The longest waits between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Members that are dead after less than this would be so all the time.
const SESSION_MIN: Duration = Duration::from_millis(400);

/// How long a ledger may take to tell whether a pipeline that does not start ever worked.
const ASK_TIME: Duration = Duration::from_secs(10);

/// What lanes are kept between.
#[derive(Debug)]
pub(super) struct Ends {
    pub source: Arc<dyn Source>,
    pub ledger: Ledger,
    /// Where lanes start that were there when the pipeline first ran.
    pub starts: BTreeMap<Lane, Position>,
    /// Of the pipeline, now or before.
    pub has_committed: bool,
    /// Where lanes end by now, if the run has an end.
    pub of_lanes: BTreeMap<Lane, Position>,
}

impl PipelineRun {
    /// Opens the source and the sink; none if it is drained meanwhile.
    pub async fn connect(self) -> Result<Option<Connected>, PipelineError> {
        let drain = self.drain.clone();
        drain.run_until_cancelled(self.connected()).await.transpose()
    }

    async fn connected(mut self) -> Result<Connected, PipelineError> {
        let pipeline = &Arc::clone(&self.pipeline);
        let options = pipeline.source_options(self.until_end);
        let source = match &self.source {
            Some(source) => Arc::clone(source),
            None => {
                let open = || pipeline.source.open(&options);
                self.patiently(Halt::Source, open).await?
            }
        };
        let identity = self.patiently(Halt::Source, || source.identity()).await?;
        let context = &context(pipeline, Some(identity.clone()), self.replaces);
        let open = || pipeline.sink.open(context.clone());
        let sink = self.patiently(Halt::Sink, open).await?;
        self.patiently(Halt::Sink, || sink.prepare()).await?;
        let writer = || sink.writer(columns(pipeline), false);
        let writer = self.patiently(Halt::Sink, writer).await?;
        let source = self.shared(source, &*sink);
        let Ledger { claims, archive, .. } = sink.ledger();
        let known = self.patiently(Halt::Sink, || claims.lanes()).await?;
        if !self.has_committed {
            self.has_committed = self.patiently(Halt::Sink, || archive.has_committed()).await?;
        }
        let lanes: BTreeMap<_, _> =
            known.into_iter().map(|state| (state.lane, state.position)).collect();
        let first = self.patiently(Halt::Sink, || claims.first_run(None)).await?;
        let known = Known { has_run: first.is_some() || !lanes.is_empty(), lanes };
        let Outset { starts, ends } =
            self.patiently(Halt::Source, || source.resume(&known)).await?;
        let first = match first {
            None if !known.has_run => {
                let decided = || Some(FirstRun { starts: starts.clone() });
                self.patiently(Halt::Sink, || claims.first_run(decided())).await?
            }
            first => first,
        };
        let starts = first.unwrap_or_default().starts;
        if let Ok(Some(warning)) = sink.ledger().letters.warning().await {
            let args = pipeline.args();
            tracing::warn!(
                pipeline = %pipeline.name,
                "of a run before: {warning}; `pinhost dead-letters {args} list` shows them, and ends this warning"
            );
        }
        let generation = &pipeline.generation();
        self.patiently(Halt::Sink, || archive.keep(generation)).await?;
        let has_committed = self.has_committed;
        let maker = LiveMaker { sink: Arc::clone(&sink), source: identity };
        Ok(Connected { run: self, source, sink, writer, maker, has_committed, starts, ends })
    }

    /// The lanes of a source that nobody outside spreads over processes are shared out by its members, if
    /// they are to be.
    fn shared(&self, source: Arc<dyn Source>, sink: &dyn Sink) -> Arc<dyn Source> {
        let Pipeline { source: written, sink: target, .. } = &*self.pipeline;
        match written.facts().spread {
            Spread::ByMembers { session } if self.source.is_none() => {
                let Ledger { members, claims, .. } = sink.ledger().clone();
                let pace = Pace::new(session.max(SESSION_MIN), target.facts().unit_floor);
                Arc::new(SharedSource::new(source, members, claims, pace, self.until_end))
            }
            _ => source,
        }
    }

    /// Tries what reaches outside for as long as a pipeline may take: one that never worked until the time
    /// to start is over, one with an end in sight until it counts as halted, and any other for ever. The
    /// time counts from the first failure.
    async fn patiently<T, F: Future<Output = Result<T, ConnectorError>>>(
        &mut self,
        halt: fn(ConnectorError) -> Halt,
        attempt: impl Fn() -> F,
    ) -> Result<T, PipelineError> {
        let limits = self.pipeline.limits.clone();
        let mut patience = Patience::new(LONGEST_WAIT, Rng::new());
        let mut failing = None;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if error.class == ErrorClass::Fatal {
                return Err(PipelineError::Fatal { cause: Arc::new(halt(error)) });
            }
            let since = *failing.get_or_insert_with(|| {
                let help = error.help.as_deref();
                tracing::warn!(pipeline = %self.pipeline.name, help, "not started yet, trying again: {error}");
                Instant::now()
            });
            let is_late = since.elapsed() >= limits.start_time.0;
            if is_late && !self.has_committed {
                self.has_committed = self.has_committed_before().await;
            }
            let is_halted = self.until_end && since.elapsed() >= limits.halt_time.0;
            if is_halted || is_late && !self.has_committed {
                return Err(PipelineError::NotStarted { cause: Arc::new(halt(error)) });
            }
            sleep(patience.wait()).await;
        }
    }

    /// Whether a pipeline whose source or sink does not answer ever worked, as far as its ledger tells.
    async fn has_committed_before(&self) -> bool {
        let context = context(&self.pipeline, None, self.replaces);
        let asked = async {
            let sink = self.pipeline.sink.open(context).await?;
            sink.ledger().archive.has_committed().await
        };
        matches!(timeout(ASK_TIME, asked).await, Ok(Ok(true)))
    }
}

/// What a pipeline opens its sink for.
pub(super) fn context(
    pipeline: &Pipeline,
    source: Option<SourceId>,
    replaces: bool,
) -> SinkContext {
    SinkContext {
        pipeline: Arc::clone(&pipeline.name),
        source,
        has_rule: pipeline.rule.is_some(),
        keep_dead_letters: pipeline.dead_letters.keep.map(|keep| keep.0),
        replaces,
        replay_into: pipeline.replay_into(),
    }
}
