//! The streams that are read: which they are, and which shards they have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock;
use crate::kinesis::{KinesisError, Service, ShardFacts, StreamFacts};

/// How often it is looked whether a stream is still the same one: it takes longer to delete one and to make
/// it anew.
const VERIFY: Duration = Duration::from_secs(2);

/// Where that is asked too often, an older answer does.
const VERIFY_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Streams {
    service: Service,
    streams: BTreeMap<Arc<str>, Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    facts: Option<(StreamFacts, Instant)>,
    shards: BTreeMap<Arc<str>, Arc<ShardFacts>>,
}

impl Streams {
    pub fn new(service: Service, names: Vec<Arc<str>>) -> Self {
        let streams = names.into_iter().map(|name| (name, Mutex::default()));
        Self { service, streams: streams.collect() }
    }

    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.streams.keys()
    }

    fn seen(&self, stream: &str) -> &Mutex<Seen> {
        self.streams.get(stream).expect("only our own are asked about")
    }

    /// Which stream it is, as it was a moment ago.
    pub async fn facts(&self, stream: &str) -> Result<StreamFacts, KinesisError> {
        let known = lock(self.seen(stream)).facts.clone();
        if let Some((facts, when)) = &known
            && when.elapsed() < VERIFY
        {
            return Ok(facts.clone());
        }
        match (self.service.stream(stream).await, known) {
            (Ok(facts), _) => {
                let mut seen = lock(self.seen(stream));
                if seen.facts.as_ref().is_some_and(|(before, _)| before.id != facts.id) {
                    // Shards of the one before have the same names.
                    seen.shards.clear();
                }
                seen.facts = Some((facts.clone(), Instant::now()));
                Ok(facts)
            }
            (Err(KinesisError::Throttled { .. }), Some((facts, when)))
                if when.elapsed() < VERIFY_MAX =>
            {
                Ok(facts)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// It has to be asked again which stream it is.
    pub fn doubt(&self, stream: &str) {
        lock(self.seen(stream)).facts = None;
    }

    /// Lists the shards that there are.
    pub async fn list(&self, stream: &str) -> Result<Vec<Arc<ShardFacts>>, KinesisError> {
        let shards = self.service.shards(stream).await?.into_iter().map(Arc::new);
        let shards: BTreeMap<_, _> = shards.map(|shard| (Arc::clone(&shard.id), shard)).collect();
        lock(self.seen(stream)).shards.clone_from(&shards);
        Ok(shards.into_values().collect())
    }

    /// One of them; they are listed anew if it is not among those that are known.
    pub async fn shard(
        &self,
        stream: &str,
        shard: &str,
    ) -> Result<Option<Arc<ShardFacts>>, KinesisError> {
        let known = lock(self.seen(stream)).shards.get(shard).cloned();
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.list(stream).await?.into_iter().find(|listed| *listed.id == *shard))
    }
}
