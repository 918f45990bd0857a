//! One lane, from the claim to its end: read → hand batches to the cleaning threads → take the results
//! back in order → cut units → commit.
//!
//! Reading, cleaning and committing overlap; what is on its way is bounded by bytes. Nothing that is not
//! committed outlives this task: whoever claims the lane next reads it again.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::breaker::{Breaker, Tripped};
use super::budget::{Budget, Held};
use super::clean::CleanedBatch;
use super::conduct::{Conduct, Trouble};
use super::cut::{Gauge, UnitLimits};
use super::live::{Generations, Live};
use super::patience::Patience;
use super::pool::{CleanResult, Pool, Uncleanable};
use crate::connect::{CommitOutcome, Stored};
use crate::ledger::{Archive, Claim, Ledger};
use crate::observe::{LaneHealth, Stats, UnitFigures};
use crate::record::lift::{Move, PipelineArgs, Resume};
use crate::record::{ConnectorError, Digest, ErrorClass, Lane, Position, RawBatch, Unit};
use crate::source::{Journal, Most, Source};

/// What part of a unit is cleaned ahead while the one before it waits for the sink.
const AHEAD_SHARE: u64 = 4;

/// What the lanes of a pipeline have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub source: Arc<dyn Source>,
    pub ledger: Ledger,
    /// Where lanes start that were there when the pipeline first ran.
    pub starts: BTreeMap<Lane, Position>,
    pub generations: Arc<Generations>,
    pub pool: Pool,
    pub budget: Budget,
    pub stats: Arc<Stats>,
    pub batch: Most,
    pub unit: UnitLimits,
    pub dead_ratio_max: f64,
}

/// How a lane's task ends.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// Everything that there is was read and is committed.
    Ended,
    /// Asked to: what was read is committed.
    Drained,
    /// Another owner has the lane.
    Fenced,
    /// It holds its position.
    Halted(Halt),
}

/// Why a lane does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error("{cause}")]
    Clean {
        #[source]
        cause: Uncleanable,
        /// The position after the batch that is not cleaned.
        to: Position,
    },
    /// Whatever the batch.
    #[error(transparent)]
    Stopped(#[from] Uncleanable),
    #[error("{} of the last {} records are dead letters, more than dead_letters.max_ratio allows", .0.dead, .0.records)]
    TooManyDead(Tripped),
    #[error("the sink refuses {} of {records} rows or more, and dead_letters.max_ratio allows fewer: {}", .reasons.values().sum::<u64>(), list(.reasons))]
    TooManyRefused { records: u64, reasons: BTreeMap<String, u64>, generation: Digest },
    #[error("the source cannot be read: {0}")]
    Source(#[source] ConnectorError),
    #[error("the sink cannot be written: {0}")]
    Sink(#[source] ConnectorError),
}

impl Halt {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Clean { .. }
            | Self::Stopped(_)
            | Self::TooManyDead(_)
            | Self::TooManyRefused { .. } => ErrorClass::Systemic,
            Self::Source(error) | Self::Sink(error) => error.class,
        }
    }

    /// What lifts it, for a lane of this pipeline.
    pub fn help(&self, pipeline: &PipelineArgs, lane: &Lane) -> Option<String> {
        match self {
            Self::Clean { to, .. } => {
                let (pipeline, lane) = (pipeline.clone(), lane.clone());
                let lift = Move { pipeline, lane, to: to.to_string() };
                Some(format!(
                    "mend the plugin or its configuration, and the lane goes on by itself; or leave these records out: \
                     {lift}"
                ))
            }
            Self::TooManyDead(Tripped { records, .. }) => {
                let lift = Resume { pipeline, lane, records: *records };
                Some(format!(
                    "mend the rule, or raise dead_letters.max_ratio if the records are really like that; or let the \
                     next ones through: {lift}"
                ))
            }
            Self::TooManyRefused { records, .. } => {
                let lift = Resume { pipeline, lane, records: *records };
                Some(format!(
                    "mend what refuses them, and the lane goes on by itself; or let them become dead letters: {lift}"
                ))
            }
            Self::Stopped(_) | Self::Source(_) | Self::Sink(_) => self.help_of_connector(),
        }
    }

    /// What the source or the sink says about it.
    pub fn help_of_connector(&self) -> Option<String> {
        match self {
            Self::Source(error) | Self::Sink(error) => error.help.clone(),
            Self::Clean { .. }
            | Self::Stopped(_)
            | Self::TooManyDead(_)
            | Self::TooManyRefused { .. } => None,
        }
    }
}

