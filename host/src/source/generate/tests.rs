use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::Value;

use crate::decode::{DeclaredField, DecodeLimits, Decoder, FieldPath, Origin};
use crate::record::Kind;

use super::posts::Shape;
use super::*;

const PROFILES: [GenerateProfile; 3] =
    [GenerateProfile::Pin, GenerateProfile::Geo, GenerateProfile::User];
/// Enough for the rarest dirt to be seen.
const RECORDS: u64 = 30_000;

#[derive(Debug)]
struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        unreachable!("nothing is planned")
    }

    async fn append(&self, _number: u64, _entry: Bytes) -> Result<(), ConnectorError> {
        unreachable!("nothing is planned")
    }
}

fn config(profile: GenerateProfile) -> GenerateSourceConfig {
    GenerateSourceConfig { profile, count: None, rate: None, seed: 7, keys: None, unwrap: None }
}

fn record(posts: &mut Posts, record: u64) -> Vec<u8> {
    let mut out = Vec::new();
    posts.write(record, &mut out);
    out
}

async fn read_all(config: &GenerateSourceConfig, from: u64, most: Most) -> Vec<RawBatch> {
    let source = GenerateSource::new(config);
    let lane = Lane::new("generate");
    let from = Position::number(from);
    let mut reader = source.open(&lane, from, Arc::new(NoJournal)).await.unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.read(most).await.unwrap() {
        batches.push(batch);
    }
    batches
}

fn values(batches: &[RawBatch]) -> Vec<(Position, Bytes, Option<i64>)> {
    let records = |batch: &RawBatch| {
        let record = |at: usize| {
            let record = &batch.records[at];
            (record.position, batch.value(at).expect("a value"), record.timestamp_micros)
        };
        (0..batch.records.len()).map(record).collect::<Vec<_>>()
    };
    batches.iter().flat_map(records).collect()
}

/// The fields of a rule for this profile: what has to be there, and what may be missing.
fn decoder(profile: GenerateProfile) -> Decoder {
    use Kind::{Float, Integer, Text};
    let fields: &[(&str, Kind, bool)] = match profile {
        GenerateProfile::Pin => &[
            ("unique_id", Text, true),
            ("title", Text, true),
            ("description", Text, true),
            ("poster_name", Text, false),
            ("follower_count", Text, true),
            ("tag_list", Text, true),
            ("is_image_or_video", Text, true),
            ("image_src", Text, true),
            ("downloaded", Integer, false),
            ("save_location", Text, true),
            ("category", Text, true),
        ],
        GenerateProfile::Geo => &[
            ("timestamp", Text, true),
            ("latitude", Float, true),
            ("longitude", Float, true),
            ("country", Text, true),
        ],
        GenerateProfile::User => &[
            ("first_name", Text, true),
            ("last_name", Text, true),
            ("age", Integer, true),
            ("date_joined", Text, true),
        ],
    };
    let key = DeclaredField {
        required: true,
        key: true,
        coerce: true,
        from: Origin::Value(vec![FieldPath::key("ind"), FieldPath::key("index")]),
        ..DeclaredField::new("ind", Integer)
    };
    let field = |(name, kind, required): &(&str, Kind, bool)| DeclaredField {
        required: *required,
        coerce: *kind != Text,
        ..DeclaredField::new(*name, *kind)
    };
    let fields: Vec<DeclaredField> = [key].into_iter().chain(fields.iter().map(field)).collect();
    Decoder::new(&fields, DecodeLimits::default())
}

#[test]
fn few_records_are_rejected_and_those_alone_that_are_meant_to_be() {
    for profile in PROFILES {
        let mut posts = Posts::new(profile, 7, None);
        let mut decoder = decoder(profile);
        let mut rejects = BTreeMap::new();
        for at in 0..RECORDS {
            let value = record(&mut posts, at);
            let record = crate::record::Record { value: Some(&value), ..Default::default() };
            let shape = posts.shape(at);
            let is_sound = shape == Shape::Sound;
            let told = String::from_utf8_lossy(&value);
            match decoder.push(&record) {
                Ok(()) => assert!(is_sound, "{shape:?} is decoded: {told}"),
                Err(reject) => {
                    assert!(!is_sound, "{reject:?}: {told}");
                    *rejects.entry(reject.reason).or_insert(0) += 1;
                }
            }
            if decoder.rows() == 1000 {
                decoder.finish();
            }
        }
        let share = rejects.values().sum::<u64>() as f64 / RECORDS as f64;
        assert!((0.01..0.02).contains(&share), "{share}: {rejects:?}");
        let has = |reason: &str| rejects.keys().any(|known| known.contains(reason));
        assert!(has("not valid JSON") && has("missing") && has("null"), "{rejects:?}");
    }
}

