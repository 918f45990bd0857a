//! What becomes of a changed rule, as a machine: events go in, actions come out. No I/O, and no
//! clock.
//!
//! One change is tried at a time, and verdicts come first. `P` is what a generation is made of;
//! nothing here looks into it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tracing::Level;

use super::request::Answer;
use crate::ledger::{Judgement, Verdict};
use crate::pipeline::PluginSwap;
use crate::pipeline::config::ProbationConfig;
use crate::record::{ConnectorError, Digest, Lane, Position};
use crate::run::{GenerationEvent, Generations, Live, News, SwapResult, Trouble};

/// How often the verdicts of other processes are read.
const VERDICTS_EVERY: Duration = Duration::from_secs(5);

/// How often to look for records to try a rule on.
const LOOK: Duration = Duration::from_millis(500);

/// Between two tries to write a verdict.
const AGAIN: Duration = Duration::from_secs(1);

/// A run that ends before the probation does has proven its rule if it cleaned this many records.
const PROVEN_RECORDS: u64 = 1_000;

/// The shortest probation.
const SOON: Duration = Duration::from_millis(100);

/// For ever, as far as a process is concerned.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// A request of somebody who waits for the answer.
#[derive(Debug)]
pub(crate) struct Wish {
    pub what: Wanted,
    pub answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
pub(crate) enum Wanted {
    Swap {
        swap: PluginSwap,
        is_dry: bool,
    },
    /// Back to the previous generation, if its plugin or configuration for this step differs.
    RollBack {
        step: String,
    },
}

/// How far something came on its way through the gates.
#[derive(Debug)]
pub(crate) struct Gated<P> {
    /// What gates said.
    pub told: Vec<String>,
    pub passed: Result<Passed<P>, Refused>,
}

#[derive(Debug)]
pub(crate) enum Passed<P> {
    /// It is what runs already.
    Same,
    /// It passed all gates and is ready to take over.
    Ready(Box<Ready<P>>),
    /// It passed a dry run.
    Tried,
    /// The source or the sink differs.
    Restart(P),
}

#[derive(Debug)]
pub(crate) struct Ready<P> {
    pub pipeline: P,
    pub live: Live,
}

/// Why something does not take over.
#[derive(Debug)]
pub(crate) struct Refused {
    pub why: String,
    /// A later try may succeed although nothing was changed.
    pub is_passing: bool,
    /// The generation to record as refused.
    pub judges: Option<Digest>,
}

/// What is sent through the gates.
#[derive(Debug)]
pub(crate) enum What<P> {
    /// What the files say.
    Written,
    /// The same, with another plugin in a step.
    Plugin(PluginSwap),
    /// The last generation that did well, in place of a bad one. If asked for a step, that step has
    /// to differ.
    LastGood { written: P, bad: Digest, step: Option<String> },
}

/// What happened.
#[derive(Debug)]
pub(crate) enum SwapEvent<P> {
    /// Lanes or the ledger have said something about generations.
    Generation(GenerationEvent),
    /// Files have changed.
    Changed,
    Wished(Wish),
    Passed(Gated<P>),
    /// Whether a verdict was written.
    Written(Result<(), ConnectorError>),
    /// What other processes found out; none if the ledger does not tell.
    VerdictsRead(Option<Vec<Judgement>>),
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum SwapAction<P> {
    /// Sends something through the gates beside what runs.
    TryOut {
        what: What<P>,
        running: P,
        is_dry: bool,
    },
    /// Writes a verdict down.
    Write(Judgement),
    /// Asks the ledger what other processes found out.
    ReadVerdicts,
    /// Another generation cleans: its files are watched from now on.
    Follow(P),
    /// Says that a generation took over, once it is known where.
    Announce(Box<TakenOver>),
    /// Says which dead letters are of a generation that was rolled back.
    TellLetters {
        bad: Digest,
    },
    Say {
        level: Level,
        text: String,
    },
    Tell(News),
    Answer(oneshot::Sender<Answer>, Answer),
    /// The lanes end and begin again.
    Restart {
        next: P,
        before: P,
    },
}

/// A generation that took over.
#[derive(Debug)]
pub(crate) struct TakenOver {
    pub next: Arc<Live>,
    pub before: Arc<Live>,
    pub took: Duration,
    /// What the gates said.
    pub told: Vec<String>,
    /// How long its probation lasts.
    pub probation: Option<Duration>,
    pub plugin: Option<PluginSwap>,
    pub answer: Option<oneshot::Sender<Answer>>,
}

#[derive(Debug)]
pub(crate) struct SwapMachine<P> {
    /// What was written when a change was last taken over.
    written: P,
    running: P,
    /// What the current generation is made of, and those that a rollback may lead back to.
    known: Vec<(Digest, P)>,
    generations: Arc<Generations>,
    limits: ProbationConfig,
    clock: WallClock,
    unwritten: VecDeque<Judgement>,
    writes: Write,
    /// The generation that is on probation, and until when.
    probation: Option<(Arc<Live>, Instant)>,
    attempt: Option<Attempt>,
    /// What has to wait until that is over.
    waiting: VecDeque<Wish>,
    verdict_reads: VerdictRead,
    /// Another process found it to be bad, and nothing else is there to run.
    unhappy: Option<Digest>,
    /// Files have changed while something else was on its way.
    has_changed: bool,
    /// What is written was refused at the start, and is tried again once there are records to try
    /// it on: the next look for some.
    waits_for_records: Option<Instant>,
    actions: Vec<SwapAction<P>>,
}

/// What is on its way through the gates.
#[derive(Debug)]
struct Attempt {
    answer: Option<oneshot::Sender<Answer>>,
    /// The plugin that somebody wants in a step.
    plugin: Option<PluginSwap>,
    began: Instant,
    undoes: Option<Undone>,
}

/// The generation that is given up for another one, and why.
#[derive(Debug)]
struct Undone {
    bad: Arc<Live>,
    why: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    At(Instant),
    Asked,
}

#[derive(Debug)]
enum VerdictRead {
    At(Instant),
    Asked,
    /// Before the probation of this one ends.
    AskedFor(Arc<Live>, &'static str),
}

/// What a machine begins with.
#[derive(Debug)]
pub(crate) struct Beginning<P> {
    pub written: P,
    pub running: P,
    /// Those that a rollback may lead back to.
    pub known: Vec<(Digest, P)>,
    /// Verdicts to write.
    pub judgements: Vec<Judgement>,
    /// What is written was refused for want of records, and is tried once there are some.
    pub is_to_be_tried: bool,
    pub limits: ProbationConfig,
    pub clock: WallClock,
}

/// Tells the time of day by a monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    pub began: Instant,
    pub at: SystemTime,
}

impl WallClock {
    pub fn now() -> Self {
        Self { began: Instant::now(), at: SystemTime::now() }
    }

