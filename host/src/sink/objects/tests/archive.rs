//! Records as they came, into an archive and back.

use std::sync::Mutex;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::objects::Compression;
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, RawHeader, RawRecord, Span};
use crate::sink::objects::{KeyLayout, SinkCompression};
use crate::source::kafka::KafkaPosition;
use crate::source::objects::{Changed, ObjectsSource, ObjectsSourceConfig};
use crate::source::{Journal, Most, Source, SourceOptions};
use crate::written::Duration as ConfigDuration;

const HOUR: i64 = 3_600_000_000;

/// Everything of a record that an archive has to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    place: (String, Position),
    topic: Option<String>,
    partition: Option<i64>,
    offset: Option<i64>,
    value: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn kept(lane: &str, raw: &RawBatch) -> Vec<Kept> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let one = |at| {
        raw.read(at, |record| {
            let (lane, place) = raw.place(at, lane);
            let headers = record.headers.iter();
            Kept {
                place: (lane.to_owned(), place),
                topic: record.topic.map(str::to_owned),
                partition: record.partition,
                offset: record.offset,
                value: owned(record.value),
                key: owned(record.key),
                timestamp: record.timestamp_micros,
                headers: headers
                    .map(|header| (header.name.to_owned(), owned(header.value)))
                    .collect(),
            }
        })
    };
    (0..raw.records.len()).map(one).collect()
}

fn kafka(offset: i64) -> Position {
    KafkaPosition { topic_id: Uuid::from_u128(7), offset, leader_epoch: 3 }.into()
}

/// What a partition of Kafka may hold, and lines of text may not.
fn odd() -> Arc<RawBatch> {
    let values: [Option<&[u8]>; 8] = [
        Some(b"{\"a\": 1}"),
        None,
        Some(b""),
        Some(b"{\n  \"a\": 2\n}\n"),
        Some(b"\n\n"),
        Some(b"\xff\x00no text"),
        Some(b"{\"a\": 3}{\"a\": 4}"),
        Some(b"[1"),
    ];
    let mut bytes = Vec::new();
    let mut push = |piece: &[u8]| {
        let start = bytes.len();
        bytes.extend_from_slice(piece);
        Span::new(start..bytes.len())
    };
    let (mut records, mut headers) = (Vec::new(), Vec::new());
    for (at, value) in (0..).zip(values) {
        let first = headers.len();
        if at % 2 == 0 {
            headers.push(RawHeader { name: "trace".into(), value: Some(push(b"\xfe1")) });
            headers.push(RawHeader { name: "empty".into(), value: None });
        }
        records.push(RawRecord {
            position: kafka(10 + 3 * at),
            value: value.map(&mut push),
            key: (at % 3 != 0).then(|| push(b"key")),
            timestamp_micros: (at != 5).then_some(at * HOUR),
            headers: Span::new(first..headers.len()),
            fault: None,
        });
    }
    Arc::new(RawBatch {
        bytes: bytes.into(),
        records,
        headers,
        columns: None,
        topic: Some("x.pin".into()),
        partition: Some(4),
        from: kafka(9),
        to: kafka(40),
        past: None,
    })
}

fn archive(raw: &Arc<RawBatch>) -> Unit {
    let part = UnitPart {
        raw: Arc::clone(raw),
        rows: Rows::Raw,
        origins: (0..raw.records.len() as u32).collect(),
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    };
    Unit {
        lane: Lane::new("x.pin-4"),
        from: raw.from,
        to: raw.to,
        generation: Digest::of(b"none"),
        parts: vec![part],
        accepted_rejects: 0,
        refusals_max: u64::MAX,
        wants_receipts: false,
    }
}

async fn sink_of(place: &Place, config: &ObjectsSinkConfig) -> Opened {
    let context = SinkContext { has_rule: false, ..context() };
    let sink = ObjectsSink::over(place.store("out"), config, context).unwrap();
    Opened::without_columns(sink).await
}

async fn written(place: &Place, config: &ObjectsSinkConfig, raw: &Arc<RawBatch>) {
    let sink = sink_of(place, config).await;
    let unit = archive(raw);
    let claim = sink.claims.claim(&unit.lane, unit.from).await.unwrap();
    assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(raw.records.len() as u64));
}

