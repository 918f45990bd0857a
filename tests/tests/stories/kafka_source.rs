//! The Kafka source against a real broker.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use pinhost::record::{ErrorClass, Lane, Position, Start};
use pinhost::source::{Known, LaneChange, Most, Outset, Source};
use pinhost_tests::alone::is_alone;
use pinhost_tests::command::{command, said};
use pinhost_tests::kafka::{
    MOST, RECORD_BYTES_MAX, Topic, assigned, begin, changed, moved, offset, open, place, read,
    rest, values,
};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::kafka;
use pinhost_tests::{pinhost, table};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use serde_json::json;

/// Runs a test, which ends in time.
fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("it ends in time");
    });
    runtime.shutdown_background();
}

fn numbered(range: std::ops::Range<i64>) -> Vec<(i64, String)> {
    range.map(|at| (at, format!("{{\"n\": {at}}}"))).collect()
}

fn texts(range: std::ops::Range<i64>) -> Vec<String> {
    numbered(range).into_iter().map(|(_, value)| value).collect()
}

/// Starts a source, as the runtime does; the first lane that is its own.
async fn started(source: &dyn Source) -> Lane {
    source.identity().await.unwrap();
    assigned(source).await
}

/// What the one lane of a new source has.
async fn all_of(source: &dyn Source) -> Vec<(i64, String)> {
    let lane = started(source).await;
    rest(&mut *begin(source, &lane).await).await
}

#[test]
fn a_record_comes_with_everything_that_it_was_sent_with() {
    run(async {
        let topic = Topic::new(1).await;
        let headers = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some("abc") })
            .insert(Header::<&str> { key: "empty", value: None });
        let record = FutureRecord::<[u8], [u8]>::to(&topic.name).partition(0);
        let record = record.key(b"k").payload(b"{}").headers(headers).timestamp(1_700_000_000_123);
        topic.send_record(record).await;
        topic.send_record(FutureRecord::to(&topic.name).partition(0).key(b"dead")).await;

        let source = topic.source("whole", true, &json!({}));
        let lane = started(&*source).await;
        assert_eq!(lane, topic.lane(0));
        let mut reader = begin(&*source, &lane).await;
        let one = Most { records: 1, ..MOST };
        let batch = reader.read(one).await.unwrap().unwrap();
        assert_eq!(values(&batch), [(0, "{}".to_owned())]);
        batch.read(0, |record| {
            assert_eq!(record.key, Some(&b"k"[..]));
            assert_eq!(record.topic, Some(&*topic.name));
            assert_eq!((record.partition, record.offset), (Some(0), Some(0)));
            assert_eq!(record.timestamp_micros, Some(1_700_000_000_123_000));
            let headers: Vec<_> = record.headers.iter().map(|one| (one.name, one.value)).collect();
            assert_eq!(headers, [("trace", Some(&b"abc"[..])), ("empty", None)]);
        });
        let batch = reader.read(one).await.unwrap().unwrap();
        assert_eq!(values(&batch), [(1, "null".to_owned())]);
        batch.read(0, |tombstone| {
            assert_eq!((tombstone.key, tombstone.value), (Some(&b"dead"[..]), None));
        });
        let to = place(batch.to);
        assert_eq!((to.offset, to.leader_epoch), (2, 0));
        assert!(!to.topic_id.is_nil());
        assert!(read(&mut *reader).await.is_none());
    });
}

/// Offsets are sparse: what was taken back leaves gaps, also where the lane ends.
#[test]
fn records_of_transactions_that_were_taken_back_are_none() {
    run(async {
        let topic = Topic::new(1).await;
        topic
            .transact(0, &[(&["a", "b"], true), (&["x"], false), (&["c"], true), (&["y"], false)])
            .await;
        let source = topic.source("sparse", true, &json!({}));
        let expected = [(0, "a"), (1, "b"), (5, "c")].map(|(at, value)| (at, value.to_owned()));
        assert_eq!(all_of(&*source).await, expected);
    });
}