fn list(reasons: &BTreeMap<String, u64>) -> String {
    reasons.keys().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// Runs a lane until it ends in one way or another. A probe takes small batches, to learn at little cost
/// whether a halted lane can go on.
pub(super) async fn run(
    shared: &Shared,
    lane: &Lane,
    is_probe: bool,
    breaker: &mut Breaker,
    drain: &CancellationToken,
) -> LaneEnd {
    match claim(shared, lane).await {
        Ok(claim) => {
            shared.stats.claimed(lane, claim.position);
            let run = Run::new(shared, claim.clone(), is_probe, drain.clone(), breaker);
            let (Ok(end) | Err(end)) = run.until_the_end().await;
            if let LaneEnd::Halted(halt) = &end {
                note(shared, &claim, halt).await;
            }
            end
        }
        Err(halt) => LaneEnd::Halted(halt),
    }
}

/// A halt of the sink itself is not for the sink to note.
async fn note(shared: &Shared, claim: &Claim, halt: &Halt) {
    if matches!(halt, Halt::Sink(_)) {
        return;
    }
    if let Err(error) = shared.ledger.claims.note_halt(claim, &halt.to_string()).await {
        tracing::debug!(lane = %claim.lane, "the sink does not note why the lane is halted: {error}");
    }
}

async fn claim(shared: &Shared, lane: &Lane) -> Result<Claim, Halt> {
    let start = match shared.starts.get(lane) {
        Some(start @ Position::At(_)) => *start,
        _ => shared.source.start(lane).await.map_err(Halt::Source)?,
    };
    let claim = shared.ledger.claims.claim(lane, start).await.map_err(Halt::Sink)?;
    heed(shared).await?;
    Ok(claim)
}

/// What another process found out about the generation that cleans here.
async fn heed(shared: &Shared) -> Result<(), Halt> {
    let live = shared.generations.current();
    let judgements = shared.ledger.archive.judgements().await.map_err(Halt::Sink)?;
    shared.generations.heed(&live, &judgements);
    Ok(())
}

/// A batch that is being cleaned.
struct Pending {
    result: oneshot::Receiver<CleanResult>,
    given: Given,
}

/// What is cleaned, and by which generation.
struct Given {
    live: Arc<Live>,
    raw: Arc<RawBatch>,
    held: Held,
}

/// How reading ended.
type ReadEnd = Result<LaneEnd, Halt>;

struct Run<'a> {
    shared: &'a Shared,
    claim: Claim,
    is_probe: bool,
    drain: CancellationToken,
    breaker: &'a mut Breaker,
    /// Dead letters that may still come without being counted.
    accepted_rejects: u64,
    making: Making,
    /// Units that came to their end; the oldest first.
    cut: VecDeque<Making>,
    /// Of the last batch.
    generation: Digest,
}

/// The unit in the making.
#[derive(Default)]
struct Making {
    /// What cleaned its batches: all of them.
    live: Option<Arc<Live>>,
    batches: Vec<CleanedBatch>,
    held: Vec<Held>,
    gauge: Gauge,
    accepted_rejects: u64,
}

impl Making {
    fn is_condemned(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_condemned())
    }
}

type Commit = Pin<Box<dyn Future<Output = Result<Option<Done>, Halt>> + Send>>;

/// A unit that is committed.
struct Done {
    live: Arc<Live>,
    to: Position,
    figures: UnitFigures,
    stored: Stored,
}

impl<'a> Run<'a> {
    fn new(
        shared: &'a Shared,
        claim: Claim,
        is_probe: bool,
        drain: CancellationToken,
        breaker: &'a mut Breaker,
    ) -> Self {
        let accepted_rejects = claim.accepted_rejects;
        let making = Making::default();
        let generation = shared.generations.current().generation;
        let cut = VecDeque::new();
        Self { shared, claim, is_probe, drain, breaker, accepted_rejects, making, cut, generation }
    }

