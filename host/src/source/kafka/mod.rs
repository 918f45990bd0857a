//! `kafka`: topics of a Kafka cluster. A lane is a partition, called `<topic>-<partition>` as Kafka calls
//! them: what follows the last dash is the partition.
//!
//! A position is (topic id, next offset, epoch of the leader that wrote the record before). It belongs to
//! a cluster, whatever its brokers are called. Topics may be added to a pipeline and taken out of it; one
//! that has read only others until now is another pipeline under the same name, and does not start. A
//! lane whose next record is no longer there, or may not be the one that followed, halts: nothing is ever
//! skipped silently.
//!
//! The consumer group spreads partitions over processes, and nothing else: where a lane starts is what the
//! sink says, what the group is told is for those who look at lag. Its members share by
//! `cooperative-sticky`, so that lanes which stay where they are flow on meanwhile.
//!
//! Between the partition and the reader is librdkafka's queue, which is bounded: a reader that is not asked
//! stops the fetching of its partition, and of no other.
//!
//! Known limits: brokers without topic ids (older than 2.8) cannot tell a topic from one that was made
//! anew. Compressed batches are counted as they come, and one of them is taken whole. Partitions added
//! while a pipeline runs get as much memory as the others have, until it starts again.

mod batch;
mod check;
mod config;
mod context;
mod error;
#[expect(unsafe_code, reason = "the crate has no safe way to ask librdkafka for these")]
mod ffi;
mod kind;
mod lanes;
mod position;
mod reader;
mod serve;
mod settings;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use uuid::Uuid;

use self::batch::Filling;
use self::context::{Client, Context};
use self::lanes::{Change, Lanes};
use self::reader::{KafkaReader, Place};
use self::serve::Service;
use super::{
    Bounds, Journal, Known, LaneChange, LaneReader, Outset, Receipts, Source, SourceOptions,
};
use crate::connect::StartConfig;
use crate::kafka::{Asker, Cluster, Talk, Trouble, lock};
use crate::record::{ConnectorError, Lane, Position, SourceId, Start};

pub use self::config::KafkaSourceConfig;
pub use self::error::KafkaSourceError;
pub use self::kind::Kafka;
pub use self::position::KafkaPosition;

pub struct KafkaSource {
    config: KafkaSourceConfig,
    options: SourceOptions,
    topics: Vec<Arc<str>>,
    settings: ClientConfig,
    cluster: Arc<Cluster>,
    lanes: Arc<Lanes>,
    service: Service,
    changes: tokio::sync::Mutex<UnboundedReceiver<Change>>,
    /// The lanes that there were when the run began.
    first: Mutex<HashSet<Lane>>,
    has_joined: Mutex<bool>,
    /// Where lanes end that are to end.
    ends: Mutex<HashMap<Lane, i64>>,
}

/// Without its settings, which hold secrets.
impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KafkaSource");
        shown.field("cluster", &self.cluster).field("topics", &self.topics);
        shown.finish_non_exhaustive()
    }
}

fn lane_of(topic: &str, partition: i32) -> Lane {
    Lane::new(format!("{topic}-{partition}"))
}