    fn tell(&self, now: Instant) -> SystemTime {
        self.at + now.saturating_duration_since(self.began)
    }
}

impl<P: Clone> SwapMachine<P> {
    pub fn new(now: Instant, beginning: Beginning<P>, generations: Arc<Generations>) -> Self {
        let Beginning { written, running, known, judgements, is_to_be_tried, limits, clock } =
            beginning;
        let live = generations.current();
        let mut machine = Self {
            written,
            running,
            known,
            generations,
            limits,
            clock,
            unwritten: judgements.into(),
            writes: Write::At(now),
            probation: None,
            attempt: None,
            waiting: VecDeque::new(),
            verdict_reads: VerdictRead::At(now + VERDICTS_EVERY),
            unhappy: None,
            has_changed: false,
            waits_for_records: is_to_be_tried.then(|| now + LOOK),
            actions: Vec::new(),
        };
        machine.act(SwapAction::Tell(News::Generation(live.generation)));
        machine.watch_over(&live, now);
        machine
    }

    pub fn begin(&mut self, now: Instant) -> Vec<SwapAction<P>> {
        self.go_on(now);
        std::mem::take(&mut self.actions)
    }

    pub fn on(&mut self, now: Instant, event: SwapEvent<P>) -> Vec<SwapAction<P>> {
        match event {
            SwapEvent::Generation(event) => self.heard(now, event),
            SwapEvent::Changed => self.has_changed = true,
            SwapEvent::Wished(wish) => self.waiting.push_back(wish),
            SwapEvent::Passed(gated) => self.passed(now, gated),
            SwapEvent::Written(written) => self.wrote(now, written),
            SwapEvent::VerdictsRead(judgements) => self.verdicts_read(now, judgements),
            SwapEvent::Tick => {}
        }
        self.go_on(now);
        std::mem::take(&mut self.actions)
    }