    /// `Err` ends it with nothing more committed, `Ok` with everything that was read.
    async fn until_the_end(mut self) -> Result<LaneEnd, LaneEnd> {
        // Enough to keep every thread busy while results wait for their turn. More would have another
        // generation wait for longer.
        let (batches, mut pending) = mpsc::channel(self.shared.pool.threads() * 2);
        let mut changes = self.shared.generations.follow();
        let live = Arc::clone(&changes.borrow_and_update());
        let reading = Reading {
            source: Arc::clone(&self.shared.source),
            generations: Arc::clone(&self.shared.generations),
            live,
            is_new_to_it: true,
            changes,
            pool: self.shared.pool.clone(),
            budget: self.shared.budget.clone(),
            journal: Arc::new(LaneJournal {
                archive: Arc::clone(&self.shared.ledger.archive),
                claim: self.claim.clone(),
            }),
            stats: Arc::clone(&self.shared.stats),
            lane: self.claim.lane.clone(),
            next: self.claim.position,
            first: self.first(),
            most: self.shared.batch,
            batches,
        };
        let reading = AbortOnDropHandle::new(tokio::spawn(reading.run(self.drain.clone())));

        // What comes before all that is still to come.
        let mut ahead: VecDeque<Pending> = VecDeque::new();
        let mut commit: Option<Commit> = None;
        let mut end: Option<LaneEnd> = None;
        let mut all_cleaned = false;
        loop {
            if self.has_condemned() {
                self.undo(&mut ahead).await;
                all_cleaned = false;
            }
            let is_due = self.making.gauge.due(&self.shared.unit);
            let has_rest = (all_cleaned || end.is_some()) && !self.making.batches.is_empty();
            let is_late = is_due.is_some_and(|due| due <= Instant::now());
            let is_cut = !self.cut.is_empty();
            if commit.is_none() && (is_late || has_rest || is_cut) {
                commit = Some(self.commit());
                continue;
            }
            if commit.is_none() && (all_cleaned || end.is_some()) {
                break;
            }
            let may_take = self.has_room() && !all_cleaned && end.is_none();
            tokio::select! {
                done = async { commit.as_mut().expect("there is one").await }, if commit.is_some() => {
                    commit = None;
                    match done.map_err(LaneEnd::Halted)? {
                        Some(done) => self.committed(done),
                        None => return Err(LaneEnd::Fenced),
                    }
                }
                taken = take(&mut ahead, &mut pending), if may_take => match taken {
                    Some((result, given)) => {
                        // What came before is sound, and is committed.
                        if let Err(halt) = self.receive(result, given, &mut ahead).await {
                            end = Some(LaneEnd::Halted(halt));
                        }
                    }
                    None => all_cleaned = true,
                },
                () = at(is_due), if commit.is_none() && is_due.is_some() => {}
                // What others wait for may be held here.
                () = self.shared.budget.is_short(), if commit.is_none() && is_due.is_some() => {
                    // Unless it was condemned meanwhile.
                    if !self.has_condemned() {
                        commit = Some(self.commit());
                    }
                }
            }
        }
        if let Some(end) = end {
            return Ok(end);
        }
        match reading.await {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(halt)) => Ok(LaneEnd::Halted(halt)),
            Err(panic) => Ok(LaneEnd::Halted(Uncleanable::Bug(panic.to_string()).into())),
        }
    }

    /// Takes what became of the next batch of the lane.
    async fn receive(
        &mut self,
        result: CleanResult,
        given: Given,
        ahead: &mut VecDeque<Pending>,
    ) -> Result<(), Halt> {
        if given.live.is_condemned() {
            ahead.push_front(self.again(given).await);
            return Ok(());
        }
        let conduct = match self.watched(&result, &given).await {
            Ok(conduct) => conduct,
            Err(trouble) => {
                let at = (&self.claim.lane, given.raw.from);
                // If it was not this lane that rolled it back, another one did.
                self.shared.generations.roll_back(&given.live, trouble, Some(at));
                ahead.push_front(self.again(given).await);
                return Ok(());
            }
        };
        let cleaned = result.map_err(|cause| Halt::Clean { cause, to: given.raw.to })?;
        self.count(&cleaned, &given.live)?;
        given.live.note(conduct);
        if self.making.live.as_ref().is_some_and(|live| !Arc::ptr_eq(live, &given.live)) {
            // A unit is one generation's. What comes next does not wait until this one is committed.
            self.cut.push_back(std::mem::take(&mut self.making));
        }
        self.gather(cleaned, given);
        Ok(())
    }

    /// How the generation did with a batch; or, while it is on probation, why it has to go. Those before it,
    /// and one that has taken over from it, are asked what they would have made of the batch: records that are
    /// bad are nobody's fault.
    async fn watched(&self, result: &CleanResult, given: &Given) -> Result<Conduct, Trouble> {
        let records = given.raw.records.len() as u64;
        let (conduct, trouble) = match result {
            Ok(cleaned) => (cleaned.conduct, given.live.trouble(&cleaned.conduct)),
            Err(cause) => {
                let failed = Conduct { rejects: records, failed_calls: 1, ..Conduct::default() };
                (failed, Some(Trouble::Halted(cause.to_string())))
            }
        };
        let Some(trouble) = trouble else { return Ok(conduct) };
        let current = self.shared.generations.current();
        let has_taken_over = !Arc::ptr_eq(&current, &given.live);
        let others = given.live.all_before().chain(has_taken_over.then_some(current));
        if matches!(trouble, Trouble::Slow { .. }) {
            let is_watched = !has_taken_over && given.live.before().is_some();
            return if is_watched { Err(trouble) } else { Ok(conduct) };
        }
        let mut accepted = None;
        for other in others {
            match self.shared.pool.clean(&other, Arc::clone(&given.raw)).await.await {
                Ok(Ok(other)) if other.conduct.is_better_than(&conduct) => return Err(trouble),
                Ok(Ok(other)) => accepted = Some(other.conduct.rejects),
                Ok(Err(_)) | Err(_) => accepted = accepted.or(Some(0)),
            }
        }
        Ok(match accepted {
            Some(rejects) => Conduct { rejects, failed_calls: 0, ..conduct },
            None => conduct,
        })
    }

    /// Has a batch cleaned again, by the generation that cleans now.
    async fn again(&self, given: Given) -> Pending {
        let Given { raw, held, live: _ } = given;
        let live = self.shared.generations.current();
        let result = self.shared.pool.clean(&live, Arc::clone(&raw)).await;
        Pending { result, given: Given { live, raw, held } }
    }

    fn has_condemned(&self) -> bool {
        self.cut.iter().chain([&self.making]).any(Making::is_condemned)
    }

    /// Takes back what is not on its way to the sink, to be cleaned again before what comes behind it.
    async fn undo(&mut self, ahead: &mut VecDeque<Pending>) {
        self.cut.push_back(std::mem::take(&mut self.making));
        let first = self.cut.iter().position(Making::is_condemned).unwrap_or(self.cut.len());
        let mut again = VecDeque::new();
        for Making { live, batches, held, accepted_rejects, .. } in self.cut.split_off(first) {
            let Some(live) = live else { continue };
            self.accepted_rejects += accepted_rejects;
            for (batch, held) in batches.into_iter().zip(held) {
                let given = Given { live: Arc::clone(&live), raw: batch.part.raw, held };
                again.push_back(self.again(given).await);
            }
        }
        again.append(ahead);
        *ahead = again;
        *self.breaker = Breaker::new(self.shared.dead_ratio_max);
    }

    fn first(&self) -> Most {
        const PROBE_RECORDS: usize = 16;
        let most = self.shared.batch;
        // Too many dead letters are too many of a thousand.
        let is_small = self.is_probe && !self.breaker.is_tripped();
        if is_small { Most { records: PROBE_RECORDS.min(most.records), ..most } } else { most }
    }

    /// Counts dead letters, those that were accepted beforehand apart.
    fn count(&mut self, cleaned: &CleanedBatch, live: &Live) -> Result<(), Halt> {
        if self.generation != live.generation {
            // What another generation rejected says nothing about this one.
            *self.breaker = Breaker::new(self.shared.dead_ratio_max);
            self.generation = live.generation;
        }
        let dead = cleaned.part.dead_letters.len() as u64;
        let accepted = dead.min(self.accepted_rejects);
        self.breaker.note(cleaned.conduct.records, dead - accepted).map_err(Halt::TooManyDead)
    }

    fn gather(&mut self, cleaned: CleanedBatch, given: Given) {
        let raw = &cleaned.part.raw;
        let (records, dead) = (raw.records.len() as u64, cleaned.part.dead_letters.len() as u64);
        let accepted = dead.min(self.accepted_rejects);
        // What `tests/bench/swap.py` reads.
        tracing::trace!(lane = %self.claim.lane, generation = %given.live.generation, records, "cleaned");
        self.accepted_rejects -= accepted;
        self.making.accepted_rejects += accepted;
        self.making.gauge.add(records, raw.bytes.len() as u64, Instant::now());
        self.making.batches.push(cleaned);
        self.making.held.push(given.held);
        self.making.live = Some(given.live);
        if self.making.gauge.is_full(&self.shared.unit) {
            self.cut.push_back(std::mem::take(&mut self.making));
        }
    }

    /// Whether there may be more cleaned: a unit beside the one that is being committed, and the beginning
    /// of the next, so that threads have something to do while a sink waits for its disk.
    fn has_room(&self) -> bool {
        match self.cut.len() {
            0 => true,
            1 => !self.making.gauge.is_full(&self.shared.unit.share(AHEAD_SHARE)),
            _ => false,
        }
    }

    /// Cuts the unit and offers it until the sink has an answer.
    fn commit(&mut self) -> Commit {
        let making = &mut self.making;
        let Making { live, batches, held, gauge: _, accepted_rejects } =
            self.cut.pop_front().unwrap_or_else(|| std::mem::take(making));
        let live = live.expect("a unit has batches");
        let from = batches[0].part.raw.from;
        let to = batches[batches.len() - 1].part.raw.to;
        let generation = live.generation;
        let figures = figures(&live, &batches);
        let mut unit = Unit {
            lane: self.claim.lane.clone(),
            from,
            to,
            generation,
            parts: batches.into_iter().map(|batch| batch.part).collect(),
            accepted_rejects,
            refusals_max: u64::MAX,
        };
        let records = unit.records();
        let room = self.breaker.room(records, unit.dead_letters() - accepted_rejects);
        unit.refusals_max = room.saturating_add(self.accepted_rejects);
        assert!(unit.is_balanced(), "every record of a unit ends in exactly one place");
        // The claim moves on by itself: the unit before this one is committed by now.
        let claim = Claim { position: from, ..self.claim.clone() };
        let offered = Offered {
            live,
            unit,
            stats: Arc::clone(&self.shared.stats),
            generations: Arc::clone(&self.shared.generations),
            drain: self.drain.clone(),
        };
        async move {
            let committed = offered.to_the_sink(&claim).await?;
            drop(held);
            Ok(match committed {
                CommitOutcome::Done(stored) => {
                    Some(Done { to, figures, stored, live: offered.live })
                }
                CommitOutcome::Fenced => None,
                CommitOutcome::Refused(reasons) => {
                    return Err(Halt::TooManyRefused { records, reasons, generation });
                }
            })
        }
        .boxed()
    }

    /// Rows that the sink refuses are dead letters like others.
    fn note_refused(&self, live: &Arc<Live>, refused: u64) {
        if refused == 0 {
            return;
        }
        let conduct = Conduct { rejects: refused, ..Conduct::default() };
        let trouble = live.trouble(&conduct);
        live.note(conduct);
        if let Some(trouble @ Trouble::Rejects { .. }) = trouble {
            let at = (&self.claim.lane, self.claim.position);
            self.shared.generations.roll_back(live, trouble, Some(at));
        }
    }

    fn committed(&mut self, Done { live, to, figures, stored }: Done) {
        self.claim.position = to;
        let refused = stored.refused.values().sum::<u64>();
        let accepted = refused.min(self.accepted_rejects);
        self.accepted_rejects -= accepted;
        self.breaker.note_refused(refused - accepted);
        self.note_refused(&live, refused - accepted);
        self.shared.stats.committed(&self.claim.lane, to, figures, &stored);
        self.shared.source.committed(&self.claim.lane, to, None);
        tracing::debug!(lane = %self.claim.lane, to = %to, rows = stored.rows, "committed");
    }
}

