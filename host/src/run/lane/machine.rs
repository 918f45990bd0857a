//! A lane as a machine: events go in, actions come out. It reads no clock and does no I/O. Each
//! request carries a ticket, by which its answer is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tracing::Level;
use uuid::Uuid;

use super::super::breaker::{Breaker, BreakerLimits};
use super::super::budget::Held;
use super::super::cut::UnitLimits;
use super::super::halt::Halt;
use super::super::live::{Generations, Live};
use super::super::news::{LaneHealth, LaneStep, News};
use super::super::patience::Patience;
use super::super::pool::CleanResult;
use super::kept::Kept;
use super::work::{Work, WorkEnd};
use crate::connect::CommitOutcome;
use crate::ledger::{Claim, Judgement, LaneState};
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, ErrorClass, Lane, Position, RawBatch, Receipts, Unit};
use crate::source::Most;

/// A lane that moved under another owner within this time is left to it.
const STANDBY: Duration = Duration::from_secs(60);

/// The longest wait between two looks at what the other owner does.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// A lane that has had nothing to do for this long counts as healthy again.
const REST: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) struct LaneSettings {
    pub args: PipelineArgs,
    pub batch: Most,
    pub unit: UnitLimits,
    pub breaker: BreakerLimits,
    /// Batches that are read and not yet in a unit: enough to keep every thread busy while results
    /// wait for their turn. More of them would delay the next generation.
    pub batches_max: usize,
    /// Somebody outside decides which process has which lane.
    pub has_group: bool,
    /// Somebody waits for what becomes of each record.
    pub is_awaited: bool,
}

/// Names a request of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub const NONE: Self = Self(0);

    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

/// A batch as it was read, with the memory that it holds.
#[derive(Debug)]
pub(crate) struct ReadBatch {
    pub raw: Arc<RawBatch>,
    pub held: Held,
    /// Records that are there behind it, if its source knows.
    pub ahead: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum CommitAnswer {
    Outcome(CommitOutcome),
    /// Its generation was found to be bad before the sink was asked.
    Condemned,
}

/// Where a reader begins.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub claim: Claim,
    pub from: Position,
}

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time is on its way, and one for a batch")]
pub(crate) enum LaneEvent {
    /// With the verdicts in the ledger.
    Claimed(Ticket, Result<(Claim, Vec<Judgement>), Halt>),
    /// None at the end of the lane.
    Read(Ticket, Result<Option<ReadBatch>, ConnectorError>),
    Cleaned(Ticket, CleanResult),
    Committed(Ticket, Result<CommitAnswer, ConnectorError>),
    /// None if there is no such lane.
    Looked(Ticket, Result<Option<LaneState>, ConnectorError>),
    /// Another generation cleans, or one was condemned.
    GenerationsChanged,
    /// Somebody waits for memory.
    MemoryShort,
    /// Commit what was read, and end.
    Drain,
    /// The time that `due` asked for has come.
    Tick,
}

