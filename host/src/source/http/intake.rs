//! What lies between requests and the lane: requests wait here until the lane is read, and then until what
//! they brought is committed.
//!
//! Records get their numbers when they are read, so that one that is withdrawn before leaves no gap. All
//! records of a request are in one batch, and so in one unit. What was read and is not committed when the
//! lane is opened again was not stored: it cannot be read again, so whoever waits for it is told.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout_at;

use crate::record::{Lane, Position, RawBatch, RawRecord, Receipt, Receipts, Span};
use crate::source::{Known, Most, Outset, run_lane};

/// Permits are this much each, as a semaphore counts in 32 bits.
const GRAIN: usize = 1024;

/// Outlives the source: another one that is opened for the same pipeline goes on with it.
#[derive(Debug)]
pub(super) struct Intake {
    state: Mutex<State>,
    arrived: Notify,
    /// For bodies that were not read into a lane yet.
    room: Arc<Semaphore>,
    room_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    /// This process's, once it is known which run it is.
    lane: Option<Lane>,
    is_told: bool,
    /// By the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    arrivals: u64,
    /// What was read of the lane and is not known to be committed, in its order.
    read: VecDeque<Read>,
    /// The number of the next record.
    next: u64,
    /// How often the lane was opened: only its last reader is given anything.
    opened: u64,
    /// The time of the last record.
    micros: i64,
    is_closed: bool,
}

/// What a request has brought.
#[derive(Debug)]
pub(super) struct Submission {
    pub topic: Arc<str>,
    pub partition: Option<i64>,
    pub bytes: Bytes,
    pub records: Vec<SubmittedRecord>,
    #[expect(dead_code, reason = "dropping it frees the memory")]
    pub room: Room,
}

/// Where a record stands in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubmittedRecord {
    pub key: Option<Span>,
    pub value: Option<Span>,
}

/// Memory that is held for a body.
#[derive(Debug)]
pub(super) struct Room {
    of: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    grains: usize,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed {
        /// The number of its first record.
        first: u64,
        /// One for each record, if it is known what became of it.
        receipts: Option<Vec<Receipt>>,
    },
    /// Nothing of it is stored, and nothing will be.
    Withdrawn,
    /// Nobody knows whether it was stored, or will be.
    Unknown,
}

#[derive(Debug)]
struct Waiting {
    submission: Submission,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
struct Read {
    from: u64,
    to: u64,
    answer: oneshot::Sender<Outcome>,
}

/// A request that waits. Whoever drops it does not want its records stored, if there is time.
#[derive(Debug)]
pub(super) struct Ticket {
    intake: Arc<Intake>,
    number: u64,
    outcome: oneshot::Receiver<Outcome>,
}

impl Intake {
    /// As much may wait in bodies.
    pub fn new(room_bytes: usize) -> Self {
        let grains = room_bytes.div_ceil(GRAIN).min(Semaphore::MAX_PERMITS);
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            room: Arc::new(Semaphore::new(grains)),
            room_bytes,
        }
    }

    pub fn room_bytes(&self) -> usize {
        self.room_bytes
    }

    /// Room for a body that is about to be read.
    pub fn room(&self) -> Room {
        Room { of: Arc::clone(&self.room), held: None, grains: 0 }
    }

    pub fn resume(&self, known: &Known) -> Outset {
        let mut state = self.state();
        state.is_told = false;
        let lane = state.lane.get_or_insert_with(|| run_lane::next("http", known));
        Outset::of_one(lane, known)
    }

    /// The lane, the first time that a run asks for it.
    pub fn next_lane(&self) -> Option<Lane> {
        let mut state = self.state();
        let was_told = std::mem::replace(&mut state.is_told, true);
        let lane = state.lane.get_or_insert_with(|| run_lane::first("http")).clone();
        (!was_told).then_some(lane)
    }

