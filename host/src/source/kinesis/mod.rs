//! Reads streams of Amazon Kinesis. Every shard is a lane.
//!
//! A shard that is split or merged ends for good, and those that come of it wait for that: so the records of
//! a partition key stay in their order. Which shards are whose is decided by the processes themselves, in the
//! ledger of the pipeline ([`SharedSource`](super::members::SharedSource)).
//!
//! A position is a sequence number and how many of the records that were packed under it came before; it
//! names the stream as well, so that one that was deleted and made anew is never taken for the one before.
//! `start:` is resolved once for the pipeline, by the service's clock. Records that were removed before they
//! were read halt their lane: the record that was read last has to be there still.

mod aggregate;
mod config;
mod error;
mod kind;
mod pace;
mod position;
mod reader;
mod streams;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use glob::Pattern;
use jiff::Timestamp;

use self::pace::Paces;
use self::reader::{KinesisReader, ReadToTheEnd};
use self::streams::Streams;
use self::watch::Watch;
use super::{
    Bounds, Journal, Known, LaneChange, LaneReader, Outset, Receipts, Source, SourceOptions,
};
use crate::connect::StartConfig;
use crate::kinesis::{Service, ShardFacts, StreamFacts};
use crate::record::{ConnectorError, Lane, Position, SourceId, Start};

pub use self::config::{KinesisOnly, KinesisSourceConfig};
pub use self::error::KinesisSourceError;
pub use self::kind::Kinesis;
pub use self::position::KinesisPosition;

#[derive(Debug)]
pub struct KinesisSource {
    shared: Arc<Shared>,
    watch: Watch,
}

/// What the lanes of a source have in common.
#[derive(Debug)]
struct Shared {
    config: KinesisSourceConfig,
    options: SourceOptions,
    only: Option<Pattern>,
    service: Service,
    streams: Streams,
    paces: Paces,
    /// When the run began: by our clock, and by that of the service.
    began: Mutex<(Instant, Timestamp)>,
    /// A shard has ended: those that came of it are to be told.
    look: tokio::sync::Notify,
}

/// Nothing that is done under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every shard's id begins with.
const SHARD: &str = "shardId-";

fn lane_of(stream: &str, shard: &str) -> Lane {
    Lane::new(format!("{stream}-{shard}"))
}

/// The stream and the shard of a lane.
fn shard_of(lane: &Lane) -> Option<(&str, &str)> {
    let at = lane.name().rfind(&format!("-{SHARD}"))?;
    Some((&lane.name()[..at], &lane.name()[at + 1..]))
}

impl KinesisSource {
    /// Asks nobody about streams yet.
    pub async fn open(
        config: &KinesisSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, KinesisSourceError> {
        let pattern = |only: &KinesisOnly| {
            Pattern::new(&only.key).map_err(|_| KinesisSourceError::Pattern(only.key.clone()))
        };
        let only = config.only.as_ref().map(pattern).transpose()?;
        let service = Service::open(&config.aws).await?;
        let streams = config.streams.iter().map(|stream| stream.as_str().into()).collect();
        let shared = Arc::new(Shared {
            config: config.clone(),
            options: options.clone(),
            only,
            streams: Streams::new(service.clone(), streams),
            paces: Paces::new(config.poll.0),
            began: Mutex::new((Instant::now(), service.now())),
            service,
            look: tokio::sync::Notify::new(),
        });
        Ok(Self { watch: Watch::new(Arc::clone(&shared)), shared })
    }

    /// A pipeline that has read other streams only is another one under the same name.
    fn is_of_our_streams(&self, known: &Known) -> Result<(), KinesisSourceError> {
        let ours = &self.shared.config.streams;
        let known: BTreeSet<_> =
            known.lanes.keys().filter_map(shard_of).map(|(stream, _)| stream).collect();
        if known.is_empty() || ours.iter().any(|stream| known.contains(&**stream)) {
            return Ok(());
        }
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let (pipeline, here) = (Arc::clone(&self.shared.options.pipeline), ours.join(", "));
        Err(KinesisSourceError::OtherStreams { pipeline, known, here })
    }

    /// Where `start:` puts the shards that there are: it is the time of the first run, and no moment later.
    fn starts(
        &self,
        began: Timestamp,
        lanes: impl Iterator<Item = Lane>,
    ) -> BTreeMap<Lane, Position> {
        let start = match self.shared.config.start {
            // It is asked for when the lane is claimed.
            StartConfig::Earliest => Start::Earliest,
            StartConfig::Latest => Start::Time(began),
            StartConfig::Time(time) => Start::Time(time),
        };
        lanes.map(|lane| (lane, Position::Start(start))).collect()
    }
}

impl Shared {
    /// The stream and the shard of a lane of ours.
    fn place(&self, lane: &Lane) -> Result<(Arc<str>, Arc<str>), KinesisSourceError> {
        let known = shard_of(lane).and_then(|(stream, shard)| {
            let stream = self.streams.names().find(|name| ***name == *stream)?;
            Some((Arc::clone(stream), shard.into()))
        });
        known.ok_or_else(|| KinesisSourceError::OtherLane {
            lane: lane.clone(),
            streams: self.config.streams.join(", "),
        })
    }

