//! What can be wrong with a Kafka source by itself.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::pipeline::config::{KafkaMechanism, KafkaSaslConfig, KafkaSourceConfig, KafkaTlsConfig};
use crate::pipeline::finding::Finding;
use crate::pipeline::tree::Cursor;

const PROGRESS: &str = "progress is kept by the sink alone";
const NO_JUMP: &str = "a lane never jumps to another place by itself; see `start:`";
const MEMORY: &str = "what is fetched ahead is bounded by `limits.memory`";
const SHARING: &str = "other lanes flow on while partitions are shared out anew";
const ENDS: &str = "it tells where a partition ends";
const TLS: &str = "say it by `tls:`";
const SASL: &str = "say it by `sasl:`";

/// What a promise rests on, or has a key of its own, and why it cannot be set as a property.
const FIXED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "reading makes no topics"),
    ("auto.commit.enable", PROGRESS),
    ("auto.commit.interval.ms", PROGRESS),
    ("auto.offset.reset", NO_JUMP),
    ("bootstrap.servers", "say it by `brokers:`"),
    ("check.crcs", "a damaged record is never taken for a sound one"),
    ("enable.auto.commit", PROGRESS),
    ("enable.auto.offset.store", PROGRESS),
    ("enable.partition.eof", ENDS),
    ("enable.sasl.oauthbearer.unsecure.jwt", SASL),
    ("enable.ssl.certificate.verification", "who answers is who was called"),
    ("fetch.max.bytes", MEMORY),
    ("fetch.message.max.bytes", MEMORY),
    ("group.id", "say it by `group:`"),
    ("group.instance.id", "say it by `instance:`"),
    ("group.protocol", SHARING),
    ("isolation.level", "records of transactions that were taken back are none"),
    ("max.partition.fetch.bytes", MEMORY),
    ("message.max.bytes", MEMORY),
    ("metadata.broker.list", "say it by `brokers:`"),
    ("offset.store.method", PROGRESS),
    ("partition.assignment.strategy", SHARING),
    ("plugin.library.paths", "no other libraries are loaded"),
    ("queued.max.messages.kbytes", MEMORY),
    ("queued.min.messages", MEMORY),
    ("sasl.mechanism", SASL),
    ("sasl.mechanisms", SASL),
    ("sasl.password", SASL),
    ("sasl.username", SASL),
    ("security.protocol", "say it by `tls:` and `sasl:`"),
    ("session.timeout.ms", "say it by `session_timeout:`"),
    ("ssl.ca.location", TLS),
    ("ssl.certificate.location", TLS),
    ("ssl.endpoint.identification.algorithm", TLS),
    ("ssl.key.location", TLS),
    ("ssl.key.password", TLS),
];

pub(super) fn kafka(kafka: &KafkaSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if kafka.brokers.iter().any(str::is_empty) || kafka.brokers.iter().next().is_none() {
        let told = at.key("brokers").finding("here should be a broker");
        found.push(told.help("a host and its port, like localhost:9092"));
    }
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
    if let Some(tls) = &kafka.tls {
        self::tls(tls, at.key("tls"), found);
    }
    if let Some(sasl) = &kafka.sasl {
        self::sasl(sasl, kafka.tls.is_some(), at.key("sasl"), found);
    }
    properties(kafka, at.key("properties"), found);
}

fn topics(topics: &[String], at: Cursor<'_>, found: &mut Vec<Finding>) {
    const BYTES_MAX: usize = 249;
    if topics.is_empty() {
        found.push(at.finding("here should be a topic").help("like `topics: [posts]`"));
    }
    for (number, topic) in topics.iter().enumerate() {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let at = at.item(number);
        if topics[..number].contains(topic) {
            found.push(at.finding(format!("topic `{topic}` is named twice")));
        } else if topic.is_empty() || topic.len() > BYTES_MAX || !topic.bytes().all(is_legal) {
            let told = at.finding(format!("`{topic}` cannot be a topic"));
            found.push(told.help("letters, digits, `.`, `_` and `-`, 249 at most; no patterns"));
        }
    }
}

fn tls(tls: &KafkaTlsConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if tls.certificate.is_some() != tls.key.is_some() {
        let (key, lacks) =
            if tls.key.is_some() { ("key", "certificate") } else { ("certificate", "key") };
        found.push(at.key(key).finding(format!("this is of no use without `{lacks}:`")));
    }
    if tls.key_password.is_some() && tls.key.is_none() {
        found.push(at.key("key_password").finding("this is of no use without `key:`"));
    }
}

fn sasl(sasl: &KafkaSaslConfig, has_tls: bool, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let given = [
        ("username", sasl.username.as_deref()),
        ("password", sasl.password.as_deref()),
        ("region", sasl.region.as_deref()),
    ];
    let is_iam = sasl.mechanism == KafkaMechanism::MskIam;
    for (key, value) in given {
        match value {
            Some(_) if is_iam != (key == "region") => {
                found.push(at.key(key).finding(format!("this mechanism takes no `{key}`")));
            }
            Some("") => found.push(at.key(key).finding("here should be something")),
            None if !is_iam && key != "region" => {
                found.push(at.key("mechanism").finding(format!("this mechanism wants a `{key}`")));
            }
            _ => {}
        }
    }
    if sasl.mechanism == KafkaMechanism::Plain && !has_tls {
        let told = at.key("mechanism").finding("the password is sent as it is, for all to read");
        found.push(told.help("encrypt connections by `tls: {}`").warning());
    }
}

fn properties(kafka: &KafkaSourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    for (name, value) in &kafka.properties {
        let at = at.key(name);
        if let Some((_, why)) = FIXED.iter().find(|(fixed, _)| fixed == name) {
            found.push(at.finding(format!("`{name}` cannot be set here")).help(*why));
            continue;
        }
        // librdkafka knows its own settings.
        let refused = ClientConfig::new().set(name, value).create_native_config().err();
        match refused {
            Some(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                let told = Finding::new(format!("librdkafka has no property `{name}`"));
                let help = "see CONFIGURATION.md of librdkafka for those that it has";
                found.push(told.at(at.key_place()).help(help));
            }
            Some(KafkaError::ClientConfig(_, why, ..)) => found.push(at.finding(why)),
            _ => {}
        }
    }
}
