//! Which shards there are, again and again: what is new is told, with the shards that come before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{KinesisPosition, KinesisSourceError, Shared, lane_of, lock, shard_of};
use crate::kinesis::ShardFacts;
use crate::record::{Lane, Position};
use crate::source::{Known, LaneChange};

/// How often shards are listed, if none of ours ends.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    state: tokio::sync::Mutex<State>,
    /// Lanes that are at their end for good, as far as this process knows.
    ended: Mutex<BTreeSet<Lane>>,
}

#[derive(Debug)]
struct State {
    /// Lanes that the ledger knew when the run began, and that are not at their end.
    unended: BTreeSet<Lane>,
    /// The streams that lanes were read from, by name.
    ids: HashMap<Arc<str>, BTreeSet<Uuid>>,
    told: BTreeSet<Lane>,
    changes: VecDeque<LaneChange>,
    look_at: Instant,
}

/// The lanes of the shards that there are.
type Listed = BTreeMap<Lane, Arc<ShardFacts>>;

impl Watch {
    pub fn new(shared: Arc<Shared>) -> Self {
        let state = State {
            unended: BTreeSet::new(),
            ids: HashMap::new(),
            told: BTreeSet::new(),
            changes: VecDeque::new(),
            look_at: Instant::now(),
        };
        Self { shared, state: state.into(), ended: Mutex::default() }
    }

    /// A run begins: everything is told once more. Positions come before shards are listed: what the ledger
    /// knows is listed, unless it is gone.
    pub async fn begin(&self, known: &Known) -> Result<Listed, KinesisSourceError> {
        let mut state = self.state.lock().await;
        let (ended, unended): (BTreeMap<_, _>, _) =
            known.lanes.clone().into_iter().partition(|(_, at)| *at == Position::End);
        *lock(&self.ended) = ended.into_keys().collect();
        *state = State {
            unended: unended.keys().cloned().collect(),
            ids: HashMap::new(),
            told: BTreeSet::new(),
            changes: VecDeque::new(),
            look_at: Instant::now(),
        };
        for (lane, at) in unended {
            let Some((stream, _)) = shard_of(&lane) else { continue };
            if let Ok(at) = KinesisPosition::try_from(at) {
                state.ids.entry(stream.into()).or_default().insert(at.stream);
            }
        }
        self.look(&mut state).await
    }

    pub fn note_end(&self, lane: &Lane) {
        lock(&self.ended).insert(lane.clone());
    }

    pub fn ended(&self) -> BTreeSet<Lane> {
        lock(&self.ended).clone()
    }

    /// May be dropped while it waits: nothing is left out.
    pub async fn next(&self) -> Result<LaneChange, KinesisSourceError> {
        let mut state = self.state.lock().await;
        loop {
            if let Some(change) = state.changes.pop_front() {
                return Ok(change);
            }
            tokio::select! {
                () = sleep_until(state.look_at) => {}
                () = self.shared.look.notified() => {}
            }
            self.look(&mut state).await?;
        }
    }

    async fn look(&self, state: &mut State) -> Result<Listed, KinesisSourceError> {
        let streams = &self.shared.streams;
        let mut listed = Listed::new();
        for stream in streams.names() {
            let facts = streams.facts(stream).await?;
            let shards = streams.list(stream).await?;
            state.ids.entry(Arc::clone(stream)).or_default().insert(facts.id);
            let shards = shards.into_iter().map(|shard| (lane_of(stream, &shard.id), shard));
            let shards: Listed = shards.collect();
            if let Some(lane) = self.renewed(&shards, state.ids[stream].len() > 1) {
                let (args, stream) = (self.shared.options.args.clone(), stream.to_string());
                let (lane, created) = (lane.clone(), facts.created);
                return Err(KinesisSourceError::Renewed { args, lane, stream, created });
            }
            listed.extend(shards);
        }
        state.look_at = Instant::now() + LOOK;
        let is_ours = |lane: &Lane| {
            shard_of(lane).is_some_and(|(stream, _)| streams.names().any(|name| **name == *stream))
        };
        // Those that are gone before they were read are told as well: their lanes say so.
        let gone = state.unended.iter().filter(|lane| !listed.contains_key(*lane) && is_ours(lane));
        let gone: Vec<_> = gone.cloned().map(LaneChange::assigned).collect();
        let is_read = |lane: &Lane| listed.contains_key(lane) || state.unended.contains(lane);
        let ended = lock(&self.ended).clone();
        let listed_changes = listed.iter().map(|(lane, shard)| {
            let stream = shard_of(lane).map_or("", |(stream, _)| stream);
            let after = shard.parents.iter().map(|parent| lane_of(stream, parent));
            // A parent that is listed no more, and was never read, has nothing left to read.
            let after = after.filter(|parent| is_read(parent) && !ended.contains(parent)).collect();
            LaneChange::Assigned { lane: lane.clone(), after }
        });
        let changes: Vec<_> = gone.into_iter().chain(listed_changes).collect();
        for change in changes {
            let LaneChange::Assigned { lane, .. } = &change else { continue };
            if !ended.contains(lane) && state.told.insert(lane.clone()) {
                state.changes.push_back(change);
            }
        }
        Ok(listed)
    }

    /// A shard that is listed although its lane has ended: it is one of a stream that was made anew.
    fn renewed<'a>(&self, listed: &'a Listed, is_other: bool) -> Option<&'a Lane> {
        let ended = lock(&self.ended);
        let mut ended = listed.iter().filter(|(lane, _)| ended.contains(*lane));
        // What has ended for good never opens again.
        ended.find(|(_, shard)| is_other || shard.is_open).map(|(lane, _)| lane)
    }
}
