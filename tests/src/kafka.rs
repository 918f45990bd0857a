//! Topics and records of Kafka, and sources that read them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pinhost::record::lift::PipelineArgs;
use pinhost::record::{ConnectorError, Lane, Position, RawBatch};
use pinhost::source::kafka::{KafkaPosition, KafkaSource, KafkaSourceConfig};
use pinhost::source::{Journal, LaneChange, LaneReader, Most, Source, SourceOptions};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::services::kafka;

const TIME: Duration = Duration::from_secs(20);

/// What sources of the tests take.
pub const RECORD_BYTES_MAX: usize = 32 << 10;

pub const MOST: Most = Most { records: 1000, bytes: 1 << 20 };

/// A message that somebody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// A topic of its own for a test.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    brokers: String,
}

impl Topic {
    pub async fn new(partitions: i32) -> Self {
        Self::on(kafka().brokers, partitions).await
    }

    /// On a broker of the test's own.
    pub async fn on(brokers: &str, partitions: i32) -> Self {
        let name = format!("t-{:016x}", fastrand::u64(..));
        let topic = Self { name, brokers: brokers.to_owned() };
        topic.make(partitions).await;
        topic
    }

    /// Nobody made it.
    pub fn none() -> Self {
        Self { name: "there-is-none".to_owned(), brokers: kafka().brokers.to_owned() }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("a client")
    }

    /// For records in their order, also while brokers are away.
    pub fn producer(&self) -> FutureProducer {
        let mut client = self.client();
        client.set("enable.idempotence", "true").set("linger.ms", "5");
        client.create().expect("a client")
    }

    pub fn lane(&self, partition: i32) -> Lane {
        Lane::new(format!("{}-{partition}", self.name))
    }

