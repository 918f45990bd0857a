use std::sync::Arc;

use arrow::array::builder::{ListBuilder, StringBuilder, StringViewBuilder};
use arrow::array::{Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;
use crate::record::{item, json};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        // Long enough for blocks, words and what is left of them.
        "[ -~]{0,200}",
        "[\\x00-\\x24\"\\\\]{0,12}",
        "\\PC{0,40}[\"\\\\\\n]?\\PC{0,80}",
    ]
}

type Row = (
    (Option<bool>, Option<i64>, Option<f64>, Option<i64>),
    (Option<String>, Option<Vec<String>>, Option<Vec<f64>>),
);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let micros = prop_oneof![any::<i64>(), -62_135_596_800_000_000_i64..253_402_300_800_000_000];
    let some = |strategy: BoxedStrategy<String>| proptest::option::weighted(0.8, strategy);
    let floats = || prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from)];
    let row = (
        (
            any::<Option<bool>>(),
            any::<Option<i64>>(),
            proptest::option::of(floats()),
            proptest::option::of(micros),
        ),
        (
            some(texts().boxed()),
            proptest::option::of(proptest::collection::vec(texts(), 0..4)),
            proptest::option::of(proptest::collection::vec(floats(), 0..4)),
        ),
    );
    proptest::collection::vec(row, 1..8)
}

/// Every kind, and text in both of its forms.
fn batch(rows: &[Row]) -> Batch {
    let mut text_lists = ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8));
    let mut view_lists =
        ListBuilder::new(StringViewBuilder::new()).with_field(item(DataType::Utf8View));
    let mut float_lists =
        ListBuilder::new(arrow::array::Float64Builder::new()).with_field(item(DataType::Float64));
    for (_, (_, texts, floats)) in rows {
        for text in texts.iter().flatten() {
            text_lists.values().append_value(text);
            view_lists.values().append_value(text);
        }
        text_lists.append(texts.is_some());
        view_lists.append(texts.is_some());
        float_lists.values().append_slice(floats.as_deref().unwrap_or_default());
        float_lists.append(floats.is_some());
    }
    let micros: TimestampMicrosecondArray = rows.iter().map(|row| row.0.3).collect();
    let columns: Vec<(Kind, ArrayRef)> = vec![
        (Kind::Boolean, Arc::new(rows.iter().map(|row| row.0.0).collect::<BooleanArray>())),
        (Kind::Integer, Arc::new(rows.iter().map(|row| row.0.1).collect::<Int64Array>())),
        (Kind::Float, Arc::new(rows.iter().map(|row| row.0.2).collect::<Float64Array>())),
        (Kind::Timestamp, Arc::new(micros.with_data_type(Kind::Timestamp.data_type()))),
        (Kind::Text, Arc::new(rows.iter().map(|row| row.1.0.as_deref()).collect::<StringArray>())),
        (
            Kind::Text,
            Arc::new(rows.iter().map(|row| row.1.0.as_deref()).collect::<StringViewArray>()),
        ),
        (Kind::TextList, Arc::new(text_lists.finish())),
        (Kind::TextList, Arc::new(view_lists.finish())),
        (Kind::FloatList, Arc::new(float_lists.finish())),
    ];
    let fields =
        columns.iter().enumerate().map(|(at, (kind, _))| Field::new(format!("c{at}"), *kind));
    let fields = fields.collect();
    Batch::new(rows.len(), fields, columns.into_iter().map(|(_, column)| column).collect())
}

/// What serde_json makes of the values one by one.
fn written_by_serde(batch: &Batch) -> String {
    let mut lines = String::new();
    for row in 0..batch.rows() {
        for (at, (field, column)) in batch.fields().iter().zip(batch.columns()).enumerate() {
            lines.push(if at == 0 { '{' } else { ',' });
            lines.push_str(&serde_json::to_string(&*field.name).unwrap());
            lines.push(':');
            lines.push_str(&json::value(field.kind, column, row).to_string());
        }
        lines.push_str("}\n");
    }
    lines
}

proptest! {
    #[test]
    fn rows_are_what_serde_json_would_write(rows in rows(), from: prop::sample::Index) {
        let batch = batch(&rows);
        let from = from.index(rows.len());
        for batch in [batch.slice(from, rows.len() - from), batch] {
            prop_assert_eq!(String::from_utf8(encode(&batch)).unwrap(), written_by_serde(&batch));
        }
    }

    #[test]
    fn text_is_escaped_as_serde_json_does(given in texts()) {
        let mut out = Vec::new();
        text(&given, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&given).unwrap());
    }
}

#[test]
fn names_are_escaped_and_may_be_long() {
    let name = format!("{} \"quoted\"", "n".repeat(40));
    let fields = [Field::new(name.as_str(), Kind::Integer)].into();
    let batch = Batch::new(1, fields, vec![Arc::new(Int64Array::from(vec![1]))]);
    let name = serde_json::to_string(&name).unwrap();
    assert_eq!(String::from_utf8(encode(&batch)).unwrap(), format!("{{{name}:1}}\n"));
}

#[test]
fn columns_that_are_left_out_leave_an_object() {
    let fields = [Field::new("a", Kind::Integer), Field::new("b", Kind::Integer)].into();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = Batch::new(1, fields, vec![Arc::clone(&column), column]);
    for (kept, line) in [("a", "{\"a\":1}\n"), ("b", "{\"b\":1}\n"), ("", "{}\n")] {
        let mut out = Vec::new();
        RowWriter::of(&batch, |field| &*field.name == kept).write(0, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), line);
    }
}
