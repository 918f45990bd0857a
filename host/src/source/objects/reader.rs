//! Reads what is planned, object after object.
//!
//! The next objects are opened ahead, side by side; their order is kept. One framer goes through all of
//! them, so that a batch holds the records of many small objects. A batch is cut when there is more than it
//! may hold, or nothing else is planned: so it is known whether an object ends behind its last record, and
//! an object that was read to its end is never asked for again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::indexed::{IndexFolder, Indexed};
use super::kafka_connect::{Lines, Paired};
use super::look::{Look, Planner, Shelf};
use super::object::{Opened, Rest, Ticket};
use super::plan::{Known, Planned, from_entry};
use super::width::Width;
use super::{ObjectPosition, ObjectsSourceError};
use crate::record::{ConnectorError, Past, RawBatch, RawRecord};
use crate::source::frame::{Frame, Framer};
use crate::source::{Journal, LaneReader, Most, SourceOptions};

/// What objects that are opened ahead may have in sum, as they are stored. A large one is not left open for
/// long.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// So many times as many as are being opened.
const AHEAD_SHARE_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct ObjectsReader {
    shelf: Arc<Shelf>,
    until_end: bool,
    poll: Duration,
    planner: Looking,
    /// When to look again.
    look_at: Option<Instant>,
    /// Plans that are not begun, with their numbers, as they stand in the journal.
    plans: VecDeque<(u64, Bytes)>,
    /// What is not opened of the plan that is begun.
    plan: std::vec::IntoIter<Planned>,
    /// Its place.
    next_object: ObjectPosition,
    ahead: VecDeque<Ahead>,
    /// How many of them there may be.
    width: Width,
    ahead_bytes_max: u64,
    /// What is being framed.
    rest: Option<Rest>,
    framer: Framer,
    held: Held,
    /// An object beside which more is said of its records, when all before it is framed.
    described: Option<Described>,
    /// Where indexes may be.
    indexes: Arc<[IndexFolder]>,
    /// Records of the first object that are in the sink.
    skip: u64,
    /// Where the next batch begins.
    next: ObjectPosition,
    record_bytes_max: usize,
    failed: Option<Arc<ObjectsSourceError>>,
}

#[derive(Debug)]
enum Looking {
    /// Behind a pointer, as it goes from hand to hand.
    No(Option<Box<Planner>>),
    Yes(AbortOnDropHandle<(Box<Planner>, Result<Look, ConnectorError>)>),
}

#[derive(Debug)]
struct Ahead {
    at: ObjectPosition,
    bytes: u64,
    opening: AbortOnDropHandle<Result<Opened, ObjectsSourceError>>,
}

/// An object whose records are told by something beside it.
#[derive(Debug)]
enum Described {
    Indexed(Box<Indexed>),
    Paired(Box<Paired>),
}

impl Described {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ObjectsSourceError> {
        match self {
            Self::Indexed(indexed) => indexed.read(most).await,
            Self::Paired(paired) => paired.read(most).await,
        }
    }

    fn next(&self) -> ObjectPosition {
        match self {
            Self::Indexed(indexed) => indexed.next(),
            Self::Paired(paired) => paired.next(),
        }
    }
}

/// Whose records the framer holds.
#[derive(Debug)]
struct Held {
    runs: VecDeque<Run>,
    records: usize,
    /// Where the record behind them stands.
    end: ObjectPosition,
}

/// Records of one object.
#[derive(Debug)]
struct Run {
    from: ObjectPosition,
    records: usize,
}

impl Held {
    /// The framer found more records of the object at `end`.
    fn found(&mut self, records: usize) {
        if records > 0 {
            self.runs.push_back(Run { from: self.end, records });
            self.records += records;
            self.end.row += records as u64;
        }
    }

    /// The place of the first record, which is taken out.
    fn take(&mut self) -> ObjectPosition {
        let run = self.runs.front_mut().expect("every record that is framed was noted");
        let at = run.from;
        run.from.row += 1;
        run.records -= 1;
        self.records -= 1;
        if run.records == 0 {
            self.runs.pop_front();
        }
        at
    }

    /// The place of the record that comes next.
    fn next(&self) -> ObjectPosition {
        self.runs.front().map_or(self.end, |run| run.from)
    }
}