    /// None if nothing is taken any more.
    pub fn submit(self: &Arc<Self>, submission: Submission) -> Option<Ticket> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        let (answer, outcome) = oneshot::channel();
        let number = state.arrivals;
        state.arrivals += 1;
        state.waiting.insert(number, Waiting { submission, answer });
        drop(state);
        self.arrived.notify_waiters();
        Some(Ticket { intake: Arc::clone(self), number, outcome })
    }

    /// The lane is claimed, and stands at this record: what was read of it from there on was not stored. The
    /// answer names the reader.
    pub fn open(&self, from: u64) -> u64 {
        let mut state = self.state();
        for Read { from: first, to, answer } in std::mem::take(&mut state.read) {
            // Nobody may be there any more.
            let _ = answer.send(if to <= from {
                Outcome::Committed { first, receipts: None }
            } else {
                Outcome::Withdrawn
            });
        }
        state.next = from;
        state.opened += 1;
        state.opened
    }

    /// The records of the next requests to one topic, as soon as there is one.
    pub async fn read(&self, reader: u64, most: Most) -> RawBatch {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if let Some(batch) = self.state().read(reader, most) {
                return batch;
            }
            arrived.await;
        }
    }

    pub fn committed(&self, to: u64, receipts: Option<&Receipts>) {
        let mut state = self.state();
        let last = state.read.partition_point(|read| read.to <= to);
        let done: Vec<_> = state.read.drain(..last).collect();
        drop(state);
        let records: u64 = done.iter().map(|read| read.to - read.from).sum();
        let receipts = receipts.map(|receipts| &*receipts.records);
        // It is a unit's, and all that was not known to be committed is of that unit.
        let mut receipts = receipts.filter(|receipts| receipts.len() as u64 == records);
        for Read { from, to, answer } in done {
            let own = receipts.map(|all| {
                let (own, rest) = all.split_at((to - from) as usize);
                receipts = Some(rest);
                own.to_vec()
            });
            let _ = answer.send(Outcome::Committed { first: from, receipts: own });
        }
    }

    /// Nothing is taken any more, and nothing that waits is read.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        let read = std::mem::take(&mut state.read);
        drop(state);
        for Waiting { answer, .. } in waiting.into_values() {
            let _ = answer.send(Outcome::Withdrawn);
        }
        for Read { answer, .. } in read {
            let _ = answer.send(Outcome::Unknown);
        }
    }

    /// Nothing that is done under this lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self, reader: u64, most: Most) -> Option<RawBatch> {
        // The lane was opened again: what this one takes would never be committed.
        if reader != self.opened {
            return None;
        }
        let numbers = self.next_of_one_topic(most);
        let taken = numbers.iter().filter_map(|number| self.waiting.remove(number));
        let taken: Vec<_> = taken.collect();
        let first = taken.first()?;
        let (topic, partition) = (Arc::clone(&first.submission.topic), first.submission.partition);
        let from = self.next;
        let mut bytes = Joined::default();
        let mut records = Vec::new();
        for Waiting { submission, answer } in taken {
            let start = bytes.add(submission.bytes);
            let first = self.next;
            for SubmittedRecord { key, value } in submission.records {
                let moved = |span: Span| Span { from: span.from + start, to: span.to + start };
                self.micros = now_micros().max(self.micros + 1);
                records.push(RawRecord {
                    key: key.map(moved),
                    timestamp_micros: Some(self.micros),
                    value: value.map(moved),
                    ..RawRecord::value(Position::number(self.next), 0..0)
                });
                self.next += 1;
            }
            self.read.push_back(Read { from: first, to: self.next, answer });
        }
        Some(RawBatch {
            bytes: bytes.whole(),
            records,
            headers: Vec::new(),
            columns: None,
            topic: Some(topic),
            partition,
            from: Position::number(from),
            to: Position::number(self.next),
            past: None,
        })
    }

    /// Those that fit, at least one. Requests to other topics wait: a batch has one.
    fn next_of_one_topic(&self, most: Most) -> Vec<u64> {
        let mut numbers = Vec::new();
        let Some(first) = self.waiting.values().next() else { return numbers };
        let first = (&first.submission.topic, first.submission.partition);
        let (mut records, mut bytes) = (0, 0);
        for (number, Waiting { submission, .. }) in &self.waiting {
            if (&submission.topic, submission.partition) != first {
                continue;
            }
            records += submission.records.len();
            bytes += submission.bytes.len();
            if !numbers.is_empty() && (records > most.records || bytes > most.bytes) {
                break;
            }
            numbers.push(*number);
        }
        numbers
    }
}

/// Bodies behind each other; a single one is not copied.
#[derive(Default)]
struct Joined {
    first: Bytes,
    all: BytesMut,
}

impl Joined {
    /// Where it begins.
    fn add(&mut self, bytes: Bytes) -> u32 {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = bytes;
            return 0;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        let start = u32::try_from(self.all.len()).expect("a batch stays below 4 GiB");
        self.all.extend_from_slice(&bytes);
        start
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Room {
    /// Makes it large enough for so many bytes; false if there is not as much.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.div_ceil(GRAIN).saturating_sub(self.grains);
        if more == 0 {
            return true;
        }
        let Ok(permits) = u32::try_from(more) else { return false };
        let Ok(held) = Arc::clone(&self.of).try_acquire_many_owned(permits) else { return false };
        match &mut self.held {
            Some(all) => all.merge(held),
            none => *none = Some(held),
        }
        self.grains += more;
        true
    }
}

impl Ticket {
    /// What became of the request. If that is not known in time, it is withdrawn where it can be.
    pub async fn outcome(mut self, until: Instant) -> Outcome {
        let told = timeout_at(until.into(), &mut self.outcome).await;
        match told {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Unknown,
            Err(_) if self.withdraw() => Outcome::Withdrawn,
            // It may have been answered meanwhile.
            Err(_) => self.outcome.try_recv().unwrap_or(Outcome::Unknown),
        }
    }

