//! Does what the machine of a pipeline's rules decides: sends changes through the gates, writes verdicts down,
//! and tells people.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::{FutureExt as _, future};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Level;

use super::gates::{self, Told, Wanted};
use super::known::known;
use super::machine::{
    Beginning, Gated, Refused, SwapAction, SwapEvent, SwapMachine, TakenOver, WallClock, What, Wish,
};
use super::request::{Answer, Asked, GenerationStatus, Request, Standing};
use super::start::{self, First};
use super::watch::Watch;
use super::{Refusal, machine};
use crate::ledger::{DeadLetterFilter, DeadLetterState, Judgement};
use crate::pipeline::{Pipeline, PluginSwap};
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Digest};
use crate::run::{GenerationEvent, Generations, Listener, Live, LiveMaker};
use crate::sink::trace;

/// How long lanes are waited for that have nothing to read, to say where a generation took over.
const BEGIN_TIME: Duration = Duration::from_secs(1);

/// How long a sink may take to tell what other processes found out.
const VERDICTS_TIME: Duration = Duration::from_secs(2);

/// The pipeline has to begin anew.
pub(super) struct Restart {
    /// As it is written now.
    pub next: Arc<Pipeline>,
    /// What ran so far.
    pub before: Arc<Pipeline>,
}

type Made = Arc<Pipeline>;

pub(super) struct Swapper {
    machine: SwapMachine<Made>,
    hands: Hands,
}

struct Hands {
    name: Arc<str>,
    path: PathBuf,
    generations: Arc<Generations>,
    maker: LiveMaker,
    sandbox: Sandbox,
    listener: Arc<dyn Listener>,
    /// A task of its own: it may hold what the sink has only one of, while others wait for that.
    passing: Option<AbortOnDropHandle<Gated<Made>>>,
    writing: Option<BoxFuture<'static, Result<(), ConnectorError>>>,
    reading_verdicts: Option<BoxFuture<'static, Option<Vec<Judgement>>>>,
    telling: Vec<AbortOnDropHandle<()>>,
    /// What the generation that took over last is made of.
    follows: Option<Made>,
    restart: Option<Restart>,
}

impl Swapper {
    pub(super) fn new(
        written: &Made,
        first: First,
        generations: Arc<Generations>,
        maker: LiveMaker,
        sandbox: Sandbox,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let First { live: _, pipeline, before, judgement, is_to_be_tried } = first;
        let named = |pipeline: &Made| (pipeline.generation().digest, Arc::clone(pipeline));
        let beginning = Beginning {
            clock: WallClock::now(),
            limits: written.limits.probation.clone(),
            known: before.iter().rev().chain([&pipeline]).map(named).collect(),
            running: pipeline,
            judgements: judgement.into_iter().collect(),
            is_to_be_tried,
            written: Arc::clone(written),
        };
        let machine = SwapMachine::new(Instant::now(), beginning, Arc::clone(&generations));
        let hands = Hands {
            name: Arc::clone(&written.name),
            path: written.path.clone(),
            generations,
            maker,
            sandbox,
            listener,
            passing: None,
            writing: None,
            reading_verdicts: None,
            telling: Vec::new(),
            follows: None,
            restart: None,
        };
        Self { machine, hands }
    }