    async fn make(&self, partitions: i32) {
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        // A topic that was just deleted may still be there.
        for _ in 0..100 {
            let made =
                self.admin().create_topics([&new], &AdminOptions::new()).await.expect("an answer");
            if made[0].is_ok() {
                return self.wait_for(partitions.unsigned_abs() as usize).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("topic {} cannot be made", self.name);
    }

    /// What is made is not known everywhere at once.
    async fn wait_for(&self, partitions: usize) {
        loop {
            let known =
                self.admin().inner().fetch_metadata(Some(&self.name), TIME).expect("metadata");
            if known.topics()[0].partitions().len() == partitions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the topic and makes another one of its name.
    pub async fn make_anew(&self, partitions: i32) {
        let gone = self.admin().delete_topics(&[&self.name], &AdminOptions::new()).await;
        gone.expect("an answer")[0].as_ref().expect("it is deleted");
        self.make(partitions).await;
    }

    pub async fn widen(&self, partitions: usize) {
        let more = NewPartitions::new(&self.name, partitions);
        let made = self.admin().create_partitions([&more], &AdminOptions::new()).await;
        made.expect("an answer")[0].as_ref().expect("partitions");
        self.wait_for(partitions).await;
    }

    /// Deletes the records before an offset, as retention does.
    pub async fn cut(&self, partition: i32, before: i64) {
        let offsets = self.at(partition, before);
        self.admin()
            .delete_records(&offsets, &AdminOptions::new())
            .await
            .expect("records are deleted");
    }

    fn at(&self, partition: i32, offset: i64) -> TopicPartitionList {
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("an offset");
        at
    }

    /// Values in their order.
    pub async fn send(&self, partition: i32, values: impl IntoIterator<Item = impl AsRef<str>>) {
        let producer: FutureProducer =
            self.client().set("linger.ms", "1").create().expect("a client");
        send(&producer, &self.name, partition, values).await;
    }

    pub async fn send_record(&self, record: FutureRecord<'_, [u8], [u8]>) {
        let producer: FutureProducer = self.client().create().expect("a client");
        if let Err((error, _)) = producer.send(record, TIME).await {
            panic!("it is not taken: {error}");
        }
    }

    /// Values that come and go in transactions; `true` are those that are committed.
    pub async fn transact(&self, partition: i32, transactions: &[(&[&str], bool)]) {
        let producer: FutureProducer =
            self.client().set("transactional.id", &self.name).create().expect("a client");
        let producer = tokio::task::spawn_blocking(move || {
            producer.init_transactions(TIME).map(|()| producer)
        });
        let producer = producer.await.expect("no panic").expect("transactions");
        for (values, is_committed) in transactions {
            producer.begin_transaction().expect("a transaction");
            send(&producer, &self.name, partition, *values).await;
            let (producer, is_committed) = (producer.clone(), *is_committed);
            let end = tokio::task::spawn_blocking(move || {
                if is_committed {
                    producer.commit_transaction(TIME)
                } else {
                    producer.abort_transaction(TIME)
                }
            });
            end.await.expect("no panic").expect("its end");
        }
    }

    /// Where its partitions end for readers of committed messages, in all.
    pub fn ends(&self) -> i64 {
        let reader = self.reader("read_committed");
        let ends =
            |partition| reader.fetch_watermarks(&self.name, partition, TIME).expect("ends").1;
        (0..self.partitions(&reader)).map(ends).sum()
    }

    fn reader(&self, isolation: &str) -> BaseConsumer {
        self.client()
            .set("group.id", format!("reader-{:016x}", fastrand::u64(..)))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .create()
            .expect("a client")
    }

    fn partitions(&self, reader: &BaseConsumer) -> i32 {
        let known = reader.fetch_metadata(Some(&self.name), TIME).expect("metadata");
        known.topics()[0].partitions().len() as i32
    }

    /// All messages that are committed, as a reader sees them: each partition in its order.
    ///
    /// # Panics
    /// If they do not come in time.
    pub fn read_committed(&self) -> Vec<Message> {
        let reader = self.reader("read_committed");
        let mut all = TopicPartitionList::new();
        for partition in 0..self.partitions(&reader) {
            all.add_partition_offset(&self.name, partition, Offset::Beginning).expect("an offset");
        }
        reader.assign(&all).expect("an assignment");
        let (mut messages, mut left) = (Vec::new(), all.count());
        while left > 0 {
            match reader.poll(TIME).expect("messages in time") {
                Ok(message) => messages.push(Message {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                }),
                Err(KafkaError::PartitionEOF(_)) => left -= 1,
                Err(error) => panic!("{error}"),
            }
        }
        messages
    }

    /// The value of the message at a place, if it is committed.
    ///
    /// # Panics
    /// If nothing is there.
    pub fn value_at(&self, partition: i32, offset: i64) -> Vec<u8> {
        let reader = self.reader("read_committed");
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .expect("an offset");
        reader.assign(&place).expect("an assignment");
        let message = reader.poll(TIME).expect("a message in time").expect("a message");
        assert_eq!((message.partition(), message.offset()), (partition, offset));
        message.payload().expect("a value").to_vec()
    }

    fn member(&self, group: &str) -> BaseConsumer {
        self.client().set("group.id", group).create().expect("a client")
    }

    /// What the group is told of the partition.
    pub fn committed(&self, group: &str, partition: i32) -> Option<i64> {
        let asked = self.at(partition, 0);
        let told = self.member(group).committed_offsets(asked, TIME).expect("an answer");
        match told.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    pub fn commit(&self, group: &str, partition: i32, offset: i64) {
        let at = self.at(partition, offset);
        self.member(group).commit(&at, CommitMode::Sync).expect("it is taken");
    }

    /// How many members the group has.
    pub fn members(&self, group: &str) -> usize {
        let admin = self.admin();
        let groups = admin.inner().fetch_group_list(Some(group), TIME).expect("an answer");
        groups.groups().iter().map(|group| group.members().len()).sum()
    }

    /// Another program in the group, which has all partitions when this returns.
    pub fn stranger(&self, group: &str, assignor: &str) -> Stranger {
        let member: BaseConsumer = self
            .client()
            .set("group.id", group)
            .set("client.id", "somebody")
            .set("session.timeout.ms", "3000")
            .set("partition.assignment.strategy", assignor)
            .create()
            .expect("a client");
        member.subscribe(&[&self.name]).expect("a subscription");
        let (joined, has_joined) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                member.poll(Duration::from_millis(50));
                if member.assignment().is_ok_and(|ours| ours.count() > 0) {
                    let _ = joined.send(());
                }
            }
        });
        has_joined.recv_timeout(TIME).expect("it joins");
        Stranger { is_over, thread: Some(thread) }
    }

    /// A source that reads this topic, with more settings.
    pub fn source(&self, pipeline: &str, until_end: bool, more: &Value) -> Arc<dyn Source> {
        self.limited(pipeline, until_end, more, 16 << 20)
    }

    pub fn limited(
        &self,
        pipeline: &str,
        until_end: bool,
        more: &Value,
        prefetch_bytes: u64,
    ) -> Arc<dyn Source> {
        self.try_source(pipeline, until_end, more, prefetch_bytes).expect("a source")
    }

    fn try_source(
        &self,
        pipeline: &str,
        until_end: bool,
        more: &Value,
        prefetch_bytes: u64,
    ) -> Result<Arc<dyn Source>, ConnectorError> {
        let mut config = json!({
            "brokers": self.brokers,
            "topics": [self.name],
            "session_timeout": "3s",
        });
        let more = more.as_object().expect("settings").clone();
        config.as_object_mut().expect("settings").extend(more);
        let config: KafkaSourceConfig = serde_json::from_value(config).expect("settings");
        let options = SourceOptions {
            pipeline: pipeline.into(),
            args: PipelineArgs { file: format!("{pipeline}.yaml").into(), replay: None },
            until_end,
            record_bytes_max: RECORD_BYTES_MAX,
            prefetch_bytes,
        };
        Ok(Arc::new(KafkaSource::open(&config, &options)?))
    }
}

/// Leaves the group when it is dropped.
#[derive(Debug)]
pub struct Stranger {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it leaves");
        }
    }
}