    /// When it has to be told the time.
    pub fn due(&self) -> Option<Instant> {
        let writes = match self.writes {
            Write::At(at) if !self.unwritten.is_empty() => Some(at),
            Write::At(_) | Write::Asked => None,
        };
        let verdict_reads = match self.verdict_reads {
            VerdictRead::At(at) => Some(at),
            VerdictRead::Asked | VerdictRead::AskedFor(..) => None,
        };
        let proven = self.probation.as_ref().map(|(_, until)| *until);
        let proven = proven.filter(|_| !matches!(self.verdict_reads, VerdictRead::AskedFor(..)));
        [writes, verdict_reads, proven, self.waits_for_records].into_iter().flatten().min()
    }

    /// The lanes have ended: returns the verdicts that are still to be written, in order.
    pub fn end(
        &mut self,
        now: Instant,
        has_read_all: bool,
    ) -> (Vec<SwapAction<P>>, Vec<Judgement>) {
        let is_proven = |(live, _): &(Arc<Live>, Instant)| {
            has_read_all
                && live.conduct().records >= PROVEN_RECORDS
                && live.before().is_some()
                && !live.is_condemned()
        };
        if self.probation.as_ref().is_some_and(is_proven)
            && let Some((live, _)) = self.probation.take()
        {
            self.stays(now, &live, "the run is over");
        }
        (std::mem::take(&mut self.actions), self.unwritten.drain(..).collect())
    }

    fn act(&mut self, action: SwapAction<P>) {
        self.actions.push(action);
    }

    fn judge(
        &mut self,
        now: Instant,
        generation: Digest,
        verdict: Verdict,
        reason: Option<String>,
    ) {
        let time = self.clock.tell(now);
        self.unwritten.push_back(Judgement { generation, verdict, reason, time });
        if let Write::At(at) = &mut self.writes {
            *at = now;
        }
    }

    fn say(&mut self, level: Level, text: String) {
        self.act(SwapAction::Say { level, text });
    }

    fn watch_over(&mut self, live: &Arc<Live>, now: Instant) {
        self.probation = live
            .before()
            .and(live.probation_limits())
            .map(|limits| (Arc::clone(live), now + limits.time.0.clamp(SOON, FAR)));
    }

    fn go_on(&mut self, now: Instant) {
        if let Some(at) = self.waits_for_records
            && at <= now
        {
            let has_records = !self.generations.ring().recent().is_empty();
            self.waits_for_records = (!has_records).then(|| now + LOOK);
            self.has_changed |= has_records;
        }
        if let Write::At(at) = self.writes
            && at <= now
            && let Some(judgement) = self.unwritten.front().cloned()
        {
            self.writes = Write::Asked;
            self.act(SwapAction::Write(judgement));
        }
        if matches!(self.verdict_reads, VerdictRead::At(at) if at <= now) {
            self.verdict_reads = VerdictRead::Asked;
            self.act(SwapAction::ReadVerdicts);
        }
        if matches!(&self.probation, Some((_, until)) if *until <= now) {
            self.is_proven(now, "its probation is over");
        }
        if self.attempt.is_none() && std::mem::take(&mut self.has_changed) {
            self.try_out(now, What::Written, false, None, None);
        }
        while self.attempt.is_none()
            && let Some(wish) = self.waiting.pop_front()
        {
            self.grant(now, wish);
        }
    }

