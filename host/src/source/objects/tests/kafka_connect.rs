//! Objects as the S3 sink of Kafka Connect writes them: by its `RecordViews`, `JsonRecordWriterProvider` and
//! `TombstoneSupportedPartitioner`.

use super::super::kafka_connect::{ConnectKey, Part};
use super::*;

/// Place, value, key, and headers.
type Told = (String, String, Option<String>, Vec<(String, Option<String>)>);

fn told(batch: &RawBatch) -> Vec<Told> {
    let text = |span| String::from_utf8(batch.bytes_of(span).to_vec()).unwrap();
    let header =
        |header: &crate::record::RawHeader| (header.name.to_string(), header.value.map(text));
    let places = values(batch).into_iter().zip(&batch.records);
    places
        .map(|((place, value), record)| {
            let headers = batch.headers[record.headers.range()].iter().map(header).collect();
            (place, value, record.key.map(text), headers)
        })
        .collect()
}

async fn read(scene: &Scene, from: &str, most: Most) -> (Vec<Told>, Option<ConnectorError>) {
    let mut reader = scene.open(from).await.unwrap();
    let (mut found, mut at) = (Vec::new(), from.to_owned());
    loop {
        match reader.read(most).await {
            Ok(Some(batch)) => {
                assert_eq!(batch.from.to_string(), at, "batches are neighbours");
                at = batch.to.to_string();
                found.extend(told(&batch));
            }
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

async fn all(scene: &Scene, from: &str) -> Vec<Told> {
    let (found, error) = read(scene, from, MOST).await;
    assert!(error.is_none(), "{error:?}");
    found
}

fn keys(range: std::ops::Range<u32>) -> String {
    range.map(|at| format!("\"key {at}\"\n")).collect()
}

fn headers(range: std::ops::Range<u32>) -> String {
    let line = |at| {
        format!(
            "{{\"headers\":[{{\"key\":\"at\",\"value\":\"{at}\"}},{{\"key\":\"none\",\"value\":null}}]}}\n"
        )
    };
    range.map(line).collect()
}

/// What records of these numbers are told to be, from a place on.
fn expected(object: u32, range: std::ops::Range<u32>, has_headers: bool) -> Vec<Told> {
    let first = range.start;
    let record = |at: u32| {
        let headers = vec![("at".to_owned(), Some(at.to_string())), ("none".to_owned(), None)];
        (
            format!("0.{object}.{}", at - first),
            format!("{{\"a\": {at}}}"),
            Some(format!("key {at}")),
            if has_headers { headers } else { Vec::new() },
        )
    };
    range.map(record).collect()
}

/// Keys, headers and values of these records in one object each.
async fn put_all(scene: &Scene, stem: &str, range: std::ops::Range<u32>) {
    scene.put(&format!("{stem}.json"), lines(range.clone())).await;
    scene.put(&format!("{stem}.keys.json"), keys(range.clone())).await;
    scene.put(&format!("{stem}.headers.json"), headers(range)).await;
}

#[test]
fn a_key_tells_what_stands_in_an_object() {
    for (key, stem, part, is_json) in [
        ("pin+0+0000000010.json", "pin+0+0000000010", None, true),
        ("a/b.c+d/x.pin+12+7.json.gz", "a/b.c+d/x.pin+12+7", None, true),
        ("t/pin+0+01.keys.json", "t/pin+0+01", Some(Part::Keys), true),
        ("t/pin+0+01.keys.json.gz", "t/pin+0+01", Some(Part::Keys), true),
        ("t/pin+0+01.headers.avro", "t/pin+0+01", Some(Part::Headers), false),
        ("t/pin+0+01.keys.bin", "t/pin+0+01", Some(Part::Keys), false),
        ("t/pin.keys+0+01.snappy.parquet", "t/pin.keys+0+01", None, false),
    ] {
        let parsed = ConnectKey::parse(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!((parsed.stem, parsed.part, parsed.is_json()), (stem, part, is_json), "{key}");
    }
    for key in
        ["pin.keys.json", "pin+0.keys.json", "a+b+1.json", "+0+1.json", "pin+0+1", "pin+0+1/x.json"]
    {
        assert_eq!(ConnectKey::parse(key), None, "{key}");
    }
}

#[tokio::test]
async fn keys_and_headers_are_read_with_their_records_and_never_as_records() {
    for folder in ["partition=0", "year=2024/month=01/day=02/hour=03", "category=a b/kind=null"] {
        let scene = Scene::folder();
        let stem = |offset: &str| format!("topics/pin/{folder}/pin+0+{offset}");
        put_all(&scene, &stem("0000000000"), 0..3).await;
        // What was stored before keys were.
        scene.put(&format!("{}.json", stem("0000000003")), lines(3..5)).await;
        // No headers.
        scene.put(&format!("{}.json", stem("0000000005")), lines(5..7)).await;
        scene.put(&format!("{}.keys.json", stem("0000000005")), keys(5..7)).await;
        let found = all(&scene, "0.0.0").await;
        let bare: Vec<Told> = expected(1, 3..5, false)
            .into_iter()
            .map(|(place, value, _, headers)| (place, value, None, headers))
            .collect();
        let expected = [expected(0, 0..3, true), bare, expected(2, 5..7, false)].concat();
        assert_eq!(found, expected, "{folder}");
    }
}

#[tokio::test]
async fn every_form_of_keys_is_read() {
    for (extension, line, key) in [
        ("json", "\"a \\\"b\\\" \\u00e9\"", Some("a \"b\" \u{e9}")),
        ("json", "17", Some("17")),
        ("json", "{\"id\":1}", Some("{\"id\":1}")),
        ("json", "null", None),
        ("bin", "\"as it is\"", Some("\"as it is\"")),
    ] {
        let scene = Scene::folder();
        scene.put("pin+0+0.json", lines(0..1)).await;
        // Its last line may have no end.
        scene.put(&format!("pin+0+0.keys.{extension}"), line).await;
        assert_eq!(all(&scene, "0.0.0").await[0].2.as_deref(), key, "{line}");
    }
    let scene = Scene::folder();
    scene.put("pin+0+0.json.gz", gzip(lines(0..3).as_bytes()).await).await;
    scene.put("pin+0+0.keys.json.gz", gzip(keys(0..3).as_bytes()).await).await;
    scene.put("pin+0+0.headers.json.gz", gzip(headers(0..3).as_bytes()).await).await;
    assert_eq!(all(&scene, "0.0.0").await, expected(0, 0..3, true));
}

#[tokio::test]
async fn a_lane_goes_on_in_the_middle_of_keys() {
    let scene = Scene::folder();
    put_all(&scene, "a/pin+0+0", 0..2_500).await;
    // flush.size=1
    for at in 0..20 {
        put_all(&scene, &format!("b/pin+0+{at:010}"), at..at + 1).await;
    }
    let whole = all(&scene, "0.0.0").await;
    let singles = (0..20).flat_map(|at| expected(at + 1, at..at + 1, true));
    assert_eq!(whole, expected(0, 0..2_500, true).into_iter().chain(singles).collect::<Vec<_>>());
    for at in [0, 1, 999, 1_000, 1_001, 2_499, 2_500, 2_519] {
        assert_eq!(all(&scene, &whole[at].0).await, whole[at..], "from {at}");
    }
    for most in [Most { records: 1, ..MOST }, Most { bytes: 100, ..MOST }] {
        assert_eq!(read(&scene, "0.0.0", most).await.0, whole, "{most:?}");
    }

    let mut reader = scene.open("0.0.0").await.unwrap();
    let mut found = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::ZERO, reader.read(MOST)).await;
        match read.map(Result::unwrap) {
            Ok(Some(batch)) => found.extend(told(&batch)),
            Ok(None) => break,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(found, whole, "a read may be dropped at any time");
}

#[tokio::test]
async fn keys_of_other_records_halt_the_lane() {
    for (key_lines, header_lines, why) in [
        (0..1_999, 0..2_000, "more records"),
        (0..2_001, 0..2_000, "fewer records"),
        (0..2_000, 0..1_500, "more records"),
        (0..2_000, 0..2_500, "fewer records"),
    ] {
        let scene = Scene::folder();
        scene.put("pin+0+0.json", lines(0..2_000)).await;
        scene.put("pin+0+0.keys.json", keys(key_lines)).await;
        scene.put("pin+0+0.headers.json", headers(header_lines)).await;
        let (found, error) = read(&scene, "0.0.0", MOST).await;
        let error = error.expect("they do not fit");
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.to_string().contains("pin+0+0.json is damaged"), "{error}");
        assert!(format!("{error:?}").contains(why), "{error:?}");
        assert!(found.len() < 2_000, "the last records wait");
    }
}

#[tokio::test]
async fn keys_that_change_or_vanish_halt_the_lane() {
    for is_gone in [true, false] {
        let scene = Scene::folder();
        put_all(&scene, "a/pin+0+0", 0..2).await;
        let mut reader = scene.open("0.0.0").await.unwrap();
        // It is planned now.
        assert_eq!(told(&reader.read(MOST).await.unwrap().unwrap()).len(), 2);
        let path = scene.root.local.as_ref().unwrap().join("a/pin+0+0.keys.json");
        if is_gone {
            fs::remove_file(path).unwrap();
        } else {
            scene.put("a/pin+0+0.keys.json", keys(0..3)).await;
        }
        let error = read(&scene, "0.0.0", MOST).await.1.expect("it is not what was planned");
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.to_string().contains("a/pin+0+0.keys.json"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_text_is_refused_for_what_it_is() {
    for (key, bytes, form) in [
        ("pin+0+0.avro", &b"Obj\x01..."[..], "Avro"),
        ("pin+0+0.snappy.parquet", b"PAR1...", "Parquet"),
        ("pin+0+0.keys.avro", b"Obj\x01...", "Avro"),
        ("pin+0+0.headers.snappy.parquet", b"PAR1...", "Parquet"),
    ] {
        let scene = Scene::folder();
        scene.put("a", lines(0..1)).await;
        if ConnectKey::parse(key).unwrap().part.is_some() {
            scene.put("pin+0+0.json", lines(0..1)).await;
        }
        scene.put(key, bytes).await;
        let (found, error) = read(&scene, "0.0.0", MOST).await;
        let error = error.expect("it is refused");
        assert_eq!((found.len(), error.class), (1, ErrorClass::Systemic));
        assert!(
            error.to_string().ends_with(&format!("{key} is {form}, which is not read")),
            "{error}"
        );
        assert!(error.help.unwrap().contains("lanes move"), "{key}");
    }
}

#[tokio::test]
async fn keys_without_values_are_no_records() {
    let scene = Scene::folder();
    put_all(&scene, "topics/pin/partition=0/pin+0+0", 0..2).await;
    scene.put("topics/pin/tombstone/pin+0+2.keys.json", keys(2..4)).await;
    scene.put("topics/pin/tombstone/pin+0+2.headers.json", headers(2..4)).await;
    assert_eq!(all(&scene, "0.0.0").await, expected(0, 0..2, true));
}

#[tokio::test]
async fn what_the_pattern_leaves_out_is_not_there() {
    let mut scene = Scene::folder();
    put_all(&scene, "a/pin+0+0", 0..2).await;
    scene.config.matching = Some("**/*+0.json".to_owned());
    let found = all(&scene, "0.0.0").await;
    assert!(found.iter().all(|(_, _, key, headers)| key.is_none() && headers.is_empty()));
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn a_record_that_is_too_large_costs_no_other_its_key() {
    let mut scene = Scene::folder();
    scene.options.record_bytes_max = 100;
    let large = format!("{{\"a\": \"{}\"}}\n", "z".repeat(600_000));
    scene.put("pin+0+0.json", lines(0..1) + &large + &lines(2..3)).await;
    scene.put("pin+0+0.keys.json", keys(0..3)).await;
    let mut reader = scene.open("0.0.0").await.unwrap();
    let mut found = Vec::new();
    while let Some(batch) = reader.read(MOST).await.unwrap() {
        let kept = batch.records.iter().map(|record| record.fault.is_some());
        found.extend(kept.zip(told(&batch).into_iter().map(|told| told.2)));
    }
    let key = |at: u32| Some(format!("key {at}"));
    assert_eq!(found, [(false, key(0)), (true, key(1)), (false, key(2))]);

    scene.put("pin+0+0.keys.json", format!("\"{}\"\n", "k".repeat(300)).repeat(3)).await;
    let scene = Scene { journal: Arc::default(), ..scene };
    let error = read(&scene, "0.0.0", MOST).await.1.expect("no key is that large");
    assert!(format!("{error:?}").contains("limits.record"), "{error:?}");
}

#[tokio::test]
async fn a_plan_that_needs_no_newer_reader_is_of_the_older_format() {
    let scene = Scene::folder();
    scene.put("pin+0+0.json", lines(0..1)).await;
    all(&scene, "0.0.0").await;
    put_all(&scene, "pin+0+1", 0..1).await;
    all(&scene, "0.0.0").await;
    let formats: Vec<_> =
        scene.journal.entries().iter().map(|entry| entry[..11].to_vec()).collect();
    assert_eq!(formats, [b"{\"format\":1", b"{\"format\":2"]);
}