impl ObjectsReader {
    pub async fn open(
        shelf: Arc<Shelf>,
        poll: Duration,
        options: &SourceOptions,
        from: ObjectPosition,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, ConnectorError> {
        let mut known = Known::default();
        let mut plans = VecDeque::new();
        let mut plan = Vec::new();
        let mut number = 0;
        for entry in journal.entries().await? {
            let objects = from_entry(number, &entry)?;
            for object in &objects {
                known.plan(object);
            }
            if number == from.plan {
                plan = objects;
            } else if number > from.plan {
                plans.push_back((number, entry));
            }
            number += 1;
            // There may be hundreds of plans with thousands of objects each.
            tokio::task::yield_now().await;
        }
        let begun = usize::try_from(from.object).unwrap_or(usize::MAX);
        // Where the next look's first plan begins.
        let is_end = from == ObjectPosition { plan: number, object: 0, row: 0 };
        let is_planned =
            from.plan < number && (begun < plan.len() || begun == plan.len() && from.row == 0);
        if !is_planned && !is_end {
            return Err(ObjectsSourceError::NoPlan { from: from.into() }.into());
        }
        let indexes = shelf.indexes().await?;
        let mut plan = plan.into_iter();
        if let Some(before) = begun.checked_sub(1) {
            plan.nth(before);
        }
        let planner = Planner::new(Arc::clone(&shelf), journal, known, number);
        Ok(Self {
            shelf,
            until_end: options.until_end,
            poll,
            planner: Looking::No(Some(Box::new(planner))),
            look_at: None,
            plans,
            plan,
            next_object: ObjectPosition { row: 0, ..from },
            ahead: VecDeque::new(),
            width: Width::default(),
            ahead_bytes_max: options.prefetch_bytes.min(AHEAD_BYTES_MAX),
            rest: None,
            framer: Framer::new(options.record_bytes_max),
            held: Held { runs: VecDeque::new(), records: 0, end: from },
            described: None,
            indexes,
            record_bytes_max: options.record_bytes_max,
            skip: from.row,
            next: from,
            failed: None,
        })
    }

    /// Whether a batch can be cut behind which a record is known.
    fn is_full(&self, most: Most) -> bool {
        // Blanks behind a record can be without end.
        let is_large = self.framer.bytes() > most.bytes.saturating_mul(8);
        self.framer.records() > 1 && self.framer.has_more_than(most)
            || self.framer.records() > 0 && is_large
    }

    /// Frames some more; false if nothing is left that is planned.
    async fn read_on(&mut self) -> Result<bool, ObjectsSourceError> {
        let is_end = match &mut self.rest {
            Some(rest) => {
                let is_more = rest.read(self.framer.buffer()).await?;
                self.framer.scan();
                !is_more
            }
            None => {
                self.open_ahead()?;
                let Some(ahead) = self.ahead.front_mut() else { return Ok(false) };
                let opened = joined((&mut ahead.opening).await)?;
                self.width.note(opened.answered_in);
                self.held.end = ObjectPosition { row: self.skip, ..ahead.at };
                self.ahead.pop_front();
                if opened.index.is_some() || opened.beside.is_some() {
                    self.described = Some(self.describe(opened)?);
                    self.skip = 0;
                    return Ok(true);
                }
                self.framer.push(&opened.start);
                self.rest = opened.rest;
                self.rest.is_none()
            }
        };
        if is_end {
            self.framer.end();
            self.rest = None;
        }
        self.skip -= self.framer.forget(self.skip);
        self.held.found(self.framer.records() - self.held.records);
        if is_end {
            self.skip = 0;
            self.held.end = self.held.end.next_object();
        }
        Ok(true)
    }

    /// What reads an object beside which more is said of its records.
    fn describe(&self, mut opened: Opened) -> Result<Described, ObjectsSourceError> {
        let (from, record_bytes_max) = (self.held.end, self.record_bytes_max);
        if let Some(index) = opened.index.take() {
            let meant = self.shelf.replay.as_ref().map(|replay| replay.meant.clone());
            let meant = meant.unwrap_or_default();
            let indexed = Indexed::new(opened, index, from, record_bytes_max, meant);
            return Ok(Described::Indexed(Box::new(indexed)));
        }
        let Opened { start, rest, object, lift, beside, .. } = opened;
        let values = Lines::new(start, rest, record_bytes_max);
        let (beside, past) = (beside.unwrap_or_default(), self.past());
        let paired = Paired::new((object, lift), values, beside, from, record_bytes_max, past);
        Ok(Described::Paired(Box::new(paired)))
    }

    /// What is known of records of which nobody says when they were made. In a replay they only fill in
    /// rows that are missing, unless somebody says otherwise.
    fn past(&self) -> Option<Past> {
        let replay = self.shelf.replay.as_ref()?;
        Some(Past::Unknown { taken_as_micros: replay.taken_as_micros })
    }

    /// Opens as many of the next objects as may be opened side by side. Those that are open wait for their
    /// turn, and hold none of the others up.
    fn open_ahead(&mut self) -> Result<(), ObjectsSourceError> {
        loop {
            let bytes: u64 = self.ahead.iter().map(|ahead| ahead.bytes).sum();
            let being_opened = self.ahead.iter().filter(|ahead| !ahead.opening.is_finished());
            let width = self.width.objects();
            let is_enough = being_opened.count() >= width
                || self.ahead.len() >= width * AHEAD_SHARE_MAX
                || bytes >= self.ahead_bytes_max;
            if is_enough {
                return Ok(());
            }
            let Some((at, object)) = self.next_planned()? else { return Ok(()) };
            let bytes = object.size;
            let indexes = Arc::clone(&self.indexes);
            let ticket = Ticket { shelf: Arc::clone(&self.shelf), object, at, indexes };
            let opening = AbortOnDropHandle::new(tokio::spawn(ticket.open(self.record_bytes_max)));
            self.ahead.push_back(Ahead { at, bytes, opening });
        }
    }

    fn next_planned(&mut self) -> Result<Option<(ObjectPosition, Planned)>, ObjectsSourceError> {
        loop {
            if let Some(object) = self.plan.next() {
                let at = self.next_object;
                self.next_object.object += 1;
                return Ok(Some((at, object)));
            }
            let Some((plan, entry)) = self.plans.pop_front() else { return Ok(None) };
            self.plan = from_entry(plan, &entry)?.into_iter();
            // Networks change.
            self.width = Width::default();
            self.next_object = ObjectPosition { plan, object: 0, row: 0 };
        }
    }

    /// Waits until there is something new to read; false if nothing is waited for.
    async fn look(&mut self) -> Result<bool, ConnectorError> {
        loop {
            if let Some(at) = self.look_at {
                sleep_until(at).await;
                self.look_at = None;
            }
            let looking = match &mut self.planner {
                Looking::Yes(looking) => looking,
                Looking::No(planner) => {
                    let mut planner = planner.take().expect("it came back from the last look");
                    let look = async move {
                        let look = planner.look().await;
                        (planner, look)
                    };
                    self.planner = Looking::Yes(AbortOnDropHandle::new(tokio::spawn(look)));
                    continue;
                }
            };
            let (planner, look) = joined(looking.await);
            self.planner = Looking::No(Some(planner));
            let look = look?;
            if !look.plans.is_empty() {
                self.indexes = look.indexes;
                self.plans.extend(look.plans);
                return Ok(true);
            }
            let wait = match look.settles_in {
                None if self.until_end => return Ok(false),
                None => self.poll,
                Some(settled) if self.until_end => settled,
                Some(settled) => settled.min(self.poll),
            };
            self.look_at = Some(Instant::now() + wait);
        }
    }

    fn cut(&mut self, most: Most) -> RawBatch {
        let framed = self.framer.take(most).expect("there are records");
        let record = |frame: Frame| RawRecord {
            fault: frame.fault,
            ..RawRecord::value(self.held.take().into(), frame.value.range())
        };
        let records: Vec<_> = framed.frames.into_iter().map(record).collect();
        let past = self.past();
        let from = std::mem::replace(&mut self.next, self.held.next());
        RawBatch { past, ..RawBatch::new(framed.bytes, records, (from.into(), self.next.into())) }
    }
}

#[async_trait]
impl LaneReader for ObjectsReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        loop {
            // What came before a fault is sound, and is handed out first.
            while self.failed.is_none() && self.described.is_none() && !self.is_full(most) {
                match self.read_on().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => self.failed = Some(Arc::new(error)),
                }
            }
            if self.framer.records() > 0 {
                return Ok(Some(self.cut(most)));
            }
            if let Some(described) = &mut self.described {
                match described.read(most).await {
                    Ok(Some(batch)) => {
                        let from = std::mem::replace(&mut self.next, described.next());
                        return Ok(Some(RawBatch { from: from.into(), ..batch }));
                    }
                    Ok(None) => {
                        self.held.end = described.next();
                        self.described = None;
                        continue;
                    }
                    Err(error) => {
                        self.described = None;
                        self.failed = Some(Arc::new(error));
                    }
                }
            }
            if let Some(error) = &self.failed {
                return Err(Arc::clone(error).into());
            }
            if !self.look().await? {
                return Ok(None);
            }
        }
    }
}

/// A panic goes on where the task is waited for. Nobody else ends one that is.
fn joined<T>(joined: Result<T, JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
