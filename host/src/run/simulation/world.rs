//! Everything around the machines, on simulated time: several processes, their source, one ledger,
//! and what goes wrong. One thread; whatever has no order by itself is ordered by the seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::super::breaker::BreakerLimits;
use super::super::budget::{Budget, Held};
use super::super::clean::CleanedBatch;
use super::super::cut::UnitLimits;
use super::super::lane::{
    CommitAnswer, LaneAction, LaneEnd, LaneEvent, LaneMachine, LaneSettings, Opening, ReadBatch,
    Ticket, is_to_be_sent,
};
use super::super::pool::{CleanResult, Uncleanable};
use super::super::supervise::{Supervisor, SupervisorAction, SupervisorEvent, SupervisorSettings};
use super::ledger::{Applied, Beats, Landed, Ledger, Sent};
use super::oracle::Oracle;
use super::script::{BY_MEMBERS, Conduct, Fate, Fault, MILLI, SECOND, Script, Time};
use crate::connect::{CommitOutcome, Sink, Spread, Stored, Writer};
use crate::ledger::{Claim, FirstRun, Judgement, LaneState, Member, Pace, Roster, Shift, Verdict};
use crate::pipeline::config::ProbationConfig;
use crate::record::lift::PipelineArgs;
use crate::record::{
    ConnectorError, DeadLetter, Digest, ErrorClass, Lane, Position, RawBatch, RawRecord, Receipt,
    RowReceipt, Rows, Start, Unit, UnitPart,
};
use crate::run::{Conduct as Did, GenerationEvent, Generations, Halt, Live, PipelineError};
use crate::source::{LaneChange, Most};
use crate::swap::machine::{
    Beginning, Gated, Passed, Ready, Refused, SwapAction, SwapEvent, SwapMachine, WallClock, What,
};
use crate::swap::{Choice, choose, good_beside, proven_beside};

/// How long a fault waits at most until a lane does what it waits for.
const LONGEST_WAIT: Time = 60 * SECOND;

/// Of members of the ledger.
const PACE: Pace = Pace {
    beat: Duration::from_secs(3),
    dead: Duration::from_secs(12),
    rest: Duration::from_secs(15),
};

/// More than any run takes that comes to rest now and then.
const STEPS_MAX: u64 = 40_000;

/// More than any script has.
const RULES_MAX: usize = 8;

/// When simulated time begins: of all runs at once, so that they tell the same.
static BEGINS: OnceLock<Instant> = OnceLock::new();

/// What a generation is made of, as it is written: a rule, and the number of the edit of all else.
pub(super) type Made = (usize, u32);

type Event = Box<dyn FnOnce(&mut World)>;

/// Whose an event is: it is lost when they are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    World,
    Process(usize, u64),
    Lane(usize, u64, usize, u64),
}

pub(super) struct World {
    pub script: Script,
    pub random: Rng,
    pub now: Time,
    /// Of events that have happened.
    pub step: u64,
    begins: Instant,
    sequence: u64,
    queue: BTreeMap<(Time, u64), (Whose, &'static str, Event)>,
    pub ledger: Ledger,
    saved: Option<Ledger>,
    pub processes: Vec<Process>,
    pub available: Vec<u64>,
    /// Lanes by the process that the group gives them to.
    owners: Vec<Option<usize>>,
    /// Lanes that the source has.
    appeared: BTreeSet<usize>,
    pub file: Made,
    down: BTreeMap<Fault, Time>,
    /// Faults that wait until a lane does this, by number.
    lurking: BTreeMap<u64, (Fault, &'static str)>,
    next_commit: Option<Fault>,
    sink: (Arc<dyn Sink>, Arc<dyn Writer>),
    pub oracle: Oracle,
    /// Faults that struck, with what lanes were doing.
    pub struck: Vec<(Fault, &'static str)>,
    /// What happened, step by step, if somebody wants to read it.
    pub told: Option<Vec<String>>,
}

#[derive(Default)]
pub(super) struct Process {
    pub up: Option<Up>,
    incarnation: u64,
    paused: Time,
    /// It has ended for good.
    pub is_done: bool,
}

pub(super) struct Up {
    supervisor: Supervisor,
    supervisor_tick: Option<Time>,
    lanes: BTreeMap<usize, LaneUp>,
    lane_incarnations: u64,
    swap: SwapMachine<Made>,
    swap_tick: Option<Time>,
    pub generations: Arc<Generations>,
    events: mpsc::UnboundedReceiver<GenerationEvent>,
    pub budget: Budget,
    changes: VecDeque<LaneChange>,
    /// What this process makes of the others, where they share the lanes out among themselves.
    roster: Option<(Uuid, Roster)>,
    /// The members as they were, and until when nothing else is seen.
    old_view: Option<(Beats, Time)>,
    has_beat_failed: bool,
    starts: BTreeMap<Lane, Position>,
    /// So many verdicts were read.
    heard: usize,
    is_asking: bool,
    are_all_told: bool,
    ends: BTreeMap<usize, u64>,
    made: Made,
    is_draining: bool,
    has_claimed: bool,
    restart: Option<Made>,
    before: Option<Made>,
}

/// A batch that waits for memory, once there is some.
type Holding = (Pin<Box<dyn Future<Output = Held>>>, Ticket, Arc<RawBatch>);

struct LaneUp {
    machine: LaneMachine,
    incarnation: u64,
    tick: Option<Time>,
    follows: watch::Receiver<Arc<Live>>,
    reads: VecDeque<(Ticket, Option<Opening>, Most)>,
    reader: Option<u64>,
    is_reading: bool,
    holding: Option<Holding>,
    acknowledged: Option<u64>,
}

pub(super) fn position(record: u64) -> Position {
    Position::number(record)
}

pub(super) fn record(position: Position) -> u64 {
    position.as_number().expect("a place of this simulation")
}

/// Of a start, which may be the beginning.
fn record_or_first(start: Position) -> u64 {
    match start {
        Position::Start(_) => 0,
        place => record(place),
    }
}

/// The name of a rule's generation. Few enough that they are made once.
pub(super) fn generation(rule: usize) -> Digest {
    static NAMES: OnceLock<Vec<Digest>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        (0..RULES_MAX as u64).map(|rule| Digest::of(&rule.to_le_bytes())).collect()
    });
    names[rule]
}

fn lane(number: usize) -> Lane {
    Lane::new(format!("l{number}"))
}

fn assigned(number: usize) -> LaneChange {
    LaneChange::Assigned { lane: lane(number), after: Vec::new() }
}

fn number(lane: &Lane) -> usize {
    lane.name()[1..].parse().expect("a lane of this simulation")
}

fn transient(what: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, what.to_owned())
}