#[derive(Debug, Default)]
struct Plans(Mutex<Vec<Bytes>>);

#[async_trait]
impl Journal for Plans {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn append(&self, _number: u64, entry: Bytes) -> Result<(), ConnectorError> {
        self.0.lock().unwrap().push(entry);
        Ok(())
    }
}

/// Reads the folder `below` of the archive.
async fn source(place: &Place, below: &str) -> ObjectsSource {
    source_in(place, below, Some("out")).await
}

/// The same, where another folder is named as the archive or none is.
async fn source_in(place: &Place, below: &str, archive: Option<&str>) -> ObjectsSource {
    let Place::Folder(folder) = place else { panic!("a folder is read") };
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = ObjectsSourceConfig {
        url: at(&format!("out/{below}")),
        s3: S3Config::default(),
        archive: archive.map(at),
        matching: None,
        compression: Compression::Auto,
        unwrap: None,
        changed: Changed::Report,
        settle: ConfigDuration::millis(0),
        poll: ConfigDuration::millis(1),
    };
    let options = SourceOptions {
        pipeline: "back".into(),
        args: PipelineArgs { file: "back.yaml".into(), replay: None },
        until_end: true,
        record_bytes_max: 1 << 20,
        prefetch_bytes: 1 << 20,
    };
    ObjectsSource::open(&config, &options).await.unwrap()
}

/// What a source reads from a position on.
async fn read(
    source: &ObjectsSource,
    plans: &Arc<Plans>,
    from: Position,
    most: Most,
) -> Vec<(Position, Kept)> {
    let lane = Lane::new("objects");
    let journal = Arc::clone(plans) as Arc<dyn Journal>;
    let mut reader = Source::open(source, &lane, from, journal).await.unwrap();
    let (mut found, mut next) = (Vec::new(), from);
    while let Some(batch) = reader.read(most).await.unwrap() {
        assert_eq!(batch.from, next);
        next = batch.to;
        assert!(batch.records.len() <= most.records);
        let positions = batch.records.iter().map(|record| record.position);
        found.extend(positions.zip(kept(lane.name(), &batch)));
    }
    found
}

const MOST: Most = Most { records: 1000, bytes: 1 << 20 };
fn start() -> Position {
    Position::at(&[0, 0, 0])
}

#[tokio::test]
async fn records_come_back_as_they_went_in() {
    let raw = odd();
    let all = kept("x.pin-4", &raw);
    for (keys, compression, below) in [
        (KeyLayout::Connect, None, ""),
        (KeyLayout::Connect, Some(SinkCompression::Gzip), "topics/x.pin"),
        (KeyLayout::Connect, Some(SinkCompression::Zstd), "topics/x.pin/partition=4"),
        (KeyLayout::Lane, None, ""),
    ] {
        let place = Place::folder();
        let config = ObjectsSinkConfig { keys: Some(keys), compression, ..config() };
        written(&place, &config, &raw).await;
        let source = source(&place, below).await;
        for most in [MOST, Most { records: 3, ..MOST }, Most { bytes: 1, ..MOST }] {
            let found = read(&source, &Arc::default(), start(), most).await;
            let found: Vec<_> = found.into_iter().map(|(_, kept)| kept).collect();
            assert_eq!(found, all, "{keys:?} {compression:?} {most:?}");
        }
    }
}

