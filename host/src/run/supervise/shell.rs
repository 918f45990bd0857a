//! Does what the supervisor decides: starts and drops lanes, asks the source for changes and the ledger for
//! positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::Level;

use super::super::breaker::BreakerLimits;
use super::super::budget::Budget;
use super::super::cut::UnitLimits;
use super::super::lane::{self, LaneEnd, LaneReport, LaneSettings, Shared};
use super::super::live::Generations;
use super::connect::Ends;
use super::machine::{Supervisor, SupervisorAction, SupervisorEvent, SupervisorSettings};
use super::{BATCH, Course, PipelineError, PipelineRun};
use crate::connect::Spread;
use crate::ledger::{Claims, Members};
use crate::pipeline::Pipeline;
use crate::record::{ConnectorError, Lane, Position};
use crate::source::LaneChange;

/// How long a ledger may take to note why lanes are halted, once the run is over.
const NOTE_TIME: Duration = Duration::from_secs(2);

/// A unit for whose records somebody waits is cut so soon, unless the sink takes longer for one.
const AWAITED_UNIT: Duration = Duration::from_millis(20);

/// Keeps the lanes of a pipeline going until it ends.
pub(super) async fn keep_lanes(
    run: PipelineRun,
    ends: Ends,
    generations: Arc<Generations>,
    halt_time: Option<Duration>,
    course: Arc<Course>,
) -> Result<(), PipelineError> {
    let Ends { source, ledger, starts, has_committed, of_lanes } = ends;
    let PipelineRun { pipeline, listener, pool, until_end, drain, .. } = run;
    let facts = pipeline.source.facts();
    let settings = SupervisorSettings {
        start_time: pipeline.limits.start_time.0,
        halt_time,
        is_finite: until_end,
        dead_ratio_max: pipeline.dead_letters.max_ratio,
        has_committed,
    };
    // Whoever sends a record has the answer: strangers must not halt a lane.
    let max_ratio = if facts.is_awaited { 1.0 } else { pipeline.dead_letters.max_ratio };
    let lane_settings = LaneSettings {
        args: pipeline.args(),
        batch: BATCH,
        unit: unit_limits(&pipeline),
        breaker: BreakerLimits::new(max_ratio),
        batches_max: pool.threads() * 2 + 2,
        has_group: facts.spread != Spread::Nobody,
        is_awaited: facts.is_awaited,
    };
    let shared = Shared {
        source,
        ledger,
        starts,
        generations,
        pool,
        budget: Budget::new(pipeline.limits.memory.0),
        listener,
        settings: lane_settings,
        notes: TaskTracker::new(),
    };
    let mut supervisor = Supervisor::new(settings, of_lanes, Rng::new());
    let (reports, mut reported) = mpsc::unbounded_channel();
    let mut hands = Hands {
        shared: Arc::new(shared),
        lanes: JoinSet::new(),
        tasks: BTreeMap::new(),
        change: None,
        look: None,
        reports,
        course,
        drain: drain.clone(),
    };
    let mut actions = supervisor.begin();
    let mut is_drained = false;
    loop {
        for action in actions {
            if let Some(end) = hands.perform(action) {
                hands.warn_of_letters(&end);
                finish_notes(hands.shared.notes.clone()).await;
                if matches!(facts.spread, Spread::ByMembers { .. }) {
                    leave(&*hands.shared.ledger.members).await;
                }
                return end;
            }
        }
        let due = supervisor.due();
        let event = tokio::select! {
            biased;
            () = drain.cancelled(), if !is_drained => {
                is_drained = true;
                hands.change = None;
                SupervisorEvent::Drain
            }
            Some(change) = OptionFuture::from(hands.change.as_mut()) => {
                hands.change = None;
                SupervisorEvent::Change(change)
            }
            // What a lane has reported comes before its end.
            Some((lane, report)) = reported.recv() => {
                hands.note(&report);
                SupervisorEvent::Reported(lane, report)
            }
            Some(ended) = hands.lanes.join_next_with_id() => match ended {
                Ok((id, (lane, end))) => {
                    if hands.tasks.get(&lane).is_none_or(|task| task.id() != id) {
                        actions = Vec::new();
                        continue;
                    }
                    hands.tasks.remove(&lane);
                    SupervisorEvent::Ended(lane, end)
                }
                // It was stopped.
                Err(error) if error.is_cancelled() => {
                    actions = Vec::new();
                    continue;
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
            Some(positions) = OptionFuture::from(hands.look.as_mut()) => {
                hands.look = None;
                SupervisorEvent::Looked(positions)
            }
            () = at(due), if due.is_some() => SupervisorEvent::Tick,
        };
        actions = supervisor.on(Instant::now(), event);
    }
}

/// Somebody who waits for an answer does not wait for a unit to be full.
fn unit_limits(pipeline: &Pipeline) -> UnitLimits {
    let unit = UnitLimits::from(&pipeline.unit);
    if !pipeline.source.facts().is_awaited {
        return unit;
    }
    let soon = AWAITED_UNIT.max(pipeline.sink.facts().unit_floor);
    UnitLimits { time: unit.time.min(soon), ..unit }
}

async fn at(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due.into()).await;
    }
}

