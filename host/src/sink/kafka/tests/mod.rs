//! Against a real broker.

mod server;

use std::time::Duration as StdDuration;

use async_trait::async_trait;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use self::server::{SHARED, Seen};
use super::{KafkaSink, KafkaSinkConfig};
use crate::connect::{CommitOutcome, Sink as _, SinkContext};
use crate::ledger::{Claim, DeadLetterFilter};
use crate::record::json::{JsonRow, batch};
use crate::record::provenance::{GENERATION, LANE, POSITION, VERSION};
use crate::record::{
    Deletes, Digest, ErrorClass, Field, Kind, Lane, Position, RawBatch, RawHeader, RawRecord,
    Receipt, Rows, SourceId, Span, Unit, UnitPart,
};
use crate::sink::conformance::{
    self, Opened, Opening, PINS, Store, columns, ledger_tests, tests_on, writer_tests,
};

/// Topics that nobody else has.
struct Topics {
    prefix: String,
}

impl Topics {
    fn new() -> Self {
        Self { prefix: format!("s-{:016x}", fastrand::u64(..)) }
    }

    fn topic(&self, target: &str) -> String {
        format!("{}-{target}", self.prefix)
    }

    fn ledger(&self) -> String {
        format!("{}-ledger", self.prefix)
    }

    fn config(&self, target: &str, more: &Value) -> KafkaSinkConfig {
        let mut config = json!({
            "brokers": SHARED.brokers,
            "topic": self.topic(target),
            "ledger": self.ledger(),
            "dead_letters": self.topic("dead"),
            "transaction_timeout": "20s",
        });
        let more = more.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
        serde_json::from_value(config).unwrap()
    }

    fn sink(&self, more: &Value) -> KafkaSink {
        KafkaSink::open(&self.config("pin", more), context()).unwrap()
    }

    async fn open_with(&self, more: &Value) -> Opened {
        SHARED.make(&self.topic("pin"), 4, &[]).await;
        Opened::of(self.sink(more), fields()).await
    }

    async fn open_raw(&self, more: &Value) -> Opened {
        SHARED.make(&self.topic("pin"), 4, &[]).await;
        let context = SinkContext { has_rule: false, ..context() };
        let sink = KafkaSink::open(&self.config("pin", more), context).unwrap();
        Opened::without_columns(sink).await
    }

    async fn rows(&self) -> Vec<Seen> {
        SHARED.read(&self.topic("pin")).await
    }
}

#[async_trait]
impl Store for Topics {
    async fn open(&self, opening: Opening) -> Opened {
        // So many partitions that only keys and lanes keep an order.
        SHARED.make(&self.topic(opening.target), 2, &[]).await;
        let config = self.config(opening.target, &json!({}));
        let sink = KafkaSink::open(&config, opening.context()).unwrap();
        Opened::of(sink, conformance::fields()).await
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        let rows = SHARED.read(&self.topic(target)).await;
        let id = |row: &Seen| {
            let row: Value = serde_json::from_slice(row.value.as_ref().unwrap()).unwrap();
            row["id"].as_i64().unwrap()
        };
        let mut ids: Vec<_> = rows.iter().map(id).collect();
        ids.sort_unstable();
        ids
    }
}

mod conforms {
    use super::*;

    ledger_tests!(Topics::new());
    writer_tests!(Topics::new());
    tests_on!(
        Topics::new();
        another_target_under_the_same_name_is_refused
        a_claim_names_the_process_that_made_it
    );
}

fn context() -> SinkContext {
    SinkContext { source: Some(SourceId::new("test://pins")), ..PINS.context() }
}

fn fields() -> std::sync::Arc<[Field]> {
    columns(&[("id", Kind::Integer), ("word", Kind::Text), ("at", Kind::Timestamp)])
}

fn lane() -> Lane {
    Lane::new("posts-3")
}

fn at(record: u64) -> Position {
    Position::number(record)
}

/// Records with values, each with a key, a header and a time.
fn raw(values: &[Option<&[u8]>], from: u64) -> RawBatch {
    let mut bytes = Vec::new();
    let mut add = |piece: &[u8]| {
        let from = bytes.len();
        bytes.extend_from_slice(piece);
        Span::new(from..bytes.len())
    };
    let mut headers = Vec::new();
    let mut records = Vec::new();
    for (value, number) in values.iter().zip(from..) {
        let first = headers.len();
        headers.push(RawHeader { name: "trace".into(), value: Some(add(b"7")) });
        records.push(RawRecord {
            position: at(number),
            value: value.map(&mut add),
            key: Some(add(format!("k{number}").as_bytes())),
            timestamp_micros: Some(1_700_000_000_000_000 + number.cast_signed() * 1_000_000),
            headers: Span::new(first..headers.len()),
            fault: None,
        });
    }
    RawBatch {
        bytes: bytes.into(),
        records,
        headers,
        columns: None,
        topic: Some("posts".into()),
        partition: Some(3),
        from: at(from),
        to: at(from + values.len() as u64),
        past: None,
    }
}

