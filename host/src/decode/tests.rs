//! What becomes of a record: values, rejects, and that they leave no trace of each other.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::record::{Batch, Header, Kind};

fn field(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField::new(name, kind)
}

fn required(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField { required: true, ..field(name, kind) }
}

fn coerced(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField { coerce: true, ..field(name, kind) }
}

fn from(origin: Origin, kind: Kind) -> DeclaredField {
    DeclaredField { from: origin, ..field("it", kind) }
}

fn decoder(fields: &[DeclaredField]) -> Decoder {
    Decoder::new(fields, DecodeLimits::default())
}

fn record(json: &[u8]) -> Record<'_> {
    Record { value: Some(json), ..Record::default() }
}

/// The fields of the published pins.
fn pin() -> Vec<DeclaredField> {
    let mut ind = required("ind", Kind::Integer);
    ind.key = true;
    ind.from = Origin::Value(vec![FieldPath::key("ind"), FieldPath::key("index")]);
    let texts = ["unique_id", "title", "description", "poster_name", "follower_count", "tag_list"];
    let more = ["is_image_or_video", "image_src", "save_location", "category"];
    let texts = texts.iter().chain(&more).map(|name| field(name, Kind::Text));
    [ind].into_iter().chain(texts).collect()
}

/// The only value of the only row, as text; `None` if it is null.
#[track_caller]
fn value(field: DeclaredField, json: &str) -> Option<String> {
    value_around(field, &record(json.as_bytes()))
}

#[track_caller]
fn value_around(field: DeclaredField, record: &Record<'_>) -> Option<String> {
    let mut fields = vec![field];
    if record.value.is_some_and(|json| json.starts_with(b"{\"always\"")) {
        fields.push(self::field("always", Kind::Integer));
    }
    let mut decoder = decoder(&fields);
    if let Err(reject) = decoder.push(record) {
        panic!("rejected: {reject:?}");
    }
    shown(&decoder.finish()).remove(0).remove(0)
}

/// The batch by rows.
fn shown(batch: &Batch) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::new();
    let columns = batch.columns().iter().map(|column| {
        column.to_data().validate_full().expect("what the decoder makes is valid");
        let text = ArrayFormatter::try_new(column, &options).expect("every kind can be shown");
        (column, text)
    });
    let columns: Vec<_> = columns.collect();
    let row = |row| {
        let value = |(column, text): &(&arrow::array::ArrayRef, ArrayFormatter<'_>)| {
            column.is_valid(row).then(|| text.value(row).to_string())
        };
        columns.iter().map(value).collect()
    };
    (0..batch.rows()).map(row).collect()
}

#[track_caller]
fn reject(fields: &[DeclaredField], json: impl AsRef<[u8]>) -> Reject {
    reject_around(fields, &record(json.as_ref()))
}

#[track_caller]
fn reject_around(fields: &[DeclaredField], record: &Record<'_>) -> Reject {
    let mut decoder = decoder(fields);
    let reject = decoder.push(record).expect_err("a reject");
    assert_eq!(decoder.rows(), 0);
    assert_eq!(decoder.finish().rows(), 0);
    reject
}

#[track_caller]
fn reason(fields: &[DeclaredField], json: impl AsRef<[u8]>) -> String {
    reject(fields, json).reason
}

#[test]
fn real_posts_are_read_as_serde_json_reads_them() {
    let posts = include_str!("../../../tests/data/pin.ndjson");
    let fields = pin();
    let mut decoder = decoder(&fields);
    for post in posts.lines() {
        decoder.push(&record(post.as_bytes())).expect("a post is a pin");
    }
    let batch = decoder.finish();
    assert_eq!(batch.rows(), posts.lines().count());
    for (row, post) in posts.lines().enumerate() {
        let post: serde_json::Value = serde_json::from_str(post).expect("posts are JSON");
        assert_eq!(batch.columns()[0].as_primitive::<Int64Type>().value(row), post["index"]);
        for field in &batch.fields()[1..] {
            let column = batch.column(&field.name).expect("it is one of the fields");
            assert_eq!(column.as_string::<i32>().value(row), post[&*field.name]);
        }
    }
}
