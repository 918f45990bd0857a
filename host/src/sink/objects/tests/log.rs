//! Logs that are long, lost or broken, and stores that cannot be used.

use std::fs;

use super::*;
use crate::record::{ConnectorError, ErrorClass};

const LOG: &str = "out/_pinhost/pins/lanes/posts%2F0";

async fn committed(place: &Place, units: u64) {
    let sink = place.sink().await;
    let claim = claim(&sink).await;
    for number in 0..units {
        let unit = unit_of(&*sink.writer, number, batch_of(vec![row(number)]));
        assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(1));
    }
}

async fn refused(place: &Place) -> ConnectorError {
    place.sink().await.claims.claim(&lane(), at(0)).await.unwrap_err()
}

#[tokio::test]
async fn a_long_log_ends_where_it_does_with_or_without_a_hint() {
    let place = Place::folder();
    committed(&place, 150).await;
    let checkpoint = place.path().join(LOG).join("checkpoint.json");
    for hint in [Some(fs::read(&checkpoint).unwrap()), Some(b"{".to_vec()), None] {
        match hint {
            Some(hint) => fs::write(&checkpoint, hint).unwrap(),
            None => fs::remove_file(&checkpoint).unwrap(),
        }
        let sink = place.sink().await;
        assert_eq!(claim(&sink).await.position, at(150));
        let lineage = sink.archive.lineage().await.unwrap();
        assert_eq!((lineage.len(), lineage[0].sums.stored), (1, 150));
    }
    assert_eq!(place.ids().await, Vec::from_iter(0..150));
}

