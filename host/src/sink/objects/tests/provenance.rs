//! What rows say of themselves, and finding them by a value.

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::connect::{RetriedLetter, Retry};
use crate::ledger::RowOrigin;
use crate::record::json::text;
use crate::record::provenance::{GENERATION, LANE, POSITION};
use crate::sink::objects::SinkCompression;

fn parquet(columns: &[&str]) -> ObjectsSinkConfig {
    ObjectsSinkConfig { format: RowFormat::Parquet, row_group_rows: 2, ..partitioned(columns) }
}

fn told_ndjson() -> ObjectsSinkConfig {
    ObjectsSinkConfig { provenance: Some(true), ..config() }
}

/// Six records, of which the third and the last are dead.
async fn filled(place: &Place, config: &ObjectsSinkConfig) -> Opened {
    let sink = place.sink_of(config).await;
    let claim = claim(&sink).await;
    for from in [0, 3] {
        let unit = unit(&*sink.writer, from, from + 3);
        assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(2));
    }
    sink
}

#[tokio::test]
async fn parquet_says_of_each_row_what_it_was_made_of() {
    let place = Place::folder();
    filled(&place, &parquet(&[])).await;
    let generation = Digest::of(b"one").to_string();
    let mut told = Vec::new();
    for bytes in place.files("out").await.into_values() {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        let names: Vec<_> =
            builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names[5..], [LANE, POSITION, GENERATION]);
        let metadata = builder.metadata().file_metadata().key_value_metadata().unwrap();
        let made = metadata.iter().find(|pair| pair.key == "pinhost.generation").unwrap();
        assert_eq!(made.value.as_ref(), Some(&generation));
        for rows in builder.build().unwrap() {
            let rows = rows.unwrap();
            let cell = |name, row| text(rows.column_by_name(name).unwrap(), row).to_owned();
            for row in 0..rows.num_rows() {
                told.push([LANE, POSITION, GENERATION].map(|name| cell(name, row)));
            }
        }
    }
    let row = |at: &str| ["pins/posts/0".to_owned(), at.to_owned(), generation.clone()];
    assert_eq!(told, [row("0"), row("1"), row("3"), row("4")]);
}

#[tokio::test]
async fn lines_say_so_if_they_are_asked_to() {
    let place = Place::folder();
    filled(&place, &told_ndjson()).await;
    let row = &place.rows().await[2];
    let names: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 8);
    assert_eq!(row[LANE], "pins/posts/0");
    assert_eq!(row[POSITION], "3");
    assert_eq!(row[GENERATION], Digest::of(b"one").to_string());

    let place = Place::folder();
    filled(&place, &config()).await;
    assert_eq!(place.rows().await[0].as_object().unwrap().len(), 5, "nobody asked");
}

#[tokio::test]
async fn a_column_of_pinhosts_own_is_refused() {
    let columns: Arc<[Field]> = [Field::new(LANE, Kind::Text)].into();
    let open = async |config: &ObjectsSinkConfig| {
        let sink = Place::bucket().sink_of(config).await.sink;
        sink.writer(Some(Arc::clone(&columns)), true).await.map(drop)
    };
    let error = open(&told_ndjson()).await.unwrap_err();
    assert_eq!(error.to_string(), "column `_pinhost_lane` has a name of pinhost's own");
    open(&config()).await.unwrap();
}

#[tokio::test]
async fn rows_are_found_by_their_values() {
    let zstd = Some(SinkCompression::Zstd);
    for config in [
        parquet(&[]),
        parquet(&["word"]),
        told_ndjson(),
        ObjectsSinkConfig { compression: zstd, ..told_ndjson() },
        ObjectsSinkConfig { provenance: Some(true), ..partitioned(&["word"]) },
    ] {
        for place in Place::all() {
            let sink = filled(&place, &config).await;
            let found = async |column: &str, value: &str| {
                let rows = sink.sink.origins(column, value).await.unwrap().unwrap();
                assert!(rows.iter().all(|row| row.generation == Some(Digest::of(b"one"))));
                let mut places: Vec<_> = rows.into_iter().map(|row| row.written).collect();
                places.sort_unstable();
                places
            };
            assert_eq!(found("id", "4").await, ["4"]);
            assert_eq!(found("id", "2").await, [""; 0], "it is a dead letter");
            assert_eq!(found("word", "word 1").await, ["1", "4"]);
            assert_eq!(found("id", "word").await, [""; 0]);
            assert_eq!(found("seen", "2020-08-28T03:52:47.500Z").await, ["0", "1", "3", "4"]);
            assert_eq!(found("tags", r#"["a","3"]"#).await, ["3"]);
            assert_eq!(found("scores", "[0.5, 3.0]").await, ["3"]);
            let error = sink.sink.origins("none", "1").await.unwrap_err();
            assert!(error.to_string().contains("no column `none`"), "{error}");
        }
    }
}

#[tokio::test]
async fn rows_that_say_nothing_are_not_looked_for() {
    let place = Place::bucket();
    let sink = filled(&place, &config()).await;
    assert_eq!(sink.sink.origins("id", "4").await.unwrap(), None);
}

#[tokio::test]
async fn a_row_of_a_letter_names_what_tried_it_again() {
    let place = Place::bucket();
    let sink = filled(&place, &parquet(&[])).await;
    let part = unit_of(&*sink.writer, 2, batch_of(vec![row(2)])).parts.remove(0);
    let letter = RetriedLetter { id: "posts/0:2".to_owned(), attempts: 1, lane: lane(), part };
    let retry = Retry { generation: Digest::of(b"two"), letters: vec![letter] };
    assert_eq!(sink.writer.commit_retry(&retry).await.unwrap(), done(1));
    let digest = Digest::of(b"two").to_string();
    let made = RowOrigin::new("pins/posts/0", "2", Some(&digest)).unwrap();
    assert_eq!(sink.sink.origins("id", "2").await.unwrap(), Some(vec![made]));
}
