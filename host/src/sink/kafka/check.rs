//! What can be wrong with a Kafka sink by itself.

use std::time::Duration;

use super::KafkaSinkConfig;
use super::config::TargetTopic;
use crate::kafka::check_topic;
use crate::written::{Cursor, Finding};

const ONCE: &str = "exactly once rests on it";
const MEMORY: &str = "what waits to be sent is bounded by the unit";
const TIMEOUT: &str = "say it by `transaction_timeout:`";
const COMPRESSION: &str = "say it by `compression:`";

/// What a promise rests on, or has a key of its own, and why it cannot be set as a property.
const FIXED: &[(&str, &str)] = &[
    ("acks", ONCE),
    ("allow.auto.create.topics", "pinhost makes its own topics only"),
    ("batch.num.messages", MEMORY),
    ("batch.size", "it follows from what the topics take"),
    ("compression.codec", COMPRESSION),
    ("compression.type", COMPRESSION),
    ("delivery.timeout.ms", TIMEOUT),
    ("enable.gapless.guarantee", ONCE),
    ("enable.idempotence", ONCE),
    ("isolation.level", "what is not committed is not there"),
    ("max.in.flight", ONCE),
    ("max.in.flight.requests.per.connection", ONCE),
    ("message.max.bytes", "it follows from what the topics take"),
    ("message.send.max.retries", ONCE),
    ("message.timeout.ms", TIMEOUT),
    ("queue.buffering.max.kbytes", MEMORY),
    ("queue.buffering.max.messages", MEMORY),
    ("request.required.acks", ONCE),
    ("retries", ONCE),
    ("transaction.timeout.ms", TIMEOUT),
    ("transactional.id", "it follows from the pipeline and the lane"),
];

const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// What brokers take, unless they are set otherwise.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);

pub(super) fn check(kafka: &KafkaSinkConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    kafka.connection().check(FIXED, at, found);
    let topic = at.key("topic");
    match &kafka.topic {
        TargetTopic::Named(name) => check_topic(name, topic, found),
        TargetTopic::Routed(routed) => {
            let at = topic.key("allow");
            if routed.allow.is_empty() {
                let told = at.finding("here should be a topic");
                found.push(told.help("only topics that are named here are written to"));
            }
            for (number, name) in routed.allow.iter().enumerate() {
                check_topic(name, at.item(number), found);
            }
        }
    }
    let own = [("dead_letters", &kafka.dead_letters), ("ledger", &kafka.ledger)];
    for (key, name) in own {
        let Some(name) = name else { continue };
        check_topic(name, at.key(key), found);
        if kafka.topic.all().contains(name) {
            let told = at.key(key).finding(format!("rows go to topic `{name}`"));
            found.push(told.help("name a topic of its own, or leave it out"));
        }
    }
    if kafka.ledger.is_some() && kafka.ledger == kafka.dead_letters {
        let told = at.key("dead_letters").finding("this topic is the ledger");
        found.push(told.help("name a topic of its own, or leave it out"));
    }
    if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&kafka.transaction_timeout.0) {
        let told = at.key("transaction_timeout").finding("no broker takes such a time");
        found.push(told.help("1s to 15m"));
    }
}