#[test]
fn a_batch_is_no_larger_than_asked_for_and_nothing_is_left_out() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..500)).await;
        let source = topic.source("small", true, &json!({}));
        let lane = started(&*source).await;
        let mut reader = begin(&*source, &lane).await;
        let (mut all, mut at) = (Vec::new(), source.start(&lane).await.unwrap());
        while let Some(batch) = reader.read(Most { records: 7, bytes: 30 }).await.unwrap() {
            assert!(batch.bytes.len() <= 30, "{} bytes", batch.bytes.len());
            assert_eq!(batch.from, at);
            at = batch.to;
            all.extend(values(&batch));
        }
        assert_eq!(all, numbered(0..500));
        assert_eq!(offset(at), 500);
    });
}

#[test]
fn a_read_that_is_given_up_leaves_nothing_out() {
    run(async {
        let topic = Topic::new(1).await;
        let source = topic.source("given-up", false, &json!({}));
        let lane = started(&*source).await;
        let mut reader = begin(&*source, &lane).await;
        let (sent, mut all) = (topic.clone(), Vec::new());
        let sending = tokio::spawn(async move {
            for at in 0..50 {
                sent.send(0, texts(at * 10..at * 10 + 10)).await;
            }
        });
        while all.len() < 500 {
            let read = tokio::time::timeout(Duration::from_micros(300), reader.read(MOST)).await;
            if let Ok(batch) = read {
                all.extend(values(&batch.unwrap().unwrap()));
            }
        }
        sending.await.unwrap();
        assert_eq!(all, numbered(0..500));
    });
}

#[test]
fn a_record_that_is_too_large_is_a_fault_of_its_own() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, [&*"x".repeat(RECORD_BYTES_MAX + 1), "{}"]).await;
        let source = topic.source("large", true, &json!({}));
        let lane = started(&*source).await;
        let mut reader = begin(&*source, &lane).await;
        let mut faults = Vec::new();
        while let Some(batch) = read(&mut *reader).await {
            faults.extend(batch.records.iter().map(|record| {
                let told = record.fault.as_ref().map(|fault| fault.reason.clone());
                (record.value.unwrap().range().len(), told)
            }));
        }
        let too_large = Some("record is larger than limits.record".to_owned());
        assert_eq!(faults, [(RECORD_BYTES_MAX, too_large), (2, None)]);
    });
}

#[test]
fn a_record_with_too_many_headers_is_a_fault_of_its_own() {
    run(async {
        let topic = Topic::new(1).await;
        let headers = (0..1001).fold(OwnedHeaders::new(), |headers, _| {
            headers.insert(Header { key: "h", value: Some("v") })
        });
        let record = FutureRecord::<[u8], [u8]>::to(&topic.name).partition(0).payload(b"{}");
        topic.send_record(record.headers(headers)).await;
        let source = topic.source("headers", true, &json!({}));
        let lane = started(&*source).await;
        let batch = read(&mut *begin(&*source, &lane).await).await.unwrap();
        let fault = batch.records[0].fault.as_ref().expect("a fault");
        assert_eq!(fault.reason, "record has more than 1000 headers");
        assert_eq!(batch.headers.len(), 1000);
    });
}

#[test]
fn a_lane_starts_where_it_is_told() {
    run(async {
        let topic = Topic::new(1).await;
        for (at, time) in [(0, 1_000), (1, 2_000), (2, 3_000)] {
            let value = format!("{at}");
            let record = FutureRecord::<[u8], [u8]>::to(&topic.name).partition(0);
            topic.send_record(record.payload(value.as_bytes()).timestamp(time)).await;
        }
        for (start, begins) in [
            ("earliest", 0),
            ("latest", 3),
            ("1970-01-01T00:00:02Z", 1),
            ("1970-01-01T00:00:02.001Z", 2),
            ("2030-01-01T00:00:00Z", 3),
        ] {
            let source = topic.source("starts", true, &json!({ "start": start }));
            source.identity().await.unwrap();
            let starts = source.resume(&Known::default()).await.unwrap().starts;
            let from = match starts[&topic.lane(0)] {
                Position::Start(Start::Earliest) => source.start(&topic.lane(0)).await.unwrap(),
                from => from,
            };
            assert_eq!(offset(from), begins, "{start}");
        }
    });
}