#[test]
fn every_kind_of_malformed_record_occurs_in_every_profile() {
    for profile in PROFILES {
        let mut posts = Posts::new(profile, 7, None);
        let mut seen: HashMap<String, String> = HashMap::new();
        for at in 0..RECORDS {
            let shape = format!("{:?}", posts.shape(at));
            let text = String::from_utf8_lossy(&record(&mut posts, at)).into_owned();
            seen.insert(shape, text);
        }
        assert_eq!(seen.len(), 10, "{seen:?}");
        assert!(seen["Envelope"].starts_with("{\"value\": {\""));
        assert!(seen["Nested"].starts_with("{\"ind") && seen["Nested"].contains("\": {\""));
        assert!(!seen["CutShort"].ends_with('}'), "{}", seen["CutShort"]);
    }
}

/// Sound records as JSON, with what they were written as.
fn sound(profile: GenerateProfile) -> Vec<(Value, String)> {
    let mut posts = Posts::new(profile, 7, None);
    let sound = (0..RECORDS).filter(|at| posts.shape(*at) == Shape::Sound).collect::<Vec<_>>();
    let read = |at: u64| {
        let text = String::from_utf8(record(&mut posts, at)).expect("UTF-8");
        (serde_json::from_str(&text).expect("JSON"), text)
    };
    sound.into_iter().map(read).collect()
}

/// The share of records of which it is true.
fn share(records: &[(Value, String)], is: impl Fn(&Value, &str) -> bool) -> f64 {
    let found = records.iter().filter(|(value, text)| is(value, text)).count();
    found as f64 / records.len() as f64
}

#[track_caller]
fn assert_share(name: &str, share: f64, real: f64) {
    assert!(share > real / 2.0 && share < real * 2.0, "{name}: {share}, but really {real}");
}

