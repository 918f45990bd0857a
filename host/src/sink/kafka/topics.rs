//! The topics that a sink writes to: which they are now, what they take, and whether they keep what they hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

use super::KafkaSinkError;
use crate::kafka::{Cluster, ClusterError, lock};

/// What Kafka has unless it is set otherwise.
const MESSAGE_BYTES: usize = 1_048_588;

/// The topic of the ledger: what is written there stays, and has the brokers' time.
const LEDGER: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("message.timestamp.type", "LogAppendTime"),
    ("unclean.leader.election.enable", "false"),
];

/// What it takes to survive the loss of a broker.
const REPLICAS: usize = 3;
const IN_SYNC: u32 = 2;

#[derive(Debug)]
pub(super) struct Topics {
    cluster: Arc<Cluster>,
    /// Those that rows may go to.
    targets: Vec<String>,
    ledger: String,
    letters: String,
    seen: AsyncMutex<Option<(Instant, Arc<Targets>)>>,
    sizes: Mutex<BTreeMap<String, usize>>,
    has_warned: Mutex<bool>,
}

/// The topics that rows may go to, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Targets(BTreeMap<String, TargetFacts>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetFacts {
    pub id: Uuid,
    pub partitions: usize,
}

/// What messages of a client may be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The largest that any topic takes.
    pub message: usize,
    /// What all of them take.
    pub batch: usize,
    /// What the topic of dead letters takes.
    pub letter: usize,
}

impl Targets {
    pub fn get(&self, topic: &str) -> Option<TargetFacts> {
        self.0.get(topic).copied()
    }

    pub fn ids(&self) -> BTreeMap<String, Uuid> {
        self.0.iter().map(|(name, facts)| (name.clone(), facts.id)).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, TargetFacts)> {
        self.0.iter().map(|(name, facts)| (name.as_str(), *facts))
    }

    /// One that was made anew since a lane wrote to it: its name and its ids.
    pub fn made_anew(&self, known: &BTreeMap<String, Uuid>) -> Option<(String, Uuid, Uuid)> {
        known.iter().find_map(|(name, was)| {
            let is = self.get(name)?.id;
            let is_known = !was.is_nil() && !is.is_nil();
            (is_known && is != *was).then(|| (name.clone(), *was, is))
        })
    }
}

impl Topics {
    pub fn new(
        cluster: Arc<Cluster>,
        targets: Vec<String>,
        ledger: String,
        letters: String,
    ) -> Self {
        let (seen, sizes, has_warned) = Default::default();
        Self { cluster, targets, ledger, letters, seen, sizes, has_warned }
    }

    /// Those that rows may go to, as they were so long ago at most.
    pub async fn targets(&self, age: Duration) -> Result<Arc<Targets>, KafkaSinkError> {
        let mut seen = self.seen.lock().await;
        if let Some((when, targets)) = &*seen
            && when.elapsed() <= age
        {
            return Ok(Arc::clone(targets));
        }
        let facts = self.cluster.topics(&self.targets).await?;
        let facts = facts.into_iter().map(|topic| {
            (topic.name, TargetFacts { id: topic.id, partitions: topic.partitions.max(1) })
        });
        let targets = Arc::new(Targets(facts.collect()));
        *seen = Some((Instant::now(), Arc::clone(&targets)));
        Ok(targets)
    }