/// `start: latest` is for what was there when the pipeline first ran.
#[test]
fn a_partition_that_comes_later_starts_at_its_beginning() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..5)).await;
        let source = topic.source("later", false, &json!({ "start": "latest" }));
        source.identity().await.unwrap();
        let starts = source.resume(&Known::default()).await.unwrap().starts;
        assert_eq!(starts.into_values().map(offset).collect::<Vec<_>>(), [5]);
        topic.widen(2).await;
        topic.send(1, texts(0..5)).await;
        assert_eq!(offset(source.start(&topic.lane(1)).await.unwrap()), 0);

        let source = topic.source("later", false, &json!({ "start": "latest" }));
        source.identity().await.unwrap();
        assert_eq!(source.resume(&known(&[topic.lane(0)])).await.unwrap(), Outset::default());
        assert_eq!(offset(source.start(&topic.lane(1)).await.unwrap()), 0);
    });
}

#[test]
fn a_pipeline_that_has_read_another_topic_does_not_start() {
    run(async {
        let topic = Topic::new(1).await;
        let source = topic.source("copied", false, &json!({}));
        source.identity().await.unwrap();
        let error = source.resume(&known(&[Lane::new("other-topic-0")])).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
        let said = format!(
            "pipeline copied has read other-topic until now, and is to read {}",
            topic.name
        );
        assert_eq!(error.to_string(), said);
        assert!(error.help.unwrap().contains("another `name:`"));
        // One more is no other.
        source.resume(&known(&[Lane::new("other-topic-0"), topic.lane(0)])).await.unwrap();
    });
}

/// Where a lane starts is only ever what the sink says (delivery.md, section 5).
#[test]
fn what_the_group_was_told_moves_nothing() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        for (pipeline, told) in [("behind", Some(1)), ("ahead", Some(9)), ("absent", None)] {
            let group = format!("{}.{pipeline}", topic.name);
            if let Some(told) = told {
                topic.commit(&group, 0, told);
            }
            let source = topic.source(pipeline, true, &json!({ "group": group }));
            let lane = started(&*source).await;
            let from = moved(source.start(&lane).await.unwrap(), 4);
            let mut reader = open(&*source, &lane, from).await.unwrap();
            assert_eq!(rest(&mut *reader).await, numbered(4..10), "{pipeline}");
        }
    });
}

#[test]
fn the_group_is_told_how_far_the_sink_is() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        let group = topic.name.clone();
        let source = topic.source("hints", false, &json!({ "group": group }));
        let lane = started(&*source).await;
        let from = source.start(&lane).await.unwrap();
        source.committed(&lane, moved(from, 7), None);
        let asked = topic.clone();
        let told = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            while asked.committed(&asked.name, 0) != Some(7)
                && began.elapsed() < Duration::from_secs(20)
            {}
            asked.committed(&asked.name, 0)
        });
        assert_eq!(told.await.unwrap(), Some(7));
        // The last one is told when the group is left.
        source.committed(&lane, moved(from, 9), None);
        drop(source);
        assert_eq!(topic.committed(&topic.name, 0), Some(9));
    });
}

#[test]
fn a_lane_is_read_again_from_where_it_is_opened_anew() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..100)).await;
        let source = topic.source("again", false, &json!({}));
        let lane = started(&*source).await;
        let start = source.start(&lane).await.unwrap();
        for from in [0, 50, 20, 99] {
            let mut reader = open(&*source, &lane, moved(start, from)).await.unwrap();
            let batch = read(&mut *reader).await.unwrap();
            assert_eq!(values(&batch)[0], numbered(from..from + 1)[0]);
        }
        // Two readers are never given the same records in turns.
        let mut stale = open(&*source, &lane, start).await.unwrap();
        let mut reader = open(&*source, &lane, start).await.unwrap();
        let error = stale.read(MOST).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
        drop(stale);
        let mut all = Vec::new();
        while all.len() < 100 {
            all.extend(values(&read(&mut *reader).await.unwrap()));
        }
        assert_eq!(all, numbered(0..100));
    });
}