async fn send(
    producer: &FutureProducer,
    topic: &str,
    partition: i32,
    values: impl IntoIterator<Item = impl AsRef<str>>,
) {
    let mut sent = Vec::new();
    for value in values {
        let mut record =
            FutureRecord::<(), str>::to(topic).partition(partition).payload(value.as_ref());
        let delivery = loop {
            match producer.send_result(record) {
                Ok(delivery) => break delivery,
                // Its queue is full.
                Err((_, again)) => record = again,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        sent.push(delivery);
    }
    for delivery in sent {
        if let Err((error, _)) = delivery.await.expect("an answer") {
            panic!("it is not taken: {error}");
        }
    }
}

/// Nothing is planned by this source.
#[derive(Debug)]
struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn append(&self, number: u64, _entry: Bytes) -> Result<(), ConnectorError> {
        panic!("entry {number} of a journal that nobody keeps")
    }
}

/// The next lane that becomes ours.
///
/// # Panics
/// If none does in time.
pub async fn assigned(source: &dyn Source) -> Lane {
    match changed(source).await {
        LaneChange::Assigned { lane, .. } => lane,
        other => panic!("{other:?}"),
    }
}

pub async fn changed(source: &dyn Source) -> LaneChange {
    let change = tokio::time::timeout(TIME, source.next_change()).await;
    change.expect("a change in time").expect("a change").expect("another change")
}

pub async fn open(
    source: &dyn Source,
    lane: &Lane,
    from: Position,
) -> Result<Box<dyn LaneReader>, ConnectorError> {
    source.open(lane, from, Arc::new(NoJournal)).await
}

/// Opens a lane that has just become ours, where it starts.
pub async fn begin(source: &dyn Source, lane: &Lane) -> Box<dyn LaneReader> {
    let from = source.start(lane).await.expect("a start");
    open(source, lane, from).await.expect("a reader")
}

pub async fn read(reader: &mut dyn LaneReader) -> Option<RawBatch> {
    let batch = tokio::time::timeout(TIME, reader.read(MOST)).await;
    batch.expect("records in time").expect("records")
}

/// Everything up to the lane's end.
pub async fn rest(reader: &mut dyn LaneReader) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    while let Some(batch) = read(reader).await {
        all.extend(values(&batch));
    }
    all
}

/// Offsets and values; a tombstone is `null`.
pub fn values(batch: &RawBatch) -> Vec<(i64, String)> {
    let value = |at| match batch.value(at) {
        Some(value) => String::from_utf8(value.to_vec()).expect("UTF-8"),
        None => "null".to_owned(),
    };
    (0..batch.records.len()).map(|at| (offset(batch.records[at].position), value(at))).collect()
}

pub fn offset(position: Position) -> i64 {
    place(position).offset
}

pub fn place(position: Position) -> KafkaPosition {
    position.try_into().expect("a place in a partition")
}

/// The same place with another offset.
pub fn moved(position: Position, offset: i64) -> Position {
    KafkaPosition { offset, ..place(position) }.into()
}
