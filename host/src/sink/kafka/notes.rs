//! Entries of the ledger that belong to no transaction: requests, verdicts, generations, and marks that are
//! waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::KafkaSinkError;
use super::entry::Entry;
use super::producer::{Reports, drain};
use super::reader::PARTITION;
use crate::kafka::{ClusterError, Talk, lock};

/// How long an entry may take.
const TIME: Duration = Duration::from_secs(20);

pub(super) struct Notes {
    topic: String,
    /// One note after the other.
    producer: Mutex<BaseProducer<Reports>>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Notes {
    pub fn new(settings: &ClientConfig, talk: Talk, topic: &str) -> Result<Self, KafkaSinkError> {
        let mut settings = settings.clone();
        settings
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", (TIME.as_millis() / 2).to_string());
        let producer =
            settings.create_with_context(Reports::new(talk)).map_err(ClusterError::Settings)?;
        Ok(Self { topic: topic.to_owned(), producer: Mutex::new(producer) })
    }

    /// Writes entries in their order, and says where the last one stands.
    pub async fn put(self: &Arc<Self>, entries: Vec<Entry>) -> Result<i64, KafkaSinkError> {
        let notes = Arc::clone(self);
        let put = tokio::task::spawn_blocking(move || notes.write(&entries));
        put.await.map_err(|_| KafkaSinkError::Ended)?
    }

    fn write(&self, entries: &[Entry]) -> Result<i64, KafkaSinkError> {
        let producer = lock(&self.producer);
        let attempt = producer.context().begin();
        for (number, entry) in entries.iter().enumerate() {
            let mut record =
                BaseRecord::<str, [u8], usize>::with_opaque_to(&self.topic, attempt.opaque(number))
                    .partition(PARTITION)
                    .key(entry.key.as_str());
            if let Some(value) = &entry.value {
                record = record.payload(value.as_slice());
            }
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                        record = again;
                        producer.poll(Duration::from_millis(10));
                    }
                    Err((error, _)) => return Err(self.refused(&error)),
                }
            }
        }
        drain(&producer, TIME).map_err(|error| self.refused(&error))?;
        let told = producer.context().told();
        Ok(told.delivered.iter().map(|at| at.offset).max().unwrap_or(-1))
    }

    fn refused(&self, error: &KafkaError) -> KafkaSinkError {
        let topic = self.topic.clone();
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => KafkaSinkError::NoteDenied { topic },
            _ => KafkaSinkError::Note { topic, reason: error.to_string() },
        }
    }
}