#[test]
fn lanes_move_to_a_new_member_and_back_when_it_leaves() {
    run(async {
        let topic = Topic::new(4).await;
        for partition in 0..4 {
            topic.send(partition, texts(0..10)).await;
        }
        let one = topic.source("shared", false, &json!({}));
        one.identity().await.unwrap();
        let mut ours = BTreeSet::new();
        while ours.len() < 4 {
            ours.insert(assigned(&*one).await);
        }
        let mut readers = Vec::new();
        for lane in &ours {
            let mut reader = begin(&*one, lane).await;
            assert_eq!(values(&read(&mut *reader).await.unwrap()).len(), 10);
            readers.push((lane.clone(), reader));
        }

        let other = topic.source("shared", false, &json!({}));
        other.identity().await.unwrap();
        let mut theirs = BTreeSet::new();
        while theirs.len() < 2 {
            // Each of them has to be listened to.
            tokio::select! {
                lane = assigned(&*other) => assert!(theirs.insert(lane)),
                change = changed(&*one) => match change {
                    LaneChange::Revoked(lane) => assert!(ours.remove(&lane), "{lane} was not ours"),
                    change => panic!("{change:?}"),
                },
            }
        }
        while ours.len() > 2 {
            match changed(&*one).await {
                LaneChange::Revoked(lane) => assert!(ours.remove(&lane)),
                change => panic!("{change:?}"),
            }
        }
        assert!(ours.is_disjoint(&theirs));

        // What stayed flows on, what went does not.
        for (lane, reader) in &mut readers {
            let partition = lane.name().rsplit('-').next().unwrap().parse().unwrap();
            topic.send(partition, texts(10..11)).await;
            if ours.contains(lane) {
                assert_eq!(values(&read(&mut **reader).await.unwrap()), numbered(10..11));
            } else {
                // That it went is an event: who waits is dropped by who hears of it.
                let read = async {
                    reader.read(MOST).await.map(|_| ()).map_err(|error| error.to_string())
                };
                assert_eq!(at_once(read).await, None);
                let from = one.start(lane).await.unwrap();
                let opened = async {
                    open(&*one, lane, from).await.map(|_| ()).map_err(|error| error.to_string())
                };
                assert_eq!(at_once(opened).await, None);
            }
        }
        for lane in &theirs {
            let mut reader = begin(&*other, lane).await;
            assert_eq!(values(&read(&mut *reader).await.unwrap()).len(), 11);
        }

        drop(other);
        while ours.len() < 4 {
            assert!(ours.insert(assigned(&*one).await));
        }
    });
}

/// What comes of it without waiting for anybody but the broker.
async fn at_once<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(200), what).await.ok()
}

fn known(lanes: &[Lane]) -> Known {
    let stand = |lane: &Lane| (lane.clone(), Position::number(0));
    Known { lanes: lanes.iter().map(stand).collect(), has_run: true }
}

/// The lane halts, and what is said ends with the command that lifts it.
fn assert_halts(error: &pinhost::record::ConnectorError, said: &str, lane: &Lane) {
    assert_eq!(error.class, ErrorClass::Systemic, "{error}");
    assert!(error.to_string().contains(said), "{error}");
    let help = error.help.as_deref().unwrap();
    let command = format!("pinhost lanes move halts.yaml {lane} --to earliest --accept-gap");
    assert!(help.ends_with(&command), "{help}");
}

#[test]
fn records_that_are_gone_before_they_were_read_halt_the_lane() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        let source = topic.source("halts", false, &json!({}));
        let lane = started(&*source).await;
        let start = source.start(&lane).await.unwrap();
        topic.cut(0, 5).await;
        let error = open(&*source, &lane, start).await.unwrap_err();
        assert_halts(&error, "it stands at 0, and the partition begins at 5", &lane);
        assert_eq!(
            values(
                &read(&mut *open(&*source, &lane, moved(start, 5)).await.unwrap()).await.unwrap()
            ),
            numbered(5..10)
        );
    });
}

#[test]
fn a_place_that_the_partition_does_not_reach_halts_the_lane() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        let source = topic.source("halts", false, &json!({}));
        let lane = started(&*source).await;
        let start = source.start(&lane).await.unwrap();
        let error = open(&*source, &lane, moved(start, 11)).await.unwrap_err();
        assert_halts(&error, "ends at 10, and the lane stands at 11", &lane);
    });
}