/// Whether a unit may still go to the sink: another lane may have condemned its generation since it
/// was cut. Asked right before it is sent.
pub(crate) fn is_to_be_sent(live: &Live) -> bool {
    !live.is_condemned()
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum LaneAction {
    Claim(Ticket),
    /// Reads the next batch: from a new reader, or from the one that is open.
    Read {
        ticket: Ticket,
        open: Option<Opening>,
        most: Most,
    },
    StopReading,
    Clean {
        ticket: Ticket,
        live: Arc<Live>,
        raw: Arc<RawBatch>,
    },
    Commit {
        ticket: Ticket,
        claim: Claim,
        unit: Arc<Unit>,
        live: Arc<Live>,
    },
    /// Promises the source that everything before is in the sink.
    Acknowledge {
        to: Position,
        /// If the source asks for them.
        receipts: Option<Receipts>,
    },
    /// Notes in the sink why the lane does not go on.
    NoteHalt {
        claim: Claim,
        reason: String,
    },
    /// Asks what the ledger says of the lane.
    Look(Ticket),
    Say {
        level: Level,
        text: String,
        help: Option<String>,
    },
    Tell(News),
    Report(LaneReport),
    /// Nothing more comes.
    End(LaneEnd),
}

/// What the supervisor has to know of a lane.
#[derive(Debug, Clone)]
pub(crate) enum LaneReport {
    Claimed,
    Committed {
        to: Position,
        records: u64,
        dead: BTreeMap<String, u64>,
        /// How many of them were accepted beforehand.
        accepted: u64,
    },
    /// The lane keeps failing, since the first of an unbroken row of failures.
    Failing {
        since: Instant,
        cause: Arc<Halt>,
    },
    Well,
}

/// How a lane ends.
#[derive(Debug, Clone)]
pub(crate) enum LaneEnd {
    /// All of it was read and is committed, by this process or by another.
    Ended,
    /// It was asked to end; what was read is committed.
    Drained,
    /// A promise is broken: it must not go on.
    Fatal(Arc<Halt>),
}

#[derive(Debug)]
pub(crate) struct LaneMachine {
    kept: Kept,
    state: State,
    /// The generation that was current at the last claim.
    generation: Arc<Live>,
}

#[derive(Debug)]
enum State {
    Claiming {
        ticket: Ticket,
        is_probe: bool,
    },
    Working(Box<Work>),
    /// Until the next claim.
    Waiting {
        until: Instant,
        is_halted: bool,
    },
    Standby(Box<Standby>),
    Over,
}

/// Another process has the lane: wait until that one is quiet.
#[derive(Debug)]
struct Standby {
    /// The token of this process's own last claim.
    token: Uuid,
    patience: Patience,
    looks: Look,
    last: Option<LaneState>,
    /// Nothing has moved since then, by this process's own clock: clocks of others may differ.
    quiet_since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    At(Instant),
    Asked(Ticket),
}

impl LaneMachine {
    pub fn new(
        lane: Lane,
        settings: LaneSettings,
        generations: Arc<Generations>,
        until: Option<Position>,
        random: Rng,
    ) -> Self {
        let generation = generations.current();
        let kept = Kept::new(lane, settings, generations, until, random);
        Self { kept, state: State::Over, generation }
    }

    /// The first actions.
    pub fn begin(&mut self) -> Vec<LaneAction> {
        self.kept.health(LaneHealth::Starting);
        self.claim(false);
        self.kept.take_actions()
    }

    pub fn on(&mut self, now: Instant, event: LaneEvent) -> Vec<LaneAction> {
        match event {
            LaneEvent::Claimed(ticket, claimed) => self.claimed(now, ticket, claimed),
            LaneEvent::Looked(ticket, state) => self.looked(now, ticket, state),
            LaneEvent::GenerationsChanged => self.generations_changed(),
            LaneEvent::Drain => self.drain(),
            LaneEvent::Read(ticket, read) => {
                if let State::Working(work) = &mut self.state {
                    work.read(now, ticket, read, &mut self.kept);
                }
            }
            LaneEvent::Cleaned(ticket, result) => {
                if let State::Working(work) = &mut self.state {
                    work.cleaned(ticket, result, &mut self.kept);
                }
            }
            LaneEvent::Committed(ticket, answer) => {
                if let State::Working(work) = &mut self.state
                    && let Some(end) = work.committed(now, ticket, answer, &mut self.kept)
                {
                    self.worked(now, end);
                }
            }
            LaneEvent::MemoryShort => {
                if let State::Working(work) = &mut self.state {
                    work.memory_is_short();
                }
            }
            LaneEvent::Tick => {}
        }
        self.go_on(now);
        self.kept.take_actions()
    }

    /// When it wants the next [`LaneEvent::Tick`].
    pub fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Standby(standby) => match standby.looks {
                Look::At(at) => Some(at),
                Look::Asked(_) => None,
            },
            State::Working(work) => {
                let rested = work.rests_since().filter(|_| self.kept.is_failing());
                let rested = rested.map(|since| since + REST);
                [work.due(&self.kept.settings.unit), rested].into_iter().flatten().min()
            }
            State::Claiming { .. } | State::Over => None,
        }
    }

    /// Whether it could free memory that somebody waits for.
    pub fn may_free_memory(&self) -> bool {
        matches!(&self.state, State::Working(work) if work.may_free_memory())
    }

    #[cfg(test)]
    pub fn state_name(&self) -> &'static str {
        match &self.state {
            State::Claiming { .. } => "claiming",
            State::Working(work) => work.state_name(),
            State::Waiting { is_halted: true, .. } => "halted",
            State::Waiting { .. } => "waiting",
            State::Standby(_) => "standing by",
            State::Over => "over",
        }
    }

    fn claim(&mut self, is_probe: bool) {
        self.generation = self.kept.generations.current();
        let ticket = self.kept.ticket();
        self.state = State::Claiming { ticket, is_probe };
        self.kept.act(LaneAction::Claim(ticket));
    }

    fn claimed(
        &mut self,
        now: Instant,
        ticket: Ticket,
        claimed: Result<(Claim, Vec<Judgement>), Halt>,
    ) {
        let State::Claiming { ticket: asked, is_probe } = self.state else { return };
        if asked != ticket {
            return;
        }
        let (claim, judgements) = match claimed {
            Ok(claimed) => claimed,
            Err(halt) => return self.halted(now, halt, LaneStep::Claim, None),
        };
        let live = self.kept.generations.current();
        self.kept.generations.obey(&live, &judgements);
        self.kept.went_well(LaneStep::Claim);
        let before = self.kept.position.replace(claim.position);
        if before.is_some_and(|before| before != claim.position) {
            // Somebody moved it.
            self.kept.all_is_well();
            self.kept.claims.renew();
        }
        let (lane, at) = (self.kept.lane.clone(), claim.position);
        self.kept.tell(News::Claimed { lane, at });
        self.kept.report(LaneReport::Claimed);
        self.state = State::Working(Box::new(Work::new(claim, is_probe, &self.kept, now)));
    }

    fn generations_changed(&mut self) {
        let current = self.kept.generations.current();
        let is_other = !Arc::ptr_eq(&current, &self.generation);
        match &mut self.state {
            State::Working(work) => work.generations_changed(),
            // A new generation may manage what the previous one could not.
            State::Waiting { is_halted: true, .. } if is_other => {
                self.kept.all_is_well();
                self.kept.breaker = Breaker::new(self.kept.settings.breaker);
                self.kept.claims.renew();
                self.claim(false);
            }
            State::Claiming { .. } | State::Waiting { .. } | State::Standby(_) | State::Over => {}
        }
    }

    fn drain(&mut self) {
        self.kept.is_draining = true;
        match &mut self.state {
            State::Working(work) => work.drain(&mut self.kept),
            State::Claiming { .. } | State::Waiting { .. } | State::Standby(_) => {
                self.end(LaneEnd::Drained);
            }
            State::Over => {}
        }
    }

    fn end(&mut self, end: LaneEnd) {
        self.state = State::Over;
        self.kept.act(LaneAction::StopReading);
        self.kept.act(LaneAction::End(end));
    }

    /// Does everything that can be done now.
    fn go_on(&mut self, now: Instant) {
        match &mut self.state {
            State::Working(work) => {
                let rested = work.rests_since().is_some_and(|since| now >= since + REST);
                if rested && self.kept.is_failing() {
                    self.kept.all_is_well();
                }
                if let Some(end) = work.go_on(now, &mut self.kept) {
                    self.worked(now, end);
                }
            }
            State::Waiting { until, is_halted } if *until <= now => {
                let is_probe = *is_halted;
                self.claim(is_probe);
            }
            State::Standby(standby) if matches!(standby.looks, Look::At(at) if at <= now) => {
                let ticket = self.kept.ticket();
                standby.looks = Look::Asked(ticket);
                self.kept.act(LaneAction::Look(ticket));
            }
            State::Claiming { .. } | State::Waiting { .. } | State::Standby(_) | State::Over => {}
        }
    }

    /// The work under one claim has ended.
    fn worked(&mut self, now: Instant, end: WorkEnd) {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Working(work) = state else { return };
        self.kept.act(LaneAction::StopReading);
        if matches!(end, WorkEnd::Fenced) {
            let lane = self.kept.lane.clone();
            self.kept.tell(News::Fenced(lane));
        }
        match end {
            WorkEnd::Ended => {
                self.kept.all_is_well();
                self.kept.health(LaneHealth::Ended);
                self.end(LaneEnd::Ended);
            }
            WorkEnd::Drained => self.end(LaneEnd::Drained),
            WorkEnd::Fenced if self.kept.is_draining => self.end(LaneEnd::Drained),
            WorkEnd::Fenced if self.kept.settings.has_group => {
                let text = "another process claimed the lane, which is ours; claiming it again";
                self.kept.say(Level::DEBUG, text.to_owned(), None);
                let until = now + self.kept.claims.wait();
                self.state = State::Waiting { until, is_halted: false };
            }
            WorkEnd::Fenced => self.stand_by(now, work.claim().token),
            WorkEnd::Halted(halt) => {
                let step = match &halt {
                    Halt::Source(_) => LaneStep::Read,
                    Halt::Sink(_) => LaneStep::Commit,
                    _ => LaneStep::Clean,
                };
                self.halted(now, halt, step, Some(work.claim().clone()));
            }
        }
    }

    fn halted(&mut self, now: Instant, halt: Halt, step: LaneStep, claim: Option<Claim>) {
        if self.kept.is_draining {
            return self.end(LaneEnd::Drained);
        }
        match halt.class() {
            ErrorClass::Fatal => return self.end(LaneEnd::Fatal(Arc::new(halt))),
            ErrorClass::Fenced if claim.is_none() && !self.kept.settings.has_group => {
                return self.stand_by(now, Uuid::nil());
            }
            ErrorClass::Fenced | ErrorClass::Transient | ErrorClass::Systemic => {}
        }
        let reason = halt.to_string();
        // The sink cannot note its own failure.
        if let Some(claim) = claim
            && !matches!(halt, Halt::Sink(_))
        {
            self.kept.act(LaneAction::NoteHalt { claim, reason: reason.clone() });
        }
        let help = halt.help(&self.kept.settings.args, &self.kept.lane);
        if self.kept.failed(step, halt, now) {
            let shown = help.map(|help| format!("; {help}")).unwrap_or_default();
            let text = format!("the lane is halted: {reason}{shown}");
            self.kept.say(Level::ERROR, text, None);
        }
        let until = now + self.kept.claims.wait();
        self.state = State::Waiting { until, is_halted: true };
        // Another generation may have taken over while this one failed.
        self.generations_changed();
    }

    fn stand_by(&mut self, now: Instant, token: Uuid) {
        self.kept.all_is_well();
        self.kept.warn("another process has the lane; standing by".to_owned());
        self.kept.health(LaneHealth::Standby);
        let mut patience = self.kept.patience(LONGEST_LOOK);
        let looks = Look::At(now + patience.wait());
        let standby = Standby { token, patience, looks, last: None, quiet_since: now };
        self.state = State::Standby(Box::new(standby));
    }

    /// What the ledger says of a lane that another process has.
    fn looked(
        &mut self,
        now: Instant,
        ticket: Ticket,
        state: Result<Option<LaneState>, ConnectorError>,
    ) {
        let State::Standby(standby) = &mut self.state else { return };
        if standby.looks != Look::Asked(ticket) {
            return;
        }
        standby.looks = Look::At(now + standby.patience.wait());
        let Ok(state) = state else { return };
        let place = |state: &LaneState| (state.owner, state.position, state.claimed, state.moved);
        if standby.last.as_ref().map(place) != state.as_ref().map(place) {
            standby.quiet_since = now;
        }
        // It was fenced by its own commit, which it had given up and which took effect late.
        let is_gone = state.as_ref().is_none_or(|state| state.owner == standby.token);
        let position = state.as_ref().map(|state| state.position);
        standby.last = state;
        let is_quiet = is_gone || now >= standby.quiet_since + STANDBY;
        let has_ended = position.is_some_and(|position| self.kept.has_evidence(position));
        if has_ended {
            self.kept.health(LaneHealth::Ended);
            self.end(LaneEnd::Ended);
        } else if is_quiet {
            let text = "the other process is quiet; taking the lane over".to_owned();
            self.kept.say(Level::INFO, text, None);
            self.claim(false);
        }
    }
}
