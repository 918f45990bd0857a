//! Keeps one pipeline at what is written of it: one change at a time, and verdicts before anything else.

use std::collections::VecDeque;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::gates::{self, Passed, Ready, Refusal, Told, Wanted, What};
use super::known::known;
use super::request::{Answer, Asked, GenerationStatus, Request, Standing};
use super::start::{self, First};
use super::watch::Watch;
use crate::ledger::{DeadLetterFilter, DeadLetterState, Judgement, Verdict};
use crate::observe::{Stats, SwapResult};
use crate::pipeline::{Pipeline, PluginSwap};
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Digest};
use crate::run::{GenerationEvent, Generations, Live, LiveMaker, Trouble};
use crate::sink::trace;

/// How long lanes are waited for that have nothing to read, to say where a generation took over.
const BEGIN_TIME: Duration = Duration::from_secs(1);

/// How often is looked whether there are records.
const LOOK: Duration = Duration::from_millis(500);

/// How often is looked what other processes found out, and how long a sink may take to tell.
const HEED: Duration = Duration::from_secs(5);
const HEED_TIME: Duration = Duration::from_secs(2);

/// Between two tries to write a verdict.
const AGAIN: Duration = Duration::from_secs(1);

/// A run that ends before the probation does has shown what it had to, if it had so many records.
const PROVEN_RECORDS: u64 = 1_000;

/// The pipeline has to begin anew.
pub(super) struct Restart {
    /// As it is written now.
    pub next: Arc<Pipeline>,
    /// What ran so far.
    pub before: Arc<Pipeline>,
}

/// How far something came, what it said on the way, and why it was refused: with its digest, if it has one.
type Outcome = (Told, Result<Passed, (Refusal, Option<Digest>)>);

/// What is on its way through the gates.
struct Attempt {
    /// A task of its own: it may hold what the sink has only one of, while others wait for that.
    passing: AbortOnDropHandle<Outcome>,
    answer: Option<oneshot::Sender<Answer>>,
    /// What somebody has put into a step.
    plugin: Option<PluginSwap>,
    began: Instant,
    undoes: Option<Undone>,
}

/// What is given up for another generation, and why.
struct Undone {
    bad: Arc<Live>,
    why: Trouble,
}

pub(super) struct Swapper {
    /// As it was written when it was last taken over.
    written: Arc<Pipeline>,
    running: Arc<Pipeline>,
    /// What the generation that cleans was made of, and those that a rollback may lead back to.
    known: Vec<(Digest, Arc<Pipeline>)>,
    generations: Arc<Generations>,
    maker: LiveMaker,
    sandbox: Sandbox,
    stats: Arc<Stats>,
    unwritten: VecDeque<Judgement>,
    /// When the next try is to write them.
    writes: Instant,
    /// The generation that is on probation, and until when.
    probation: Option<(Arc<Live>, Instant)>,
    attempt: Option<Attempt>,
    /// What has to wait until that is over.
    waiting: VecDeque<Request>,
    /// When is looked what other processes found out.
    heeds: Instant,
    /// Another process found it to be bad, and nothing else is there to run.
    unhappy: Option<Digest>,
    /// Files have changed while something else was on its way.
    has_changed: bool,
    /// What is written was refused before, and is tried again once there are records to try it on.
    waits_for_records: bool,
}

/// What happens next.
enum Next {
    Event(GenerationEvent),
    Changed(Vec<PathBuf>),
    Asked(Request),
    Passed(Outcome),
    Proven,
    Write,
    /// Another process may have found something out.
    Heed,
    /// Perhaps there are records by now.
    Look,
}