impl World {
    pub fn new(script: Script, sink: (Arc<dyn Sink>, Arc<dyn Writer>), is_told: bool) -> Self {
        let lanes = script.lanes.len();
        let processes = (0..script.processes).map(|_| Process::default()).collect();
        let mut world = Self {
            random: Rng::with_seed(script.seed),
            now: 0,
            step: 0,
            begins: *BEGINS.get_or_init(Instant::now),
            sequence: 0,
            queue: BTreeMap::new(),
            ledger: Ledger::default(),
            saved: None,
            processes,
            available: script.there.clone(),
            owners: vec![None; lanes],
            appeared: (0..lanes).collect(),
            file: (0, 0),
            down: BTreeMap::new(),
            lurking: BTreeMap::new(),
            next_commit: None,
            sink,
            oracle: Oracle::new(script.clone()),
            struck: Vec::new(),
            told: is_told.then(Vec::new),
            script,
        };
        for process in 0..world.script.processes {
            let wait = world.random.u64(0..2 * SECOND);
            world.at(wait, Whose::World, "starts", move |world| world.start(process));
        }
        for (at, fault, state) in world.script.faults.clone() {
            world.at(at, Whose::World, "fault", move |world| match state {
                Some(state) => world.lies_in_wait(fault, state),
                None => world.strike(fault),
            });
        }
        for number in 0..lanes {
            world.arrives(number);
        }
        if let Some(at) = world.script.last_appears {
            world.appeared.remove(&(lanes - 1));
            world.at(at, Whose::World, "a lane appears", move |world| world.appears(lanes - 1));
        }
        let calm = world.script.calm;
        world.at(calm, Whose::World, "calm", Self::calm);
        world
    }

    /// Runs until everything has ended or the time is over; says whether it has.
    pub fn run(&mut self) {
        let end = self.script.calm + 1_800 * SECOND;
        while let Some(((at, _), (whose, what, event))) = self.queue.pop_first() {
            if at > end || at > self.script.calm && self.is_finished() {
                return;
            }
            self.now = at;
            if !self.is_there(whose) {
                continue;
            }
            if let Whose::Process(process, _) | Whose::Lane(process, ..) = whose {
                let paused = self.processes[process].paused;
                if paused > at {
                    self.sequence += 1;
                    self.queue.insert((paused, self.sequence), (whose, what, event));
                    continue;
                }
            }
            self.step += 1;
            if self.step > STEPS_MAX {
                self.oracle.wrong.push("it does not come to rest".to_owned());
                return;
            }
            self.tell(|| format!("{what} {whose:?}"));
            event(self);
            if let Whose::Process(process, _) | Whose::Lane(process, ..) = whose {
                self.settle(process);
            }
            self.strike_what_was_waited_for();
        }
    }

    fn is_finished(&self) -> bool {
        let is_read = self.script.lanes.iter().enumerate().all(|(lane, _)| self.is_read(lane));
        let is_over = |process: &Process| process.up.is_none();
        is_read && (!self.script.until_end || self.processes.iter().all(is_over))
    }

