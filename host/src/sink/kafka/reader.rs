//! Reads the topic of the ledger for as long as the sink is open, committed entries only, and folds them.
//!
//! Whoever needs to know what is there writes an entry and waits until it is seen: an entry is seen once every
//! transaction that began before it has ended. Where a partition ends is never asked: that would be where the
//! oldest open transaction begins.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::watch;

use super::KafkaSinkError;
use super::image::Image;
use crate::kafka::{ClusterError, Talk, lock};

/// How long it takes at most until the thread sees that it is over.
const TURN: Duration = Duration::from_millis(100);

/// The partition of the ledger: it has no other.
pub(super) const PARTITION: i32 = 0;

#[derive(Debug)]
pub(super) struct LedgerReader {
    shared: Arc<Shared>,
}

struct Shared {
    topic: String,
    image: Mutex<Image>,
    /// The offset behind the last entry that is folded.
    next: watch::Sender<i64>,
    /// Why it reads no more.
    fault: Mutex<Option<KafkaSinkError>>,
    is_over: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// A consumer of all that is committed in the partition.
pub(super) fn consumer(
    settings: &ClientConfig,
    talk: Talk,
    topic: &str,
) -> Result<BaseConsumer<Talk>, KafkaSinkError> {
    let mut settings = settings.clone();
    settings
        // It joins none: librdkafka reads nothing without a name for one.
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer<Talk> =
        settings.create_with_context(talk).map_err(ClusterError::Settings)?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, PARTITION, Offset::Beginning)
        .and_then(|()| consumer.assign(&all))
        .map_err(KafkaSinkError::Settings)?;
    Ok(consumer)
}

impl LedgerReader {
    pub fn start(settings: &ClientConfig, talk: Talk, topic: &str) -> Result<Self, KafkaSinkError> {
        let consumer = consumer(settings, talk, topic)?;
        let shared = Arc::new(Shared {
            topic: topic.to_owned(),
            image: Mutex::default(),
            next: watch::Sender::new(0),
            fault: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let thread = thread::Builder::new().name("pinhost-ledger".to_owned());
        let reading = Arc::clone(&shared);
        thread.spawn(move || reading.run(&consumer)).map_err(KafkaSinkError::Thread)?;
        Ok(Self { shared })
    }

    pub fn look<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        look(&lock(&self.shared.image))
    }

    /// The offset behind the last entry that is folded.
    pub fn next(&self) -> i64 {
        *self.shared.next.borrow()
    }

    /// Told of every entry that is folded.
    pub fn news(&self) -> watch::Receiver<i64> {
        self.shared.next.subscribe()
    }

    pub fn has_failed(&self) -> bool {
        lock(&self.shared.fault).is_some()
    }

    /// Waits until the entry at this offset is folded, and all before it that are ever committed.
    pub async fn reach(&self, offset: i64, time: Duration) -> Result<(), KafkaSinkError> {
        let mut next = self.news();
        let reached = tokio::time::timeout(time, next.wait_for(|next| *next > offset)).await;
        match reached {
            Ok(_) if !self.has_failed() => Ok(()),
            Ok(_) => Err(self.unread()),
            Err(_) => {
                let topic = self.shared.topic.clone();
                Err(KafkaSinkError::OpenTransaction { topic, waited: time })
            }
        }
    }

    /// Waits until nothing has come for a while: for those who may not write.
    pub async fn settle(&self) -> Result<(), KafkaSinkError> {
        const QUIET: Duration = Duration::from_secs(1);
        let mut next = self.news();
        while let Ok(Ok(())) = tokio::time::timeout(QUIET, next.changed()).await {
            if self.has_failed() {
                return Err(self.unread());
            }
        }
        Ok(())
    }

    fn unread(&self) -> KafkaSinkError {
        let topic = self.shared.topic.clone();
        let reason = match &*lock(&self.shared.fault) {
            Some(KafkaSinkError::Unread { reason, .. }) => reason.clone(),
            Some(fault) => fault.to_string(),
            None => String::new(),
        };
        KafkaSinkError::Unread { topic, reason }
    }
}

impl Drop for LedgerReader {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(&self, consumer: &BaseConsumer<Talk>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let folded = match consumer.poll(TURN) {
                None => continue,
                Some(Ok(message)) => self.fold(&message),
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => {
                    let (topic, reason) = (self.topic.clone(), error.to_string());
                    Err(KafkaSinkError::Unread { topic, reason })
                }
            };
            if let Err(fault) = folded {
                tracing::debug!("the ledger is read no more: {fault}");
                *lock(&self.fault) = Some(fault);
                // Whoever waits for an entry looks at the fault.
                self.next.send_replace(i64::MAX);
                return;
            }
        }
    }

    fn fold(&self, message: &BorrowedMessage<'_>) -> Result<(), KafkaSinkError> {
        let millis = message.timestamp().to_millis().unwrap_or_default();
        let at = (message.offset(), millis);
        let key = message.key().unwrap_or_default();
        lock(&self.image).apply(key, message.payload(), at)?;
        self.next.send_replace(message.offset() + 1);
        Ok(())
    }
}

/// What librdkafka gets over by itself.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{
        AutoOffsetReset, LogTruncation, OffsetOutOfRange, TopicAuthorizationFailed,
        UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition,
    };
    !matches!(
        error.rdkafka_error_code(),
        Some(
            AutoOffsetReset
                | LogTruncation
                | OffsetOutOfRange
                | TopicAuthorizationFailed
                | UnknownPartition
                | UnknownTopic
                | UnknownTopicId
                | UnknownTopicOrPartition
        )
    )
}

/// A committed record of the topic, as somebody reads it who looks at all of them once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Hands every entry up to the one at `last` to `take`. Waits for Kafka.
pub(super) fn scan(
    consumer: &BaseConsumer<Talk>,
    topic: &str,
    last: i64,
    mut take: impl FnMut(Scanned<'_>) -> Result<(), KafkaSinkError>,
) -> Result<(), KafkaSinkError> {
    const SILENCE: Duration = Duration::from_secs(30);
    let unread = |reason: String| KafkaSinkError::Unread { topic: topic.to_owned(), reason };
    let mut heard = Instant::now();
    loop {
        match consumer.poll(TURN) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let key = message.key().unwrap_or_default();
                take(Scanned { key, value: message.payload() })?;
                if message.offset() >= last {
                    return Ok(());
                }
            }
            Some(Err(error)) if !is_passing(&error) => return Err(unread(error.to_string())),
            Some(Err(_)) | None => {
                if heard.elapsed() > SILENCE {
                    return Err(unread("nothing comes".to_owned()));
                }
            }
        }
    }
}
