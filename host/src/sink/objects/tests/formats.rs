//! What rows look like to those who read them.

use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::ledger::DeadLetterFilter;
use crate::sink::objects::SinkCompression;

async fn written(place: &Place, config: &ObjectsSinkConfig, rows: Vec<Value>) -> CommitOutcome {
    let sink = place.sink_of(config).await;
    let claim = claim(&sink).await;
    // In two batches, as units are.
    let second = batch_of(rows[rows.len() / 2..].to_vec());
    let first = batch_of(rows[..rows.len() / 2].to_vec());
    let middle = first.rows() as u64;
    let mut unit = unit_of(&*sink.writer, 0, first);
    let rest = unit_of(&*sink.writer, middle, second);
    unit.to = rest.to;
    unit.parts.extend(rest.parts);
    sink.writer.commit(&claim, &unit).await.unwrap()
}

#[tokio::test]
async fn a_row_is_a_line_with_all_its_columns() {
    let place = Place::folder();
    written(&place, &config(), vec![row(3), row(1)]).await;
    let files = place.files("out").await;
    let lines = String::from_utf8(files["pins--posts%2F0-000000000001.ndjson"].clone()).unwrap();
    assert_eq!(
        lines,
        concat!(
            r#"{"id":3,"word":null,"seen":"2020-08-28T03:52:47.5Z","tags":["a","3"],"scores":[0.5,3.0]}"#,
            "\n",
            r#"{"id":1,"word":"word 1","seen":"2020-08-28T03:52:47.5Z","tags":["a","1"],"scores":[0.5,1.0]}"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn compressed_lines_are_one_stream() {
    for (compression, extension) in
        [(SinkCompression::Gzip, "ndjson.gz"), (SinkCompression::Zstd, "ndjson.zst")]
    {
        for partition_by in [&[][..], &["word"]] {
            let place = Place::folder();
            let config =
                ObjectsSinkConfig { compression: Some(compression), ..partitioned(partition_by) };
            written(&place, &config, (0..20).map(row).collect()).await;
            let mut lines = String::new();
            for (key, bytes) in place.files("out").await {
                assert!(key.ends_with(extension), "{key}");
                let bytes = &bytes[..];
                if compression == SinkCompression::Gzip {
                    let mut decoder = GzipDecoder::new(bytes);
                    decoder.multiple_members(true);
                    decoder.read_to_string(&mut lines).await.unwrap();
                } else {
                    let mut decoder = ZstdDecoder::new(bytes);
                    decoder.multiple_members(true);
                    decoder.read_to_string(&mut lines).await.unwrap();
                }
            }
            let rows: Vec<_> =
                lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
            assert_eq!(ids(&rows), Vec::from_iter(0..20));
        }
    }
}

#[tokio::test]
async fn rows_go_into_the_folders_of_their_values() {
    let place = Place::folder();
    let words = ["art", "a/../b", "50% \"ö\"", "", "__HIVE_DEFAULT_PARTITION__", "#1"];
    let mut rows: Vec<_> = words.iter().map(|word| json!({ "id": 1, "word": word })).collect();
    rows.push(json!({ "id": 1 }));
    assert_eq!(written(&place, &partitioned(&["word"]), rows).await, done(7));
    let files = place.files("out").await;
    let folders: Vec<_> = files.keys().map(|key| key.split_once('/').unwrap().0).collect();
    assert_eq!(
        folders,
        [
            "word=%231",
            "word=",
            "word=50%25%20%22%C3%B6%22",
            "word=__HIVE_DEFAULT_PARTITION__",
            "word=a%2F..%2Fb",
            "word=art",
        ]
    );
    assert!(place.path().join("out/word=a%2F..%2Fb").is_dir());
    let rows = place.rows().await;
    assert!(rows.iter().all(|row| row.get("word").is_none()), "folders hold them");
}

#[tokio::test]
async fn a_row_without_a_folder_is_a_dead_letter() {
    for format in [RowFormat::Ndjson, RowFormat::Parquet] {
        let place = Place::folder();
        let config = ObjectsSinkConfig { format, ..partitioned(&["word"]) };
        let rows = vec![row(1), json!({ "id": 2, "word": "x".repeat(300) }), row(3)];
        let CommitOutcome::Done(stored) = written(&place, &config, rows).await else { panic!() };
        assert_eq!((stored.rows, stored.refused.values().sum()), (2, 1));
        let sink = place.sink_of(&config).await;
        let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!((letters.len(), letters[0].position), (1, at(1)));
        assert_eq!(letters[0].value.as_deref(), Some(&b"record 1"[..]));
        let sums = sink.archive.lineage().await.unwrap()[0].sums;
        assert_eq!((sums.stored, sums.dead), (2, 1));
        assert!(sums.is_balanced());
    }
}

#[tokio::test]
async fn a_column_with_too_many_values_is_told_of() {
    let place = Place::folder();
    let sink = place.sink_of(&partitioned(&["id"])).await;
    let claim = claim(&sink).await;
    let unit = unit_of(&*sink.writer, 0, batch_of((0..1001).map(row).collect()));
    let error = sink.writer.commit(&claim, &unit).await.unwrap_err();
    assert_eq!(error.to_string(), "a unit has rows for more than 1000 folders");
    assert!(place.staged().await.is_empty());
}

#[tokio::test]
async fn large_units_are_several_objects() {
    for format in [RowFormat::Ndjson, RowFormat::Parquet] {
        let place = Place::folder();
        let config = ObjectsSinkConfig { format, object_size: Size(1), ..config() };
        assert_eq!(written(&place, &config, (0..20).map(row).collect()).await, done(20));
        let files = place.files("out").await;
        let names: Vec<_> = files
            .keys()
            .map(|key| key.split('.').next().unwrap().rsplit_once("0-").unwrap().1)
            .collect();
        assert_eq!(names, ["000000000001-1", "000000000001"]);
    }
}

#[tokio::test]
async fn records_without_a_rule_are_lines() {
    let place = Place::folder();
    let context = SinkContext { has_rule: false, ..context() };
    let sink = ObjectsSink::over(place.store("out"), &config(), context).unwrap();
    let sink = Opened::without_columns(sink).await;
    let claim = claim(&sink).await;
    let mut unit = unit_of(&*sink.writer, 0, batch_of(vec![row(0), row(1)]));
    unit.parts[0].rows = Rows::Raw;
    assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(2));
    let files: Vec<_> = place.files("out").await.into_values().collect();
    assert_eq!(files, [b"record 0\nrecord 1\n"]);
}

#[tokio::test]
async fn parquet_reads_back() {
    for compression in [None, Some(SinkCompression::None), Some(SinkCompression::Snappy)] {
        let place = Place::folder();
        let config = ObjectsSinkConfig {
            format: RowFormat::Parquet,
            provenance: Some(false),
            compression,
            row_group_rows: 8,
            ..config()
        };
        assert_eq!(written(&place, &config, (0..20).map(row).collect()).await, done(20));
        let (key, bytes) = place.files("out").await.pop_first().unwrap();
        assert!(key.ends_with(".parquet"), "{key}");
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        let groups: Vec<_> =
            builder.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
        assert_eq!(groups, [8, 8, 4]);
        let statistics = builder.metadata().row_group(1).column(0).statistics().unwrap();
        assert_eq!(statistics.min_bytes_opt(), Some(&8_i64.to_le_bytes()[..]));
        let seen = builder.schema().field_with_name("seen").unwrap().data_type().clone();
        assert_eq!(seen, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));

        let mut rows = Vec::new();
        for read in builder.build().unwrap() {
            let read = read.unwrap();
            let fields = fields();
            let columns = read.columns().to_vec();
            let read = Batch::new(read.num_rows(), Arc::clone(&fields), columns);
            let lines = crate::record::ndjson::encode(&read);
            let lines = lines.split_inclusive(|byte| *byte == b'\n');
            rows.extend(lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
        }
        assert_eq!(rows, Vec::from_iter((0..20).map(row)));
    }
}

#[tokio::test]
async fn parquet_takes_text_in_either_form() {
    let place = Place::folder();
    let config = ObjectsSinkConfig { format: RowFormat::Parquet, ..partitioned(&["word"]) };
    let sink = place.sink_of(&config).await;
    let claim = claim(&sink).await;
    let plain = batch_of((0..6).map(row).collect());
    let columns = plain.columns().iter().zip(plain.fields().iter());
    let columns = columns.map(|(column, field)| match field.kind {
        Kind::Text => cast(column, &DataType::Utf8View).unwrap(),
        Kind::TextList => {
            cast(column, &DataType::List(crate::record::item(DataType::Utf8View))).unwrap()
        }
        _ => Arc::clone(column),
    });
    let views = Batch::new(6, fields(), columns.collect());
    let mut unit = unit_of(&*sink.writer, 0, plain);
    let rest = unit_of(&*sink.writer, 6, views);
    unit.to = rest.to;
    unit.parts.extend(rest.parts);
    assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), done(12));
    let mut read = 0;
    for bytes in place.files("out").await.into_values() {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        read += reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>();
    }
    assert_eq!(read, 12);
}

#[tokio::test]
async fn what_cannot_be_written_is_told_at_once() {
    let said = async |config: &ObjectsSinkConfig, columns: Option<Arc<[Field]>>| {
        let context = SinkContext { has_rule: columns.is_some(), ..context() };
        let store = Place::bucket().store("out");
        match ObjectsSink::over(store, config, context) {
            Ok(sink) => sink.writer(columns, true).await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    };
    let parquet = ObjectsSinkConfig { format: RowFormat::Parquet, ..config() };
    let gzip = Some(SinkCompression::Gzip);
    let snappy = Some(SinkCompression::Snappy);
    for (config, columns, expected) in [
        (
            ObjectsSinkConfig { compression: gzip, ..parquet.clone() },
            Some(fields()),
            "Parquet cannot be compressed with gzip",
        ),
        (
            ObjectsSinkConfig { compression: snappy, ..config() },
            Some(fields()),
            "NDJSON cannot be compressed with snappy",
        ),
        (parquet, None, "without a rule there are no columns, which Parquet needs"),
        (
            partitioned(&["tags"]),
            Some(fields()),
            "`partition_by` names `tags`, and a list cannot name a folder",
        ),
    ] {
        assert_eq!(said(&config, columns).await, expected);
    }
}
