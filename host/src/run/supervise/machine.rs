//! The lanes of a pipeline, and when it ends, as a machine: events go in, actions come out. No I/O,
//! and no clock.
//!
//! Three rules decide when to give up: time counts from the first of an unbroken row of failures;
//! whether the pipeline ever worked is asked of the ledger; and an end needs evidence for every
//! lane that the run began with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tracing::Level;

use super::super::halt::Halt;
use super::super::lane::{LaneEnd, LaneReport};
use super::super::news::{News, Phase};
use super::super::patience::Patience;
use super::error::PipelineError;
use crate::record::{ConnectorError, ErrorClass, Lane, Position};
use crate::source::LaneChange;

/// Dead letters of a run that ends: fewer say nothing, unless there is nothing but them.
const DEAD_MIN: u64 = 20;

/// The longest waits between looks at what other processes have read, and for changes of lanes.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// A source that has been waiting for changes for this long counts as healthy again.
const REST: Duration = Duration::from_secs(5);

/// While patience runs out the time is asked for this often: if the process is stopped, that shows.
const PULSE: Duration = Duration::from_secs(5);

/// A tick that comes this late means that the process was stopped.
const LATE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(crate) struct SupervisorSettings {
    /// How long a pipeline that has never committed may fail.
    pub start_time: Duration,
    /// How long a lane may be halted; for ever, if none.
    pub halt_time: Option<Duration>,
    /// The run ends when everything is read.
    pub is_finite: bool,
    pub dead_ratio_max: f64,
    /// What the ledger says.
    pub has_committed: bool,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum SupervisorEvent {
    /// None when there will be no other change.
    Change(Result<Option<LaneChange>, ConnectorError>),
    Reported(Lane, LaneReport),
    Ended(Lane, LaneEnd),
    /// Where lanes stand.
    Looked(Result<BTreeMap<Lane, Position>, ConnectorError>),
    Drain,
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum SupervisorAction {
    /// Asks the source for the next change of lanes.
    AskForChange,
    /// Keeps a lane going; if the run has an end, up to there.
    Start {
        lane: Lane,
        until: Option<Position>,
    },
    /// Drops a lane with all that it does.
    Stop(Lane),
    /// Asks the ledger where lanes stand.
    Look,
    Say {
        level: Level,
        text: String,
    },
    Tell(News),
    End(Result<(), PipelineError>),
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    settings: SupervisorSettings,
    /// Those that are kept going.
    lanes: BTreeMap<Lane, Option<Failing>>,
    /// Those that wait until others are at their end for good.
    waiting: BTreeMap<Lane, Vec<Lane>>,
    /// Lanes that are at their end for good.
    ended: BTreeSet<Lane>,
    /// Lanes that are still to be read to where they ended when the run began.
    unread: BTreeMap<Lane, Position>,
    /// The run began with lanes whose ends are known: it is over once they are read.
    has_ends: bool,
    changes: Changes,
    changes_patience: Patience,
    source: Option<Failing>,
    looks: Look,
    looks_patience: Patience,
    /// What the ledger said last of lanes that others read.
    seen: BTreeMap<Lane, Position>,
    /// Since when nothing of ours is left to do, and others make no progress.
    stalled: Option<Instant>,
    tally: Tally,
    /// When something happened last.
    heard: Option<Instant>,
    /// When the process went on that had been stopped.
    goes_on_since: Option<Instant>,
    is_draining: bool,
    is_over: bool,
    actions: Vec<SupervisorAction>,
}

/// Whether an end is one that a position can be compared with.
fn is_place(end: &Position) -> bool {
    !matches!(end, Position::Start(_))
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    cause: Arc<Halt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    /// Since then; none if nobody knows when.
    Asked(Option<Instant>),
    Waits(Instant),
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    No,
    At(Instant),
    Asked,
}

/// What the run has committed.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    dead: u64,
    /// Of these, those that somebody accepted beforehand.
    accepted: u64,
    reasons: BTreeMap<String, u64>,
}

impl Supervisor {
    /// `ends` has the lanes that the run begins with, and where each ends by now; it is empty if
    /// the run has no end, or if the source tells all its lanes by itself.
    pub fn new(
        settings: SupervisorSettings,
        ends: BTreeMap<Lane, Position>,
        mut random: Rng,
    ) -> Self {
        Self {
            settings,
            lanes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ended: BTreeSet::new(),
            has_ends: !ends.is_empty(),
            unread: ends,
            changes: Changes::Asked(None),
            changes_patience: Patience::new(LONGEST_LOOK, random.fork()),
            source: None,
            looks: Look::No,
            looks_patience: Patience::new(LONGEST_LOOK, random.fork()),
            seen: BTreeMap::new(),
            stalled: None,
            tally: Tally::default(),
            heard: None,
            goes_on_since: None,
            is_draining: false,
            is_over: false,
            actions: Vec::new(),
        }
    }

    pub fn begin(&mut self) -> Vec<SupervisorAction> {
        self.act(SupervisorAction::Tell(News::Phase(Phase::Running)));
        self.act(SupervisorAction::AskForChange);
        std::mem::take(&mut self.actions)
    }

    pub fn on(&mut self, now: Instant, event: SupervisorEvent) -> Vec<SupervisorAction> {
        if !self.is_over {
            self.has_stood_still(now);
            match event {
                SupervisorEvent::Change(change) => self.changed(now, change),
                SupervisorEvent::Reported(lane, report) => self.reported(&lane, report),
                SupervisorEvent::Ended(lane, end) => self.ended(&lane, end),
                SupervisorEvent::Looked(positions) => self.looked(now, positions),
                SupervisorEvent::Drain => self.is_draining = true,
                SupervisorEvent::Tick => {}
            }
            self.go_on(now);
            self.heard = Some(now);
        }
        std::mem::take(&mut self.actions)
    }

    /// When it wants the next [`SupervisorEvent::Tick`].
    pub fn due(&self) -> Option<Instant> {
        // Lanes that are to end do so by themselves.
        if self.is_draining || self.is_over {
            return None;
        }
        let failing = self.failing().filter_map(|(_, failing)| self.patience_ends(failing)).min();
        let pulse = failing.and(self.heard).map(|heard| heard + PULSE);
        let changes = match self.changes {
            Changes::Waits(until) => Some(until),
            Changes::Asked(Some(since)) if self.source.is_some() => Some(since + REST),
            Changes::Asked(_) | Changes::Over => None,
        };
        let is_looking = self.lanes.is_empty() || !self.waiting.is_empty();
        let looks = match self.looks {
            Look::At(at) if is_looking => Some(at),
            Look::At(_) | Look::No | Look::Asked => None,
        };
        let stalled = self.stalled.zip(self.settings.halt_time).map(|(since, time)| since + time);
        [failing, pulse, changes, looks, stalled].into_iter().flatten().min()
    }

    /// A process that was stopped has not tried anything: it gets all the time again once it goes
    /// on.
    fn has_stood_still(&mut self, now: Instant) {
        if self.due().is_some_and(|due| now >= due + LATE) {
            self.goes_on_since = Some(now);
            self.stalled = self.stalled.map(|_| now);
        }
    }

    fn act(&mut self, action: SupervisorAction) {
        self.actions.push(action);
    }

    fn end(&mut self, end: Result<(), PipelineError>) {
        self.is_over = true;
        self.act(SupervisorAction::End(end));
    }

    /// All that fails, with its lane.
    fn failing(&self) -> impl Iterator<Item = (Option<&Lane>, &Failing)> {
        let lanes =
            self.lanes.iter().filter_map(|(lane, failing)| Some((Some(lane), failing.as_ref()?)));
        lanes.chain(self.source.iter().map(|failing| (None, failing)))
    }

    /// When to give up on it.
    fn patience_ends(&self, failing: &Failing) -> Option<Instant> {
        let is_starting = !self.settings.has_committed && failing.cause.is_outside();
        let start = is_starting.then_some(self.settings.start_time);
        let since = self.counts_from(failing);
        [start, self.settings.halt_time].into_iter().flatten().map(|time| since + time).min()
    }

    fn counts_from(&self, failing: &Failing) -> Instant {
        self.goes_on_since.map_or(failing.since, |on| on.max(failing.since))
    }

    fn changed(&mut self, now: Instant, change: Result<Option<LaneChange>, ConnectorError>) {
        match change {
            Ok(Some(change)) => {
                self.source = None;
                self.changes_patience.renew();
                match change {
                    LaneChange::Assigned { lane, after } => self.assigned(lane, after),
                    LaneChange::Revoked(lane) => self.revoked(lane),
                }
                self.changes = Changes::Asked(Some(now));
                self.act(SupervisorAction::AskForChange);
            }
            Ok(None) => {
                self.source = None;
                self.changes = Changes::Over;
            }
            Err(error) if error.class == ErrorClass::Fatal => {
                let cause = Arc::new(Halt::Source(error));
                self.end(Err(PipelineError::Fatal { cause }));
            }
            Err(error) => {
                if self.source.is_none() {
                    let text = format!(
                        "the source does not say which lanes are ours, asking again: {error}"
                    );
                    self.act(SupervisorAction::Say { level: Level::WARN, text });
                }
                let since = self.source.as_ref().map_or(now, |failing| failing.since);
                self.source = Some(Failing { since, cause: Arc::new(Halt::Source(error)) });
                self.changes = Changes::Waits(now + self.changes_patience.wait());
            }
        }
    }

    /// A lane whose turn has not come waits until those before it are at their end for good.
    fn assigned(&mut self, lane: Lane, after: Vec<Lane>) {
        if self.is_draining || self.lanes.contains_key(&lane) {
            return;
        }
        if after.iter().any(|before| !self.ended.contains(before)) {
            self.waiting.insert(lane, after);
            return;
        }
        self.start(lane);
    }

    fn start(&mut self, lane: Lane) {
        let until = self.unread.get(&lane).copied().filter(is_place);
        self.lanes.insert(lane.clone(), None);
        self.act(SupervisorAction::Start { lane, until });
    }

    fn revoked(&mut self, lane: Lane) {
        self.waiting.remove(&lane);
        if self.lanes.remove(&lane).is_some() {
            self.act(SupervisorAction::Stop(lane.clone()));
        }
        self.act(SupervisorAction::Tell(News::Gone(lane)));
    }

    fn reported(&mut self, lane: &Lane, report: LaneReport) {
        let Some(failing) = self.lanes.get_mut(lane) else { return };
        match report {
            LaneReport::Claimed => {}
            LaneReport::Well => *failing = None,
            LaneReport::Failing { since, cause } => *failing = Some(Failing { since, cause }),
            LaneReport::Committed { to, records, dead, accepted } => {
                *failing = None;
                self.settings.has_committed = true;
                self.tally.records += records;
                self.tally.accepted += accepted;
                for (reason, count) in dead {
                    self.tally.dead += count;
                    *self.tally.reasons.entry(reason).or_default() += count;
                }
                self.note_position(lane, to);
            }
        }
    }

    fn note_position(&mut self, lane: &Lane, position: Position) {
        if position == Position::End {
            self.ended.insert(lane.clone());
        }
        let is_read = self
            .unread
            .get(lane)
            .filter(|end| is_place(end) || position == Position::End)
            .is_some_and(|end| end.is_comparable(&position) && position.place() >= end.place());
        if is_read {
            self.unread.remove(lane);
        }
    }

    fn ended(&mut self, lane: &Lane, end: LaneEnd) {
        if self.lanes.remove(lane).is_none() {
            return;
        }
        match end {
            LaneEnd::Ended => {
                self.unread.remove(lane);
            }
            LaneEnd::Drained => {}
            LaneEnd::Fatal(cause) => self.end(Err(PipelineError::Fatal { cause })),
        }
    }

    fn looked(
        &mut self,
        now: Instant,
        positions: Result<BTreeMap<Lane, Position>, ConnectorError>,
    ) {
        self.looks = Look::At(now + self.looks_patience.wait());
        let Ok(positions) = positions else { return };
        for (lane, position) in &positions {
            self.note_position(lane, *position);
        }
        if positions != self.seen {
            // Others go on.
            self.stalled = None;
            self.looks_patience.renew();
            self.seen = positions;
        }
    }

    fn go_on(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        if let Changes::Waits(until) = self.changes
            && until <= now
        {
            self.changes = Changes::Asked(Some(now));
            self.act(SupervisorAction::AskForChange);
        }
        if let Changes::Asked(Some(since)) = self.changes
            && now >= since + REST
        {
            // It has nothing to say, and nothing to complain of.
            self.source = None;
        }
        if self.is_draining {
            if self.lanes.is_empty() {
                self.end(Ok(()));
            }
            return;
        }
        if let Some(error) = self.has_failed_too_long(now) {
            return self.end(Err(error));
        }
        self.start_those_whose_turn_has_come();
        if !self.waiting.is_empty() {
            self.look(now);
        }
        if !self.lanes.is_empty() {
            self.stalled = None;
            return;
        }
        if !self.unread.is_empty() || !self.waiting.is_empty() {
            return self.wait_for_others(now);
        }
        let all_are_told = self.changes == Changes::Over;
        if all_are_told || self.has_ends {
            let end = self.too_many_dead().map_or(Ok(()), Err);
            self.end(end);
        }
    }

    fn has_failed_too_long(&self, now: Instant) -> Option<PipelineError> {
        let is_over = |failing: &Failing| self.patience_ends(failing).is_some_and(|end| end <= now);
        let (lane, failing) = self.failing().find(|(_, failing)| is_over(failing))?;
        let cause = Arc::clone(&failing.cause);
        let has_halted =
            self.settings.halt_time.is_some_and(|time| self.counts_from(failing) + time <= now);
        Some(match lane {
            Some(lane) if has_halted => PipelineError::Halted { lane: lane.clone(), cause },
            _ => PipelineError::NotStarted { cause },
        })
    }

    /// Nothing of ours is left to do, and lanes are not known to have been read.
    fn wait_for_others(&mut self, now: Instant) {
        let since = *self.stalled.get_or_insert(now);
        if self.settings.halt_time.is_some_and(|time| since + time <= now) {
            let lanes = self.unread.keys().cloned().collect();
            return self.end(Err(PipelineError::Unread { lanes }));
        }
        self.look(now);
    }

    fn look(&mut self, now: Instant) {
        let is_due = match self.looks {
            Look::No => true,
            Look::At(at) => at <= now,
            Look::Asked => false,
        };
        if is_due {
            self.looks = Look::Asked;
            self.act(SupervisorAction::Look);
        }
    }

    fn start_those_whose_turn_has_come(&mut self) {
        let has_come = |after: &Vec<Lane>| after.iter().all(|before| self.ended.contains(before));
        let come = self.waiting.iter().filter(|(_, after)| has_come(after));
        let come: Vec<_> = come.map(|(lane, _)| lane.clone()).collect();
        for lane in come {
            self.waiting.remove(&lane);
            self.start(lane);
        }
    }

    fn too_many_dead(&self) -> Option<PipelineError> {
        let Tally { records, dead, accepted, reasons } = &self.tally;
        let unmeant = dead.saturating_sub(*accepted);
        let most = self.settings.dead_ratio_max;
        let is_meant = !self.settings.is_finite || most >= 1.0;
        let is_too_many = unmeant >= DEAD_MIN && unmeant as f64 > most * *records as f64;
        let is_all = unmeant > 0 && unmeant >= *records;
        if is_meant || !(is_too_many || is_all) {
            return None;
        }
        let mut reasons: Vec<_> =
            reasons.iter().map(|(why, count)| (why.clone(), *count)).collect();
        reasons.sort_by_key(|(_, count)| Reverse(*count));
        reasons.truncate(3);
        Some(PipelineError::TooManyDead { dead: *dead, records: *records, reasons })
    }
}