    /// Whether there is a ledger.
    pub async fn has_ledger(&self) -> Result<bool, KafkaSinkError> {
        match self.cluster.topics(std::slice::from_ref(&self.ledger)).await {
            Ok(_) => Ok(true),
            Err(ClusterError::NoTopic { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes pinhost's own topics, or checks them.
    pub async fn prepare(&self) -> Result<(), KafkaSinkError> {
        for (topic, settings) in [(&self.ledger, LEDGER), (&self.letters, &[][..])] {
            match self.cluster.topics(std::slice::from_ref(topic)).await {
                Ok(_) => {}
                Err(ClusterError::NoTopic { .. }) => {
                    self.cluster.make_topic(topic, settings).await?;
                    self.wait_for(topic).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.check_ledger().await?;
        self.warn().await
    }

    /// What is made is not known everywhere at once.
    async fn wait_for(&self, topic: &str) -> Result<(), KafkaSinkError> {
        const TIME: Duration = Duration::from_secs(10);
        let (began, topic) = (Instant::now(), [topic.to_owned()]);
        loop {
            match self.cluster.topics(&topic).await {
                Err(ClusterError::NoTopic { .. }) if began.elapsed() < TIME => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                known => return known.map(|_| ()).map_err(KafkaSinkError::from),
            }
        }
    }

    async fn check_ledger(&self) -> Result<(), KafkaSinkError> {
        let refused = |found: String, wanted: &str| KafkaSinkError::LedgerSettings {
            topic: self.ledger.clone(),
            found,
            wanted: wanted.to_owned(),
        };
        let facts = self.cluster.topics(std::slice::from_ref(&self.ledger)).await?;
        let partitions = facts.first().map_or(0, |facts| facts.partitions);
        if partitions != 1 {
            return Err(refused(format!("{partitions} partitions"), "one partition"));
        }
        let Some(settings) = self.cluster.settings(&self.ledger).await? else { return Ok(()) };
        let policy = settings.get("cleanup.policy").map_or("delete", String::as_str);
        if policy != "compact" {
            return Err(refused(format!("cleanup.policy={policy}"), "cleanup.policy=compact"));
        }
        Ok(())
    }

    /// Says once what may lose what was committed.
    async fn warn(&self) -> Result<(), KafkaSinkError> {
        if std::mem::replace(&mut *lock(&self.has_warned), true) {
            return Ok(());
        }
        let all: Vec<_> = self.targets.iter().chain([&self.ledger]).cloned().collect();
        for facts in self.cluster.topics(&all).await? {
            let settings = self.cluster.settings(&facts.name).await?.unwrap_or_default();
            let mut weak = Vec::new();
            if facts.replication < REPLICAS {
                weak.push(format!("{} of {REPLICAS} replicas", facts.replication));
            }
            let in_sync = settings.get("min.insync.replicas").and_then(|it| it.parse::<u32>().ok());
            if let Some(in_sync) = in_sync.filter(|in_sync| *in_sync < IN_SYNC) {
                weak.push(format!("min.insync.replicas={in_sync}"));
            }
            if settings.get("unclean.leader.election.enable").is_some_and(|it| it == "true") {
                weak.push("unclean.leader.election.enable=true".to_owned());
            }
            if !weak.is_empty() {
                tracing::warn!(
                    "topic {} has {}: what was committed can be lost with a broker",
                    facts.name,
                    weak.join(", ")
                );
            }
        }
        Ok(())
    }

    /// What messages may be like, as the topics say.
    pub async fn sizes(&self) -> Result<Sizes, KafkaSinkError> {
        /// What a batch has besides its messages.
        const BESIDE: usize = 1024;
        const BATCH: usize = 1_000_000;
        let mut message = 0;
        let mut batch = BATCH;
        for topic in &self.targets {
            message = message.max(self.message_bytes(topic).await?);
        }
        for topic in self.targets.iter().chain([&self.ledger, &self.letters]) {
            batch = batch.min(self.message_bytes(topic).await?.saturating_sub(BESIDE));
        }
        let letter = self.message_bytes(&self.letters).await?;
        Ok(Sizes { message: message.max(letter), batch: batch.max(BESIDE), letter })
    }

    async fn message_bytes(&self, topic: &str) -> Result<usize, KafkaSinkError> {
        if let Some(known) = lock(&self.sizes).get(topic) {
            return Ok(*known);
        }
        let settings = self.cluster.settings(topic).await?.unwrap_or_default();
        let told = settings.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        let bytes = told.unwrap_or(MESSAGE_BYTES);
        lock(&self.sizes).insert(topic.to_owned(), bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_made_anew_is_told_from_one_that_brokers_have_no_id_of() {
        let of = |id: u128| {
            let facts = TargetFacts { id: Uuid::from_u128(id), partitions: 1 };
            Targets([("pin".to_owned(), facts)].into())
        };
        let known = of(7).ids();
        assert_eq!(of(7).made_anew(&known), None);
        assert_eq!(of(0).made_anew(&known), None);
        assert_eq!(of(8).made_anew(&of(0).ids()), None);
        let [was, is] = [7, 8].map(Uuid::from_u128);
        assert_eq!(of(8).made_anew(&known), Some(("pin".to_owned(), was, is)));
        assert_eq!(Targets::default().made_anew(&known), None, "it is not written to any more");
    }
}
