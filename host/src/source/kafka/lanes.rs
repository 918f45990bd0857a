//! Which partitions are ours, and which of them are being read.
//!
//! The group says which partitions are ours; librdkafka reads those that it is given besides. Between the
//! two stands the sink, which alone knows where to start: a partition that becomes ours is told to the
//! runtime, and given to librdkafka, with its offset, when the runtime opens it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Notify, mpsc};

use super::context::{Client, Context};
use super::ffi;
use super::{KafkaPosition, KafkaSourceError, lane_of};
use crate::kafka::{Trouble, lock};
use crate::record::Lane;
use crate::source::LaneChange;

pub(super) type Change = Result<LaneChange, KafkaSourceError>;

#[derive(Debug)]
pub(super) struct Lanes {
    changes: mpsc::UnboundedSender<Change>,
    /// Of the client that is a member of the group.
    pub trouble: Arc<Trouble>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None until the group is joined, and after it is left.
    client: Weak<Client>,
    /// Those that are ours.
    lanes: HashMap<Lane, Slot>,
    /// How far lanes are in the sink, until the group is told.
    hints: HashMap<Lane, KafkaPosition>,
}

#[derive(Debug)]
struct Slot {
    topic: String,
    partition: i32,
    /// What librdkafka reads. It has the partition as long as there is one.
    opening: Option<Arc<Opening>>,
}

/// What librdkafka has read of a partition.
pub(super) enum Queue {
    Open(PartitionQueue<Context>),
    /// Another opening of ours has taken its place, or nobody reads any more.
    Closed,
    /// The partition is not ours any more, which everybody is told who has to know.
    Revoked,
}

/// Records of a partition from the place on where it was opened.
pub(super) struct Opening {
    /// Nobody else may take records out: they would be missed here.
    pub queue: Mutex<Queue>,
    /// There may be more in the queue, or it is closed.
    pub ready: Arc<Notify>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

impl Opening {
    fn close(&self, how: Queue) {
        *lock(&self.queue) = how;
        self.ready.notify_one();
    }
}

impl Lanes {
    pub(super) fn new(changes: mpsc::UnboundedSender<Change>) -> Self {
        let state = State { client: Weak::new(), lanes: HashMap::new(), hints: HashMap::new() };
        Self { changes, trouble: Arc::default(), state: Mutex::new(state) }
    }

    pub(super) fn join(&self, client: &Arc<Client>) {
        lock(&self.state).client = Arc::downgrade(client);
    }

    pub(super) fn fail(&self, error: KafkaSourceError) {
        // Whoever listens no longer does not want to know.
        let _ = self.changes.send(Err(error));
    }

    /// Called back by librdkafka. What is new waits until its lane is opened; the others flow on.
    pub(super) fn assigned(&self, client: &Client, partitions: &TopicPartitionList) {
        let mut state = lock(&self.state);
        // The answer that the group waits for.
        if let Err(error) = client.incremental_assign(&TopicPartitionList::new()) {
            tracing::warn!("partitions could not be taken: {error}");
        }
        for one in partitions.elements() {
            let lane = lane_of(one.topic(), one.partition());
            let (topic, partition) = (one.topic().to_owned(), one.partition());
            if let Entry::Vacant(new) = state.lanes.entry(lane.clone()) {
                new.insert(Slot { topic, partition, opening: None });
                let _ = self.changes.send(Ok(LaneChange::assigned(lane)));
            }
        }
    }

    /// Called back by librdkafka.
    pub(super) fn revoked(&self, client: &Client, partitions: &TopicPartitionList) {
        let mut state = lock(&self.state);
        if !client.assignment_lost() {
            state.tell(client);
        }
        let mut read = TopicPartitionList::new();
        for one in partitions.elements() {
            let lane = lane_of(one.topic(), one.partition());
            let Some(slot) = state.lanes.remove(&lane) else { continue };
            if let Some(opening) = slot.opening {
                opening.close(Queue::Revoked);
                read.add_partition(one.topic(), one.partition());
            }
            state.hints.remove(&lane);
            let _ = self.changes.send(Ok(LaneChange::Revoked(lane)));
        }
        // The answer that the group waits for.
        if let Err(error) = client.incremental_unassign(&read) {
            tracing::debug!("partitions could not be given back: {error}");
        }
    }