    fn withdraw(&self) -> bool {
        self.intake.state().waiting.remove(&self.number).is_some()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MOST: Most = Most { records: 4, bytes: 1 << 20 };

    fn submission(intake: &Intake, topic: &str, records: usize) -> Submission {
        let one = SubmittedRecord { key: None, value: Some(Span::new(0..2)) };
        let room = intake.room();
        let bytes = Bytes::from_static(b"{}");
        Submission {
            topic: topic.into(),
            partition: None,
            bytes,
            records: vec![one; records],
            room,
        }
    }

    fn intake() -> Arc<Intake> {
        Arc::new(Intake::new(4 * GRAIN))
    }

    async fn read(intake: &Intake, reader: u64) -> (u64, u64, String) {
        let batch = intake.read(reader, MOST).await;
        for record in &batch.records {
            assert_eq!(&batch.bytes[record.value.unwrap().range()], b"{}");
        }
        let number = |position: Position| position.as_number().unwrap();
        (number(batch.from), number(batch.to), batch.topic.unwrap().to_string())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn stored(first: u64, records: usize) -> Outcome {
        let receipts = Some(vec![Receipt::Stored { at: None }; records]);
        Outcome::Committed { first, receipts }
    }

    fn receipts(records: usize) -> Receipts {
        Receipts { records: vec![Receipt::Stored { at: None }; records] }
    }

    #[tokio::test]
    async fn a_request_is_never_cut_and_a_batch_has_one_topic() {
        let intake = intake();
        let reader = intake.open(0);
        let submit = |topic, records| intake.submit(submission(&intake, topic, records)).unwrap();
        let tickets = [submit("a", 3), submit("b", 1), submit("a", 1), submit("a", 9)];
        assert_eq!(read(&intake, reader).await, (0, 4, "a".to_owned()));
        assert_eq!(read(&intake, reader).await, (4, 5, "b".to_owned()));
        assert_eq!(read(&intake, reader).await, (5, 14, "a".to_owned()));
        intake.committed(5, Some(&receipts(5)));
        intake.committed(14, Some(&receipts(9)));
        let mut outcomes = Vec::new();
        for ticket in tickets {
            outcomes.push(ticket.outcome(later()).await);
        }
        assert_eq!(outcomes, [stored(0, 3), stored(4, 1), stored(3, 1), stored(5, 9)]);
    }

    #[tokio::test]
    async fn what_was_not_read_in_time_is_withdrawn_and_leaves_no_gap() {
        let intake = intake();
        let reader = intake.open(7);
        let late = intake.submit(submission(&intake, "a", 1)).unwrap();
        assert_eq!(late.outcome(Instant::now()).await, Outcome::Withdrawn);
        drop(intake.submit(submission(&intake, "a", 1)).unwrap());
        let taken = intake.submit(submission(&intake, "a", 1)).unwrap();
        assert_eq!(read(&intake, reader).await, (7, 8, "a".to_owned()));
        assert_eq!(taken.outcome(Instant::now()).await, Outcome::Unknown, "it may be stored");
    }

    #[tokio::test]
    async fn when_the_lane_is_claimed_again_its_position_tells_what_was_stored() {
        let intake = intake();
        let first = intake.open(0);
        let submit = || intake.submit(submission(&intake, "a", 2)).unwrap();
        let (one, other) = (submit(), submit());
        assert_eq!(read(&intake, first).await, (0, 4, "a".to_owned()));
        let second = intake.open(2);
        assert_eq!(one.outcome(later()).await, Outcome::Committed { first: 0, receipts: None });
        assert_eq!(other.outcome(later()).await, Outcome::Withdrawn);
        // The reader before is given nothing that would be lost with it.
        let third = submit();
        assert!(futures_util::poll!(std::pin::pin!(intake.read(first, MOST))).is_pending());
        assert_eq!(read(&intake, second).await, (2, 4, "a".to_owned()));
        intake.close();
        assert_eq!(third.outcome(later()).await, Outcome::Unknown);
        assert!(intake.submit(submission(&intake, "a", 1)).is_none());
    }

    #[tokio::test]
    async fn what_waits_is_bounded_until_it_is_read() {
        let intake = intake();
        let reader = intake.open(0);
        let mut room = intake.room();
        assert!(room.hold(GRAIN) && room.hold(2 * GRAIN) && room.hold(GRAIN));
        assert!(intake.room().hold(2 * GRAIN) && !intake.room().hold(2 * GRAIN + 1));
        let waits = Submission { room, ..submission(&intake, "a", 1) };
        let _ticket = intake.submit(waits).unwrap();
        assert!(!intake.room().hold(3 * GRAIN));
        read(&intake, reader).await;
        assert!(intake.room().hold(4 * GRAIN));
    }

    #[tokio::test]
    async fn times_only_grow() {
        let intake = intake();
        let reader = intake.open(0);
        let _ticket = intake.submit(submission(&intake, "a", 9)).unwrap();
        let batch = intake.read(reader, MOST).await;
        let times: Vec<_> = batch.records.iter().map(|it| it.timestamp_micros.unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    }
}