    fn try_out(
        &mut self,
        now: Instant,
        what: What<P>,
        is_dry: bool,
        answer: Option<oneshot::Sender<Answer>>,
        undoes: Option<Undone>,
    ) {
        let plugin = match &what {
            What::Plugin(swap) => Some(swap.clone()),
            What::Written | What::LastGood { .. } => None,
        };
        self.attempt = Some(Attempt { answer, plugin, began: now, undoes });
        let running = self.running.clone();
        self.act(SwapAction::TryOut { what, running, is_dry });
    }

    fn grant(&mut self, now: Instant, Wish { what, answer }: Wish) {
        match what {
            Wanted::Swap { swap, is_dry } => {
                self.try_out(now, What::Plugin(swap), is_dry, Some(answer), None);
            }
            Wanted::RollBack { step } => self.roll_back(now, step, answer),
        }
    }

    /// Goes back to the previous generation, if a step differs there.
    fn roll_back(&mut self, now: Instant, step: String, answer: oneshot::Sender<Answer>) {
        let live = self.generations.current();
        if let Some(before) = live.before()
            && differs(&live, &before, &step)
        {
            self.generations.roll_back(&live, Trouble::Asked, None);
            let told = vec![format!(
                "generation {} takes over again from {}, at the next batch of each lane; what was not \
                 committed is cleaned again",
                before.generation.short(),
                live.generation.short()
            )];
            self.act(SwapAction::Answer(answer, Answer::Done { told }));
            return;
        }
        self.go_back(now, Undone { bad: live, why: Trouble::Asked }, Some(step), Some(answer));
    }

    fn go_back(
        &mut self,
        now: Instant,
        undoes: Undone,
        step: Option<String>,
        answer: Option<oneshot::Sender<Answer>>,
    ) {
        let (written, bad) = (self.written.clone(), undoes.bad.generation);
        self.try_out(now, What::LastGood { written, bad, step }, false, answer, Some(undoes));
    }

    fn wrote(&mut self, now: Instant, written: Result<(), ConnectorError>) {
        self.writes = Write::At(now);
        match written {
            Ok(()) => {
                self.unwritten.pop_front();
            }
            Err(error) => {
                self.writes = Write::At(now + AGAIN);
                let text = format!("a verdict is not written down yet, trying again: {error}");
                self.say(Level::WARN, text);
            }
        }
    }

    /// Its time is over. Verdicts of other processes count first.
    fn is_proven(&mut self, now: Instant, why: &'static str) {
        let Some((live, _)) = &self.probation else { return };
        let live = Arc::clone(live);
        if live.conduct().records == 0 {
            // Without a record nothing is proven.
            self.watch_over(&live, now);
        } else if !matches!(self.verdict_reads, VerdictRead::AskedFor(..)) {
            if matches!(self.verdict_reads, VerdictRead::At(_)) {
                self.act(SwapAction::ReadVerdicts);
            }
            self.verdict_reads = VerdictRead::AskedFor(live, why);
        }
    }

    fn verdicts_read(&mut self, now: Instant, judgements: Option<Vec<Judgement>>) {
        let verdict_reads =
            std::mem::replace(&mut self.verdict_reads, VerdictRead::At(now + VERDICTS_EVERY));
        let live = self.generations.current();
        let is_bad = judgements.map(|judgements| self.generations.obey(&live, &judgements));
        let VerdictRead::AskedFor(proven, why) = verdict_reads else { return };
        let is_its = self.probation.as_ref().is_some_and(|(it, _)| Arc::ptr_eq(it, &proven));
        // A lane may have rolled it back meanwhile; that event is on its way.
        if !is_its || proven.is_condemned() {
            return;
        }
        match is_bad {
            Some(false) => {
                self.probation = None;
                self.stays(now, &proven, why);
            }
            Some(true) => self.probation = None,
            // The next read comes soon.
            None => self.probation = Some((proven, now + VERDICTS_EVERY)),
        }
    }