async fn at(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due.into()).await;
    }
}

/// The next cleaned batch; none after the last. May be dropped while it waits: nothing is lost.
async fn take(
    ahead: &mut VecDeque<Pending>,
    pending: &mut mpsc::Receiver<Pending>,
) -> Option<(CleanResult, Given)> {
    if ahead.is_empty() {
        ahead.push_back(pending.recv().await?);
    }
    let result = (&mut ahead.front_mut()?.result).await;
    let Pending { given, .. } = ahead.pop_front()?;
    let result =
        result.unwrap_or_else(|_| Err(Uncleanable::Bug("the cleaning thread ended".to_owned())));
    Some((result, given))
}

/// A unit that waits for its sink.
struct Offered {
    live: Arc<Live>,
    unit: Unit,
    stats: Arc<Stats>,
    generations: Arc<Generations>,
    drain: CancellationToken,
}

impl Offered {
    /// Offers the unit until there is an answer, for ever if need be: what it waits for holds back everything
    /// behind it. It is given up, to be cleaned again, where another attempt is of no use: its generation was
    /// rolled back, another one has taken over whose rows the sink may take, or the lane is to end.
    async fn to_the_sink(&self, claim: &Claim) -> Result<CommitOutcome, Halt> {
        let Self { live, unit, stats, generations, drain } = self;
        let mut patience = Patience::new(Duration::from_secs(10));
        let mut changes = generations.follow();
        let mut told = None;
        loop {
            let committed = async {
                live.keep().await?;
                live.writer.commit(claim, unit).await
            };
            let error = match committed.await {
                Ok(committed) => {
                    if told.is_some() {
                        tracing::info!(lane = %unit.lane, "the sink takes units again");
                        stats.health(&unit.lane, LaneHealth::Running);
                    }
                    return Ok(committed);
                }
                Err(error) => error,
            };
            let has_gone = live.is_condemned()
                || error.class != ErrorClass::Transient
                    && !Arc::ptr_eq(live, &generations.current());
            // Until the first commit nobody knows whether it ever worked: the pipeline decides how long to try.
            if error.class == ErrorClass::Fatal
                || !stats.has_committed()
                || has_gone
                || drain.is_cancelled()
            {
                return Err(Halt::Sink(error));
            }
            let said = error.to_string();
            if told.as_ref() != Some(&said) {
                self.tell(&error);
                told = Some(said);
            }
            tokio::select! {
                () = patience.wait() => {}
                Ok(()) = changes.changed() => {}
                () = drain.cancelled() => {}
            }
        }
    }