    pub fn is_read(&self, lane: usize) -> bool {
        self.ledger.stands(lane).unwrap_or(0) >= self.script.lanes[lane]
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            let line = line();
            told.push(format!("{:>12.3} ms  {line}", self.now as f64 / 1_000.0));
        }
    }

    fn instant(&self) -> Instant {
        self.begins + Duration::from_micros(self.now)
    }

    fn at(
        &mut self,
        wait: Time,
        whose: Whose,
        what: &'static str,
        event: impl FnOnce(&mut Self) + 'static,
    ) {
        self.sequence += 1;
        let at = (self.now + wait, self.sequence);
        self.queue.insert(at, (whose, what, Box::new(event)));
    }

    fn is_there(&self, whose: Whose) -> bool {
        match whose {
            Whose::World => true,
            Whose::Process(process, incarnation) => {
                let process = &self.processes[process];
                process.incarnation == incarnation && process.up.is_some()
            }
            Whose::Lane(process, incarnation, lane, lane_incarnation) => {
                let process = &self.processes[process];
                let up = process.up.as_ref().filter(|_| process.incarnation == incarnation);
                let lane = up.and_then(|up| up.lanes.get(&lane));
                lane.is_some_and(|lane| lane.incarnation == lane_incarnation)
            }
        }
    }

    fn process(&self, process: usize) -> Whose {
        Whose::Process(process, self.processes[process].incarnation)
    }

    fn latency(&mut self) -> Time {
        match self.random.u8(0..40) {
            0 => self.random.u64(0..2 * SECOND),
            1..8 => self.random.u64(0..100 * MILLI),
            _ => self.random.u64(0..5 * MILLI),
        }
    }

    fn is_down(&self, fault: Fault) -> bool {
        self.down.get(&fault).is_some_and(|until| *until > self.now)
    }

    // The source.

    fn arrives(&mut self, lane: usize) {
        if self.available[lane] >= self.script.lanes[lane] {
            return;
        }
        let wait = self.random.u64(0..self.script.calm / self.script.lanes[lane]);
        self.at(wait, Whose::World, "a record arrives", move |world| {
            world.available[lane] += 1;
            for process in 0..world.processes.len() {
                world.read_on(process, lane);
                world.settle(process);
            }
            world.arrives(lane);
        });
    }

    /// Answers the read that waits longest, if it can be answered.
    fn read_on(&mut self, process: usize, number: usize) {
        let incarnation = self.processes[process].incarnation;
        let Some(up) = &mut self.processes[process].up else { return };
        let Some(lane_up) = up.lanes.get_mut(&number) else { return };
        if lane_up.is_reading || lane_up.holding.is_some() || lane_up.reads.is_empty() {
            return;
        }
        lane_up.is_reading = true;
        let whose = Whose::Lane(process, incarnation, number, lane_up.incarnation);
        let wait = self.latency();
        self.at(wait, whose, "reads", move |world| world.read(process, number));
    }

    fn read(&mut self, process: usize, number: usize) {
        let is_source_down = self.is_down(Fault::SourceDown);
        let is_odd = self.random.bool();
        let is_until_end = self.script.until_end;
        let batch = self.random.usize(1..=self.script.batch);
        let available = self.available[number];
        let Some(up) = &mut self.processes[process].up else { return };
        let end = up.ends.get(&number).copied();
        let Some(lane_up) = up.lanes.get_mut(&number) else { return };
        lane_up.is_reading = false;
        let Some((ticket, open, most)) = lane_up.reads.pop_front() else { return };
        if open.is_none() && lane_up.reader.is_none() {
            return self.read_on(process, number);
        }
        if is_source_down && (open.is_some() || is_odd) {
            lane_up.reader = None;
            let event = LaneEvent::Read(ticket, Err(transient("the broker is gone")));
            self.on_lane(process, number, event);
            return self.read_on(process, number);
        }
        if let Some(Opening { from, .. }) = &open {
            lane_up.reader = Some(record(*from));
        }
        let from = lane_up.reader.expect("it is open");
        let has_tail = self.script.has_tail;
        let end = end.map(|end| if has_tail { end.saturating_sub(1) } else { end });
        let known = end.filter(|_| is_until_end).unwrap_or(available).min(available);
        if from < known {
            let records = (batch.min(most.records) as u64).min(known - from);
            let raw = Arc::new(raw(from, from + records));
            lane_up.reader = Some(from + records);
            let (budget, weight) = (up.budget.clone(), raw.memory() * 3);
            let hold: Pin<Box<dyn Future<Output = Held>>> =
                Box::pin(async move { budget.hold(weight).await });
            lane_up.holding = Some((hold, ticket, raw));
        } else if is_until_end && end.is_some_and(|end| from >= end) {
            self.on_lane(process, number, LaneEvent::Read(ticket, Ok(None)));
        } else {
            // Nothing is there yet.
            lane_up.reads.push_front((ticket, None, most));
        }
    }

    // Processes.

    fn start(&mut self, process: usize) {
        if self.processes[process].up.is_some() || self.processes[process].is_done {
            return;
        }
        self.begin(process, self.file, None);
    }

    /// Asks the ledger whether the pipeline has run before. If it has not, it is decided where
    /// lanes start, and stored a moment later, which another process may have done by then.
    fn begin(&mut self, process: usize, file: Made, before: Option<Made>) {
        if self.is_down(Fault::LedgerDown) {
            self.at(SECOND, Whose::World, "starts", move |world| {
                world.begin(process, file, before);
            });
            return;
        }
        let has_run = self.ledger.first_run.is_some() || !self.ledger.lanes.is_empty();
        let start = |number: &usize| {
            let latest = position(self.available[*number]);
            if self.script.starts_latest { latest } else { Position::Start(Start::Earliest) }
        };
        let starts = self.appeared.iter().map(|number| (lane(*number), start(number))).collect();
        let decided = (!has_run).then_some(FirstRun { starts });
        let wait = self.latency();
        self.at(wait, Whose::World, "knows where lanes start", move |world| {
            world.begin_from(process, file, before, decided);
        });
    }

    fn begin_from(
        &mut self,
        process: usize,
        file: Made,
        before: Option<Made>,
        decided: Option<FirstRun>,
    ) {
        if self.is_down(Fault::LedgerDown) {
            return self.begin(process, file, before);
        }
        if let Some(decided) = decided.filter(|_| self.ledger.first_run.is_none()) {
            let place = |(lane, start): (&Lane, &Position)| (number(lane), record_or_first(*start));
            self.oracle.first_runs(decided.starts.iter().map(place).collect());
            self.ledger.first_run = Some(decided);
        }
        let starts = self.ledger.first_run.clone().unwrap_or_default().starts;
        self.processes[process].incarnation += 1;
        let judgements: Vec<_> =
            self.ledger.judgements.iter().map(|(_, judgement)| judgement.clone()).collect();
        let digest = generation(file.0);
        let rule_of = |digest: Digest| {
            (0..self.script.rules.len()).find(|rule| generation(*rule) == digest).expect("a rule")
        };
        let mut limits = ProbationConfig { extra_rejects: 1, ..ProbationConfig::default() };
        limits.time.0 = Duration::from_micros(self.script.probation);
        let bare = |rule: usize| Live::bare(generation(rule), self.sink.clone());
        let watched = |rule: usize| {
            let live = bare(rule);
            match proven_beside(generation(rule), &judgements) {
                Some(proven) => live.on_probation(Arc::new(bare(rule_of(proven))), &limits),
                None => live,
            }
        };
        let (live, running, stored) = match choose(digest, &judgements) {
            Choice::Known | Choice::Unhappy => (bare(file.0), file.0, None),
            Choice::First => (bare(file.0), file.0, Some(judged(digest, Verdict::Live, None))),
            Choice::Beside(good) => {
                let before = Arc::new(watched(rule_of(good)));
                let live = bare(file.0).on_probation(before, &limits);
                (live, file.0, Some(judged(digest, Verdict::OnProbation, None)))
            }
            Choice::Kept { good, .. } => (watched(rule_of(good)), rule_of(good), None),
        };
        self.oracle.begins(self.now, process, file.0, running, &self.ledger);
        let live = Arc::new(live);
        let of_live =
            std::iter::once(live.generation).chain(live.all_before().map(|it| it.generation));
        let known = of_live.map(|digest| (digest, (rule_of(digest), file.1))).collect();
        let (generations, events) = Generations::new(live);
        let beginning = Beginning {
            written: file,
            running: (running, file.1),
            known,
            judgements: stored.into_iter().collect(),
            is_to_be_tried: false,
            limits,
            clock: WallClock { began: self.begins, at: SystemTime::UNIX_EPOCH },
        };
        let now = self.instant();
        let mut swap = SwapMachine::new(now, beginning, Arc::clone(&generations));
        let settings = SupervisorSettings {
            start_time: Duration::from_micros(self.script.start_time),
            halt_time: self.script.until_end.then(|| Duration::from_micros(self.script.halt_time)),
            is_finite: self.script.until_end,
            dead_ratio_max: 1.0,
            has_committed: self.ledger.has_committed(),
        };
        let ends: BTreeMap<usize, u64> = if self.script.until_end {
            self.available.iter().copied().enumerate().collect()
        } else {
            BTreeMap::new()
        };
        let of_lanes = ends.iter().map(|(number, end)| (lane(*number), position(*end))).collect();
        let random = self.random.fork();
        let mut supervisor = Supervisor::new(settings, of_lanes, random);
        let (first, swaps) = (supervisor.begin(), swap.begin(now));
        let changes = match self.script.spread {
            Spread::Nobody => self.appeared.iter().copied().map(assigned).collect(),
            Spread::ByGroup | Spread::ByMembers { .. } => VecDeque::new(),
        };
        let roster = (self.script.spread == BY_MEMBERS).then(|| {
            let id = Uuid::from_u128(self.random.u128(..));
            (id, Roster::new(id, PACE))
        });
        self.processes[process].up = Some(Up {
            supervisor,
            supervisor_tick: None,
            lanes: BTreeMap::new(),
            lane_incarnations: 0,
            swap,
            swap_tick: None,
            generations,
            events,
            budget: Budget::new(self.script.memory),
            changes,
            roster,
            old_view: None,
            has_beat_failed: false,
            starts,
            heard: judgements.len(),
            is_asking: false,
            are_all_told: false,
            ends,
            made: file,
            is_draining: false,
            has_claimed: false,
            restart: None,
            before,
        });
        if self.file != file {
            // It was saved while nobody was there to see it.
            let whose = self.process(process);
            self.at(SECOND, whose, "a file has changed", move |world| {
                world.on_swap(process, SwapEvent::Changed);
            });
        }
        first.into_iter().for_each(|action| self.supervise(process, action));
        swaps.into_iter().for_each(|action| self.swap(process, action));
        self.deal_soon(SECOND);
        self.beat(process);
        self.settle(process);
    }

    /// Tells the other members that this one is alive, and looks who else is.
    fn beat(&mut self, process: usize) {
        let whose = self.process(process);
        let (wait, now) = (self.latency(), self.now);
        let is_down = self.is_down(Fault::LedgerDown);
        let Some(up) = &mut self.processes[process].up else { return };
        let Some((id, roster)) = &mut up.roster else { return };
        if is_down {
            up.has_beat_failed = true;
            self.answer_change(process);
            self.at(SECOND, whose, "beats", move |world| world.beat(process));
            return;
        }
        up.has_beat_failed = false;
        self.ledger.beats.insert(*id, (now, roster.note(false)));
        self.at(wait, whose, "looks who is there", move |world| world.look_around(process));
        let pace = PACE.beat.as_micros() as Time;
        self.at(wait + pace, whose, "beats", move |world| world.beat(process));
    }

    fn look_around(&mut self, process: usize) {
        let now = self.now;
        let seen = self.seen().beats.clone();
        let lanes: BTreeSet<Lane> = self.appeared.iter().copied().map(lane).collect();
        let Some(up) = &mut self.processes[process].up else { return };
        let Some((_, roster)) = &mut up.roster else { return };
        let seen = match &up.old_view {
            Some((old, until)) if *until > now => old.clone(),
            Some(_) | None => seen,
        };
        let member = |(id, (at, note)): (Uuid, (Time, String))| Member {
            id,
            age: Duration::from_micros(now.saturating_sub(at)),
            note,
        };
        let seen: Vec<_> = seen.into_iter().map(member).collect();
        let Shift { gained, lost } = roster.look(Duration::from_micros(now), &seen, &lanes);
        up.changes.extend(lost.into_iter().map(LaneChange::Revoked));
        up.changes.extend(gained.into_iter().map(LaneChange::assigned));
        self.answer_change(process);
    }

    /// The source has another lane.
    fn appears(&mut self, number: usize) {
        self.appeared.insert(number);
        match self.script.spread {
            Spread::Nobody => {
                for process in 0..self.processes.len() {
                    self.change(process, assigned(number));
                }
            }
            Spread::ByGroup => self.deal_soon(SECOND),
            // The next beat gives it to somebody.
            Spread::ByMembers { .. } => {}
        }
    }

    /// The group gives every lane to a process that is there.
    fn deal_soon(&mut self, wait: Time) {
        if self.script.spread == Spread::ByGroup {
            let wait = self.random.u64(0..=wait);
            self.at(wait, Whose::World, "the group deals out lanes", Self::deal);
        }
    }

    fn deal(&mut self) {
        let there: Vec<_> = (0..self.processes.len())
            .filter(|process| {
                self.processes[*process].up.as_ref().is_some_and(|up| !up.is_draining)
            })
            .collect();
        for number in self.appeared.clone() {
            let next = (!there.is_empty()).then(|| there[self.random.usize(0..there.len())]);
            let before = std::mem::replace(&mut self.owners[number], next);
            if before == next {
                continue;
            }
            if let Some(before) = before {
                self.change(before, LaneChange::Revoked(lane(number)));
            }
            if let Some(next) = next {
                self.change(next, assigned(number));
            }
        }
    }

    fn change(&mut self, process: usize, change: LaneChange) {
        if let Some(up) = &mut self.processes[process].up {
            up.changes.push_back(change);
            self.answer_change(process);
        }
    }

    fn answer_change(&mut self, process: usize) {
        let whose = self.process(process);
        let wait = self.latency();
        self.at(wait, whose, "a change of lanes", move |world| {
            let Script { spread, last_appears, .. } = world.script;
            let is_group_down = spread == Spread::ByGroup && world.is_down(Fault::GroupDown);
            let is_last_told = spread == Spread::Nobody
                && last_appears.is_none_or(|_| world.appeared.len() == world.owners.len());
            let Some(up) = &mut world.processes[process].up else { return };
            if !up.is_asking {
                return;
            }
            let change = if is_group_down {
                Err(transient("the group is gone"))
            } else if std::mem::take(&mut up.has_beat_failed) {
                Err(transient("the ledger is gone"))
            } else if let Some(change) = up.changes.pop_front() {
                Ok(Some(change))
            } else if is_last_told && !up.are_all_told {
                up.are_all_told = true;
                Ok(None)
            } else {
                return;
            };
            up.is_asking = false;
            world.on_supervisor(process, SupervisorEvent::Change(change));
        });
    }

    fn on_supervisor(&mut self, process: usize, event: SupervisorEvent) {
        let now = self.instant();
        self.tell(|| format!("    supervisor {process} hears {}", short(&event)));
        let Some(up) = &mut self.processes[process].up else { return };
        let actions = up.supervisor.on(now, event);
        actions.into_iter().for_each(|action| self.supervise(process, action));
    }

    fn supervise(&mut self, process: usize, action: SupervisorAction) {
        self.tell(|| format!("    supervisor {process} does {}", short(&action)));
        match action {
            SupervisorAction::AskForChange => {
                if let Some(up) = &mut self.processes[process].up {
                    up.is_asking = true;
                    self.answer_change(process);
                }
            }
            SupervisorAction::Start { lane, until } => self.start_lane(process, lane, until),
            SupervisorAction::Stop(lane) => {
                if let Some(up) = &mut self.processes[process].up {
                    up.lanes.remove(&number(&lane));
                }
            }
            SupervisorAction::Look => {
                let whose = self.process(process);
                let wait = self.latency();
                self.at(wait, whose, "looks where lanes stand", move |world| {
                    let positions = world.positions();
                    world.on_supervisor(process, SupervisorEvent::Looked(positions));
                });
            }
            SupervisorAction::Say { .. } | SupervisorAction::Tell(_) => {}
            SupervisorAction::End(end) => self.ended(process, &end),
        }
    }

    fn positions(&self) -> Result<BTreeMap<Lane, Position>, ConnectorError> {
        if self.is_down(Fault::LedgerDown) {
            return Err(transient("the ledger is gone"));
        }
        let lanes = self.seen().lanes.iter();
        Ok(lanes.map(|(number, it)| (lane(*number), it.model.position)).collect())
    }

    /// What a read of the ledger shows.
    fn seen(&self) -> &Ledger {
        match &self.saved {
            Some(old) if self.is_down(Fault::StaleReads) => old,
            Some(_) | None => &self.ledger,
        }
    }

    fn ended(&mut self, process: usize, end: &Result<(), PipelineError>) {
        let Some(mut up) = self.processes[process].up.take() else { return };
        self.tell(|| format!("  process {process} ends: {end:?}"));
        while let Ok(event) = up.events.try_recv() {
            self.oracle.hears(self.step, process, &event);
            up.swap.on(self.instant(), SwapEvent::Generation(event));
        }
        let now = self.instant();
        let (_, unwritten) = up.swap.end(now, end.is_ok() && !up.is_draining);
        if !self.is_down(Fault::LedgerDown) {
            let now = self.now;
            self.ledger.judgements.extend(unwritten.into_iter().map(|it| (now, it)));
            if let Some((id, _)) = &up.roster {
                self.ledger.beats.remove(id);
            }
        }
        for owner in &mut self.owners {
            if *owner == Some(process) {
                *owner = None;
            }
        }
        self.deal_soon(10 * SECOND);
        if let Some(next) = up.restart {
            let before = up.made;
            self.at(MILLI, Whose::World, "begins anew", move |world| {
                world.begin(process, next, Some(before));
            });
            return;
        }
        if end.is_err()
            && !up.has_claimed
            && let Some(before) = up.before
        {
            self.at(MILLI, Whose::World, "goes back", move |world| {
                world.begin(process, before, None);
            });
            return;
        }
        self.oracle.exits(self.now, process, end, up.is_draining, &self.ledger, &up.ends);
        if self.script.until_end && end.is_ok() && !up.is_draining {
            self.processes[process].is_done = true;
        } else {
            let wait = self.random.u64(SECOND..10 * SECOND);
            self.at(wait, Whose::World, "starts", move |world| world.start(process));
        }
    }

    // Lanes.

    fn start_lane(&mut self, process: usize, lane: Lane, until: Option<Position>) {
        let random = self.random.fork();
        let settings = LaneSettings {
            args: PipelineArgs { file: "a.yaml".into(), replay: None },
            batch: Most { records: self.script.batch, bytes: 1 << 20 },
            unit: UnitLimits {
                rows: self.script.unit_rows,
                bytes: u64::MAX,
                time: Duration::from_millis(200),
            },
            breaker: BreakerLimits {
                ratio_max: self.script.dead_ratio_max,
                records_min: self.script.dead_records_min,
            },
            batches_max: 6,
            has_group: self.script.spread != Spread::Nobody,
            is_awaited: self.script.is_awaited,
        };
        let Some(up) = &mut self.processes[process].up else { return };
        up.lane_incarnations += 1;
        let incarnation = up.lane_incarnations;
        let generations = Arc::clone(&up.generations);
        let follows = generations.follow();
        let number = number(&lane);
        let mut machine = LaneMachine::new(lane, settings, generations, until, random);
        let actions = machine.begin();
        up.lanes.insert(
            number,
            LaneUp {
                machine,
                incarnation,
                tick: None,
                follows,
                reads: VecDeque::new(),
                reader: None,
                is_reading: false,
                holding: None,
                acknowledged: None,
            },
        );
        let is_draining = up.is_draining;
        actions.into_iter().for_each(|action| self.act(process, number, action));
        if is_draining {
            let whose = self.whose(process, number);
            self.at(0, whose, "drains", move |world| {
                world.on_lane(process, number, LaneEvent::Drain);
            });
        }
    }

    fn whose(&self, process: usize, number: usize) -> Whose {
        let incarnation = self.processes[process].incarnation;
        let up = self.processes[process].up.as_ref();
        let lane = up.and_then(|up| up.lanes.get(&number)).map_or(0, |lane| lane.incarnation);
        Whose::Lane(process, incarnation, number, lane)
    }

    fn on_lane(&mut self, process: usize, number: usize, event: LaneEvent) {
        let now = self.instant();
        self.tell(|| format!("    lane {process}/{number} hears {}", short(&event)));
        let Some(up) = &mut self.processes[process].up else { return };
        let Some(lane_up) = up.lanes.get_mut(&number) else { return };
        let actions = lane_up.machine.on(now, event);
        actions.into_iter().for_each(|action| self.act(process, number, action));
    }

    fn act(&mut self, process: usize, number: usize, action: LaneAction) {
        self.tell(|| format!("    lane {process}/{number} does {}", short(&action)));
        let whose = self.whose(process, number);
        match action {
            LaneAction::Claim(ticket) => {
                let up = self.processes[process].up.as_ref();
                let start = up.and_then(|up| up.starts.get(&lane(number)));
                let start = position(start.map_or(0, |start| record_or_first(*start)));
                let wait = self.latency();
                self.at(wait, Whose::World, "a claim lands", move |world| {
                    world.claim(whose, process, number, (ticket, start));
                });
            }
            LaneAction::Read { ticket, open, most } => {
                if let Some(up) = &mut self.processes[process].up
                    && let Some(lane_up) = up.lanes.get_mut(&number)
                {
                    lane_up.reads.push_back((ticket, open, most));
                }
                self.read_on(process, number);
            }
            LaneAction::StopReading => {
                if let Some(up) = &mut self.processes[process].up
                    && let Some(lane_up) = up.lanes.get_mut(&number)
                {
                    lane_up.reads.clear();
                    lane_up.reader = None;
                    lane_up.holding = None;
                }
            }
            LaneAction::Clean { ticket, live, raw } => {
                let wait = self.cleaning(&live);
                self.at(wait, whose, "cleans", move |world| {
                    let result = world.clean(number, &live, &raw);
                    world.on_lane(process, number, LaneEvent::Cleaned(ticket, result));
                });
            }
            LaneAction::Commit { ticket, claim, unit, live } => {
                // The generation is stored first.
                let wait = self.latency();
                self.at(wait, whose, "sends a unit", move |world| {
                    if is_to_be_sent(&live) {
                        world.send(whose, (process, number), ticket, (&claim, &unit), live);
                    } else {
                        let event = LaneEvent::Committed(ticket, Ok(CommitAnswer::Condemned));
                        world.on_lane(process, number, event);
                    }
                });
            }
            LaneAction::Acknowledge { to, receipts } => {
                let to = record(to);
                if let Some(up) = &mut self.processes[process].up
                    && let Some(lane_up) = up.lanes.get_mut(&number)
                {
                    let before = lane_up.acknowledged.replace(to);
                    let receipts = receipts.as_ref();
                    self.oracle.acknowledged(number, (before, to), receipts, &self.ledger);
                }
            }
            LaneAction::Look(ticket) => {
                let wait = self.latency();
                self.at(wait, whose, "looks at its lane", move |world| {
                    let state = world.look(number);
                    world.on_lane(process, number, LaneEvent::Looked(ticket, state));
                });
            }
            LaneAction::Report(report) => {
                if let Some(up) = &mut self.processes[process].up {
                    up.has_claimed |= matches!(report, super::super::lane::LaneReport::Claimed);
                }
                let whose = self.process(process);
                self.at(0, whose, "a lane reports", move |world| {
                    world.on_supervisor(process, SupervisorEvent::Reported(lane(number), report));
                });
            }
            LaneAction::End(end) => self.end_lane(process, number, end),
            LaneAction::NoteHalt { .. } | LaneAction::Say { .. } | LaneAction::Tell(_) => {}
        }
    }

    fn end_lane(&mut self, process: usize, number: usize, end: LaneEnd) {
        let whose = self.process(process);
        if let Some(up) = &mut self.processes[process].up {
            up.lanes.remove(&number);
        }
        self.at(0, whose, "a lane ends", move |world| {
            world.on_supervisor(process, SupervisorEvent::Ended(lane(number), end));
        });
    }

    fn claim(
        &mut self,
        whose: Whose,
        process: usize,
        number: usize,
        (ticket, start): (Ticket, Position),
    ) {
        let wait = self.latency();
        let claimed = if self.is_down(Fault::LedgerDown) {
            Err(Halt::Sink(transient("the ledger is gone")))
        } else {
            let token = Uuid::from_u128(self.random.u128(..));
            let claim = self.ledger.claim(self.now, number, token, start);
            Ok((claim, self.read_verdicts(process)))
        };
        self.at(wait, whose, "a claim is answered", move |world| {
            world.on_lane(process, number, LaneEvent::Claimed(ticket, claimed));
        });
    }

    fn read_verdicts(&mut self, process: usize) -> Vec<Judgement> {
        let seen = self.seen().judgements.iter().map(|(_, it)| it.clone());
        let seen: Vec<Judgement> = seen.collect();
        if let Some(up) = &mut self.processes[process].up {
            up.heard = up.heard.max(seen.len());
        }
        seen
    }

    fn look(&self, number: usize) -> Result<Option<LaneState>, ConnectorError> {
        if self.is_down(Fault::LedgerDown) {
            return Err(transient("the ledger is gone"));
        }
        let time = |at: Time| SystemTime::UNIX_EPOCH + Duration::from_micros(at);
        Ok(self.seen().lanes.get(&number).map(|it| LaneState {
            lane: lane(number),
            source: crate::record::SourceId::new("simulated"),
            position: it.model.position,
            owner: it.model.owner,
            member: None,
            claimed: time(it.claimed),
            moved: time(it.moved),
            accepted_rejects: it.model.accepted_rejects,
            halted: None,
        }))
    }

    fn send(
        &mut self,
        whose: Whose,
        (process, number): (usize, usize),
        ticket: Ticket,
        (claim, unit): (&Claim, &Unit),
        live: Arc<Live>,
    ) {
        let sent = self.sent(process, number, claim, unit);
        let fault = self.next_commit.take();
        let wait = match fault {
            Some(Fault::LateEffect) => self.random.u64(SECOND..90 * SECOND),
            _ if self.is_down(Fault::SlowCommits) => self.random.u64(0..20 * SECOND),
            _ => self.latency(),
        };
        let answered = self.latency();
        let is_lost = matches!(fault, Some(Fault::CommitLost | Fault::LateEffect));
        if is_lost {
            let gives_up = self.random.u64(0..30 * SECOND);
            self.at(gives_up, whose, "a commit is given up", move |world| {
                let event = LaneEvent::Committed(ticket, Err(transient("no answer")));
                world.on_lane(process, number, event);
            });
            if fault == Some(Fault::CommitLost) {
                return;
            }
        }
        self.at(wait, Whose::World, "a unit lands", move |world| {
            let answer = world.land(&sent);
            if is_lost {
                return;
            }
            let wait = match fault {
                Some(Fault::AnswerLost) => world.random.u64(SECOND..40 * SECOND),
                _ => answered,
            };
            world.at(wait, whose, "a commit is answered", move |world| {
                let answer = world.heard(process, answer, &live);
                world.on_lane(process, number, LaneEvent::Committed(ticket, answer));
            });
        });
    }

    /// A ledger that condemns a unit is asked for verdicts at once.
    fn heard(
        &mut self,
        process: usize,
        answer: Result<CommitAnswer, ConnectorError>,
        live: &Arc<Live>,
    ) -> Result<CommitAnswer, ConnectorError> {
        if !matches!(answer, Ok(CommitAnswer::Outcome(CommitOutcome::Condemned))) {
            return answer;
        }
        if self.is_down(Fault::LedgerDown) {
            return Err(transient("the ledger is gone"));
        }
        let judgements = self.read_verdicts(process);
        if let Some(up) = &self.processes[process].up {
            up.generations.obey(live, &judgements);
        }
        answer
    }

    fn land(&mut self, sent: &Sent) -> Result<CommitAnswer, ConnectorError> {
        if self.is_down(Fault::LedgerDown) {
            return Err(transient("the ledger is gone"));
        }
        if self.is_down(Fault::TableGone) {
            return Err(ConnectorError::new(ErrorClass::Systemic, "the table is gone"));
        }
        let outcome = match self.ledger.commit(self.now, sent) {
            Landed::Done { refused, rows } => {
                let refused = (refused > 0).then(|| ("odd".to_owned(), refused));
                let (refused, receipts) = (refused.into_iter().collect(), sent.receipts.clone());
                CommitOutcome::Done(Stored { rows, refused, receipts, ..Stored::default() })
            }
            Landed::Fenced => CommitOutcome::Fenced,
            Landed::Condemned => CommitOutcome::Condemned,
            Landed::Refused(rows) => CommitOutcome::Refused([("odd".to_owned(), rows)].into()),
        };
        Ok(CommitAnswer::Outcome(outcome))
    }

    fn sent(&self, process: usize, number: usize, claim: &Claim, unit: &Unit) -> Sent {
        let rule = self.rule(unit.generation);
        let mut applied = Applied {
            at: 0,
            by: process,
            sent: self.step,
            from: record(unit.from),
            to: record(unit.to),
            generation: Some(unit.generation),
            records: unit.records(),
            rows: Vec::new(),
            dropped: unit.dropped(),
            dead: Vec::new(),
            refused: Vec::new(),
        };
        for part in &unit.parts {
            let place = |at: u32| record(part.raw.records[at as usize].position);
            applied.rows.extend(part.origins.iter().map(|at| place(*at)));
            applied.dead.extend(part.dead_letters.iter().map(|dead| place(dead.record)));
        }
        let is_bad = |row: u64| self.script.fate(rule, number, row) == Fate::Refused;
        let refused = |(part, it): (usize, &UnitPart)| {
            let place = |at: u32| record(it.raw.records[at as usize].position);
            let bad = it.origins.iter().copied().filter(|at| is_bad(place(*at)));
            bad.map(|record| refused(part, record)).collect::<Vec<_>>()
        };
        let receipts = || unit.parts.iter().enumerate().flat_map(refused).collect();
        let up = self.processes[process].up.as_ref();
        let heard = up.filter(|_| self.script.compares_verdicts).map(|up| up.heard);
        Sent {
            lane: number,
            token: claim.token,
            bad_rows: applied.rows.iter().copied().filter(|row| is_bad(*row)).collect(),
            receipts: unit.wants_receipts.then(receipts),
            heard,
            unit: applied,
            refusals_max: unit.refusals_max,
            accepted_rejects: unit.accepted_rejects,
        }
    }

    fn rule(&self, digest: Digest) -> usize {
        (0..self.script.rules.len()).find(|rule| generation(*rule) == digest).expect("a rule")
    }

    fn cleaning(&mut self, live: &Live) -> Time {
        let rule = self.rule(live.generation);
        match self.script.rules[rule].conduct {
            Conduct::Slow => self.random.u64(0..2 * SECOND),
            _ if self.random.u8(0..16) == 0 => self.random.u64(0..3 * SECOND),
            _ => self.random.u64(0..20 * MILLI),
        }
    }

    fn clean(&mut self, number: usize, live: &Live, raw: &Arc<RawBatch>) -> CleanResult {
        let rule = self.rule(live.generation);
        let places: Vec<_> = raw.records.iter().map(|it| record(it.position)).collect();
        let mut failed_calls = 0;
        if places.iter().any(|place| self.script.traps(rule, number, *place)) {
            failed_calls = 1;
            // What it does about it differs between tries.
            if self.random.bool() {
                return Err(Uncleanable::Bug("it trapped".to_owned()));
            }
        }
        let (mut origins, mut dead_letters, mut dropped) = (Vec::new(), Vec::new(), 0);
        for (at, place) in places.iter().enumerate() {
            match self.script.fate(rule, number, *place) {
                Fate::Row | Fate::Refused => origins.push(at as u32),
                Fate::Dropped => dropped += 1,
                Fate::Dead => dead_letters.push(DeadLetter {
                    record: at as u32,
                    step: None,
                    reason: "bad".to_owned(),
                    detail: None,
                }),
            }
        }
        let did = Did {
            batches: 1,
            records: places.len() as u64,
            rejects: dead_letters.len() as u64,
            failed_calls,
            took: Duration::from_micros(places.len() as u64),
        };
        let raw = Arc::clone(raw);
        let part = UnitPart { raw, rows: Rows::Raw, origins, deletes: None, dropped, dead_letters };
        Ok(CleanedBatch {
            part,
            tallies: Vec::new(),
            dropped: Vec::new(),
            examples: Vec::new(),
            conduct: did,
        })
    }

    // Rules.

    fn on_swap(&mut self, process: usize, event: SwapEvent<Made>) {
        let now = self.instant();
        self.tell(|| format!("    swapper {process} hears {}", short(&event)));
        let Some(up) = &mut self.processes[process].up else { return };
        let actions = up.swap.on(now, event);
        actions.into_iter().for_each(|action| self.swap(process, action));
    }

    fn swap(&mut self, process: usize, action: SwapAction<Made>) {
        self.tell(|| format!("    swapper {process} does {}", short(&action)));
        let whose = self.process(process);
        match action {
            SwapAction::TryOut { what, running, .. } => {
                let wait = self.random.u64(MILLI..3 * SECOND);
                self.at(wait, whose, "the gates answer", move |world| {
                    let passed = world.gates(&what, running);
                    world.on_swap(process, SwapEvent::Passed(Gated { told: Vec::new(), passed }));
                });
            }
            SwapAction::Write(judgement) => {
                let (wait, answered) = (self.latency(), self.latency());
                self.at(wait, Whose::World, "a verdict lands", move |world| {
                    let written = if world.is_down(Fault::LedgerDown) {
                        Err(transient("the ledger is gone"))
                    } else {
                        world.ledger.judgements.push((world.now, judgement));
                        Ok(())
                    };
                    world.at(answered, whose, "a verdict is written", move |world| {
                        world.on_swap(process, SwapEvent::Written(written));
                    });
                });
            }
            SwapAction::ReadVerdicts => {
                let wait = self.latency();
                self.at(wait, whose, "reads verdicts", move |world| {
                    let is_down = world.is_down(Fault::LedgerDown);
                    let seen = (!is_down).then(|| world.read_verdicts(process));
                    world.on_swap(process, SwapEvent::VerdictsRead(seen));
                });
            }
            SwapAction::Restart { next, .. } => {
                if let Some(up) = &mut self.processes[process].up {
                    up.restart = Some(next);
                }
                self.drain(process);
            }
            SwapAction::Follow(made) => {
                if let Some(up) = &mut self.processes[process].up {
                    up.made = made;
                }
            }
            SwapAction::Announce(_)
            | SwapAction::TellLetters { .. }
            | SwapAction::Say { .. }
            | SwapAction::Tell(_)
            | SwapAction::Answer(..) => {}
        }
    }

    fn gates(&self, what: &What<Made>, running: Made) -> Result<Passed<Made>, Refused> {
        let refused =
            |why: &str, judges| Refused { why: why.to_owned(), is_passing: false, judges };
        let gone = Refused { why: "no ledger".to_owned(), is_passing: true, judges: None };
        if self.is_down(Fault::LedgerDown) {
            return Err(gone);
        }
        let next = match what {
            What::Written => self.file,
            What::Plugin(_) => return Ok(Passed::Tried),
            What::LastGood { bad, .. } => {
                let judgements: Vec<_> =
                    self.ledger.judgements.iter().map(|(_, it)| it.clone()).collect();
                match good_beside(*bad, &judgements) {
                    Some(good) => (self.rule(good), running.1),
                    None => return Err(refused("none before", None)),
                }
            }
        };
        let digest = generation(next.0);
        if next.1 != running.1 {
            return Ok(Passed::Restart(next));
        }
        if next.0 == running.0 {
            return Ok(Passed::Same);
        }
        if self.seen().is_bad(digest) {
            return Err(refused("marked", None));
        }
        if self.script.rules[next.0].conduct == Conduct::Broken {
            return Err(refused("broken", Some(digest)));
        }
        let live = Live::bare(digest, self.sink.clone());
        Ok(Passed::Ready(Box::new(Ready { pipeline: next, live })))
    }

    // What happens to a process after each of its steps.

    fn settle(&mut self, process: usize) {
        self.hear_generations(process);
        self.take_memory(process);
        self.set_ticks(process);
    }

    fn hear_generations(&mut self, process: usize) {
        let whose = self.process(process);
        let Some(up) = &mut self.processes[process].up else { return };
        let mut heard = Vec::new();
        while let Ok(event) = up.events.try_recv() {
            heard.push(event);
        }
        let mut changed = Vec::new();
        for (number, lane) in &mut up.lanes {
            if lane.follows.has_changed().unwrap_or_default() {
                lane.follows.mark_unchanged();
                changed.push(*number);
            }
        }
        for event in heard {
            self.oracle.hears(self.step, process, &event);
            self.at(0, whose, "the swapper is told", move |world| {
                world.on_swap(process, SwapEvent::Generation(event));
            });
        }
        for number in changed {
            let whose = self.whose(process, number);
            let wait = self.random.u64(0..MILLI);
            self.at(wait, whose, "generations have changed", move |world| {
                world.on_lane(process, number, LaneEvent::GenerationsChanged);
            });
        }
    }

    /// Reads that wait for memory get it if there is some.
    fn take_memory(&mut self, process: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let incarnation = self.processes[process].incarnation;
        let Some(up) = &mut self.processes[process].up else { return };
        let mut read = Vec::new();
        for (number, lane) in &mut up.lanes {
            let Some((hold, ..)) = &mut lane.holding else { continue };
            if let Poll::Ready(held) = hold.as_mut().poll(&mut context) {
                let (_, ticket, raw) = lane.holding.take().expect("it was there");
                let whose = Whose::Lane(process, incarnation, *number, lane.incarnation);
                read.push((*number, whose, ticket, ReadBatch { raw, held, ahead: None }));
            }
        }
        let mut short = Vec::new();
        if up.budget.is_short_now() {
            let may = up.lanes.iter().filter(|(_, lane)| lane.machine.may_free_memory());
            short.extend(may.map(|(number, _)| *number));
        }
        assert!(up.budget.held_bytes() <= self.script.memory.max(1024), "memory is bounded");
        for (number, whose, ticket, batch) in read {
            self.at(0, whose, "records are read", move |world| {
                world.on_lane(process, number, LaneEvent::Read(ticket, Ok(Some(batch))));
                world.read_on(process, number);
            });
        }
        for number in short {
            let whose = self.whose(process, number);
            self.at(0, whose, "memory is short", move |world| {
                world.on_lane(process, number, LaneEvent::MemoryShort);
            });
        }
    }

    fn set_ticks(&mut self, process: usize) {
        let now = self.now;
        if self.processes[process].paused > now {
            return;
        }
        let (begins, incarnation) = (self.begins, self.processes[process].incarnation);
        let Some(up) = &mut self.processes[process].up else { return };
        let time =
            |at: Instant| at.saturating_duration_since(begins).as_nanos().div_ceil(1_000) as Time;
        // One that stands at or before the time that is asked for will do.
        let is_new = |known: &mut Option<Time>, due: Option<Instant>| {
            let due = due.map(|due| time(due).max(now))?;
            if known.is_some_and(|known| known >= now && known <= due) {
                return None;
            }
            *known = Some(due);
            Some(due - now)
        };
        let supervisor = is_new(&mut up.supervisor_tick, up.supervisor.due());
        let swap = is_new(&mut up.swap_tick, up.swap.due());
        let mut lanes = Vec::new();
        for (number, lane) in &mut up.lanes {
            if let Some(wait) = is_new(&mut lane.tick, lane.machine.due()) {
                let whose = Whose::Lane(process, incarnation, *number, lane.incarnation);
                lanes.push((*number, whose, wait));
            }
        }
        let whose = self.process(process);
        if let Some(wait) = supervisor {
            self.at(wait, whose, "supervisor's time", move |world| {
                if let Some(up) = &mut world.processes[process].up {
                    up.supervisor_tick = None;
                }
                world.on_supervisor(process, SupervisorEvent::Tick);
            });
        }
        if let Some(wait) = swap {
            self.at(wait, whose, "swapper's time", move |world| {
                if let Some(up) = &mut world.processes[process].up {
                    up.swap_tick = None;
                }
                world.on_swap(process, SwapEvent::Tick);
            });
        }
        for (number, whose, wait) in lanes {
            self.at(wait, whose, "lane's time", move |world| {
                if let Some(up) = &mut world.processes[process].up
                    && let Some(lane) = up.lanes.get_mut(&number)
                {
                    lane.tick = None;
                }
                world.on_lane(process, number, LaneEvent::Tick);
            });
        }
    }

    // Faults.

    fn drain(&mut self, process: usize) {
        let Some(up) = &mut self.processes[process].up else { return };
        up.is_draining = true;
        let lanes: Vec<_> = up.lanes.keys().copied().collect();
        let whose = self.process(process);
        self.at(0, whose, "drains", move |world| {
            world.on_supervisor(process, SupervisorEvent::Drain);
        });
        for number in lanes {
            let whose = self.whose(process, number);
            self.at(0, whose, "drains", move |world| {
                world.on_lane(process, number, LaneEvent::Drain);
            });
        }
    }

    fn crash(&mut self, process: usize) {
        let state = &mut self.processes[process];
        if state.up.take().is_none() {
            return;
        }
        state.incarnation += 1;
        state.paused = 0;
        self.oracle.crashes(process);
        for owner in &mut self.owners {
            if *owner == Some(process) {
                *owner = None;
            }
        }
        self.deal_soon(10 * SECOND);
        let wait = self.random.u64(0..20 * SECOND);
        self.at(wait, Whose::World, "starts", move |world| world.start(process));
    }

    fn states(&self) -> Vec<&'static str> {
        let up = self.processes.iter().filter_map(|process| process.up.as_ref());
        up.flat_map(|up| up.lanes.values().map(|lane| lane.machine.state_name())).collect()
    }

    /// Strikes when a lane does this, or after a while.
    fn lies_in_wait(&mut self, fault: Fault, state: &'static str) {
        let number = self.sequence;
        self.lurking.insert(number, (fault, state));
        let wait = self.random.u64(0..LONGEST_WAIT);
        self.at(wait, Whose::World, "a fault waits no longer", move |world| {
            if world.lurking.remove(&number).is_some() {
                world.strike(fault);
            }
        });
    }

    fn strike_what_was_waited_for(&mut self) {
        if self.lurking.is_empty() {
            return;
        }
        let states = self.states();
        let met = self.lurking.iter().find(|(_, (_, state))| states.contains(state));
        if let Some((number, (fault, _))) = met.map(|(number, it)| (*number, *it)) {
            self.lurking.remove(&number);
            self.strike(fault);
        }
    }

    fn strike(&mut self, fault: Fault) {
        if self.now >= self.script.calm {
            return;
        }
        let states = self.states();
        self.struck.extend(states.into_iter().map(|state| (fault, state)));
        self.tell(|| format!("  {fault:?} strikes"));
        let process = self.random.usize(0..self.processes.len());
        let number = self.random.usize(0..self.script.lanes.len());
        match fault {
            Fault::LedgerDown
            | Fault::TableGone
            | Fault::SlowCommits
            | Fault::SourceDown
            | Fault::GroupDown
            | Fault::StaleReads => {
                let longest = [SECOND, 20 * SECOND, 90 * SECOND][self.random.usize(0..3)];
                let until = self.now + self.random.u64(0..longest);
                self.down.insert(fault, until.min(self.script.calm));
                if fault == Fault::StaleReads {
                    self.saved = Some(self.ledger.clone());
                }
                for process in 0..self.processes.len() {
                    if self.processes[process].up.is_some() {
                        self.answer_change(process);
                    }
                }
                self.oracle.outage(fault, self.now, until.min(self.script.calm));
            }
            Fault::CommitLost | Fault::AnswerLost | Fault::LateEffect => {
                self.oracle.outage(fault, self.now, self.now + 90 * SECOND);
                self.next_commit = Some(fault);
            }
            Fault::FailOver => {
                let old = self.ledger.clone();
                let wait = self.random.u64(0..5 * SECOND).min(self.script.calm - 1 - self.now);
                self.at(wait, Whose::World, "fails over", move |world| {
                    world.ledger = old;
                    world.saved = None;
                    world.oracle.fails_over();
                });
            }
            Fault::Rebalance => self.deal_soon(0),
            Fault::OldView => {
                let until = (self.now + self.random.u64(0..60 * SECOND)).min(self.script.calm);
                let beats = self.ledger.beats.clone();
                if let Some(up) = &mut self.processes[process].up {
                    up.old_view = Some((beats, until));
                }
            }
            Fault::Crash => self.crash(process),
            Fault::Pause => {
                let until = self.now + self.random.u64(0..90 * SECOND);
                self.processes[process].paused = until.min(self.script.calm);
                self.deal_soon(10 * SECOND);
            }
            Fault::Roll => self.drain(process),
            Fault::Edit => {
                let rule = self.random.usize(0..self.script.rules.len());
                self.save((rule, self.file.1));
            }
            Fault::EditUnit => self.save((self.file.0, self.file.1 + 1)),
            Fault::AskBack => self.ask_back(process),
            Fault::OtherVerdict => {
                let rule = self.random.usize(1..self.script.rules.len());
                let judgement =
                    judged(generation(rule), Verdict::RolledBack, Some("elsewhere".to_owned()));
                self.ledger.judgements.push((self.now, judgement));
            }
            Fault::Move => self.move_lane(number),
            Fault::Resume => {
                if let Some(lane) = self.ledger.lanes.get_mut(&number) {
                    lane.model.accept_rejects(5);
                }
            }
        }
    }

    fn ask_back(&mut self, process: usize) {
        use crate::swap::machine::{Wanted, Wish};
        let whose = self.process(process);
        self.at(0, whose, "somebody asks for the rule before", move |world| {
            let (answer, _) = tokio::sync::oneshot::channel();
            let wish = Wish { what: Wanted::RollBack { step: "any".to_owned() }, answer };
            world.on_swap(process, SwapEvent::Wished(wish));
        });
    }

    fn move_lane(&mut self, number: usize) {
        let available = self.available[number];
        let token = Uuid::from_u128(self.random.u128(..));
        let Some(lane) = self.ledger.lanes.get_mut(&number) else { return };
        let from = lane.stands();
        let to = (from + 2).min(available);
        if to == from || !lane.model.move_to((position(from), position(to)), token) {
            return;
        }
        let gap = Applied {
            at: self.now,
            by: usize::MAX,
            sent: 0,
            from,
            to,
            generation: None,
            records: 0,
            rows: Vec::new(),
            dropped: 0,
            dead: Vec::new(),
            refused: Vec::new(),
        };
        lane.units.push(gap);
    }

    fn save(&mut self, file: Made) {
        self.file = file;
        for process in 0..self.processes.len() {
            let whose = self.process(process);
            let wait = self.random.u64(0..SECOND);
            self.at(wait, whose, "a file has changed", move |world| {
                world.on_swap(process, SwapEvent::Changed);
            });
        }
    }

    /// Nothing goes wrong any more, and a good rule is saved.
    fn calm(&mut self) {
        self.down.clear();
        self.lurking.clear();
        self.next_commit = None;
        for process in 0..self.processes.len() {
            self.processes[process].paused = 0;
        }
        if !self.script.until_end {
            // By the next record a lane finds out what a fail-over has lost.
            for number in 0..self.script.lanes.len() {
                self.script.lanes[number] += 1;
                self.arrives(number);
            }
        }
        self.oracle.lanes_grow(self.script.lanes.clone());
        let salt = self.random.u64(..);
        self.script.rules.push(super::script::Rule { conduct: Conduct::Good, salt });
        self.oracle.rule_is_added(self.script.rules.clone());
        self.save((self.script.rules.len() - 1, self.file.1));
    }
}

fn refused(part: usize, record: u32) -> RowReceipt {
    let receipt = Receipt::Dead { step: None, reason: "odd".to_owned(), detail: None };
    RowReceipt { part, record, receipt }
}

fn judged(generation: Digest, verdict: Verdict, reason: Option<String>) -> Judgement {
    Judgement { generation, verdict, reason, time: SystemTime::UNIX_EPOCH }
}

fn raw(from: u64, to: u64) -> RawBatch {
    RawBatch::new(
        bytes::Bytes::new(),
        (from..to).map(|at| RawRecord::value(position(at), 0..0)).collect(),
        (position(from), position(to)),
    )
}

/// The beginning of what something looks like.
fn short(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    text.chars().take(160).collect()
}
