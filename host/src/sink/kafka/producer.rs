//! A transactional producer: one transaction after the other, each of messages and of entries of the ledger.
//!
//! All of it waits for Kafka: it is called on threads that may.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::KafkaSinkError;
use super::entry::Entry;
use super::reader::PARTITION;
use crate::kafka::{ClusterError, Talk, lock};

/// How long a single question to the coordinator may take before it is asked once more.
const TURN: Duration = Duration::from_secs(10);

/// How long librdkafka is listened to at a time: it takes as long whatever it tells.
const POLL: Duration = Duration::from_millis(1);

/// What librdkafka tells a producer.
#[derive(Debug)]
pub(super) struct Reports {
    talk: Talk,
    /// What was told of earlier ones is late.
    attempt: AtomicU32,
    told: Mutex<Told>,
}

/// What became of the messages of an attempt.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub delivered: Vec<Delivered>,
    pub failed: Vec<(usize, RDKafkaErrorCode)>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    pub number: usize,
    pub partition: i64,
    pub offset: i64,
}

/// Tells the messages of one attempt from those of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt(u32);

impl Attempt {
    pub fn opaque(self, number: usize) -> usize {
        (self.0 as usize) << 32 | number
    }
}

impl Reports {
    pub fn new(talk: Talk) -> Self {
        Self { talk, attempt: AtomicU32::new(0), told: Mutex::default() }
    }

    pub fn begin(&self) -> Attempt {
        let attempt = self.attempt.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        *lock(&self.told) = Told::default();
        Attempt(attempt)
    }

    pub fn told(&self) -> Told {
        std::mem::take(&mut *lock(&self.told))
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.talk.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.talk.error(error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.talk.generate_oauth_token(config)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        if (opaque >> 32) as u32 != self.attempt.load(Ordering::Relaxed) {
            return;
        }
        let number = opaque & u32::MAX as usize;
        let mut told = lock(&self.told);
        match result {
            Ok(message) => told.delivered.push(Delivered {
                number,
                partition: message.partition().into(),
                offset: message.offset(),
            }),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                told.failed.push((number, code));
            }
        }
    }
}

/// A message to be.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub topic: &'a str,
    /// None leaves it to the key.
    pub partition: Option<i32>,
    pub key: Option<Cow<'a, [u8]>>,
    /// None deletes what has the key.
    pub value: Option<&'a [u8]>,
    pub millis: Option<i64>,
    pub headers: Vec<MessageHeader<'a>>,
}

/// A name, and a value that may be missing.
type MessageHeader<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

/// Why a transaction is not committed.
#[derive(Debug)]
pub(super) enum TransactionFault {
    /// Messages are at fault, these or some of these; it was taken back.
    Refused(Vec<(usize, RDKafkaErrorCode)>),
    /// It was taken back, and the producer goes on.
    TakenBack(KafkaError),
    /// The producer cannot go on. Whether the transaction is committed is not known.
    Lost(KafkaError),
}