    fn tell(&self, error: &ConnectorError) {
        let lane = &self.unit.lane;
        let help = error.help.as_deref().unwrap_or_default();
        match error.class {
            ErrorClass::Transient => {
                tracing::warn!(lane = %lane, "the sink does not take a unit, trying again: {error}");
            }
            _ => {
                tracing::error!(lane = %lane, help, "the sink refuses a unit; the lane is halted until that is mended: {error}");
            }
        }
        let (reason, help) = (error.to_string(), error.help.clone());
        let since = Instant::now();
        self.stats.health(lane, LaneHealth::Halted { reason, help, since });
    }
}

fn figures(live: &Live, batches: &[CleanedBatch]) -> UnitFigures {
    let mut figures = UnitFigures::default();
    let steps = live.rule.as_ref().map_or(&[][..], |rule| &rule.steps);
    for batch in batches {
        let raw = &batch.part.raw;
        figures.records += raw.records.len() as u64;
        figures.bytes += raw.bytes.len() as u64;
        figures.cleaning += batch.conduct.took;
        figures.examples.extend(batch.examples.iter().cloned());
        for dead in &batch.part.dead_letters {
            *figures.dead_letters.entry(dead.reason.clone()).or_default() += 1;
        }
        for (step, rows) in steps.iter().zip(&batch.dropped).filter(|(_, rows)| **rows > 0) {
            *figures.dropped.entry(step.id.to_string()).or_default() += rows;
        }
        for tally in &batch.tallies {
            let step = &steps[tally.step];
            for (name, count) in step.step.plan().tallies.iter().zip(&tally.counts) {
                let key = (step.id.to_string(), name.clone());
                *figures.tallies.entry(key).or_default() += u64::from(*count);
            }
        }
    }
    figures
}