#[test]
fn a_topic_that_was_made_anew_halts_the_lane() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        let source = topic.source("halts", false, &json!({}));
        let lane = started(&*source).await;
        let start = source.start(&lane).await.unwrap();
        let mut reader = open(&*source, &lane, start).await.unwrap();
        assert_eq!(values(&read(&mut *reader).await.unwrap()), numbered(0..10));

        // It has records where the reader goes on: they are others.
        topic.make_anew(1).await;
        topic.send(0, texts(0..30)).await;
        let error = loop {
            match tokio::time::timeout(Duration::from_secs(60), reader.read(MOST)).await.unwrap() {
                Ok(batch) => panic!("{:?}", batch.map(|batch| values(&batch))),
                // Its partition was gone for a moment.
                Err(error) if error.class == ErrorClass::Transient => {
                    match open(&*source, &lane, moved(start, 10)).await {
                        Ok(again) => reader = again,
                        Err(error) => break error,
                    }
                }
                Err(error)
                    if error.help.as_deref().is_some_and(|help| help.starts_with("make it")) =>
                {
                    match open(&*source, &lane, moved(start, 10)).await {
                        Ok(again) => reader = again,
                        Err(error) => break error,
                    }
                }
                Err(error) => break error,
            }
        };
        assert_halts(&error, "was deleted and made anew", &lane);
        let error = open(&*source, &lane, moved(start, 0)).await.unwrap_err();
        assert_halts(&error, "was deleted and made anew", &lane);
    });
}

/// A file that is copied, and one line of it changed.
#[test]
fn a_cluster_has_an_identity_of_its_own() {
    run(async {
        let topic = Topic::new(1).await;
        let source = topic.source("identity", false, &json!({}));
        let identity = source.identity().await.unwrap();
        assert_eq!(identity.as_str(), "kafka:4L6g3nShT-eMCtK--X86sw");
    });
}

#[test]
fn who_we_are_is_proven_by_scram_over_tls() {
    run(async {
        let topic = Topic::new(1).await;
        topic.send(0, texts(0..10)).await;
        let more = |password: &str| {
            json!({
                "brokers": kafka().secure,
                "tls": { "ca": kafka().ca },
                "sasl": { "mechanism": "scram-sha-512", "username": "pins", "password": password },
            })
        };
        let source = topic.source("secure", true, &more("pins-secret"));
        assert_eq!(all_of(&*source).await, numbered(0..10));

        let source = topic.source("secure", true, &more("not-the-password"));
        let error = source.identity().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Systemic, "{error}");
        assert!(error.to_string().contains("do not let us in"), "{error}");
        assert!(!format!("{error:?} {source:?}").contains("not-the-password"));

        // Nobody vouches for the broker's certificate.
        let mut stranger = more("pins-secret");
        stranger["tls"] = json!({});
        let error = topic.source("secure", true, &stranger).identity().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Systemic, "{error}");
        assert!(error.help.unwrap().contains("`tls:`"));
    });
}

#[test]
fn a_broker_that_is_away_and_a_topic_that_is_not_there_are_told_apart() {
    run(async {
        let topic = Topic::none();
        let error = topic.source("none", true, &json!({})).identity().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Systemic);
        assert_eq!(error.to_string(), "there is no topic there-is-none");
        let source = topic.source("none", true, &json!({ "brokers": ["127.0.0.1:1"] }));
        let error = source.identity().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient);
        assert!(error.to_string().starts_with("no broker of 127.0.0.1:1 answers"), "{error}");
    });
}

/// Invariant 8. While nobody reads, what is fetched stays within its bounds, and the group does not take
/// the member for dead.
#[test]
fn what_nobody_reads_yet_stays_with_the_broker() {
    const RECORDS: i64 = 100_000;
    const BROKERS: &str = "PINHOST_TEST_BROKERS";
    // The other process is given those of this one.
    let brokers = std::env::var(BROKERS).unwrap_or_else(|_| kafka().brokers.to_owned());
    let test = "kafka_source::what_nobody_reads_yet_stays_with_the_broker";
    if !is_alone(test, &[(BROKERS, &brokers)]) {
        return;
    }
    run(async {
        let topic = Topic::on(&brokers, 1).await;
        let filling = "z".repeat(1000);
        topic.send(0, (0..RECORDS).map(|_| &filling)).await;
        let source = topic.limited("slow", false, &json!({}), 4 << 20);
        let lane = started(&*source).await;
        let mut reader = begin(&*source, &lane).await;
        let before = resident_bytes();
        let first = read(&mut *reader).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 40 << 20, "{grown} bytes more, of {} in the topic", RECORDS * 1000);
        let mut records = first.records.len() as i64;
        while records < RECORDS {
            records += read(&mut *reader).await.unwrap().records.len() as i64;
        }
        assert_eq!(records, RECORDS);
        let idle = tokio::time::timeout(Duration::from_millis(10), source.next_change()).await;
        assert!(idle.is_err(), "the lane stayed ours: {idle:?}");
    });
}

fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).expect("resident pages").parse::<usize>().expect("a number") * 4096
}

#[test]
fn a_run_to_the_end_ends_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::new(3));
    fs::write(folder.path().join("p.yaml"), to_sqlite(&topic, "to-the-end")).unwrap();
    let mut sent = 0;
    for records in [100, 50] {
        for partition in 0..3 {
            runtime.block_on(topic.send(partition, texts(sent..sent + records)));
        }
        sent += records;
        let ran = said(command(pinhost!(), folder.path()).args(["run", "--until-end", "p.yaml"]));
        let ran = ran.done();
        assert!(ran.stderr.contains("exactly once"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("ERROR"), "{}", ran.stderr);
        let database = folder.path().join("pins.db");
        let rows = table::rows(
            &database,
            "SELECT part, count(*), sum(n), sum(at) FROM pins GROUP BY part",
        );
        let sum = sent * (sent - 1) / 2;
        let expected: Vec<_> =
            (0..3).map(|part| format!("{part} | {sent} | {sum} | {sum}")).collect();
        assert_eq!(rows, expected);
    }
}

#[test]
fn a_run_to_the_end_reads_what_others_hand_over() {
    run(async {
        let topic = Topic::new(2).await;
        for partition in 0..2 {
            topic.send(partition, texts(0..10)).await;
        }
        let settings = json!({ "group": topic.name });
        let one = topic.source("handing-over", false, &settings);
        one.identity().await.unwrap();
        let mut ours = BTreeSet::from([assigned(&*one).await, assigned(&*one).await]);

        let other = topic.source("handing-over", true, &settings);
        other.identity().await.unwrap();
        let lane = assigned(&*other).await;
        assert!(ours.remove(&lane));
        assert_eq!(changed(&*one).await, LaneChange::Revoked(lane.clone()));
        assert_eq!(rest(&mut *begin(&*other, &lane).await).await, numbered(0..10));
    });
}

/// What a member had that died without a word is not taken for read.
#[test]
fn a_run_to_the_end_waits_for_what_a_dead_member_had() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::new(2));
    fs::write(folder.path().join("p.yaml"), to_sqlite(&topic, "after-death")).unwrap();
    for partition in 0..2 {
        runtime.block_on(topic.send(partition, texts(0..100)));
    }
    said(command(pinhost!(), folder.path()).args(["run", "--until-end", "p.yaml"])).done();
    for partition in 0..2 {
        runtime.block_on(topic.send(partition, texts(100..110)));
    }
    let mut dead = command(pinhost!(), folder.path()).args(["run", "p.yaml"]).spawn().unwrap();
    let database = folder.path().join("pins.db");
    let began = Instant::now();
    while table::rows(&database, COUNT) != ["0 | 110", "1 | 110"] {
        assert!(began.elapsed() < Duration::from_secs(60), "it reads nothing");
        std::thread::sleep(Duration::from_millis(100));
    }
    dead.kill().unwrap();
    dead.wait().unwrap();
    for partition in 0..2 {
        runtime.block_on(topic.send(partition, texts(110..150)));
    }
    said(command(pinhost!(), folder.path()).args(["run", "--until-end", "p.yaml"])).done();
    assert_eq!(table::rows(&database, COUNT), ["0 | 150", "1 | 150"]);
}