    /// All lanes that are ours are told once more, in place of `before`, what was told and not heard.
    pub(super) fn tell_again(&self, before: &mut mpsc::UnboundedReceiver<Change>) {
        let mut state = lock(&self.state);
        while let Ok(change) = before.try_recv() {
            if change.is_err() {
                let _ = self.changes.send(change);
            }
        }
        let Some(client) = state.client.upgrade() else { return };
        for (lane, slot) in &mut state.lanes {
            if let Err(error) = slot.close(&client) {
                tracing::warn!(lane = %lane, "the partition could not be given back: {error}");
            }
            let _ = self.changes.send(Ok(LaneChange::assigned(lane.clone())));
        }
    }

    /// None if the partition is not ours any more.
    pub(super) fn open(
        &self,
        lane: &Lane,
        from: KafkaPosition,
    ) -> Result<Option<Arc<Opening>>, KafkaSourceError> {
        let refused = |error: KafkaError| KafkaSourceError::Fetch {
            lane: lane.clone(),
            reason: error.to_string(),
        };
        let mut state = lock(&self.state);
        let Some(client) = state.client.upgrade() else { return Ok(None) };
        let Some(slot) = state.lanes.get_mut(lane) else { return Ok(None) };
        slot.close(&client).map_err(refused)?;

        // From the queue's first record on: it is taken before librdkafka gets the partition.
        let queue = client.split_partition_queue(&slot.topic, slot.partition);
        let Some(mut queue) = queue else {
            return Err(KafkaSourceError::Busy { lane: lane.clone() });
        };
        let ready = Arc::new(Notify::new());
        queue.set_nonempty_callback({
            let ready = Arc::clone(&ready);
            move || ready.notify_one()
        });
        let opening = Arc::new(Opening { queue: Mutex::new(Queue::Open(queue)), ready });
        let mut partition = TopicPartitionList::new();
        let offset = Offset::Offset(from.offset);
        partition.add_partition_offset(&slot.topic, slot.partition, offset).map_err(refused)?;
        // By it librdkafka asks whether what was read before is still what is there.
        ffi::set_leader_epoch(&mut partition, from.leader_epoch);
        client.incremental_assign(&partition).map_err(refused)?;
        slot.opening = Some(Arc::clone(&opening));
        Ok(Some(opening))
    }

    /// The reader is gone.
    pub(super) fn close(&self, lane: &Lane, opening: &Arc<Opening>) {
        let mut state = lock(&self.state);
        let Some(client) = state.client.upgrade() else { return };
        let Some(slot) = state.lanes.get_mut(lane) else { return };
        if !slot.opening.as_ref().is_some_and(|open| Arc::ptr_eq(open, opening)) {
            return;
        }
        if let Err(error) = slot.close(&client) {
            tracing::warn!(lane = %lane, "the partition could not be given back: {error}");
        }
    }

    pub(super) fn committed(&self, lane: &Lane, to: KafkaPosition) {
        lock(&self.state).hints.insert(lane.clone(), to);
    }

    /// Tells the group how far lanes are in the sink, without waiting for its answer.
    pub(super) fn tell(&self, client: &Client) {
        lock(&self.state).tell(client);
    }

    /// Lets go of everything that holds the client.
    pub(super) fn leave(&self) {
        let mut state = lock(&self.state);
        state.client = Weak::new();
        for (_, slot) in state.lanes.drain() {
            if let Some(opening) = slot.opening {
                opening.close(Queue::Closed);
            }
        }
    }
}

impl Slot {
    fn close(&mut self, client: &Client) -> Result<(), KafkaError> {
        let Some(opening) = self.opening.take() else { return Ok(()) };
        opening.close(Queue::Closed);
        let mut partition = TopicPartitionList::new();
        partition.add_partition(&self.topic, self.partition);
        client.incremental_unassign(&partition)
    }
}

impl State {
    fn tell(&mut self, client: &Client) {
        let mut told = TopicPartitionList::new();
        for (lane, to) in self.hints.drain() {
            let Some(slot) = self.lanes.get(&lane) else { continue };
            let offset = Offset::Offset(to.offset);
            if let Err(error) = told.add_partition_offset(&slot.topic, slot.partition, offset) {
                tracing::debug!(lane = %lane, "no hint for {}: {error}", to.offset);
            }
        }
        if told.count() == 0 {
            return;
        }
        if let Err(error) = client.commit(&told, CommitMode::Async) {
            tracing::debug!("the hint of how far lanes have come was not sent: {error}");
        }
    }
}