type Change = Result<Option<LaneChange>, ConnectorError>;
type Positions = Result<BTreeMap<Lane, Position>, ConnectorError>;

/// A note is for people only: a ledger that does not answer holds up no end.
async fn finish_notes(notes: TaskTracker) {
    notes.close();
    let _ = timeout(NOTE_TIME, notes.wait()).await;
}

/// The others take the lanes over at once, rather than when they miss a beat.
async fn leave(members: &dyn Members) {
    match timeout(NOTE_TIME, members.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!("the others are not told that this process ends: {error}");
        }
        Err(_) => tracing::debug!("the others are not told that this process ends in time"),
    }
}

struct Hands {
    shared: Arc<Shared>,
    lanes: JoinSet<(Lane, LaneEnd)>,
    tasks: BTreeMap<Lane, AbortHandle>,
    change: Option<BoxFuture<'static, Change>>,
    look: Option<BoxFuture<'static, Positions>>,
    reports: mpsc::UnboundedSender<(Lane, LaneReport)>,
    course: Arc<Course>,
    drain: tokio_util::sync::CancellationToken,
}

impl Hands {
    fn perform(&mut self, action: SupervisorAction) -> Option<Result<(), PipelineError>> {
        match action {
            SupervisorAction::AskForChange => {
                let source = Arc::clone(&self.shared.source);
                self.change = Some(async move { source.next_change().await }.boxed());
            }
            SupervisorAction::Start { lane, until } => {
                let (shared, drain) = (Arc::clone(&self.shared), self.drain.clone());
                let (name, reports) = (lane.clone(), self.reports.clone());
                let task = self.lanes.spawn(async move {
                    let end = lane::run(shared, name.clone(), until, drain, reports).await;
                    (name, end)
                });
                self.tasks.insert(lane, task);
            }
            SupervisorAction::Stop(lane) => {
                if let Some(task) = self.tasks.remove(&lane) {
                    task.abort();
                }
            }
            SupervisorAction::Look => {
                let claims = Arc::clone(&self.shared.ledger.claims);
                self.look = Some(async move { positions(&*claims).await }.boxed());
            }
            SupervisorAction::Say { level: Level::ERROR, text } => tracing::error!("{text}"),
            SupervisorAction::Say { text, .. } => tracing::warn!("{text}"),
            SupervisorAction::Tell(news) => self.shared.listener.hear(news),
            SupervisorAction::End(end) => return Some(end),
        }
        None
    }

    /// What was committed stays, and nothing of it is read again: without this nobody would hear of it any more.
    fn warn_of_letters(&self, end: &Result<(), PipelineError>) {
        let Err(error @ PipelineError::TooManyDead { .. }) = end else { return };
        let (letters, warning) = (Arc::clone(&self.shared.ledger.letters), error.to_string());
        self.shared.notes.spawn(async move {
            if let Err(error) = letters.keep_warning(Some(&warning)).await {
                tracing::warn!("the ledger does not keep that too many records died: {error}");
            }
        });
    }

    fn note(&self, report: &LaneReport) {
        match report {
            LaneReport::Claimed => self.course.has_claimed.store(true, Ordering::Release),
            LaneReport::Committed { .. } => {
                self.course.has_committed.store(true, Ordering::Release);
            }
            LaneReport::Failing { .. } | LaneReport::Well => {}
        }
    }
}

async fn positions(claims: &dyn Claims) -> Positions {
    let lanes = claims.lanes().await?;
    Ok(lanes.into_iter().map(|state| (state.lane, state.position)).collect())
}
