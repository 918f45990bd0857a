//! Questions to the cluster: which one it is, which topics it has, where partitions begin and end.
//!
//! They go through a client of their own, as the connections of the one that reads are busy waiting for
//! records.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::{Asker, Trouble};
use super::ffi::{self, NewTopic, TopicFacts};
use super::{ClusterError, lock};

/// How long an answer may take.
const TIME: Duration = Duration::from_secs(10);

/// How often it is looked whether a topic is still the same one.
const VERIFY: Duration = Duration::from_millis(250);

pub(crate) struct Cluster {
    client: Arc<Asker>,
    trouble: Arc<Trouble>,
    brokers: String,
    /// When each topic was seen last, with its id.
    seen: Mutex<HashMap<String, (Uuid, Instant)>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

/// The offsets that a partition has: `begins..ends`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub begins: i64,
    /// The end of what is committed.
    pub ends: i64,
}

impl Cluster {
    pub(crate) fn new(client: Arc<Asker>, brokers: String) -> Self {
        let trouble = Arc::clone(&client.context().trouble);
        Self { client, trouble, brokers, seen: Mutex::default() }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Asker) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        let client = Arc::clone(&self.client);
        let answer = tokio::task::spawn_blocking(move || question(&client)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.trouble.is_over();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(&error)),
            // The runtime is being shut down.
            Err(_) => Err(self.failed(&KafkaError::Canceled)),
        }
    }

    /// An answer that did not come has its reason in what the client told meanwhile.
    fn failed(&self, error: &KafkaError) -> ClusterError {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, BrokerTransportFailure, OperationTimedOut, Resolve,
            SSL, SaslAuthenticationFailed,
        };
        let brokers = self.brokers.clone();
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let is_silence =
            matches!(code, AllBrokersDown | BrokerTransportFailure | OperationTimedOut);
        let told = if is_silence { self.trouble.worst() } else { None };
        let (code, reason) = told.unwrap_or_else(|| (code, code.to_string()));
        match code {
            Authentication | SaslAuthenticationFailed => ClusterError::Denied { brokers, reason },
            SSL => ClusterError::Tls { brokers, reason },
            AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve => {
                ClusterError::Unreachable { brokers, reason }
            }
            code => ClusterError::Request { brokers, code },
        }
    }

    /// What the cluster is called, whatever its brokers are.
    pub(crate) async fn id(&self) -> Result<String, ClusterError> {
        const TURN: Duration = Duration::from_millis(500);
        self.ask(|client| {
            let began = Instant::now();
            loop {
                if let Some(id) = client.client().fetch_cluster_id(TURN) {
                    return Ok(id);
                }
                if client.context().trouble.is_refusal() || began.elapsed() >= TIME {
                    return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
                }
            }
        })
        .await
    }

    pub(crate) async fn topics(&self, topics: &[String]) -> Result<Vec<TopicFacts>, ClusterError> {
        let names = topics.to_vec();
        let answers = self.ask(move |client| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            ffi::describe(client, &names, TIME).map_err(KafkaError::MetadataFetch)
        });
        let answers = answers.await?.into_iter().zip(topics).map(|(answer, topic)| {
            let topic = topic.clone();
            answer.map_err(|code| self.no_topic(topic, code))
        });
        let facts: Vec<TopicFacts> = answers.collect::<Result<_, _>>()?;
        let now = Instant::now();
        lock(&self.seen).extend(facts.iter().map(|topic| (topic.name.clone(), (topic.id, now))));
        Ok(facts)
    }

    /// Makes a topic; nothing if it is there already.
    pub(crate) async fn make_topic(
        &self,
        topic: &str,
        settings: &'static [(&'static str, &'static str)],
    ) -> Result<(), ClusterError> {
        const REPLICAS: usize = 3;
        let name = topic.to_owned();
        let made = self.ask(move |client| {
            let brokers = client.fetch_metadata(None, TIME)?.brokers().len();
            let replication = brokers.clamp(1, REPLICAS) as i32;
            let new = NewTopic { name: &name, partitions: 1, replication, settings };
            match ffi::make_topic(client, &new, TIME) {
                Ok(()) | Err(RDKafkaErrorCode::TopicAlreadyExists) => Ok(()),
                Err(code) => Err(KafkaError::MetadataFetch(code)),
            }
        });
        match made.await {
            Err(ClusterError::Request {
                code:
                    RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed,
                ..
            }) => Err(ClusterError::NotMade { topic: topic.to_owned() }),
            made => made,
        }
    }

    /// How a topic is kept; none if we may not know.
    pub(crate) async fn settings(
        &self,
        topic: &str,
    ) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
        let topic = topic.to_owned();
        let told = self.ask(move |client| {
            ffi::settings(client, &topic, TIME).map_err(KafkaError::MetadataFetch)
        });
        match told.await {
            Ok(settings) => Ok(Some(settings)),
            Err(ClusterError::Request {
                code: RDKafkaErrorCode::TopicAuthorizationFailed, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn no_topic(&self, topic: String, code: RDKafkaErrorCode) -> ClusterError {
        use RDKafkaErrorCode::{
            TopicAuthorizationFailed, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition,
        };
        match code {
            UnknownTopicOrPartition | UnknownTopic | UnknownTopicId => {
                ClusterError::NoTopic { topic }
            }
            TopicAuthorizationFailed => ClusterError::TopicDenied { topic },
            code => ClusterError::Request { brokers: self.brokers.clone(), code },
        }
    }

    pub(crate) async fn topic_id(&self, topic: &str) -> Result<Uuid, ClusterError> {
        let topics = self.topics(&[topic.to_owned()]).await?;
        Ok(topics.first().map_or(Uuid::nil(), |topic| topic.id))
    }

    /// The topic's id, which is not asked for each time: it takes longer to delete a topic, make it anew
    /// and fill it beyond where we read.
    pub(crate) async fn recent_topic_id(&self, topic: &str) -> Result<Uuid, ClusterError> {
        let seen = lock(&self.seen).get(topic).copied();
        match seen {
            Some((id, when)) if when.elapsed() < VERIFY => Ok(id),
            _ => self.topic_id(topic).await,
        }
    }

    pub(crate) async fn extent(&self, topic: &str, partition: i32) -> Result<Extent, ClusterError> {
        let topic = topic.to_owned();
        let ends = self.ask(move |client| client.fetch_watermarks(&topic, partition, TIME));
        let (begins, ends) = ends.await?;
        Ok(Extent { begins, ends })
    }

    /// Members of the group with another name than `client`, each with its host; none if we may not know.
    pub(crate) async fn strangers(&self, group: String, client: String) -> Vec<String> {
        let answer = self.ask(move |asker| {
            let groups = asker.fetch_group_list(Some(&group), TIME)?;
            let members = groups.groups().iter().flat_map(GroupInfo::members);
            let others = members.filter(|member| member.client_id() != client);
            let told = others.map(|one| format!("{} at {}", one.client_id(), one.client_host()));
            Ok(told.collect())
        });
        answer.await.unwrap_or_default()
    }

    /// The offset of the first record of that time or later; the end if there is none.
    pub(crate) async fn at_time(
        &self,
        topic: &str,
        partition: i32,
        time: Timestamp,
    ) -> Result<i64, ClusterError> {
        let topic = topic.to_owned();
        let name = topic.clone();
        let found = self.ask(move |client| {
            let mut asked = TopicPartitionList::new();
            // Times before 1970 have no offset of their own.
            let millis = Offset::Offset(time.as_millisecond().max(0));
            asked.add_partition_offset(&topic, partition, millis)?;
            let found = client.offsets_for_times(asked, TIME)?;
            let found =
                found.find_partition(&topic, partition).map(|one| (one.offset(), one.error()));
            match found {
                Some((offset, error)) => error.map(|()| offset),
                None => Ok(Offset::End),
            }
        });
        match found.await? {
            Offset::Offset(offset) => Ok(offset),
            _ => Ok(self.extent(&name, partition).await?.ends),
        }
    }
}