    fn stays(&mut self, now: Instant, live: &Live, why: &str) {
        let conduct = live.conduct();
        self.generations.end_probation(live);
        self.judge(now, live.generation, Verdict::Live, None);
        let text = format!(
            "generation {} stays: {why}, and of {} records {} are dead letters",
            live.generation.short(),
            conduct.records,
            conduct.rejects
        );
        self.say(Level::INFO, text);
    }

    fn heard(&mut self, now: Instant, event: GenerationEvent) {
        match event {
            GenerationEvent::RolledBack { bad, why, at } => self.rolled_back(now, &bad, &why, at),
            GenerationEvent::Unwanted { bad, why } => self.unwanted(now, &bad, &why),
        }
    }

    fn rolled_back(
        &mut self,
        now: Instant,
        bad: &Arc<Live>,
        why: &Trouble,
        at: Option<(Lane, Position)>,
    ) {
        let live = self.generations.current();
        let of_it = |(digest, _): &&(Digest, P)| *digest == live.generation;
        if let Some((_, running)) = self.known.iter().rev().find(of_it) {
            self.running = running.clone();
        }
        // It is not run again.
        self.known.retain(|(digest, _)| *digest != bad.generation);
        let place = at.map(|(lane, at)| format!(" at {lane}@{}", at.place()));
        let text = format!(
            "rolled back from generation {} to {}{}: {why}; what was not committed is cleaned again",
            bad.generation.short(),
            live.generation.short(),
            place.unwrap_or_default()
        );
        let level = if matches!(why, Trouble::Asked) { Level::INFO } else { Level::ERROR };
        self.say(level, text);
        self.act(SwapAction::Tell(News::Swapped {
            result: SwapResult::RolledBack,
            live: live.generation,
        }));
        if !matches!(why, Trouble::Elsewhere(_)) {
            let reason = Some(why.to_string());
            self.judge(now, bad.generation, Verdict::RolledBack, reason);
        }
        if live.before().is_some() {
            // It ran last and is still on probation: a restart begins with it.
            self.judge(now, live.generation, Verdict::OnProbation, None);
        }
        self.watch_over(&live, now);
        self.act(SwapAction::TellLetters { bad: bad.generation });
    }

    /// Another process found the current generation to be bad, and this one keeps no previous one.
    fn unwanted(&mut self, now: Instant, bad: &Arc<Live>, why: &str) {
        let is_current = Arc::ptr_eq(&self.generations.current(), bad);
        if !is_current || self.attempt.is_some() || self.unhappy == Some(bad.generation) {
            return;
        }
        let text = format!(
            "generation {} was rolled back in another process: {why}",
            bad.generation.short()
        );
        self.say(Level::ERROR, text);
        let why = Trouble::Elsewhere(why.to_owned());
        self.go_back(now, Undone { bad: Arc::clone(bad), why }, None, None);
    }

    /// What becomes of something that went through the gates.
    fn passed(&mut self, now: Instant, Gated { mut told, passed }: Gated<P>) {
        let Some(attempt) = self.attempt.take() else { return };
        let live = self.generations.current().generation;
        match passed {
            Ok(Passed::Same) => self.runs_already(live, attempt, told),
            // A rollback has brought it back meanwhile.
            Ok(Passed::Ready(ready)) if ready.live.generation == live => {
                self.runs_already(live, attempt, told);
            }
            Ok(Passed::Tried) => {
                let text = "this was a dry run: nothing has changed".to_owned();
                self.say(Level::INFO, text.clone());
                told.push(text);
                self.answer(attempt.answer, Answer::Done { told });
            }
            Ok(Passed::Ready(ready)) => self.take_over(now, *ready, attempt, told),
            Ok(Passed::Restart(next)) => {
                self.answer(attempt.answer, Answer::Done { told });
                let before = self.running.clone();
                self.act(SwapAction::Restart { next, before });
            }
            Err(refused) => self.refused(now, refused, attempt, told),
        }
    }