#[tokio::test]
async fn the_end_is_found_in_a_few_steps() {
    let place = Place::bucket();
    let store = Arc::new(place.store("out"));
    let keys = crate::ledger::log::keys::Keys::new("pins").lane(&lane());
    let log = crate::ledger::log::records::Log::<Value>::new(Arc::clone(&store) as _, keys.clone());
    let mut end = 0;
    for next in [0, 1, 2, 3, 7, 8, 9, 100, 1000] {
        while end < next {
            store.create(&keys.record(end), "{}".to_owned()).await.unwrap();
            end += 1;
        }
        for from in [0, 1, next / 2, next] {
            if from <= next {
                assert_eq!(log.end(from).await.unwrap(), next, "from {from}");
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_halts_its_lane() {
    let place = Place::folder();
    committed(&place, 2).await;
    let record = place.path().join(LOG).join("log/000000000002.json");
    let whole = fs::read(&record).unwrap();
    for (bytes, said) in [
        (&b""[..], "cannot read log record"),
        (&whole[..whole.len() / 2], "cannot read log record"),
        (br#"{"format":1}"#, "cannot read log record"),
        (br#"{"format":2,"what":"else"}"#, "was written by a newer pinhost"),
    ] {
        fs::write(&record, bytes).unwrap();
        let error = refused(&place).await;
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains("000000000002"), "{error}");
    }
    fs::write(&record, whole).unwrap();
    assert_eq!(claim(&place.sink().await).await.position, at(2));
}

#[tokio::test]
async fn a_record_that_contradicts_the_others_is_fatal() {
    let place = Place::folder();
    committed(&place, 2).await;
    let log = place.path().join(LOG).join("log");
    fs::copy(log.join("000000000001.json"), log.join("000000000003.json")).unwrap();
    let error = refused(&place).await;
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
}

#[tokio::test]
async fn a_lane_without_its_log_is_not_read_again() {
    for lost in ["log", "../../../../_pinhost"] {
        let place = Place::folder();
        committed(&place, 100).await;
        fs::remove_dir_all(place.path().join(LOG).join(lost)).unwrap();
        let error = refused(&place).await;
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.help.unwrap().contains("restore"), "{lost}");
        assert_eq!(place.ids().await.len(), 100);
    }
}

const OTHER: &str = "posts/1";

/// A second lane beside the first, with rows of its own.
async fn committed_beside(place: &Place) {
    let sink = place.sink().await;
    let claim = sink.claims.claim(&Lane::new(OTHER), at(0)).await.unwrap();
    let unit = unit_of(&*sink.writer, 0, batch_of(vec![row(1000)]));
    let unit = Unit { lane: Lane::new(OTHER), ..unit };
    assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(1));
}

async fn forget_all_below(place: &Place, folder: &str) {
    let store = place.store("out");
    let keys = store.list(folder).await.unwrap();
    assert!(!keys.is_empty(), "{folder}");
    store.delete(keys).await.unwrap();
}

#[tokio::test]
async fn a_lane_whose_log_is_gone_halts_beside_its_siblings() {
    for place in Place::all() {
        committed(&place, 3).await;
        committed_beside(&place).await;
        forget_all_below(&place, "_pinhost/pins/lanes/posts%2F0").await;

        let error = refused(&place).await;
        assert_eq!(error.class, ErrorClass::Systemic);
        assert!(error.to_string().contains("lanes/posts%2F0 has no log"), "{error}");
        let sink = place.sink().await;
        let lanes = sink.claims.lanes().await.unwrap();
        let told: Vec<_> = lanes.iter().map(|it| (it.lane.name(), it.halted.as_deref())).collect();
        assert_eq!(told, [("posts/0", Some("its log is gone")), (OTHER, None)]);
        // The other lane goes on, and so do all questions about it.
        let other = sink.claims.claim(&Lane::new(OTHER), at(0)).await.unwrap();
        assert_eq!(other.position, at(1));
        assert_eq!(sink.archive.lineage().await.unwrap().len(), 1);
        assert_eq!(place.ids().await, [0, 1, 2, 1000]);
    }
}

#[tokio::test]
async fn objects_that_are_there_are_neither_ours_nor_written_over() {
    for place in Place::all() {
        committed(&place, 3).await;
        committed_beside(&place).await;
        let before = place.files("out").await;
        // Everything that knows of the lane but its rows.
        forget_all_below(&place, "_pinhost/pins/lanes/posts%2F0").await;
        let listed = vec!["_pinhost/pins/lane_list/posts%2F0.json".to_owned()];
        place.store("out").delete(listed).await.unwrap();

        let sink = place.sink().await;
        let claimed = claim(&sink).await;
        assert_eq!(claimed.position, at(0));
        let unit = unit_of(&*sink.writer, 0, batch_of(vec![row(77)]));
        for _ in 0..2 {
            let error = sink.writer.commit(&claimed, &unit).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Systemic);
            assert!(error.to_string().contains("pins--posts%2F0-000000000001.ndjson is there"));
            assert_eq!(place.files("out").await, before);
        }
        // Once it is out of the way, what was committed shows up.
        let in_the_way = vec!["pins--posts%2F0-000000000001.ndjson".to_owned()];
        place.store("out").delete(in_the_way).await.unwrap();
        assert_eq!(sink.writer.commit(&claimed, &unit).await.unwrap(), done(1));
        assert_eq!(place.ids().await, [1, 2, 77, 1000]);
    }
}

#[tokio::test]
async fn two_pipelines_share_a_folder() {
    let place = Place::folder();
    committed(&place, 1).await;
    let context = SinkContext { pipeline: "pin".into(), ..context() };
    let other = ObjectsSink::over(place.store("out"), &config(), context).unwrap();
    let other = Opened::of(other, fields()).await;
    let claim = claim(&other).await;
    assert_eq!(claim.position, at(0));
    let unit = unit_of(&*other.writer, 0, batch_of(vec![row(7)]));
    assert_eq!(other.writer.commit(&claim, &unit).await.unwrap(), done(1));
    assert_eq!(place.ids().await, [0, 7]);
    let files: Vec<_> = place.files("out").await.into_keys().collect();
    assert_eq!(
        files,
        ["pin--posts%2F0-000000000001.ndjson", "pins--posts%2F0-000000000001.ndjson"]
    );
}

#[tokio::test]
async fn rows_of_another_shape_do_not_come_into_the_same_folder() {
    let place = Place::folder();
    committed(&place, 1).await;
    let sink = place.sink_of(&partitioned(&["word"])).await;
    let error = sink.claims.claim(&lane(), at(0)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(error.to_string().contains("NDJSON by word"), "{error}");
}

#[tokio::test]
async fn a_file_is_no_folder() {
    let place = Place::folder();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, said) in [
        ("/dev/null".to_owned(), "`/dev/null` is a file, and objects need a folder"),
        (file.to_str().unwrap().to_owned(), "is a file, and objects need a folder"),
        (file.join("below").to_str().unwrap().to_owned(), "cannot use `"),
    ] {
        let config = ObjectsSinkConfig { url: path, ..config() };
        let error = match ObjectsSink::open(&config, context()).await {
            Ok(sink) => sink.prepare().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.class, ErrorClass::Systemic);
    }
    let config = ObjectsSinkConfig { url: "gs://bucket/x".to_owned(), ..config() };
    let error = ObjectsSink::open(&config, context()).await.unwrap_err();
    assert_eq!(error.to_string(), "`gs://bucket/x` is neither a folder nor an s3:// URL");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_made() {
    let place = Place::folder();
    let path = place.path().join("not/there/../yet");
    let config = ObjectsSinkConfig { url: path.to_str().unwrap().to_owned(), ..config() };
    assert!(ObjectsSink::open(&config, context()).await.is_err(), "`..` below what is not there");
    let path = place.path().join("not/there yet/ö#1");
    let config = ObjectsSinkConfig { url: path.to_str().unwrap().to_owned(), ..config };
    ObjectsSink::open(&config, context()).await.unwrap().prepare().await.unwrap();
    assert!(path.join("_pinhost").is_dir());
}

#[tokio::test]
async fn a_store_that_puts_everything_twice_is_refused() {
    let place = Place::bucket();
    let store = place.store("out").behind(|inner| Arc::new(objects::Careless(inner)));
    let sink = ObjectsSink::over(store, &config(), context()).unwrap();
    let error = sink.prepare().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("lets an object be put twice"), "{error}");
}
