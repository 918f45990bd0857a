//! Columns that others made.

use std::sync::Arc;

use arrow::array::{
    Float64Array, Int64Array, NullArray, RecordBatch, StringArray, TimestampSecondArray,
    UInt64Array,
};

use super::super::intake::{Intake, IntakeFault};
use super::*;

fn given(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

/// The row, or the reason why it is none.
fn taken(fields: &[DeclaredField], batch: &RecordBatch) -> Vec<Result<Shown, String>> {
    let limits = DecodeLimits { record_bytes_max: 16, ..DecodeLimits::default() };
    let intake = Intake::new(fields, &batch.schema(), limits).expect("its columns fit");
    let taken = intake.take(batch);
    let rejects = taken.rejects.into_iter().enumerate();
    let row = |row| shown(&taken.batch.slice(row, 1)).remove(0);
    rejects
        .map(|(at, reject)| reject.map_or_else(|| Ok(row(at)), |reject| Err(reject.reason)))
        .collect()
}

fn reasons(fields: &[DeclaredField], column: impl Array + 'static) -> Vec<Option<String>> {
    let name = fields[0].name.to_string();
    let batch = given(vec![(&name, Arc::new(column))]);
    taken(fields, &batch).into_iter().map(Result::err).collect()
}

#[test]
fn values_that_no_record_could_have_are_rejected() {
    let reason = |reason: &str| Some(reason.to_owned());
    let out = || reason("field it is out of range");
    let it = |kind| [field("it", kind)];
    let integers = UInt64Array::from(vec![1, u64::MAX]);
    assert_eq!(reasons(&it(Kind::Integer), integers), [None, out()]);
    let floats = Float64Array::from(vec![f64::NAN, 1.0, f64::INFINITY]);
    assert_eq!(reasons(&it(Kind::Float), floats), [out(), None, out()]);
    let seconds = TimestampSecondArray::from(vec![i64::MAX, 0, 253_402_300_800]);
    assert_eq!(reasons(&it(Kind::Timestamp), seconds), [out(), None, out()]);
    let texts = || StringArray::from(vec!["2020-08-28T03:52:47Z", "soon"]);
    let expected = [reason("record is too large"), reason("field it is not a timestamp")];
    assert_eq!(reasons(&it(Kind::Text), texts()), [expected[0].clone(), None]);
    assert_eq!(reasons(&it(Kind::Timestamp), texts()), [None, expected[1].clone()]);
}

#[test]
fn a_row_is_more_than_its_key() {
    let fields = [ind(), field("title", Kind::Text)];
    let batch = given(vec![
        ("index", Arc::new(Int64Array::from(vec![1, 2]))),
        ("title", Arc::new(StringArray::from(vec![Some("a"), None]))),
    ]);
    let expected = [
        Ok(vec![Some("1".to_owned()), Some("a".to_owned())]),
        Err("all fields are null".to_owned()),
    ];
    assert_eq!(taken(&fields, &batch), expected);
    let batch = given(vec![
        ("ind", Arc::new(Int64Array::from(vec![1]))),
        ("title", Arc::new(NullArray::new(1))),
    ]);
    assert_eq!(taken(&fields, &batch), expected[1..]);
}

#[test]
fn what_is_text_is_read_where_a_field_says_so() {
    let batch =
        given(vec![("it", Arc::new(StringArray::from(vec![Some("12"), Some("1.5"), None])))]);
    let fault =
        Intake::new(&[field("it", Kind::Integer)], &batch.schema(), DecodeLimits::default());
    assert!(matches!(fault.unwrap_err()[..], [IntakeFault::Misfit { .. }]));
    let found = taken(&[coerced("it", Kind::Integer)], &batch);
    assert_eq!(found[0], Ok(vec![Some("12".to_owned())]));
    assert_eq!(found[1], Err("field it is not an integer".to_owned()));
    let batch = given(vec![("it", Arc::new(Int64Array::from(vec![437])))]);
    let found = taken(&[coerced("it", Kind::Text)], &batch);
    assert_eq!(found, [Ok(vec![Some("437".to_owned())])]);
}

#[test]
fn all_that_is_wrong_with_the_columns_is_told() {
    let batch = given(vec![
        ("ind", Arc::new(Int64Array::from(vec![1]))),
        ("index", Arc::new(Int64Array::from(vec![1]))),
        ("title", Arc::new(Int64Array::from(vec![1]))),
    ]);
    let fields = [ind(), field("title", Kind::Text), required("tags", Kind::TextList)];
    let faults = Intake::new(&fields, &batch.schema(), DecodeLimits::default()).unwrap_err();
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "columns ind and index are both the field ind",
        "column title is Int64, and the field title is text",
        "there is no column tags, which the rule requires",
    ];
    assert_eq!(told, expected);
}