/// The topic and partition of a lane.
fn partition_of(lane: &Lane) -> Option<(&str, i32)> {
    let (topic, partition) = lane.name().rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

fn at(topic_id: Uuid, offset: i64) -> Position {
    KafkaPosition { topic_id, offset, leader_epoch: -1 }.into()
}

impl KafkaSource {
    /// Talks to nobody yet.
    pub fn open(
        config: &KafkaSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, KafkaSourceError> {
        let settings = settings::common(config, &options.pipeline)?;
        let tokens = config.connection().tokens();
        let talk = Talk { trouble: Arc::<Trouble>::default(), tokens, tells: false };
        let asker: Asker =
            settings.create_with_context(talk).map_err(KafkaSourceError::Settings)?;
        let asker = Arc::new(asker);
        let (told, changes) = mpsc::unbounded_channel();
        let lanes = Arc::new(Lanes::new(told));
        let group = config.group(&options.pipeline);
        Ok(Self {
            config: config.clone(),
            options: options.clone(),
            topics: config.topics.iter().map(|topic| topic.as_str().into()).collect(),
            settings,
            cluster: Arc::new(Cluster::new(Arc::clone(&asker), config.brokers.to_string())),
            service: Service::start(group, asker, Arc::clone(&lanes))?,
            lanes,
            changes: tokio::sync::Mutex::new(changes),
            first: Mutex::default(),
            has_joined: Mutex::default(),
            ends: Mutex::default(),
        })
    }

    /// Joins the group, unless that is done.
    fn join(&self) -> Result<(), KafkaSourceError> {
        let mut has_joined = lock(&self.has_joined);
        if *has_joined {
            return Ok(());
        }
        let SourceOptions { pipeline, prefetch_bytes, .. } = &self.options;
        let settings = self.settings.clone();
        let partitions = lock(&self.first).len();
        let settings =
            settings::member(settings, &self.config, pipeline, *prefetch_bytes, partitions);
        let talk = Talk {
            trouble: Arc::clone(&self.lanes.trouble),
            tokens: self.config.connection().tokens(),
            tells: true,
        };
        let context = Context { talk, lanes: Arc::clone(&self.lanes) };
        let member: Client =
            settings.create_with_context(context).map_err(KafkaSourceError::Settings)?;
        let member = Arc::new(member);
        self.lanes.join(&member);
        let topics: Vec<_> = self.topics.iter().map(|topic| &**topic).collect();
        member.subscribe(&topics).map_err(KafkaSourceError::Settings)?;
        self.service.serve(member);
        *has_joined = true;
        Ok(())
    }

    fn place(&self, lane: &Lane) -> Result<Place, KafkaSourceError> {
        let known = partition_of(lane).and_then(|(name, partition)| {
            let topic = self.topics.iter().find(|topic| ***topic == *name)?;
            Some((topic, partition))
        });
        let Some((topic, partition)) = known else {
            let topics = self.config.topics.join(", ");
            return Err(KafkaSourceError::OtherLane { lane: lane.clone(), topics });
        };
        Ok(Place {
            args: self.options.args.clone(),
            lane: lane.clone(),
            topic: Arc::clone(topic),
            partition,
        })
    }

    /// All partitions that there are now, with the ids of their topics.
    async fn places(&self) -> Result<Vec<(Place, Uuid)>, KafkaSourceError> {
        let topics = self.cluster.topics(&self.config.topics).await?;
        let places = topics.iter().flat_map(|topic| {
            let partitions = 0..i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            partitions.map(|partition| {
                let place = self.place(&lane_of(&topic.name, partition))?;
                Ok((place, topic.id))
            })
        });
        places.collect()
    }

    /// A pipeline that has read other topics only is another one under the same name.
    fn is_of_our_topics(&self, known: &Known) -> Result<(), KafkaSourceError> {
        let lanes = known.lanes.keys();
        let known: BTreeSet<_> = lanes.filter_map(partition_of).map(|(topic, _)| topic).collect();
        if known.is_empty() || self.topics.iter().any(|topic| known.contains(&**topic)) {
            return Ok(());
        }
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let (pipeline, here) = (Arc::clone(&self.options.pipeline), self.config.topics.join(", "));
        Err(KafkaSourceError::OtherTopics { pipeline, known, here })
    }

    /// Where lanes start and end, as far as that is asked for.
    async fn outset(&self, known: &Known) -> Result<Outset, KafkaSourceError> {
        const AT_ONCE: usize = 16;
        let (until_end, has_run) = (self.options.until_end, known.has_run);
        if !until_end && has_run {
            return Ok(Outset::default());
        }
        let places = stream::iter(self.places().await?);
        let asked = places.map(|(place, topic_id)| async move {
            let start = match has_run {
                true => None,
                false => Some(self.start_of(&place, topic_id).await?),
            };
            let end = match until_end {
                true => Some(self.cluster.extent(&place.topic, place.partition).await?.ends),
                false => None,
            };
            Ok::<_, KafkaSourceError>((place.lane, start, end.map(|end| at(topic_id, end))))
        });
        let mut asked = asked.buffer_unordered(AT_ONCE).boxed();
        let mut outset = Outset::default();
        while let Some((lane, start, end)) = asked.try_next().await? {
            outset.starts.extend(start.map(|start| (lane.clone(), start)));
            outset.ends.extend(end.map(|end| (lane, end)));
        }
        Ok(outset)
    }

    /// Where `start:` puts a partition.
    async fn start_of(&self, place: &Place, topic_id: Uuid) -> Result<Position, KafkaSourceError> {
        let Place { topic, partition, .. } = place;
        Ok(match self.config.start {
            // It is asked for when the lane is claimed.
            StartConfig::Earliest => Position::Start(Start::Earliest),
            StartConfig::Latest => at(topic_id, self.cluster.extent(topic, *partition).await?.ends),
            StartConfig::Time(time) => {
                at(topic_id, self.cluster.at_time(topic, *partition, time).await?)
            }
        })
    }

    /// Where the lane ends, if it is to end: as it was when that was asked first.
    async fn end(&self, place: &Place) -> Result<Option<i64>, KafkaSourceError> {
        if !self.options.until_end {
            return Ok(None);
        }
        let known = lock(&self.ends).get(&place.lane).copied();
        if known.is_some() {
            return Ok(known);
        }
        let extent = self.cluster.extent(&place.topic, place.partition).await?;
        Ok(Some(*lock(&self.ends).entry(place.lane.clone()).or_insert(extent.ends)))
    }
}

#[async_trait]
impl Source for KafkaSource {
    /// The cluster. Topics are part of lanes and of positions.
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        let id = self.cluster.id().await?;
        let places = self.places().await?;
        *lock(&self.first) = places.into_iter().map(|(place, _)| place.lane).collect();
        Ok(SourceId::new(format!("kafka:{id}")))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        self.is_of_our_topics(known)?;
        let outset = self.outset(known).await?;
        let ends = outset.ends.iter();
        let ends = ends.filter_map(|(lane, end)| {
            Some((lane.clone(), KafkaPosition::try_from(*end).ok()?.offset))
        });
        *lock(&self.ends) = ends.collect();
        let group = self.config.group(&self.options.pipeline);
        let client = self.settings.get("client.id").unwrap_or_default().to_owned();
        let strangers = self.cluster.strangers(group.clone(), client).await;
        if !strangers.is_empty() {
            tracing::warn!(
                "consumer group {group} has members of others: {}; what partitions they get is not read here",
                strangers.join(", ")
            );
        }
        self.lanes.tell_again(&mut *self.changes.lock().await);
        Ok(outset)
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        self.join()?;
        // Which lanes still have to be read is known to whoever runs this: it is not over before.
        match self.changes.lock().await.recv().await {
            Some(change) => Ok(Some(change?)),
            None => Ok(None),
        }
    }

    async fn start(&self, lane: &Lane) -> Result<Position, ConnectorError> {
        let place = self.place(lane)?;
        let topic_id = self.cluster.topic_id(&place.topic).await?;
        let extent = self.cluster.extent(&place.topic, place.partition).await?;
        Ok(at(topic_id, extent.begins))
    }

    async fn bounds(&self, lane: &Lane) -> Result<Bounds, ConnectorError> {
        let place = self.place(lane)?;
        let topic_id = self.cluster.topic_id(&place.topic).await?;
        let extent = self.cluster.extent(&place.topic, place.partition).await?;
        let (earliest, latest) = (at(topic_id, extent.begins), at(topic_id, extent.ends));
        Ok(Bounds { earliest: Some(earliest), latest: Some(latest) })
    }

    async fn at_time(
        &self,
        lane: &Lane,
        time: Timestamp,
    ) -> Result<Option<Position>, ConnectorError> {
        let place = self.place(lane)?;
        let topic_id = self.cluster.topic_id(&place.topic).await?;
        let offset = self.cluster.at_time(&place.topic, place.partition, time).await?;
        Ok(Some(at(topic_id, offset)))
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let place = self.place(lane)?;
        let other = |from| KafkaSourceError::OtherPosition { lane: lane.clone(), from };
        let from = KafkaPosition::try_from(from).map_err(other)?;
        place.check(&self.cluster, from).await?;
        let end = self.end(&place).await?;
        let Some(opening) = self.lanes.open(lane, from)? else {
            // Whoever hears of it drops who waits here.
            return std::future::pending().await;
        };
        Ok(Box::new(KafkaReader {
            place,
            cluster: Arc::clone(&self.cluster),
            lanes: Arc::clone(&self.lanes),
            opening,
            record_bytes_max: self.options.record_bytes_max,
            end,
            from,
            next: from,
            filling: Filling::default(),
            read: None,
            has_ended: end.is_some_and(|end| from.offset >= end),
            failed: None,
        }))
    }

    fn committed(&self, lane: &Lane, to: Position, _receipts: Option<&Receipts>) {
        if let Ok(to) = to.try_into() {
            self.lanes.committed(lane, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_told_from_others_by_what_follows_the_last_dash() {
        for (topic, partition) in [("posts", 0), ("posts-1", 2), ("a.b_c", 117), ("-", 3)] {
            let lane = lane_of(topic, partition);
            assert_eq!(partition_of(&lane), Some((topic, partition)));
        }
        assert_ne!(lane_of("a-1", 2), lane_of("a", 12));
        assert_eq!(partition_of(&Lane::new("stdin")), None);
    }
}