impl Swapper {
    pub(super) fn new(
        written: Arc<Pipeline>,
        first: First,
        generations: Arc<Generations>,
        maker: LiveMaker,
        sandbox: Sandbox,
        stats: Arc<Stats>,
    ) -> Self {
        let First { live, pipeline, before, judgement, is_to_be_tried } = first;
        stats.generation(live.generation);
        let named = |pipeline: &Arc<Pipeline>| (pipeline.generation().digest, Arc::clone(pipeline));
        let mut swapper = Self {
            written,
            known: before.iter().chain([&pipeline]).map(named).collect(),
            running: pipeline,
            generations,
            maker,
            sandbox,
            stats,
            unwritten: judgement.into_iter().collect(),
            writes: Instant::now(),
            probation: None,
            attempt: None,
            waiting: VecDeque::new(),
            heeds: Instant::now() + HEED,
            unhappy: None,
            has_changed: false,
            waits_for_records: is_to_be_tried,
        };
        swapper.watch_over(&live);
        swapper
    }

    /// Until the pipeline has to begin anew. May be dropped while it waits, and ended then.
    pub(super) async fn serve(
        &mut self,
        watch: &mut Watch,
        events: &mut mpsc::UnboundedReceiver<GenerationEvent>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Restart {
        loop {
            if self.attempt.is_none() && std::mem::take(&mut self.has_changed) {
                self.try_out(What::Written, false, None);
            }
            while self.attempt.is_none()
                && let Some(request) = self.waiting.pop_front()
            {
                self.asked(request).await;
            }
            let waits = self.waits_for_records;
            let next = tokio::select! {
                biased;
                Some(event) = events.recv() => Next::Event(event),
                () = sleep_until(self.writes.into()), if !self.unwritten.is_empty() => Next::Write,
                outcome = passing(&mut self.attempt) => Next::Passed(outcome),
                files = watch.changed() => Next::Changed(files),
                Some(request) = requests.recv() => Next::Asked(request),
                () = until(self.probation.as_ref().map(|(_, until)| *until)) => Next::Proven,
                () = sleep_until(self.heeds.into()) => Next::Heed,
                () = sleep(LOOK), if waits => Next::Look,
            };
            match next {
                Next::Event(event) => self.heard(event).await,
                Next::Write => self.write().await,
                Next::Changed(files) => {
                    let files: Vec<_> =
                        files.iter().map(|file| file.display().to_string()).collect();
                    tracing::debug!(pipeline = %self.running.name, "{} changed", files.join(", "));
                    self.has_changed = true;
                }
                Next::Asked(request) => self.asked(request).await,
                Next::Passed(outcome) => {
                    let attempt = self.attempt.take();
                    let attempt = attempt.expect("what has passed was on its way");
                    if let Some(next) = self.passed(attempt, outcome, watch).await {
                        return Restart { next, before: Arc::clone(&self.running) };
                    }
                }
                Next::Proven => self.proven("its probation is over").await,
                Next::Heed => {
                    self.heed().await;
                }
                Next::Look => {
                    if !self.generations.ring().recent().is_empty() {
                        (self.waits_for_records, self.has_changed) = (false, true);
                    }
                }
            }
        }
    }

    /// The lanes have ended.
    pub(super) async fn end(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<GenerationEvent>,
        has_read_all: bool,
    ) {
        while let Ok(event) = events.try_recv() {
            self.heard(event).await;
        }
        let is_proven = |(live, _): &(Arc<Live>, Instant)| {
            let conduct = live.conduct();
            has_read_all && conduct.records >= PROVEN_RECORDS && live.before().is_some()
        };
        if self.probation.as_ref().is_some_and(is_proven) {
            self.proven("the run is over").await;
        }
        for judgement in &self.unwritten {
            let live = self.generations.current();
            if let Err(error) = live.sink.ledger().archive.judge(judgement).await {
                tracing::error!(
                    pipeline = %self.running.name,
                    "that generation {} is {} is not written down: {error}",
                    judgement.generation.short(), judgement.verdict
                );
            }
        }
    }

    fn watch_over(&mut self, live: &Arc<Live>) {
        self.probation = live.before().and(live.probation_limits()).map(|limits| {
            // Longer than there is time: for ever, as far as a process is concerned.
            let far = Duration::from_secs(86_400 * 365);
            (Arc::clone(live), Instant::now() + limits.time.0.min(far))
        });
    }

    /// Looks what other processes found out about the generation that cleans here, and gives it up if
    /// that is bad. None if the sink does not tell.
    async fn heed(&mut self) -> Option<bool> {
        self.heeds = Instant::now() + HEED;
        let live = self.generations.current();
        let judgements = match timeout(HEED_TIME, live.sink.ledger().archive.judgements()).await {
            Ok(Ok(judgements)) => judgements,
            Ok(Err(error)) => {
                tracing::debug!(pipeline = %self.running.name, "verdicts cannot be read: {error}");
                return None;
            }
            // The next look is soon.
            Err(_) => return None,
        };
        Some(self.generations.heed(&live, &judgements))
    }

    async fn proven(&mut self, why: &str) {
        let Some((live, _)) = self.probation.take() else { return };
        let conduct = live.conduct();
        if conduct.records == 0 {
            // Nothing came: nothing is known.
            self.watch_over(&live);
            return;
        }
        match self.heed().await {
            Some(false) => {}
            Some(true) => return,
            None => {
                self.probation = Some((live, self.heeds));
                return;
            }
        }
        self.generations.end_probation(&live);
        self.unwritten.push_back(gates::judged(live.generation, Verdict::Live, None));
        tracing::info!(
            pipeline = %self.running.name,
            "generation {} stays: {why}, and of {} records {} are dead letters",
            live.generation.short(), conduct.records, conduct.rejects
        );
    }

    /// Writes verdicts down, in their order.
    async fn write(&mut self) {
        while let Some(judgement) = self.unwritten.front() {
            let live = self.generations.current();
            if let Err(error) = live.sink.ledger().archive.judge(judgement).await {
                tracing::warn!(
                    pipeline = %self.running.name,
                    "a verdict is not written down yet, trying again: {error}"
                );
                self.writes = Instant::now() + AGAIN;
                return;
            }
            self.unwritten.pop_front();
        }
    }

    async fn heard(&mut self, event: GenerationEvent) {
        match event {
            GenerationEvent::RolledBack { bad, why, at } => {
                let live = self.generations.current();
                if let Some((_, running)) =
                    self.known.iter().rev().find(|(digest, _)| *digest == live.generation)
                {
                    self.running = Arc::clone(running);
                }
                // What it was made of is not run again.
                self.known.retain(|(digest, _)| *digest != bad.generation);
                let (name, digest) = (&self.running.name, bad.generation);
                let place = at.map(|(lane, at)| format!(" at {lane}@{}", at.place()));
                let said = format!(
                    "rolled back from generation {} to {}{}: {why}; what was not committed is cleaned again",
                    digest.short(),
                    live.generation.short(),
                    place.unwrap_or_default()
                );
                if matches!(why, Trouble::Asked) {
                    tracing::info!(pipeline = %name, "{said}");
                } else {
                    tracing::error!(pipeline = %name, "{said}");
                }
                self.stats.swapped(SwapResult::RolledBack, live.generation);
                if !matches!(why, Trouble::Elsewhere(_)) {
                    let reason = Some(why.to_string());
                    self.unwritten.push_back(gates::judged(digest, Verdict::RolledBack, reason));
                }
                self.watch_over(&live);
                self.write().await;
                tell_letters(&self.running, &live, digest).await;
            }
            GenerationEvent::Unwanted { bad, why } => self.unwanted(&bad, &why),
        }
    }

    /// Another process found what runs here to be bad, and nothing ran before it here.
    fn unwanted(&mut self, bad: &Arc<Live>, why: &str) {
        let is_current = Arc::ptr_eq(&self.generations.current(), bad);
        if !is_current || self.attempt.is_some() || self.unhappy == Some(bad.generation) {
            return;
        }
        let name = &self.running.name;
        tracing::error!(
            pipeline = %name,
            "generation {} was rolled back in another process: {why}", bad.generation.short()
        );
        let (written, sandbox) = (Arc::clone(&self.written), self.sandbox.clone());
        let (archive, digest) = (Arc::clone(&bad.sink.ledger().archive), bad.generation);
        let find = async move { start::last_good(&written, &archive, &sandbox, digest).await };
        let why = Trouble::Elsewhere(why.to_owned());
        self.go_back(find.boxed(), Undone { bad: Arc::clone(bad), why }, None);
    }

    /// Sends something through the gates.
    fn try_out(
        &mut self,
        what: What,
        is_dry: bool,
        asked: Option<(oneshot::Sender<Answer>, PluginSwap)>,
    ) {
        let wanted = self.wanted(what, is_dry);
        let mut told = Told::new(&self.running.name);
        let passing = AbortOnDropHandle::new(tokio::spawn(async move {
            let passed = wanted.pass(&mut told).await;
            (told, passed)
        }));
        let (answer, plugin) = asked.unzip();
        let (began, undoes) = (Instant::now(), None);
        self.attempt = Some(Attempt { passing, answer, plugin, began, undoes });
    }

    /// Sends a generation through the gates that ran before.
    fn go_back(
        &mut self,
        find: BoxFuture<'static, Result<Arc<Pipeline>, Refusal>>,
        undoes: Undone,
        answer: Option<oneshot::Sender<Answer>>,
    ) {
        let mut told = Told::new(&self.running.name);
        let (running, sandbox) = (Arc::clone(&self.running), self.sandbox.clone());
        let (maker, generations) = (self.maker.clone(), Arc::clone(&self.generations));
        let passing = AbortOnDropHandle::new(tokio::spawn(async move {
            let passed = match find.await {
                Ok(kept) => {
                    let what = What::Kept(kept);
                    let wanted =
                        Wanted { running, sandbox, maker, generations, what, is_dry: false };
                    wanted.pass(&mut told).await
                }
                Err(refusal) => Err((refusal, None)),
            };
            (told, passed)
        }));
        let (began, plugin) = (Instant::now(), None);
        self.attempt = Some(Attempt { passing, answer, plugin, began, undoes: Some(undoes) });
    }

    fn wanted(&self, what: What, is_dry: bool) -> Wanted {
        Wanted {
            running: Arc::clone(&self.running),
            sandbox: self.sandbox.clone(),
            maker: self.maker.clone(),
            generations: Arc::clone(&self.generations),
            what,
            is_dry,
        }
    }

    /// What becomes of something that went through the gates. Some if the pipeline has to begin anew.
    async fn passed(
        &mut self,
        attempt: Attempt,
        (mut told, passed): Outcome,
        watch: &mut Watch,
    ) -> Option<Arc<Pipeline>> {
        let Attempt { answer, plugin, began, undoes, passing: _ } = attempt;
        let name = Arc::clone(&self.running.name);
        let mut restart = None;
        let refused = match passed {
            Ok(Passed::Same) => {
                if answer.is_some() {
                    told.tell(format!(
                        "generation {} runs already",
                        self.generations.current().generation.short()
                    ));
                } else {
                    tracing::debug!(pipeline = %name, "what is written is what runs");
                }
                None
            }
            Ok(Passed::Tried) => {
                told.tell("this was a dry run: nothing has changed");
                None
            }
            Ok(Passed::Ready(ready)) => {
                watch.follow(ready.pipeline.files());
                let took = began.elapsed();
                self.take_over(*ready, plugin.as_ref(), undoes, took, &mut told).await;
                None
            }
            Ok(Passed::Restart(next)) => {
                watch.follow(next.files());
                restart = Some(next);
                None
            }
            Err((refusal, digest)) => {
                let live = self.generations.current().generation;
                tracing::error!(
                    pipeline = %name,
                    "refused, and generation {} goes on: {refusal}", live.short()
                );
                self.stats.swapped(SwapResult::Refused, live);
                let is_marked = matches!(refusal, Refusal::Marked { .. });
                if let Some(digest) = digest.filter(|_| !is_marked && !refusal.is_passing()) {
                    let reason = Some(refusal.to_string());
                    self.unwritten.push_back(gates::judged(digest, Verdict::Refused, reason));
                }
                if let Some(Undone { bad, why: Trouble::Elsewhere(_) }) = undoes
                    && !refusal.is_passing()
                {
                    self.unhappy = Some(bad.generation);
                }
                Some(refusal.to_string())
            }
        };
        if let Some(answer) = answer {
            let told = told.lines;
            let answered = match refused {
                None => Answer::Done { told },
                Some(why) => Answer::Refused { told, why },
            };
            // Whoever asked may be gone.
            let _ = answer.send(answered);
        }
        restart
    }

    async fn take_over(
        &mut self,
        ready: Ready,
        plugin: Option<&PluginSwap>,
        undoes: Option<Undone>,
        took: Duration,
        told: &mut Told,
    ) {
        let Ready { pipeline, live, was_refused } = ready;
        let before = self.generations.current();
        let limits = self.running.limits.probation.clone();
        let next = match &undoes {
            // It was good before, and is not on trial again.
            Some(Undone { bad, .. }) => self.generations.go_back(live, bad),
            None => self.generations.take_over(live, &limits),
        };
        // What `tests/bench/swap.py` reads.
        tracing::trace!(pipeline = %pipeline.name, generation = %next.generation, "in charge");
        if let Some(PluginSwap { step, .. }) = plugin {
            told.tell(format!("step {step} is {} now", pipeline.plugin_of(step)));
        }
        let before_next: Vec<_> = next.all_before().map(|it| it.generation).collect();
        self.known.retain(|(known, _)| before_next.contains(known) && *known != next.generation);
        self.known.push((next.generation, Arc::clone(&pipeline)));
        if plugin.is_none() && undoes.is_none() {
            self.written = Arc::clone(&pipeline);
        }
        self.running = pipeline;
        self.stats.swapped(SwapResult::TookOver, next.generation);
        if let Some(Undone { bad, why }) = undoes {
            if !matches!(why, Trouble::Elsewhere(_)) {
                let why = Some(why.to_string());
                self.unwritten.push_back(gates::judged(bad.generation, Verdict::RolledBack, why));
            }
            self.unwritten.push_back(gates::judged(next.generation, Verdict::Live, None));
        } else if was_refused {
            self.unwritten.push_back(gates::judged(next.generation, Verdict::OnProbation, None));
        }
        self.watch_over(&next);
        let places = places(&next, &before).await;
        told.tell(format!(
            "generation {} took over from {} in {}{places}",
            next.generation.short(),
            before.generation.short(),
            gates::time(took)
        ));
        if self.probation.is_some() {
            told.tell(format!(
                "for {} it is watched beside {}, which takes over again if need be",
                gates::time(limits.time.0),
                before.generation.short()
            ));
        }
    }

    async fn asked(&mut self, request: Request) {
        let Request { asked, answer } = request;
        let sink = Arc::clone(&self.generations.current().sink);
        match asked {
            Asked::Swap { .. } | Asked::RollBack { .. } if self.attempt.is_some() => {
                self.waiting.push_back(Request { asked, answer });
            }
            Asked::Swap { step, file, is_dry } => {
                let swap = PluginSwap { step, file };
                self.try_out(What::Plugin(swap.clone()), is_dry, Some((answer, swap)));
            }
            Asked::RollBack { step } => self.roll_back(step, answer),
            Asked::Generations => {
                let statuses = self.statuses();
                tell(answer, async move {
                    let generations = known(&*sink.ledger().archive, statuses).await?;
                    Ok(Answer::Generations { generations })
                });
            }
            Asked::Lineage => tell(answer, async move {
                let ranges = sink.ledger().archive.lineage().await?;
                Ok(Answer::Lineage { ranges })
            }),
            Asked::Trace { column, value } => tell(answer, async move {
                let ranges = sink.ledger().archive.lineage().await?;
                let trace = trace(&*sink, &ranges, &column, &value).await?;
                Ok(Answer::Traced { trace })
            }),
        }
    }

    /// Back to the generation before, if a step is another one there.
    fn roll_back(&mut self, step: String, answer: oneshot::Sender<Answer>) {
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
            let _ = answer.send(Answer::Done { told });
            return;
        }
        let (written, sandbox) = (Arc::clone(&self.written), self.sandbox.clone());
        let (archive, digest) = (Arc::clone(&live.sink.ledger().archive), live.generation);
        let running = Arc::clone(&self.running);
        let find = async move {
            let good = start::last_good(&written, &archive, &sandbox, digest).await?;
            if good.plugin_of(&step) == running.plugin_of(&step) {
                return Err(Refusal::SameStep { step });
            }
            Ok(good)
        };
        self.go_back(find.boxed(), Undone { bad: live, why: Trouble::Asked }, Some(answer));
    }

