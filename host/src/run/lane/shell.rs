//! Carries out what a lane's machine decides: asks source, cleaning threads and sink, and tells the
//! machine what they answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Level;

use super::super::budget::Budget;
use super::super::halt::Halt;
use super::super::live::{Generations, Live};
use super::super::news::{Listener, News};
use super::super::pool::{Answer, CleanResult, Pool};
use super::machine::{
    CommitAnswer, LaneAction, LaneEnd, LaneEvent, LaneMachine, LaneReport, LaneSettings, Opening,
    ReadBatch, Ticket, is_to_be_sent,
};
use crate::connect::CommitOutcome;
use crate::ledger::{Archive, Claim, Claims, Judgement, LaneState, Ledger};
use crate::record::{ConnectorError, ErrorClass, Lane, Position, RawBatch, Start, Unit};
use crate::source::{Journal, LaneReader, Most, Source};

/// What the lanes of a pipeline have in common.
#[derive(Debug)]
pub(in super::super) struct Shared {
    pub source: Arc<dyn Source>,
    pub ledger: Ledger,
    /// Where lanes start that were there when the pipeline first ran.
    pub starts: BTreeMap<Lane, Position>,
    pub generations: Arc<Generations>,
    pub pool: Pool,
    pub budget: Budget,
    pub listener: Arc<dyn Listener>,
    pub settings: LaneSettings,
    /// Halts that the ledger is about to note, for those who look at lanes later.
    pub notes: TaskTracker,
}

impl Shared {
    fn tell_memory(&self) {
        let (bytes, most) = (self.budget.held_bytes(), self.budget.bytes());
        self.listener.hear(News::Memory { bytes, most });
    }
}

type Events = mpsc::UnboundedSender<LaneEvent>;
pub(in super::super) type Reports = mpsc::UnboundedSender<(Lane, LaneReport)>;

/// Keeps a lane going until it ends. Its tasks end with it when it is dropped.
pub(in super::super) async fn run(
    shared: Arc<Shared>,
    lane: Lane,
    until: Option<Position>,
    drain: CancellationToken,
    reports: Reports,
) -> LaneEnd {
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut changes = shared.generations.follow();
    let mut machine = LaneMachine::new(
        lane.clone(),
        shared.settings.clone(),
        Arc::clone(&shared.generations),
        until,
        Rng::new(),
    );
    let budget = shared.budget.clone();
    let mut hands = Hands { shared, lane, events, reports, reading: None, asking: None };
    let mut actions = machine.begin();
    let mut is_drained = false;
    loop {
        for action in actions {
            if let Some(end) = hands.perform(action) {
                return end;
            }
        }
        let due = machine.due();
        let event = tokio::select! {
            biased;
            () = drain.cancelled(), if !is_drained => {
                is_drained = true;
                LaneEvent::Drain
            }
            Ok(()) = changes.changed() => LaneEvent::GenerationsChanged,
            Some(event) = heard.recv() => event,
            () = budget.is_short(), if machine.may_free_memory() => LaneEvent::MemoryShort,
            () = at(due), if due.is_some() => LaneEvent::Tick,
        };
        actions = machine.on(Instant::now(), event);
    }
}

async fn at(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due.into()).await;
    }
}

type Task = Option<AbortOnDropHandle<()>>;

struct Hands {
    shared: Arc<Shared>,
    lane: Lane,
    events: Events,
    reports: Reports,
    reading: Option<Reading>,
    /// A claim, a commit or a look: one at a time.
    asking: Task,
}

/// A task that reads ahead.
struct Reading {
    asked: mpsc::UnboundedSender<Asked>,
    _task: AbortOnDropHandle<()>,
}

struct Asked {
    ticket: Ticket,
    open: Option<Opening>,
    most: Most,
}

impl Hands {
    fn perform(&mut self, action: LaneAction) -> Option<LaneEnd> {
        match action {
            LaneAction::Claim(ticket) => self.claim(ticket),
            LaneAction::Read { ticket, open, most } => self.read(Asked { ticket, open, most }),
            LaneAction::StopReading => self.reading = None,
            LaneAction::Clean { ticket, live, raw } => {
                let answer = ToLane { ticket, events: self.events.clone() };
                self.shared.pool.hand_in(&live, raw, Box::new(answer));
            }
            LaneAction::Commit { ticket, claim, unit, live } => {
                let shared = Arc::clone(&self.shared);
                self.ask(async move {
                    LaneEvent::Committed(ticket, commit(&shared, &claim, &unit, &live).await)
                });
            }
            LaneAction::Acknowledge { to, receipts } => {
                self.shared.source.committed(&self.lane, to, receipts.as_ref());
            }
            LaneAction::NoteHalt { claim, reason } => self.note(claim, reason),
            LaneAction::Look(ticket) => {
                let claims = Arc::clone(&self.shared.ledger.claims);
                let lane = self.lane.clone();
                self.ask(async move { LaneEvent::Looked(ticket, look(&*claims, &lane).await) });
            }
            LaneAction::Say { level, text, help } => self.say(level, &text, help.as_deref()),
            LaneAction::Tell(news) => {
                if matches!(news, News::Committed { .. }) {
                    self.shared.tell_memory();
                }
                self.shared.listener.hear(news);
            }
            // Whoever hears it may have ended.
            LaneAction::Report(report) => {
                if let LaneReport::Committed { to, records, .. } = &report {
                    tracing::debug!(lane = %self.lane, to = %to, records, "committed");
                }
                let _ = self.reports.send((self.lane.clone(), report));
            }
            LaneAction::End(end) => return Some(end),
        }
        None
    }