    /// The shard of a lane, if it is still there.
    async fn shard(
        &self,
        stream: &Arc<str>,
        shard: &str,
    ) -> Result<(StreamFacts, Option<Arc<ShardFacts>>), KinesisSourceError> {
        let facts = self.streams.facts(stream).await?;
        let shard = self.streams.shard(stream, shard).await?;
        Ok((facts, shard))
    }
}

#[async_trait]
impl Source for KinesisSource {
    /// Account and region. Streams are part of lanes and of positions.
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        let mut id = None;
        for stream in self.shared.streams.names() {
            let facts =
                self.shared.streams.facts(stream).await.map_err(KinesisSourceError::from)?;
            id.get_or_insert(facts.arn);
        }
        let arn = id.unwrap_or_default();
        let account = arn.rsplit_once(":stream/").map_or(&*arn, |(account, _)| account);
        Ok(SourceId::new(account))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        self.is_of_our_streams(known)?;
        let shared = &self.shared;
        // Before shards are listed: one that appears in between is read from this moment on.
        let began = shared.service.now();
        *lock(&shared.began) = (Instant::now(), began);
        let listed = self.watch.begin(known).await?;
        let mut outset = Outset::default();
        if !known.has_run {
            outset.starts = self.starts(began, listed.keys().cloned());
        }
        if shared.options.until_end {
            let end = |shard: Option<&Arc<ShardFacts>>| match shard {
                // How far it has come nobody can tell but by reading.
                Some(shard) if shard.is_open => Position::Start(Start::Latest),
                _ => Position::End,
            };
            let known = known.lanes.iter().filter(|(lane, at)| {
                **at != Position::End
                    && shard_of(lane).is_some_and(|(stream, _)| {
                        shared.streams.names().any(|name| **name == *stream)
                    })
            });
            let known = known.map(|(lane, _)| lane);
            outset.ends = known.map(|lane| (lane.clone(), end(listed.get(lane)))).collect();
            let ended = self.watch.ended();
            let listed = listed.iter().filter(|(lane, _)| !ended.contains(*lane));
            outset.ends.extend(listed.map(|(lane, shard)| (lane.clone(), end(Some(shard)))));
        }
        Ok(outset)
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        Ok(Some(self.watch.next().await?))
    }

    async fn start(&self, lane: &Lane) -> Result<Position, ConnectorError> {
        self.shared.place(lane)?;
        // What a shard says of its beginning may lie behind its first records.
        Ok(Position::Start(Start::Earliest))
    }

    async fn bounds(&self, lane: &Lane) -> Result<Bounds, ConnectorError> {
        let (stream, shard) = self.shared.place(lane)?;
        let (_, shard) = self.shared.shard(&stream, &shard).await?;
        let Some(shard) = shard else {
            return Ok(Bounds { earliest: None, latest: Some(Position::End) });
        };
        let latest = match shard.is_open {
            true => Position::Start(Start::Time(self.shared.service.now())),
            false => Position::End,
        };
        Ok(Bounds { earliest: Some(Position::Start(Start::Earliest)), latest: Some(latest) })
    }

    async fn at_time(
        &self,
        lane: &Lane,
        time: Timestamp,
    ) -> Result<Option<Position>, ConnectorError> {
        self.shared.place(lane)?;
        // Kinesis finds the record when it is read.
        Ok(Some(Position::Start(Start::Time(time))))
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        if from == Position::End {
            return Ok(Box::new(ReadToTheEnd));
        }
        let shared = &self.shared;
        let (name, shard) = shared.place(lane)?;
        let (facts, shard) = shared.shard(&name, &shard).await?;
        let (args, lane) = (shared.options.args.clone(), lane.clone());
        let at = match from {
            Position::At(_) => {
                let at = KinesisPosition::try_from(from);
                let lane = lane.clone();
                let other = |from| KinesisSourceError::OtherPosition {
                    args: args.clone(),
                    lane,
                    from: Box::new(from),
                };
                Some(at.map_err(other)?)
            }
            Position::Start(_) | Position::End => None,
        };
        if at.is_some_and(|at| at.stream != facts.id) {
            let (stream, created) = (name.to_string(), facts.created);
            return Err(KinesisSourceError::Renewed { args, lane, stream, created }.into());
        }
        let Some(shard) = shard else {
            let at = Box::new(from.place());
            return Err(KinesisSourceError::Gone { args, lane, at }.into());
        };
        Ok(Box::new(KinesisReader::new(Arc::clone(shared), lane, (name, facts), shard, from)))
    }

    fn committed(&self, lane: &Lane, to: Position, _receipts: Option<&Receipts>) {
        self.shared.paces.committed(lane, to);
        if to == Position::End {
            self.watch.note_end(lane);
            self.shared.look.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_told_from_others_by_its_stream_and_shard() {
        for stream in ["posts", "posts-shardId-1", "a.b_c", "-"] {
            let lane = lane_of(stream, "shardId-000000000042");
            assert_eq!(shard_of(&lane), Some((stream, "shardId-000000000042")));
        }
        assert_eq!(shard_of(&Lane::new("posts-0")), None);
    }
}