/// A rebalance is no failure: nothing was ever committed, and the time to start is over.
#[test]
fn an_idle_process_outlives_the_joining_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::new(2));
    let yaml = to_sqlite(&topic, "scaled") + "limits: { start_time: 1s }\n";
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    let database = folder.path().join("pins.db");
    let claims = || {
        let made = "SELECT name FROM sqlite_master WHERE name = 'pinhost_position'";
        match database.exists() && !table::rows(&database, made).is_empty() {
            true => table::rows(&database, "SELECT hex(token) FROM pinhost_position ORDER BY lane"),
            false => Vec::new(),
        }
    };
    let wait = |what: &str, happened: &dyn Fn() -> bool| {
        wait_until(Duration::from_secs(60), happened, || what.to_owned());
    };
    let first = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
    wait("both partitions are claimed", &|| claims().len() == 2);
    let before = claims();
    let second = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
    wait("one of them is claimed by the other process", &|| claims() != before);
    for partition in 0..2 {
        runtime.block_on(topic.send(partition, texts(0..10)));
    }
    wait("each process reads its partition", &|| {
        table::rows(&database, COUNT) == ["0 | 10", "1 | 10"]
    });
    assert!(!first.log().contains("ERROR"), "{}", first.log());
    // Both are alive, and end as they are asked to.
    second.drain();
    first.drain();
}

const COUNT: &str = "SELECT part, count(DISTINCT at) FROM pins GROUP BY part";

fn to_sqlite(topic: &Topic, name: &str) -> String {
    format!(
        "\
name: {name}
source: {{ kafka: {{ brokers: '{}', topics: [{}], session_timeout: 3s }} }}
rule:
  fields: {{ n: integer, at: {{ type: integer, from: $offset }}, part: {{ type: integer, from: $partition }} }}
sink: {{ sqlite: {{ path: pins.db, table: pins, create: true }} }}
",
        kafka().brokers,
        topic.name,
    )
}

#[test]
fn a_tombstone_deletes_the_row_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::new(1));
    let yaml = to_sqlite(&topic, "with-tombstones")
        .replace("{ n: integer,", "{ n: integer, id: { type: text, from: $key },")
        .replace("create: true", "key: [id]");
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    let send = |key: &str, value: Option<&str>| {
        let record = FutureRecord::<[u8], [u8]>::to(&topic.name).partition(0).key(key.as_bytes());
        let record =
            value.into_iter().fold(record, |record, value| record.payload(value.as_bytes()));
        runtime.block_on(topic.send_record(record));
    };
    let ran = || said(command(pinhost!(), folder.path()).args(["run", "--until-end", "p.yaml"]));
    let database = folder.path().join("pins.db");
    let rows = || table::rows(&database, "SELECT n FROM pins ORDER BY id");

    for (key, n) in [("a", "1"), ("b", "2"), ("c", "3")] {
        send(key, Some(&format!("{{\"n\": {n}}}")));
    }
    send("a", None);
    ran().done();
    assert_eq!(rows(), ["2", "3"]);
    send("b", None);
    send("a", Some("{\"n\": 4}"));
    ran().done();
    assert_eq!(rows(), ["4", "3"]);
    let dead = said(command(pinhost!(), folder.path()).args(["dead-letters", "p.yaml", "list"]));
    assert!(!dead.done().stdout.contains("no value"));
}

#[test]
fn a_stranger_in_the_group_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::new(2));
    runtime.block_on(topic.send(0, texts(0..1)));
    let yaml = to_sqlite(&topic, "with-a-stranger");
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    let run = || said(command(pinhost!(), folder.path()).args(["run", "--until-end", "p.yaml"]));
    let named = "consumer group pinhost.with-a-stranger has members of others: somebody at ";

    let like_us = topic.stranger("pinhost.with-a-stranger", "cooperative-sticky");
    let ran = run().done();
    assert!(ran.stderr.contains(named), "{}", ran.stderr);
    drop(like_us);

    let otherwise = topic.stranger("pinhost.with-a-stranger", "range");
    // All that there is was read before: the ledger says so.
    let ran = run().done();
    for told in [named, "share partitions in another way"] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    drop(otherwise);
}

#[test]
fn a_position_is_of_this_source() {
    run(async {
        let topic = Topic::new(1).await;
        let source = topic.source("other", false, &json!({}));
        let error = open(&*source, &topic.lane(0), Position::number(1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
        let error = source.start(&Lane::new("another-0")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
    });
}