    fn ask(&mut self, asked: impl Future<Output = LaneEvent> + Send + 'static) {
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let _ = events.send(asked.await);
        });
        self.asking = Some(AbortOnDropHandle::new(task));
    }

    fn claim(&mut self, ticket: Ticket) {
        let (shared, lane) = (Arc::clone(&self.shared), self.lane.clone());
        self.ask(async move { LaneEvent::Claimed(ticket, claim(&shared, &lane).await) });
    }

    fn read(&mut self, asked: Asked) {
        let reading = self.reading.get_or_insert_with(|| {
            let (to_read, mut next) = mpsc::unbounded_channel::<Asked>();
            let (shared, lane) = (Arc::clone(&self.shared), self.lane.clone());
            let events = self.events.clone();
            let task = tokio::spawn(async move {
                let mut reader = Reader { shared, lane, open: None };
                while let Some(asked) = next.recv().await {
                    let ticket = asked.ticket;
                    let Some(read) = reader.read(asked).await else { continue };
                    if events.send(LaneEvent::Read(ticket, read)).is_err() {
                        return;
                    }
                }
            });
            Reading { asked: to_read, _task: AbortOnDropHandle::new(task) }
        });
        // It ends with this alone.
        let _ = reading.asked.send(asked);
    }

    fn note(&self, claim: Claim, reason: String) {
        let claims = Arc::clone(&self.shared.ledger.claims);
        self.shared.notes.spawn(async move {
            if let Err(error) = claims.note_halt(&claim, &reason).await {
                tracing::debug!(lane = %claim.lane, "the sink does not note why the lane is halted: {error}");
            }
        });
    }

    fn say(&self, level: Level, text: &str, help: Option<&str>) {
        let lane = &self.lane;
        match level {
            Level::ERROR => tracing::error!(lane = %lane, help, "{text}"),
            Level::WARN => tracing::warn!(lane = %lane, help, "{text}"),
            Level::INFO => tracing::info!(lane = %lane, help, "{text}"),
            _ => tracing::debug!(lane = %lane, help, "{text}"),
        }
    }
}

async fn claim(shared: &Shared, lane: &Lane) -> Result<(Claim, Vec<Judgement>), Halt> {
    let start = match shared.starts.get(lane) {
        Some(start @ (Position::At(_) | Position::Start(Start::Time(_)))) => *start,
        _ => shared.source.start(lane).await.map_err(Halt::Source)?,
    };
    let Ledger { claims, archive, .. } = &shared.ledger;
    let claim = claims.claim(lane, start).await.map_err(Halt::Sink)?;
    let judgements = archive.judgements().await.map_err(Halt::Sink)?;
    Ok((claim, judgements))
}

async fn commit(
    shared: &Shared,
    claim: &Claim,
    unit: &Unit,
    live: &Arc<Live>,
) -> Result<CommitAnswer, ConnectorError> {
    live.keep().await?;
    // Another lane may have found it to be bad meanwhile.
    if !is_to_be_sent(live) {
        return Ok(CommitAnswer::Condemned);
    }
    let outcome = live.writer.commit(claim, unit).await?;
    if matches!(outcome, CommitOutcome::Condemned) {
        // So has another process: that is heeded at once, and not with the next look.
        let judgements = shared.ledger.archive.judgements().await?;
        shared.generations.obey(live, &judgements);
    }
    Ok(CommitAnswer::Outcome(outcome))
}

async fn look(claims: &dyn Claims, lane: &Lane) -> Result<Option<LaneState>, ConnectorError> {
    Ok(claims.lanes().await?.into_iter().find(|state| state.lane == *lane))
}

/// Tells a lane what became of a batch.
#[derive(Debug)]
struct ToLane {
    ticket: Ticket,
    events: Events,
}

impl Answer for ToLane {
    fn is_wanted(&self) -> bool {
        !self.events.is_closed()
    }

    fn give(self: Box<Self>, result: CleanResult) {
        let _ = self.events.send(LaneEvent::Cleaned(self.ticket, result));
    }
}

struct Reader {
    shared: Arc<Shared>,
    lane: Lane,
    open: Option<Box<dyn LaneReader>>,
}

impl Reader {
    /// None if it was asked before the one before it failed.
    async fn read(&mut self, asked: Asked) -> Option<Result<Option<ReadBatch>, ConnectorError>> {
        let Asked { ticket: _, open, most } = asked;
        if open.is_none() && self.open.is_none() {
            return None;
        }
        let read = self.read_on(open, most).await;
        if read.is_err() {
            self.open = None;
        }
        Some(read)
    }

    async fn read_on(
        &mut self,
        open: Option<Opening>,
        most: Most,
    ) -> Result<Option<ReadBatch>, ConnectorError> {
        if let Some(Opening { claim, from }) = open {
            let journal =
                Arc::new(LaneJournal { archive: Arc::clone(&self.shared.ledger.archive), claim });
            self.open = Some(self.shared.source.open(&self.lane, from, journal).await?);
        }
        let Some(reader) = &mut self.open else { return Ok(None) };
        let Some(raw) = reader.read(most).await? else { return Ok(None) };
        let ahead = reader.ahead();
        let held = self.shared.budget.hold(weight(&raw)).await;
        self.shared.tell_memory();
        Ok(Some(ReadBatch { raw: Arc::new(raw), held, ahead }))
    }
}

/// What a batch holds while it is on its way: its bytes, its columns, and its rows as they are
/// written.
pub(crate) fn weight(raw: &RawBatch) -> usize {
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