fn unit(part: UnitPart) -> Unit {
    Unit {
        lane: lane(),
        from: part.raw.from,
        to: part.raw.to,
        generation: Digest::of(b"one"),
        accepted_rejects: 0,
        refusals_max: u64::MAX,
        wants_receipts: false,
        parts: vec![part],
    }
}

/// Rows of these objects, one a record.
fn rows(sink: &Opened, given: &[Value], from: u64) -> Unit {
    let values = vec![Some(&b"{}"[..]); given.len()];
    let json: Vec<JsonRow> =
        given.iter().map(|row| serde_json::from_value(row.clone()).unwrap()).collect();
    unit(UnitPart {
        raw: raw(&values, from).into(),
        rows: sink.writer.encode(batch(&json, &sink.columns).unwrap()),
        origins: (0..given.len() as u32).collect(),
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    })
}

fn row(id: i64) -> Value {
    json!({ "id": id, "word": format!("word {id}"), "at": "2024-01-31T00:00:00Z" })
}

async fn claim(sink: &Opened) -> Claim {
    sink.claims.claim(&lane(), at(0)).await.unwrap()
}

#[track_caller]
fn stored(outcome: Result<CommitOutcome, crate::record::ConnectorError>) -> u64 {
    match outcome.unwrap() {
        CommitOutcome::Done(stored) => stored.rows,
        other => panic!("{other:?}"),
    }
}

