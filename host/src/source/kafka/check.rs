//! What can be wrong with a Kafka source by itself.

use super::config::KafkaSourceConfig;
use crate::kafka::check_topic;
use crate::written::{Cursor, Finding};

const PROGRESS: &str = "progress is kept by the sink alone";
const NO_JUMP: &str = "a lane never jumps to another place by itself; see `start:`";
const MEMORY: &str = "what is fetched ahead is bounded by `limits.memory`";
const SHARING: &str = "other lanes flow on while partitions are shared out anew";
const ENDS: &str = "it tells where a partition ends";

/// What a promise rests on, or has a key of its own, and why it cannot be set as a property.
const FIXED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "reading makes no topics"),
    ("auto.commit.enable", PROGRESS),
    ("auto.commit.interval.ms", PROGRESS),
    ("auto.offset.reset", NO_JUMP),
    ("check.crcs", "a damaged record is never taken for a sound one"),
    ("enable.auto.commit", PROGRESS),
    ("enable.auto.offset.store", PROGRESS),
    ("enable.partition.eof", ENDS),
    ("fetch.max.bytes", MEMORY),
    ("fetch.message.max.bytes", MEMORY),
    ("group.id", "say it by `group:`"),
    ("group.instance.id", "say it by `instance:`"),
    ("group.protocol", SHARING),
    ("isolation.level", "records of transactions that were taken back are none"),
    ("max.partition.fetch.bytes", MEMORY),
    ("message.max.bytes", MEMORY),
    ("offset.store.method", PROGRESS),
    ("partition.assignment.strategy", SHARING),
    ("queued.max.messages.kbytes", MEMORY),
    ("queued.min.messages", MEMORY),
    ("session.timeout.ms", "say it by `session_timeout:`"),
];

pub(super) fn check(kafka: &KafkaSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    kafka.connection().check(FIXED, at, found);
    topics(&kafka.topics, at.key("topics"), found);
    for (key, value) in [("group", &kafka.group), ("instance", &kafka.instance)] {
        if value.as_ref().is_some_and(String::is_empty) {
            found.push(at.key(key).finding("this needs a name"));
        }
    }
    if kafka.session_timeout.0.as_millis() == 0 {
        let told =
            at.key("session_timeout").finding("`session_timeout` has to be more than nothing");
        found.push(told.help("brokers take 6s to 30m, unless they are set otherwise"));
    }
}

fn topics(topics: &[String], at: Cursor<'_>, found: &mut Vec<Finding>) {
    if topics.is_empty() {
        found.push(at.finding("here should be a topic").help("like `topics: [posts]`"));
    }
    for (number, topic) in topics.iter().enumerate() {
        let at = at.item(number);
        if topics[..number].contains(topic) {
            found.push(at.finding(format!("topic `{topic}` is named twice")));
        } else {
            check_topic(topic, at, found);
        }
    }
}