/// Whoever may write to a folder above must not decide what is in the objects.
#[tokio::test]
async fn indexes_above_the_source_are_believed_only_if_it_names_their_archive() {
    let (place, raw) = (Place::folder(), odd());
    written(&place, &config(), &raw).await;
    let all = kept("x.pin-4", &raw);
    for (archive, is_believed) in [(None, false), (Some("out/topics"), false), (Some("out"), true)]
    {
        let source = source_in(&place, "topics/x.pin", archive).await;
        let found = read(&source, &Arc::default(), start(), MOST).await;
        let found: Vec<_> = found.into_iter().map(|(_, kept)| kept).collect();
        assert_eq!(found == all, is_believed, "{archive:?}");
    }
    // That of the source itself needs no naming.
    let found = read(&source_in(&place, "", None).await, &Arc::default(), start(), MOST).await;
    assert_eq!(found.into_iter().map(|(_, kept)| kept).collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn reading_an_archive_goes_on_wherever_it_was_left() {
    let raw = odd();
    let place = Place::folder();
    let config = ObjectsSinkConfig { object_size: Size(20), ..config() };
    written(&place, &config, &raw).await;
    let (source, plans) = (source(&place, "").await, Arc::default());
    let all = read(&source, &plans, start(), MOST).await;
    assert_eq!(all.len(), raw.records.len());
    for at in 0..all.len() {
        let found = read(&source, &plans, all[at].0, Most { records: 2, ..MOST }).await;
        assert_eq!(found, all[at..], "from {}", all[at].0);
    }
}

#[tokio::test]
async fn objects_are_named_as_kafka_connect_names_them() {
    let keys = async |keys: Option<KeyLayout>, compression| {
        let place = Place::bucket();
        let config = ObjectsSinkConfig { keys, compression, ..config() };
        written(&place, &config, &odd()).await;
        place.files("out").await.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(keys(None, None).await, ["topics/x.pin/partition=4/x.pin+4+0000000010.json"]);
    let zstd = Some(SinkCompression::Zstd);
    assert_eq!(keys(None, zstd).await, ["topics/x.pin/partition=4/x.pin+4+0000000010.json.zst"]);
    assert_eq!(
        keys(Some(KeyLayout::Daily), None).await,
        [
            "topics/x.pin/year=1970/month=01/day=01/x.pin+4+0000000010.json",
            "topics/x.pin/year=__HIVE_DEFAULT_PARTITION__/x.pin+4+0000000025.json",
        ]
    );
    let hourly = keys(Some(KeyLayout::Hourly), None).await;
    assert_eq!(hourly.len(), 8);
    assert_eq!(
        hourly[7].split_once("year=").unwrap().1.len(),
        "__HIVE_DEFAULT_PARTITION__/x.pin+4+0000000025.json".len()
    );
    assert_eq!(hourly[3], "topics/x.pin/year=1970/month=01/day=01/hour=03/x.pin+4+0000000019.json");
    assert_eq!(keys(Some(KeyLayout::Lane), None).await, ["pins--x.pin-4-000000000001.ndjson"]);
}

#[tokio::test]
async fn what_others_have_written_is_not_written_over() {
    let place = Place::bucket();
    let store = place.store("out");
    let key = "topics/x.pin/partition=4/x.pin+4+0000000010.json";
    store.put(key, Bytes::from_static(b"theirs")).await.unwrap();
    let sink = sink_of(&place, &config()).await;
    let unit = archive(&odd());
    let claim = sink.claims.claim(&unit.lane, unit.from).await.unwrap();
    let error = sink.writer.commit(&claim, &unit).await.unwrap_err();
    assert_eq!(error.class, crate::record::ErrorClass::Systemic);
    assert_eq!(
        error.to_string(),
        format!("{key} is there already, and this pipeline has not written it")
    );
    assert_eq!(store.get(key).await.unwrap().unwrap(), "theirs");
    assert!(place.staged().await.is_empty());
}

#[tokio::test]
async fn an_object_that_its_index_does_not_fit_halts_the_lane() {
    let place = Place::folder();
    written(&place, &config(), &odd()).await;
    let Place::Folder(folder) = &place else { panic!() };
    let path = folder.path().join("out/topics/x.pin/partition=4/x.pin+4+0000000010.json");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.push(b'x');
    // A new file: the one that is there has another name as well.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let source = source(&place, "topics").await;
    let journal = Arc::new(Plans::default());
    let mut reader = Source::open(&source, &lane(), start(), journal).await.unwrap();
    let error = reader.read(MOST).await.unwrap_err();
    assert_eq!(error.class, crate::record::ErrorClass::Systemic);
    assert!(error.to_string().ends_with("is damaged"), "{error}");
}