/// Reads and hands on, ahead of what is committed.
struct Reading {
    source: Arc<dyn Source>,
    generations: Arc<Generations>,
    live: Arc<Live>,
    /// No batch of the lane was given to that generation yet.
    is_new_to_it: bool,
    changes: watch::Receiver<Arc<Live>>,
    pool: Pool,
    budget: Budget,
    journal: Arc<dyn Journal>,
    stats: Arc<Stats>,
    lane: Lane,
    next: Position,
    /// Of the first batch.
    first: Most,
    most: Most,
    batches: mpsc::Sender<Pending>,
}

impl Reading {
    async fn run(mut self, drain: CancellationToken) -> ReadEnd {
        let mut patience = Patience::new(Duration::from_secs(10));
        loop {
            let read = drain.run_until_cancelled(self.read_on(&mut patience)).await;
            match read {
                None => return Ok(LaneEnd::Drained),
                Some(Ok(())) => return Ok(LaneEnd::Ended),
                // Until the first commit the pipeline decides how long to try, as with a sink.
                Some(Err(error))
                    if error.class == ErrorClass::Transient && self.stats.has_committed() =>
                {
                    tracing::warn!(lane = %self.lane, "the source does not answer, trying again: {error}");
                    if drain.run_until_cancelled(patience.wait()).await.is_none() {
                        return Ok(LaneEnd::Drained);
                    }
                }
                Some(Err(error)) if error.class == ErrorClass::Fenced => {
                    return Ok(LaneEnd::Fenced);
                }
                Some(Err(error)) => return Err(Halt::Source(error)),
            }
        }
    }

