//! What becomes of records, told through the decoder's public face.

mod envelope;
mod faults;
mod fields;
mod intake;
mod property;
mod values;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;

use super::*;
use crate::record::{Batch, Header, Kind};

/// A row as text; `None` is null.
type Shown = Vec<Option<String>>;

fn field(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField::new(name, kind)
}

fn required(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField { required: true, ..field(name, kind) }
}

fn coerced(name: &str, kind: Kind) -> DeclaredField {
    DeclaredField { coerce: true, ..field(name, kind) }
}

fn from(name: &str, kind: Kind, from: Origin) -> DeclaredField {
    DeclaredField { from, ..field(name, kind) }
}

/// `ind`, which some call `index`.
fn ind() -> DeclaredField {
    let paths = vec![FieldPath::key("ind"), FieldPath::key("index")];
    let ind = from("ind", Kind::Integer, Origin::Value(paths));
    DeclaredField { required: true, key: true, ..ind }
}

fn decoder(fields: &[DeclaredField]) -> Decoder {
    Decoder::new(fields, DecodeLimits::default())
}

fn record(json: &[u8]) -> Record<'_> {
    Record { value: Some(json), ..Record::default() }
}

/// The only row that the record becomes.
#[track_caller]
fn row(fields: &[DeclaredField], json: &str) -> Shown {
    row_around(fields, &record(json.as_bytes()))
}

#[track_caller]
fn row_around(fields: &[DeclaredField], record: &Record<'_>) -> Shown {
    let mut decoder = decoder(fields);
    if let Err(reject) = decoder.push(record) {
        panic!("rejected: {reject:?}");
    }
    shown(&decoder.finish()).remove(0)
}

/// The value of a field `it`, in a record that has nothing else.
#[track_caller]
fn value(field: DeclaredField, json: &str) -> String {
    let value = row(&[field], &format!(r#"{{"it": {json}}}"#)).remove(0);
    value.expect("something else than null")
}

#[track_caller]
fn misfit(field: DeclaredField, json: &str) -> (String, String) {
    let reject = reject(&[field], format!(r#"{{"it": {json}}}"#));
    assert_eq!(reject.offset.map(|at| at >= 7), Some(true), "{reject:?}");
    (reject.reason, reject.detail.expect("what was seen"))
}

#[track_caller]
fn reject(fields: &[DeclaredField], json: impl AsRef<[u8]>) -> Reject {
    reject_around(fields, &record(json.as_ref()))
}

#[track_caller]
fn reject_around(fields: &[DeclaredField], record: &Record<'_>) -> Reject {
    let mut decoder = decoder(fields);
    let reject = match decoder.push(record) {
        Err(reject) => reject,
        Ok(()) => panic!("became {:?}", shown(&decoder.finish())),
    };
    assert_eq!(decoder.finish().rows(), 0);
    reject
}

/// The batch by rows, after a check by Arrow itself that its columns are sound.
fn shown(batch: &Batch) -> Vec<Shown> {
    let column = |column: &ArrayRef| {
        column.to_data().validate_full().expect("what the decoder makes is sound");
        let value = |row| column.is_valid(row).then(|| shown_value(column, row));
        (0..batch.rows()).map(value).collect::<Shown>()
    };
    let columns: Vec<Shown> = batch.columns().iter().map(column).collect();
    let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
    (0..batch.rows()).map(row).collect()
}

fn shown_value(column: &ArrayRef, row: usize) -> String {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(timestamps) => {
            let at = jiff::Timestamp::from_microsecond(timestamps.value(row));
            at.expect("jiff ends a day earlier than the year 9999").to_string()
        }
        None => array_value_to_string(column, row).expect("every kind can be shown"),
    }
}
