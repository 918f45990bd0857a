//! Whether rows of a pipeline are there that its ledger does not know.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::KafkaSinkError;
use crate::kafka::{ClusterError, Talk};
use crate::record::provenance::LANE;

/// So many of the last messages of each partition are looked at: ends of transactions are among them.
const LAST: i64 = 20;

/// How long it may take.
const TIME: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(100);

/// The topic in which the pipeline's rows are among the last ones. Waits for Kafka.
pub(super) fn find(
    settings: &ClientConfig,
    talk: Talk,
    topics: &[(String, usize)],
    pipeline: &str,
) -> Result<Option<String>, KafkaSinkError> {
    let mut settings = settings.clone();
    settings
        .set("group.id", format!("pinhost.{pipeline}"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer<Talk> =
        settings.create_with_context(talk).map_err(ClusterError::Settings)?;
    let refused = KafkaSinkError::Settings;
    let mut all = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions as i32 {
            let tail = Offset::OffsetTail(LAST);
            all.add_partition_offset(topic, partition, tail).map_err(refused)?;
        }
    }
    let mut left = all.count();
    consumer.assign(&all).map_err(refused)?;
    let began = Instant::now();
    while left > 0 && began.elapsed() < TIME {
        match consumer.poll(TURN) {
            Some(Ok(message)) => {
                let is_ours = |headers: &BorrowedHeaders| {
                    headers.iter().filter(|header| header.key == LANE).any(|header| {
                        let lane = header.value.and_then(|lane| str::from_utf8(lane).ok());
                        let rest = lane.and_then(|lane| lane.strip_prefix(pipeline));
                        rest.is_some_and(|rest| rest.starts_with('/'))
                    })
                };
                if message.headers().is_some_and(is_ours) {
                    return Ok(Some(message.topic().to_owned()));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(_)) | None => {}
        }
    }
    Ok(None)
}