fn values(seen: &[Seen]) -> Vec<String> {
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    seen.iter().map(|message| message.value.as_ref().map_or("null".to_owned(), text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_the_row_its_key_its_headers_and_the_time_of_its_record() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({ "key": ["id"], "headers": ["word"] })).await;
    let owner = claim(&sink).await;
    let mut unit = rows(&sink, &[row(1), row(2)], 0);
    let keys: Vec<JsonRow> = vec![serde_json::from_value(json!({ "id": 1 })).unwrap()];
    unit.parts[0].raw = raw(&[Some(b"{}"), Some(b"{}"), None], 0).into();
    unit.parts[0].deletes = Some(Deletes {
        keys: sink.writer.encode(batch(&keys, &sink.columns[..1].into()).unwrap()),
        origins: vec![2],
    });
    unit.to = at(3);
    assert_eq!(stored(sink.writer.commit(&owner, &unit).await), 3);

    let mut seen = topics.rows().await;
    seen.sort_by_key(|message| message.headers[POSITION].clone());
    assert_eq!(
        values(&seen),
        [
            r#"{"id":1,"word":"word 1","at":"2024-01-31T00:00:00Z"}"#,
            r#"{"id":2,"word":"word 2","at":"2024-01-31T00:00:00Z"}"#,
            "null",
        ]
    );
    let keys: Vec<_> = seen.iter().map(|message| message.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["1", "2", "1"]);
    assert_eq!(seen[0].partition, seen[2].partition, "a key has one partition");
    let millis: Vec<_> = seen.iter().map(|message| message.millis.unwrap()).collect();
    assert_eq!(millis, [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]);
    let headers = &seen[1].headers;
    assert_eq!(headers["word"], "word 2");
    assert_eq!((&*headers[LANE], &*headers[POSITION]), ("pins/posts-3", "1"));
    assert_eq!(headers[GENERATION], Digest::of(b"one").to_string());
    assert!(seen[0].headers[VERSION] < headers[VERSION], "a later record is newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_the_key_is_a_dead_letter() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({ "key": ["word"], "provenance": false })).await;
    let owner = claim(&sink).await;
    let null = json!({ "id": 2, "word": null, "at": null });
    let unit = rows(&sink, &[row(1), null], 0);
    let outcome = sink.writer.commit(&owner, &unit).await.unwrap();
    let CommitOutcome::Done(told) = outcome else { panic!("{outcome:?}") };
    assert_eq!((told.rows, told.refused["key column word is null"]), (1, 1));
    let seen = topics.rows().await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].headers.is_empty());
    let lineage = sink.archive.lineage().await.unwrap();
    assert_eq!((lineage[0].sums.stored, lineage[0].sums.dead), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_messages_are_copied_as_they_came() {
    let topics = Topics::new();
    let sink = topics.open_raw(&json!({ "partition": "same" })).await;
    let owner = claim(&sink).await;
    let values: [Option<&[u8]>; 4] = [Some(b"one\n"), Some(b""), None, Some(b"\xff\x00")];
    let unit = unit(UnitPart {
        raw: raw(&values, 0).into(),
        rows: Rows::Raw,
        origins: (0..4).collect(),
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    });
    let unit = Unit { wants_receipts: true, ..unit };
    let outcome = sink.writer.commit(&owner, &unit).await.unwrap();
    let CommitOutcome::Done(told) = outcome else { panic!("{outcome:?}") };
    let places: Vec<_> = told.receipts.unwrap().into_iter().map(|row| row.receipt).collect();
    let stored_at = |offset| Receipt::Stored { at: Some(Position::at(&[3, offset])) };
    assert_eq!(places, [0, 1, 2, 3].map(stored_at));
    let seen = topics.rows().await;
    let found: Vec<_> = seen.iter().map(|message| message.value.as_deref()).collect();
    assert_eq!(found, values);
    for (message, number) in seen.iter().zip(0..) {
        assert_eq!(message.partition, 3);
        assert_eq!(message.key.as_deref(), Some(&*format!("k{number}")));
        assert_eq!(message.millis, Some(1_700_000_000_000 + number * 1000));
        assert_eq!(message.headers, [("trace".to_owned(), "7".to_owned())].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_to_the_topic_that_they_came_from_if_it_is_allowed() {
    let topics = Topics::new();
    let allowed = [topics.topic("pin"), topics.topic("geo")];
    SHARED.make(&allowed[1], 1, &[]).await;
    let topic = json!({ "topic": { "from": "$topic", "allow": allowed } });
    let sink = topics.open_raw(&topic).await;
    let owner = claim(&sink).await;
    let mut parts = Vec::new();
    for (topic, from) in [(&*allowed[1], 0), ("strange", 1), (&*allowed[0], 2)] {
        let raw = RawBatch { topic: Some(topic.into()), ..raw(&[Some(topic.as_bytes())], from) };
        parts.push(UnitPart {
            raw: raw.into(),
            rows: Rows::Raw,
            origins: vec![0],
            deletes: None,
            dropped: 0,
            dead_letters: Vec::new(),
        });
    }
    let unit = Unit { to: at(3), parts: parts.clone(), ..unit(parts[0].clone()) };
    assert_eq!(stored(sink.writer.commit(&owner, &unit).await), 2);
    for topic in &allowed {
        assert_eq!(values(&SHARED.read(topic).await), std::slice::from_ref(topic));
    }
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    assert_eq!(letters[0].reason, "the record's topic is not one of `allow:`");
    assert_eq!(letters[0].detail.as_deref(), Some("strange"));
}

/// Whatever it is refused for, alone or with those that it was sent with.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_brokers_refuse_is_found_and_becomes_a_dead_letter() {
    let topics = Topics::new();
    let limits = [("max.message.bytes", "20000"), ("message.timestamp.after.max.ms", "3600000")];
    SHARED.make(&topics.topic("pin"), 4, &limits).await;
    let sink = topics.open_raw(&json!({ "compression": "none" })).await;
    let owner = claim(&sink).await;
    let large = vec![b'x'; 30_000];
    let mut given: Vec<Option<&[u8]>> = vec![Some(b"row"); 40];
    given[7] = Some(&large);
    let mut raw = raw(&given, 0);
    // A time that is too far off.
    raw.records[23].timestamp_micros = Some(4_000_000_000_000_000);
    let unit = unit(UnitPart {
        raw: raw.into(),
        rows: Rows::Raw,
        origins: (0..40).collect(),
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    });
    let none = Unit { refusals_max: 1, ..unit.clone() };
    let outcome = sink.writer.commit(&owner, &none).await.unwrap();
    assert!(matches!(&outcome, CommitOutcome::Refused(_)), "{outcome:?}");
    assert_eq!(stored(sink.writer.commit(&owner, &unit).await), 38);
    assert_eq!(topics.rows().await.len(), 38);
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| (&*letter.id, &*letter.reason)).collect();
    assert_eq!(
        told,
        [
            ("posts-3:7", "the message is larger than the topic takes"),
            ("posts-3:23", "the message's time is not one that the topic takes"),
        ]
    );
    assert_eq!(letters[0].value.as_deref(), Some(&large[..]));
    let dead = SHARED.read(&topics.topic("dead")).await;
    assert_eq!(dead.len(), 2);
    let headers = &dead[0].headers;
    assert_eq!(headers["__connect.errors.topic"], "posts");
    assert_eq!(
        (&*headers["__connect.errors.offset"], &*headers["_pinhost_id"]),
        ("7", "posts-3:7")
    );
    assert_eq!(headers["trace"], "7");
}

/// A claim that is not told of what is committed behind somebody's open transaction would read again what
/// is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_sees_what_was_committed_behind_a_neighbours_open_transaction() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({})).await;
    let owner = claim(&sink).await;
    let mut client = SHARED.client();
    client
        .set("transactional.id", topics.topic("neighbour"))
        .set("transaction.timeout.ms", "60000");
    let neighbour: BaseProducer = client.create().unwrap();
    neighbour.init_transactions(StdDuration::from_secs(20)).unwrap();
    neighbour.begin_transaction().unwrap();
    let ledger = topics.ledger();
    let record = BaseRecord::<str, str>::to(&ledger).partition(0).key("neighbour/lane/x");
    neighbour.send(record.payload("{}")).unwrap();
    neighbour.flush(StdDuration::from_secs(20)).unwrap();
    assert_eq!(stored(sink.writer.commit(&owner, &rows(&sink, &[row(1), row(2)], 0)).await), 2);

    let end = SHARED.end(&ledger).await;
    let other = topics.sink(&json!({}));
    let claiming = tokio::spawn(async move {
        let claim = other.ledger().claims.claim(&lane(), at(0)).await;
        (claim, other)
    });
    // Its claim is written, and waits behind the transaction.
    while SHARED.end(&ledger).await < end + 2 {
        tokio::time::sleep(StdDuration::from_millis(20)).await;
    }
    tokio::task::spawn_blocking(move || neighbour.abort_transaction(StdDuration::from_secs(20)))
        .await
        .unwrap()
        .unwrap();
    let (claimed, _other) = claiming.await.unwrap();
    assert_eq!(claimed.unwrap().position, at(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_halts_its_lanes_until_they_are_moved() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({})).await;
    let owner = claim(&sink).await;
    assert_eq!(stored(sink.writer.commit(&owner, &rows(&sink, &[row(1)], 0)).await), 1);
    SHARED.delete(&topics.topic("pin")).await;
    SHARED.make(&topics.topic("pin"), 4, &[]).await;

    let other = topics.open_with(&json!({})).await;
    let error = other.claims.claim(&lane(), at(0)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic, "{error}");
    assert!(error.to_string().contains("made anew"), "{error}");
    assert!(error.help.unwrap().contains("lanes move"));
    assert!(other.claims.move_lane(&lane(), at(1), at(0)).await.unwrap());
    let owner = claim(&other).await;
    assert_eq!(owner.position, at(0));
    assert_eq!(stored(other.writer.commit(&owner, &rows(&other, &[row(1)], 0)).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_lost_beside_its_rows_halts() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({})).await;
    let owner = claim(&sink).await;
    assert_eq!(stored(sink.writer.commit(&owner, &rows(&sink, &[row(1)], 0)).await), 1);
    drop(sink);
    SHARED.delete(&topics.ledger()).await;
    let other = topics.open_with(&json!({})).await;
    let error = other.claims.claim(&lane(), at(0)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic, "{error}");
    assert!(error.to_string().contains("does not know pipeline pins"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_forgets_is_refused() {
    let topics = Topics::new();
    SHARED.make(&topics.topic("pin"), 1, &[]).await;
    for (settings, partitions, found) in [
        (&[("cleanup.policy", "compact,delete")][..], 1, "cleanup.policy=compact,delete"),
        (&[("cleanup.policy", "compact")], 3, "3 partitions"),
    ] {
        let ledger = topics.topic(&format!("{partitions}"));
        SHARED.make(&ledger, partitions, settings).await;
        let error = topics.sink(&json!({ "ledger": ledger })).prepare().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_answer_has_its_lane_moved_all_the_same() {
    let topics = Topics::new();
    let sink = topics.open_with(&json!({})).await;
    let owner = claim(&sink).await;
    assert_eq!(stored(sink.writer.commit(&owner, &rows(&sink, &[row(1)], 0)).await), 1);
    drop(sink);
    let hand = topics.open_with(&json!({})).await;
    assert!(hand.claims.move_lane(&lane(), at(1), at(5)).await.unwrap());
    assert!(hand.claims.accept_rejects(&lane(), 3).await.unwrap());
    let lanes = hand.claims.lanes().await.unwrap();
    assert_eq!((lanes[0].position, lanes[0].accepted_rejects), (at(5), 3));
}