    /// Reads until the lane ends.
    async fn read_on(&mut self, patience: &mut Patience) -> Result<(), ConnectorError> {
        let journal = Arc::clone(&self.journal);
        let mut reader = self.source.open(&self.lane, self.next, journal).await?;
        while let Some(raw) = reader.read(self.first).await? {
            self.first = self.most;
            *patience = Patience::new(Duration::from_secs(10));
            let raw = Arc::new(raw);
            let held = self.budget.hold(weight(&raw)).await;
            let live = self.live(raw.from);
            self.generations.ring().push(&raw);
            let result = self.pool.clean(&live, Arc::clone(&raw)).await;
            let to = raw.to;
            let given = Given { live, raw, held };
            // Whoever takes them has ended: this task is about to be.
            if self.batches.send(Pending { result, given }).await.is_err() {
                return Ok(());
            }
            self.next = to;
        }
        Ok(())
    }

    /// The generation that cleans from this record on.
    fn live(&mut self, from: Position) -> Arc<Live> {
        // As long as nothing has changed, this compares a number.
        if self.changes.has_changed().unwrap_or_default() {
            self.live = Arc::clone(&self.changes.borrow_and_update());
            self.is_new_to_it = true;
        }
        if std::mem::take(&mut self.is_new_to_it) {
            self.live.begin(&self.lane, from);
        }
        Arc::clone(&self.live)
    }
}

/// What a batch holds while it is on its way: its bytes, its columns, and its rows as they are written.
fn weight(raw: &RawBatch) -> usize {
    raw.memory() * 3
}

/// A lane's journal for its owner.
#[derive(Debug)]
struct LaneJournal {
    archive: Arc<dyn Archive>,
    claim: Claim,
}

#[async_trait]
impl Journal for LaneJournal {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        self.archive.journal(&self.claim.lane).await
    }

    async fn append(&self, number: u64, entry: Bytes) -> Result<(), ConnectorError> {
        if self.archive.append(&self.claim, number, entry).await? {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorClass::Fenced, "another process has the lane"))
    }
}