pub(super) struct TransactionalProducer {
    producer: BaseProducer<Reports>,
    ledger: String,
    timeout: Duration,
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// Whoever had the id is fenced, and what it has not committed is taken back.
    pub fn open(
        settings: &ClientConfig,
        talk: Talk,
        id: &str,
        ledger: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaSinkError> {
        let mut settings = settings.clone();
        settings
            .set("enable.idempotence", "true")
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string());
        let producer: BaseProducer<Reports> =
            settings.create_with_context(Reports::new(talk)).map_err(ClusterError::Settings)?;
        let opened = Self { producer, ledger: ledger.to_owned(), timeout };
        // A token is asked for before anything else.
        opened.producer.poll(Duration::ZERO);
        match opened.insist(Duration::from_secs(30), |it| it.producer.init_transactions(TURN)) {
            Ok(()) => Ok(opened),
            Err(error) => Err(match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed,
                ) => KafkaSinkError::IdDenied { id: id.to_owned() },
                Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
                    KafkaSinkError::Timeout { timeout }
                }
                _ => KafkaSinkError::NotOpened { lane: id.to_owned(), reason: error.to_string() },
            }),
        }
    }

    /// Messages, and entries of the ledger behind them, or nothing of it. Says where messages stand, and then
    /// the entries.
    pub fn commit<'a>(
        &self,
        messages: impl Iterator<Item = Message<'a>>,
        entries: &[Entry],
    ) -> Result<Vec<Delivered>, TransactionFault> {
        self.send(messages, entries)?;
        let mut delivered = self.producer.context().told().delivered;
        delivered.sort_unstable_by_key(|at| at.number);
        let ended = self.insist(self.timeout, |it| it.producer.commit_transaction(TURN));
        match ended {
            Ok(()) => Ok(delivered),
            Err(KafkaError::Transaction(told)) if told.txn_requires_abort() => {
                Err(self.take_back(KafkaError::Transaction(told), 0))
            }
            Err(error) => Err(TransactionFault::Lost(error)),
        }
    }

    /// Whether the brokers would take these messages. Nothing is committed.
    pub fn probe<'a>(
        &self,
        messages: impl Iterator<Item = Message<'a>>,
    ) -> Result<(), TransactionFault> {
        self.send(messages, &[])?;
        self.abort().map(|_| ()).map_err(TransactionFault::Lost)
    }

    /// Begins a transaction, and waits until the brokers have what belongs to it.
    fn send<'a>(
        &self,
        messages: impl Iterator<Item = Message<'a>>,
        entries: &[Entry],
    ) -> Result<(), TransactionFault> {
        self.producer.begin_transaction().map_err(TransactionFault::Lost)?;
        let attempt = self.producer.context().begin();
        let mut too_large = Vec::new();
        let mut count = 0;
        for message in messages {
            let Message { topic, partition, key, value, millis, headers } = &message;
            let mut record =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, attempt.opaque(count));
            record.partition = *partition;
            record.key = key.as_deref();
            record.payload = *value;
            // None is now.
            record.timestamp = millis.filter(|millis| *millis > 0);
            if !headers.is_empty() {
                let all = OwnedHeaders::new_with_capacity(headers.len());
                record.headers = Some(headers.iter().fold(all, |all, (key, value)| {
                    all.insert(Header { key, value: value.as_ref().map(|value| &**value) })
                }));
            }
            match self.give(record) {
                Ok(()) => {}
                Err(KafkaError::MessageProduction(
                    code @ RDKafkaErrorCode::MessageSizeTooLarge,
                )) => too_large.push((count, code)),
                Err(error) => return Err(self.take_back(error, count)),
            }
            count += 1;
        }
        if !too_large.is_empty() {
            self.abort().map_err(TransactionFault::Lost)?;
            return Err(TransactionFault::Refused(too_large));
        }
        for (number, entry) in entries.iter().enumerate() {
            let opaque = attempt.opaque(count + number);
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.ledger, opaque)
                .partition(PARTITION)
                .key(entry.key.as_bytes());
            record.payload = entry.value.as_deref();
            self.give(record).map_err(|error| self.take_back(error, count))?;
        }
        let sent = drain(&self.producer, self.timeout);
        sent.map_err(|error| self.take_back(error, count))
    }

    fn give(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), KafkaError> {
        let until = Instant::now() + self.timeout;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                    if Instant::now() < until =>
                {
                    record = again;
                    self.producer.poll(POLL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Takes the transaction back, of so many messages that librdkafka was given. What it tells of them says
    /// whether they are at fault.
    fn take_back(&self, error: KafkaError, messages: usize) -> TransactionFault {
        if self.is_fatal(&error) {
            return TransactionFault::Lost(error);
        }
        let failed = match self.abort() {
            Ok(told) => told.failed,
            Err(error) => return TransactionFault::Lost(error),
        };
        // What is sent with a message that is refused fails with it.
        let is_suspect = |(number, code): &(usize, _)| *number < messages && is_refusal(*code);
        let suspects: Vec<_> = failed.iter().copied().filter(is_suspect).collect();
        if suspects.is_empty() {
            let told = failed.iter().find(|(_, code)| !is_purged(*code));
            let told = told.map(|(_, code)| KafkaError::MessageProduction(*code));
            let error = told.unwrap_or(error);
            // Another producer of the lane may be told of by its messages alone.
            let is_lost = is_fatal(&error);
            return if is_lost {
                TransactionFault::Lost(error)
            } else {
                TransactionFault::TakenBack(error)
            };
        }
        TransactionFault::Refused(suspects)
    }

    fn is_fatal(&self, error: &KafkaError) -> bool {
        is_fatal(error) || self.producer.client().fatal_error().is_some()
    }

    /// Gives what was told of its messages.
    fn abort(&self) -> Result<Told, KafkaError> {
        let is_over = AtomicBool::new(false);
        let aborted = thread::scope(|scope| {
            // It waits for what is told, and somebody has to hear it.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    self.producer.poll(POLL);
                }
            });
            let aborted = self.insist(self.timeout, |it| it.producer.abort_transaction(TURN));
            is_over.store(true, Ordering::Relaxed);
            aborted
        });
        let told = self.producer.context().told();
        // What is told of it now is late.
        self.producer.context().begin();
        aborted.map(|()| told)
    }

    /// Asks once more for as long as librdkafka says that it may help.
    fn insist(
        &self,
        time: Duration,
        ask: impl Fn(&Self) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let until = Instant::now() + time;
        loop {
            match ask(self) {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < until =>
                {
                    self.producer.poll(Duration::from_millis(20));
                }
                Err(KafkaError::Flush(_)) if Instant::now() < until => {}
                ended => return ended,
            }
        }
    }
}

/// Waits until all messages are told of, or until one of them has failed.
pub(super) fn drain(producer: &BaseProducer<Reports>, time: Duration) -> Result<(), KafkaError> {
    let until = Instant::now() + time;
    loop {
        producer.poll(POLL);
        if let Some((_, code)) = lock(&producer.context().told).failed.first() {
            return Err(KafkaError::MessageProduction(*code));
        }
        if producer.in_flight_count() == 0 {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
    }
}

/// Whether a transaction was taken back because of the one before it: librdkafka may purge its queue a moment
/// after that was aborted. It is begun once more.
pub(super) fn is_late(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(code) if is_purged(*code))
}

/// How often one is begun once more.
pub(super) const LATE_MAX: u32 = 10;

/// Whether it was never sent, because another was not taken.
fn is_purged(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(told) if told.is_fatal())
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
                    | RDKafkaErrorCode::ProducerFenced
            )
        )
}

/// Whether the message may be at fault, or one that it was sent with.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidDifferentRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::PolicyViolation
    )
}