    fn runs_already(&mut self, live: Digest, attempt: Attempt, mut told: Vec<String>) {
        let text = format!("generation {} runs already", live.short());
        if attempt.answer.is_some() {
            self.say(Level::INFO, text.clone());
            told.push(text);
        } else {
            self.say(Level::DEBUG, "what is written is what runs".to_owned());
        }
        self.answer(attempt.answer, Answer::Done { told });
    }

    fn refused(&mut self, now: Instant, refused: Refused, attempt: Attempt, told: Vec<String>) {
        let live = self.generations.current().generation;
        let Refused { why, is_passing, judges } = refused;
        self.say(Level::ERROR, format!("refused, and generation {} goes on: {why}", live.short()));
        self.act(SwapAction::Tell(News::Swapped { result: SwapResult::Refused, live }));
        if let Some(digest) = judges.filter(|_| !is_passing) {
            self.judge(now, digest, Verdict::Refused, Some(why.clone()));
        }
        if let Some(Undone { bad, why: Trouble::Elsewhere(_) }) = attempt.undoes
            && !is_passing
        {
            self.unhappy = Some(bad.generation);
        }
        self.answer(attempt.answer, Answer::Refused { told, why });
    }

    fn answer(&mut self, to: Option<oneshot::Sender<Answer>>, answer: Answer) {
        if let Some(to) = to {
            self.act(SwapAction::Answer(to, answer));
        }
    }

    fn take_over(
        &mut self,
        now: Instant,
        Ready { pipeline, live }: Ready<P>,
        attempt: Attempt,
        told: Vec<String>,
    ) {
        let (generation, before) = (live.generation, self.generations.current());
        let taken = match &attempt.undoes {
            // It did well before and needs no probation.
            Some(Undone { bad, .. }) => self.generations.go_back(live, bad),
            None => self.generations.take_over(live, &self.limits),
        };
        let Some(next) = taken else {
            // The gates may have read a ledger older than what this process knows.
            let why = format!("generation {} was rolled back here", generation.short());
            let refused = Refused { why, is_passing: false, judges: None };
            return self.refused(now, refused, attempt, told);
        };
        let Attempt { answer, plugin, began, undoes } = attempt;
        let before_next: Vec<_> = next.all_before().map(|it| it.generation).collect();
        self.known.retain(|(known, _)| before_next.contains(known) && *known != next.generation);
        self.known.push((next.generation, pipeline.clone()));
        if plugin.is_none() && undoes.is_none() {
            self.written = pipeline.clone();
        }
        self.running = pipeline.clone();
        self.act(SwapAction::Follow(pipeline));
        self.act(SwapAction::Tell(News::Swapped {
            result: SwapResult::TookOver,
            live: next.generation,
        }));
        match undoes {
            Some(Undone { bad, why }) => {
                if !matches!(why, Trouble::Elsewhere(_)) {
                    let why = Some(why.to_string());
                    self.judge(now, bad.generation, Verdict::RolledBack, why);
                }
                self.judge(now, next.generation, Verdict::Live, None);
            }
            // A restart begins with what ran last.
            None => self.judge(now, next.generation, Verdict::OnProbation, None),
        }
        self.watch_over(&next, now);
        let probation = self.probation.as_ref().map(|_| self.limits.time.0);
        let took = now.saturating_duration_since(began);
        let taken = TakenOver { next, before, took, told, probation, plugin, answer };
        self.act(SwapAction::Announce(Box::new(taken)));
    }
}

/// Whether a step differs between two generations.
fn differs(one: &Live, other: &Live, step: &str) -> bool {
    let told = |live: &Live| {
        let rule = live.rule.as_ref()?;
        let step = rule.steps.iter().find(|it| *it.id == *step)?;
        Some((step.step.plugin().file().digest(), step.step.config().to_owned()))
    };
    told(one) != told(other)
}