    /// Until the pipeline has to begin anew. May be dropped while it waits, and ended then.
    pub(super) async fn serve(
        &mut self,
        watch: &mut Watch,
        events: &mut mpsc::UnboundedReceiver<GenerationEvent>,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Restart {
        let Self { machine, hands } = self;
        let mut actions = machine.begin(Instant::now());
        loop {
            for action in actions {
                hands.perform(action, watch);
            }
            if let Some(restart) = hands.restart.take() {
                return restart;
            }
            let due = machine.due();
            let event = tokio::select! {
                biased;
                Some(event) = events.recv() => SwapEvent::Generation(event),
                Some(written) = OptionFuture::from(hands.writing.as_mut()) => {
                    hands.writing = None;
                    SwapEvent::Written(written)
                }
                Some(gated) = OptionFuture::from(hands.passing.as_mut()) => {
                    hands.passing = None;
                    match gated {
                        Ok(gated) => SwapEvent::Passed(gated),
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    }
                }
                Some(judgements) = OptionFuture::from(hands.reading_verdicts.as_mut()) => {
                    hands.reading_verdicts = None;
                    SwapEvent::VerdictsRead(judgements)
                }
                files = watch.changed() => {
                    let files: Vec<_> =
                        files.iter().map(|file| file.display().to_string()).collect();
                    tracing::debug!(pipeline = %hands.name, "{} changed", files.join(", "));
                    SwapEvent::Changed
                }
                Some(request) = requests.recv() => match hands.asked(request) {
                    Some(wish) => SwapEvent::Wished(wish),
                    None => {
                        actions = Vec::new();
                        continue;
                    }
                },
                () = at(due), if due.is_some() => SwapEvent::Tick,
            };
            actions = machine.on(Instant::now(), event);
        }
    }

    /// The lanes have ended, and the sink of what ran last with them.
    pub(super) async fn end(
        &mut self,
        watch: &mut Watch,
        events: &mut mpsc::UnboundedReceiver<GenerationEvent>,
        has_read_all: bool,
    ) {
        let Self { machine, hands } = self;
        // What was on its way to be written down is written once more: a verdict that stands there twice
        // says the same.
        hands.writing = None;
        while let Ok(event) = events.try_recv() {
            for action in machine.on(Instant::now(), SwapEvent::Generation(event)) {
                hands.perform_at_end(action, watch);
            }
        }
        let (actions, unwritten) = machine.end(Instant::now(), has_read_all);
        for action in actions {
            hands.perform_at_end(action, watch);
        }
        for judgement in unwritten {
            let live = hands.generations.current();
            if let Err(error) = live.sink.ledger().archive.judge(&judgement).await {
                tracing::error!(
                    pipeline = %hands.name,
                    "that generation {} is {} is not written down: {error}",
                    judgement.generation.short(), judgement.verdict
                );
            }
        }
        for telling in hands.telling.drain(..) {
            // A panic there is told where it happens.
            let _ = telling.await;
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => future::pending().await,
    }
}

impl Hands {
    fn perform(&mut self, action: SwapAction<Made>, watch: &mut Watch) {
        match action {
            SwapAction::TryOut { what, running, is_dry } => self.try_out(what, running, is_dry),
            SwapAction::Write(judgement) => {
                let live = self.generations.current();
                self.writing =
                    Some(async move { live.sink.ledger().archive.judge(&judgement).await }.boxed());
            }
            SwapAction::ReadVerdicts => {
                let (live, name) = (self.generations.current(), Arc::clone(&self.name));
                self.reading_verdicts =
                    Some(async move { read_verdicts(&live, &name).await }.boxed());
            }
            SwapAction::Restart { next, before } => {
                watch.follow(next.files());
                self.restart = Some(Restart { next, before });
            }
            action => self.tell_or_answer(action, watch),
        }
    }

    /// Nothing is begun any more.
    fn perform_at_end(&mut self, action: SwapAction<Made>, watch: &mut Watch) {
        match action {
            SwapAction::TryOut { .. }
            | SwapAction::Write(_)
            | SwapAction::ReadVerdicts
            | SwapAction::Restart { .. } => {}
            action => self.tell_or_answer(action, watch),
        }
    }

    fn tell_or_answer(&mut self, action: SwapAction<Made>, watch: &mut Watch) {
        let name = &self.name;
        match action {
            SwapAction::Follow(pipeline) => {
                watch.follow(pipeline.files());
                self.follows = Some(pipeline);
            }
            SwapAction::Announce(taken) => {
                // What `tests/bench/swap.py` reads.
                tracing::trace!(pipeline = %name, generation = %taken.next.generation, "in charge");
                let stepped = taken.plugin.as_ref().zip(self.follows.as_ref());
                let stepped = stepped.map(|(PluginSwap { step, .. }, pipeline)| {
                    format!("step {step} is {} now", pipeline.plugin_of(step))
                });
                let name = Arc::clone(name);
                self.telling.retain(|telling| !telling.is_finished());
                let telling = tokio::spawn(async move { announce(&name, *taken, stepped).await });
                self.telling.push(AbortOnDropHandle::new(telling));
            }
            SwapAction::TellLetters { bad } => {
                let (name, path) = (Arc::clone(name), self.path.clone());
                let live = self.generations.current();
                let telling =
                    tokio::spawn(async move { tell_letters(&name, &path, &live, bad).await });
                self.telling.push(AbortOnDropHandle::new(telling));
            }
            SwapAction::Say { level: Level::ERROR, text } => {
                tracing::error!(pipeline = %name, "{text}");
            }
            SwapAction::Say { level: Level::WARN, text } => {
                tracing::warn!(pipeline = %name, "{text}");
            }
            SwapAction::Say { level: Level::INFO, text } => {
                tracing::info!(pipeline = %name, "{text}");
            }
            SwapAction::Say { text, .. } => tracing::debug!(pipeline = %name, "{text}"),
            SwapAction::Tell(news) => self.listener.hear(news),
            SwapAction::Answer(to, answer) => {
                // Whoever asked may be gone.
                let _ = to.send(answer);
            }
            SwapAction::TryOut { .. }
            | SwapAction::Write(_)
            | SwapAction::ReadVerdicts
            | SwapAction::Restart { .. } => {}
        }
    }

    /// Sends something through the gates.
    fn try_out(&mut self, what: What<Made>, running: Made, is_dry: bool) {
        let mut told = Told::new(&self.name);
        let (sandbox, maker) = (self.sandbox.clone(), self.maker.clone());
        let generations = Arc::clone(&self.generations);
        let passing = tokio::spawn(async move {
            let found = match what {
                What::Written => Ok(gates::What::Written),
                What::Plugin(swap) => Ok(gates::What::Plugin(swap)),
                What::LastGood { written, bad, step } => {
                    let archive = Arc::clone(&generations.current().sink.ledger().archive);
                    let good = start::last_good(&written, &archive, &sandbox, bad).await;
                    good.and_then(|good| is_other_in(step, &good, &running).map(|()| good))
                        .map(gates::What::Kept)
                }
            };
            let passed = match found {
                Ok(what) => {
                    let wanted = Wanted { running, sandbox, maker, generations, what, is_dry };
                    wanted.pass(&mut told).await
                }
                Err(refusal) => Err((refusal, None)),
            };
            Gated { told: told.lines, passed: passed.map_err(refused) }
        });
        self.passing = Some(AbortOnDropHandle::new(passing));
    }

    /// Some if the machine has to decide what becomes of it.
    fn asked(&self, Request { asked, answer }: Request) -> Option<Wish> {
        let sink = Arc::clone(&self.generations.current().sink);
        let what = match asked {
            Asked::Swap { step, file, is_dry } => {
                machine::Wanted::Swap { swap: PluginSwap { step, file }, is_dry }
            }
            Asked::RollBack { step } => machine::Wanted::RollBack { step },
            Asked::Generations => {
                let statuses = self.statuses();
                tell(answer, async move {
                    let generations = known(&*sink.ledger().archive, statuses).await?;
                    Ok(Answer::Generations { generations })
                });
                return None;
            }
            Asked::Lineage => {
                tell(answer, async move {
                    let ranges = sink.ledger().archive.lineage().await?;
                    Ok(Answer::Lineage { ranges })
                });
                return None;
            }
            Asked::Trace { column, value } => {
                tell(answer, async move {
                    let ranges = sink.ledger().archive.lineage().await?;
                    let trace = trace(&*sink, &ranges, &column, &value).await?;
                    Ok(Answer::Traced { trace })
                });
                return None;
            }
        };
        Some(Wish { what, answer })
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

/// Whether somebody who asked for another plugin in a step gets one.
fn is_other_in(step: Option<String>, good: &Pipeline, running: &Pipeline) -> Result<(), Refusal> {
    match step {
        Some(step) if good.plugin_of(&step) == running.plugin_of(&step) => {
            Err(Refusal::SameStep { step })
        }
        Some(_) | None => Ok(()),
    }
}

fn refused((refusal, digest): (Refusal, Option<Digest>)) -> Refused {
    let is_marked = matches!(refusal, Refusal::Marked { .. });
    Refused {
        why: refusal.to_string(),
        is_passing: refusal.is_passing(),
        judges: digest.filter(|_| !is_marked),
    }
}

async fn read_verdicts(live: &Live, name: &str) -> Option<Vec<Judgement>> {
    match timeout(VERDICTS_TIME, live.sink.ledger().archive.judgements()).await {
        Ok(Ok(judgements)) => Some(judgements),
        Ok(Err(error)) => {
            tracing::debug!(pipeline = %name, "verdicts cannot be read: {error}");
            None
        }
        // The next look is soon.
        Err(_) => None,
    }
}

/// Answers with what the sink knows, while everything else goes on.
fn tell(
    answer: tokio::sync::oneshot::Sender<Answer>,
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

async fn announce(name: &str, taken: TakenOver, stepped: Option<String>) {
    let TakenOver { next, before, took, told, probation, plugin: _, answer } = taken;
    let mut all = told;
    let mut tell = |line: String| {
        tracing::info!(pipeline = %name, "{line}");
        all.push(line);
    };
    if let Some(step) = stepped {
        tell(step);
    }
    let places = places(&next, &before).await;
    tell(format!(
        "generation {} took over from {} in {}{places}",
        next.generation.short(),
        before.generation.short(),
        gates::time(took)
    ));
    if let Some(time) = probation {
        tell(format!(
            "for {} it is watched beside {}, which takes over again if need be",
            gates::time(time),
            before.generation.short()
        ));
    }
    if let Some(answer) = answer {
        // Whoever asked may be gone.
        let _ = answer.send(Answer::Done { told: all });
    }
}

/// What a generation that was rolled back has rejected may well be rows.
async fn tell_letters(name: &str, path: &std::path::Path, live: &Live, bad: Digest) {
    let filter = DeadLetterFilter {
        state: Some(DeadLetterState::Dead),
        generation: Some(bad.to_string()),
        ..DeadLetterFilter::default()
    };
    let Ok(of_it) = live.sink.ledger().letters.count(&filter).await else { return };
    if of_it > 0 {
        tracing::warn!(
            pipeline = %name,
            "{of_it} dead letters are of that generation: `pinhost dead-letters {} retry --generation {}` tries \
             them again",
            path.display(), bad.short()
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