    fn statuses(&self) -> Vec<GenerationStatus> {
        let live = self.generations.current();
        let status = |live: &Live, state: Standing| {
            let conduct = live.conduct();
            let began = live.began().into_iter();
            GenerationStatus {
                digest: live.generation.to_string(),
                state,
                records: conduct.records,
                dead_letters: conduct.rejects,
                began: began.map(|(lane, at)| (lane.to_string(), at.place().to_string())).collect(),
            }
        };
        match live.before() {
            Some(before) => {
                vec![status(&live, Standing::OnProbation), status(&before, Standing::Before)]
            }
            None => vec![status(&live, Standing::Live)],
        }
    }
}

/// Answers with what the sink knows, while everything else goes on.
fn tell(
    answer: oneshot::Sender<Answer>,
    look: impl Future<Output = Result<Answer, ConnectorError>> + Send + 'static,
) {
    tokio::spawn(async move {
        let answered = look.await.unwrap_or_else(|error| Answer::Refused {
            told: Vec::new(),
            why: Refusal::Sink(error).to_string(),
        });
        // Whoever asked may be gone.
        let _ = answer.send(answered);
    });
}

/// What a generation that was rolled back has rejected may well be rows.
async fn tell_letters(pipeline: &Pipeline, live: &Live, bad: Digest) {
    let filter = DeadLetterFilter {
        state: Some(DeadLetterState::Dead),
        generation: Some(bad.to_string()),
        ..DeadLetterFilter::default()
    };
    let Ok(of_it) = live.sink.ledger().letters.count(&filter).await else { return };
    if of_it > 0 {
        tracing::warn!(
            pipeline = %pipeline.name,
            "{of_it} dead letters are of that generation: `pinhost dead-letters {} retry --generation {}` tries \
             them again",
            pipeline.path.display(), bad.short()
        );
    }
}

/// Where it took over in each lane, as far as lanes have something to read.
async fn places(next: &Live, before: &Live) -> String {
    let began = Instant::now();
    let expected = before.began().len();
    while next.began().len() < expected && began.elapsed() < BEGIN_TIME {
        sleep(Duration::from_millis(5)).await;
    }
    let places = next.began();
    let places: Vec<_> = places.iter().map(|(lane, at)| format!("{lane}@{}", at.place())).collect();
    if places.is_empty() {
        ", at the next record".to_owned()
    } else {
        format!(", at {}", places.join(", "))
    }
}

/// Whether a step is another one in two generations.
fn differs(one: &Live, other: &Live, step: &str) -> bool {
    let told = |live: &Live| {
        let rule = live.rule.as_ref()?;
        let step = rule.steps.iter().find(|it| *it.id == *step)?;
        Some((step.step.plugin().file().digest(), step.step.config().to_owned()))
    };
    told(one) != told(other)
}

async fn passing(attempt: &mut Option<Attempt>) -> Outcome {
    match attempt {
        Some(attempt) => match (&mut attempt.passing).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        None => pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}
