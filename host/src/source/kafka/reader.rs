//! Reads one partition.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use uuid::Uuid;

use super::batch::{self, Filling};
use super::lanes::{Lanes, Opening, Queue};
use super::{KafkaPosition, KafkaSourceError};
use crate::kafka::{Cluster, ClusterError, lock};
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, Lane, RawBatch};
use crate::source::{LaneReader, Most};

#[derive(Debug)]
pub(super) struct KafkaReader {
    pub place: Place,
    pub cluster: Arc<Cluster>,
    pub lanes: Arc<Lanes>,
    pub opening: Arc<Opening>,
    pub record_bytes_max: usize,
    /// The offset at which the lane ends; none if it goes on.
    pub end: Option<i64>,
    /// Where the next batch begins.
    pub from: KafkaPosition,
    /// The place after all that was taken out of the queue.
    pub next: KafkaPosition,
    pub filling: Filling,
    /// Read, but not yet known to be of the topic that we think it is.
    pub read: Option<RawBatch>,
    pub has_ended: bool,
    /// What the queue told behind the last batch.
    pub failed: Option<KafkaError>,
}

/// A partition of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The pipeline's file.
    pub args: PipelineArgs,
    pub lane: Lane,
    pub topic: Arc<str>,
    pub partition: i32,
}

/// What the queue had.
enum Taken {
    /// A batch, which is `read` now.
    Batch,
    Nothing,
    End,
    /// The partition is not ours any more.
    Revoked,
}

#[async_trait]
impl LaneReader for KafkaReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        while self.read.is_none() {
            match self.take(most) {
                Ok(Taken::Batch) => {}
                Ok(Taken::Nothing) => self.opening.ready.notified().await,
                Ok(Taken::End) => return Ok(None),
                // Whoever hears of it drops this reader.
                Ok(Taken::Revoked) => std::future::pending().await,
                Err(error) => return Err(self.explained(error).await.into()),
            }
        }
        let is = self.cluster.recent_topic_id(&self.place.topic).await?;
        self.place.check_topic(self.from, is)?;
        self.lanes.trouble.is_over();
        let batch = self.read.take();
        if let Some(Ok(to)) = batch.as_ref().map(|batch| batch.to.try_into()) {
            self.from = to;
        }
        Ok(batch)
    }
}

impl KafkaReader {
    /// Takes out what there is, without waiting.
    fn take(&mut self, most: Most) -> Result<Taken, KafkaError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let queue = lock(&self.opening.queue);
        let queue = match &*queue {
            Queue::Open(queue) => queue,
            Queue::Closed => return Err(KafkaError::Canceled),
            Queue::Revoked => return Ok(Taken::Revoked),
        };
        while !self.has_ended && !self.filling.is_full(most) {
            match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    if self.end.is_some_and(|end| message.offset() >= end) {
                        self.has_ended = true;
                        break;
                    }
                    // After a pause librdkafka may give what it had given before.
                    if message.offset() < self.next.offset {
                        continue;
                    }
                    let place = KafkaPosition { offset: message.offset(), ..self.next };
                    self.filling.push(&message, place, self.record_bytes_max);
                    self.next = batch::after(&message, self.next.topic_id);
                    let is_last = self.end.is_some_and(|end| self.next.offset >= end);
                    self.has_ended = is_last;
                }
                // Nothing follows that was there when the run began: what is left are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => self.has_ended = self.end.is_some(),
                Some(Err(error)) if self.filling.is_empty() => return Err(error),
                // What came before it goes first.
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if self.filling.is_empty() {
            return Ok(if self.has_ended { Taken::End } else { Taken::Nothing });
        }
        let Place { topic, partition, .. } = &self.place;
        self.read = Some(self.filling.take(most, self.from, self.next, topic, *partition));
        Ok(Taken::Batch)
    }

    /// What is behind an error of the queue.
    async fn explained(&self, error: KafkaError) -> KafkaSourceError {
        use RDKafkaErrorCode::{
            AutoOffsetReset, TopicAuthorizationFailed, UnknownPartition, UnknownTopic,
            UnknownTopicOrPartition,
        };
        let lane = self.place.lane.clone();
        let topic = self.place.topic.to_string();
        match error {
            KafkaError::Canceled => KafkaSourceError::Busy { lane },
            KafkaError::MessageConsumption(AutoOffsetReset) => {
                match self.place.check(&self.cluster, self.next).await {
                    Err(error) => error,
                    // The place is there, so that what lies before it must be other than it was.
                    Ok(()) => KafkaSourceError::Truncated {
                        args: self.place.args.clone(),
                        lane,
                        at: self.next.offset,
                    },
                }
            }
            KafkaError::MessageConsumption(
                UnknownTopicOrPartition | UnknownTopic | UnknownPartition,
            ) => ClusterError::NoTopic { topic }.into(),
            KafkaError::MessageConsumption(TopicAuthorizationFailed) => {
                ClusterError::TopicDenied { topic }.into()
            }
            error => KafkaSourceError::Fetch { lane, reason: error.to_string() },
        }
    }
}

impl Place {
    /// Whether the records after `from` are those that followed it when it was stored.
    pub(super) async fn check(
        &self,
        cluster: &Cluster,
        from: KafkaPosition,
    ) -> Result<(), KafkaSourceError> {
        self.check_topic(from, cluster.topic_id(&self.topic).await?)?;
        let extent = cluster.extent(&self.topic, self.partition).await?;
        let (args, lane, at) = (self.args.clone(), self.lane.clone(), from.offset);
        if at < extent.begins {
            return Err(KafkaSourceError::Removed { args, lane, at, begins: extent.begins });
        }
        if at > extent.ends {
            return Err(KafkaSourceError::Beyond { args, lane, at, ends: extent.ends });
        }
        Ok(())
    }

    fn check_topic(&self, from: KafkaPosition, is: Uuid) -> Result<(), KafkaSourceError> {
        if from.topic_id == is {
            return Ok(());
        }
        Err(KafkaSourceError::Recreated {
            args: self.args.clone(),
            lane: self.lane.clone(),
            topic: self.topic.to_string(),
            was: from.topic_id,
            is,
        })
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.lanes.close(&self.place.lane, &self.opening);
    }
}