/// The shares are those of shared/data/pinterest-data.md where it knows them.
#[test]
fn posts_are_as_dirty_as_the_real_ones() {
    let pins = sound(GenerateProfile::Pin);
    let field_is = |name: &str, is: &dyn Fn(&str) -> bool| {
        share(&pins, |value, _| value[name].as_str().is_some_and(is))
    };
    for (name, sentinel, real) in [
        ("title", "No Title Data Available", 0.0067),
        ("title", "", 0.0015),
        ("title", "Untitled", 0.0015),
        ("poster_name", "User Info Error", 0.0067),
        ("follower_count", "User Info Error", 0.0067),
        ("description", "No description available Story format", 0.068),
        ("description", "No description available", 0.0157),
        ("description", "Untitled", 0.0015),
        ("tag_list", "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e", 0.012),
        ("image_src", "Image src error.", 0.021),
        ("is_image_or_video", "video", 0.031),
        ("is_image_or_video", "multi-video(story page format)", 0.068),
        ("is_image_or_video", "image", 0.9),
    ] {
        assert_share(sentinel, field_is(name, &|value| value == sentinel), real);
    }
    assert_share("cut", field_is("description", &|text| text.ends_with("…\u{a0}")), 0.36);
    assert_share("blank", field_is("poster_name", &|text| text.ends_with(' ')), 0.018);
    assert_share("blanks", field_is("title", &|text| text.contains("  ")), 0.06);
    for (name, odd) in [
        ("title", '𝗜'),
        ("title", 'Н'),
        ("title", 'ש'),
        ("title", '手'),
        ("title", '\u{301}'),
        ("title", '\n'),
        ("title", '<'),
        ("title", '"'),
        ("title", '\\'),
        ("title", '\u{a0}'),
        ("title", '\u{ea00}'),
        ("title", '🎄'),
        ("title", '#'),
        ("title", '|'),
        ("title", '\u{200d}'),
        ("description", '&'),
        ("description", '💕'),
        ("description", '#'),
        ("description", 'Л'),
        ("poster_name", '𝒍'),
        ("poster_name", '|'),
        ("tag_list", 'ö'),
    ] {
        assert!(field_is(name, &|text| text.contains(odd)) > 0.0, "{odd:?} in {name}");
    }
    assert_eq!(field_is("save_location", &|text| text.starts_with("Local save in /data/")), 1.0);
    let followers = |is: fn(&str) -> bool| field_is("follower_count", &is);
    assert_share("plain", followers(|count| count.bytes().all(|byte| byte.is_ascii_digit())), 0.17);
    assert_share("k", followers(|count| count.ends_with('k')), 0.74);
    assert_share("M", followers(|count| count.ends_with('M')), 0.08);
    assert!(followers(|count| count.contains(',')) > 0.0);
    assert!(followers(|count| count.contains('.')) > 0.0);
    assert!(followers(|count| count.ends_with('K')) > 0.0);

    assert_share("generation 1", share(&pins, |pin, _| pin.get("poster_name").is_none()), 0.03);
    assert!(share(&pins, |pin, _| pin.get("downloaded").is_none()) > 0.0);
    assert!(share(&pins, |pin, _| pin["index"].is_string()) > 0.0, "numbers as text");
    assert!(share(&pins, |pin, _| pin.get("ind").is_some()) > 0.0);
    assert!(share(&pins, |_, text| text.starts_with("{\"category")) > 0.0, "sorted");
    assert!(share(&pins, |_, text| text.contains("\\u2026\\u00a0")) > 0.0, "escaped");
    let bytes = pins.iter().map(|(_, text)| text.len()).sum::<usize>() / pins.len();
    assert!((600..900).contains(&bytes), "{bytes} bytes a post");
    for (pin, _) in &pins {
        let id: uuid::Uuid = pin["unique_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        let has_error = pin["image_src"] == "Image src error.";
        if let Some(downloaded) = pin.get("downloaded") {
            assert_eq!(*downloaded == 0 || *downloaded == "0", has_error);
        }
    }
}

#[test]
fn times_come_in_the_five_forms() {
    for (profile, name) in
        [(GenerateProfile::Geo, "timestamp"), (GenerateProfile::User, "date_joined")]
    {
        let records = sound(profile);
        let shape = |(value, _): &(Value, String)| {
            let digit = |char: char| if char.is_ascii_digit() { '0' } else { char };
            value[name].as_str().expect("a text").chars().map(digit).collect::<String>()
        };
        let shapes: std::collections::BTreeSet<String> = records.iter().map(shape).collect();
        let expected = [
            "00/00/0000, 00:00:00",
            "0000-00-00",
            "0000-00-00 00:00:00",
            "0000-00-00T00:00:00",
            "0000:00:00 00:00:00",
        ];
        assert_eq!(shapes.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
    for (geo, _) in sound(GenerateProfile::Geo) {
        let number = |name: &str| match &geo[name] {
            Value::String(text) => text.parse().expect("a number"),
            value => value.as_f64().expect("a number"),
        };
        assert!(number("latitude").abs() < 90.0 && number("longitude").abs() < 180.0, "{geo}");
    }
}

#[test]
fn repeats_are_of_earlier_posts_and_some_know_more() {
    let mut posts = Posts::new(GenerateProfile::Pin, 7, None);
    let (mut same, mut later) = (0, 0);
    let read = |posts: &mut Posts, at| serde_json::from_slice::<Value>(&record(posts, at));
    for at in 0..RECORDS {
        let key = posts.key(at);
        if key == at {
            continue;
        }
        assert!(key < at);
        let (Ok(first), Ok(repeat)) = (read(&mut posts, key), read(&mut posts, at)) else {
            continue;
        };
        if posts.shape(key) != Shape::Sound || posts.shape(at) != Shape::Sound {
            continue;
        }
        assert_eq!(first["unique_id"], repeat["unique_id"]);
        assert_eq!(first["title"], repeat["title"]);
        match first["follower_count"] == repeat["follower_count"] {
            true => same += 1,
            false => later += 1,
        }
    }
    let share = f64::from(same + later) / RECORDS as f64;
    assert!((0.05..0.1).contains(&share), "{share}");
    assert!(same > 500 && later > 500, "{same} {later}");
}

#[test]
fn keys_repeat_when_there_are_only_so_many() {
    let mut posts = Posts::new(GenerateProfile::User, 7, Some(10));
    let mut indexes: Vec<u64> = Vec::new();
    for at in 0..40 {
        let user: Value = serde_json::from_slice(&record(&mut posts, at)).unwrap();
        assert_eq!(posts.shape(at), Shape::Sound);
        let key = user.get("ind").or(user.get("index")).expect("a key").to_string();
        indexes.push(key.trim_matches('"').parse().expect("a number"));
    }
    assert_eq!(indexes, (0..40).map(|at| at % 10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lane_can_be_opened_anywhere_and_read_in_any_pieces() {
    for profile in PROFILES {
        let config = GenerateSourceConfig { count: Some(500), ..config(profile) };
        let most = Most { records: 1000, bytes: 1 << 20 };
        let whole = read_all(&config, 0, most).await;
        let expected = values(&whole);
        assert_eq!(expected.len(), 500);
        assert_eq!(expected[3].2, Some(FIRST_TIMESTAMP + 3000));
        for (from, most) in [
            (0, Most { records: 7, ..most }),
            (123, Most { bytes: 2000, ..most }),
            (499, Most { bytes: 1, ..most }),
            (400, Most { bytes: 1, ..most }),
        ] {
            let batches = read_all(&config, from, most).await;
            assert_eq!(values(&batches), expected[from as usize..]);
            let mut at = Position::number(from);
            for batch in &batches {
                assert_eq!(batch.from, at);
                at = batch.to;
                assert!(batch.records.len() <= most.records);
                assert!(batch.bytes.len() <= most.bytes || batch.records.len() == 1);
            }
            assert_eq!(at, Position::number(500));
        }
        assert!(read_all(&config, 500, most).await.is_empty(), "it has ended");
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let config =
        GenerateSourceConfig { count: Some(100), rate: Some(1000), ..config(GenerateProfile::Geo) };
    let started = Instant::now();
    let batches = read_all(&config, 0, Most { records: 1000, bytes: 1 << 20 }).await;
    assert!(started.elapsed() >= std::time::Duration::from_millis(100), "{:?}", started.elapsed());
    assert_eq!(values(&batches).len(), 100);
}

#[tokio::test]
async fn what_makes_other_records_is_another_source() {
    let base = config(GenerateProfile::Pin);
    let identity = |config: GenerateSourceConfig| async move {
        GenerateSource::new(&config).identity().await.unwrap().to_string()
    };
    assert_eq!(identity(base.clone()).await, "generate:pin:7:v1");
    let same = GenerateSourceConfig { count: Some(1), rate: Some(1), ..base.clone() };
    assert_eq!(identity(same).await, identity(base.clone()).await);
    for other in [
        config(GenerateProfile::Geo),
        GenerateSourceConfig { seed: 8, ..base.clone() },
        GenerateSourceConfig { keys: Some(7), ..base.clone() },
    ] {
        assert_ne!(identity(other).await, identity(base.clone()).await);
    }
    let source = GenerateSource::new(&base);
    let lane = Lane::new("generate");
    assert_eq!(source.next_change().await.unwrap(), Some(LaneChange::assigned(lane.clone())));
    assert_eq!(source.next_change().await.unwrap(), None);
    let other = Position::at(&[0, 0, 0]);
    let refused = source.open(&lane, other, Arc::new(NoJournal)).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Fatal);
}

/// A change of the records is a change of [`FORMAT`]: positions in lanes of old mean other records then.
#[test]
fn the_records_of_a_seed_stay_the_same() {
    let digests = PROFILES.map(|profile| {
        let mut posts = Posts::new(profile, 7, None);
        let mut out = Vec::new();
        (0..1000).for_each(|at| posts.write(at, &mut out));
        crate::record::Digest::of(&out).short()
    });
    assert_eq!(digests, ["fad06799cd76", "cd97a1d4e29a", "1b91e401009a"]);
}
