//! From JSON values to the seven kinds.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

#[test]
fn real_posts_are_read_as_serde_json_reads_them() {
    let posts = include_str!("../../../../tests/data/pin.ndjson");
    let texts = ["unique_id", "title", "description", "tag_list", "save_location"];
    let texts = texts.map(|name| field(name, Kind::Text));
    let fields: Vec<_> = [ind()].into_iter().chain(texts).collect();
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

#[test]
fn integers_are_64_bits_and_never_rounded() {
    for (json, value_) in [
        ("0", "0"),
        ("-0", "0"),
        ("7528", "7528"),
        ("-1", "-1"),
        ("999999999999999999", "999999999999999999"),
        ("1000000000000000000", "1000000000000000000"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.0", "1"),
        ("-0.000", "0"),
        ("9007199254740993.0", "9007199254740993"),
    ] {
        assert_eq!(value(field("it", Kind::Integer), json), value_, "{json}");
    }
    for json in ["1.5", "0.1", "1e3", "1E0", "1.0e1", "true", "\"1\"", "[1]", "{\"a\":1}"] {
        let told = ("field it is not an integer".to_owned(), json.to_owned());
        assert_eq!(misfit(field("it", Kind::Integer), json), told);
    }
    for json in ["9223372036854775808", "-9223372036854775809", "18446744073709551616.0"] {
        let told = ("field it is out of range".to_owned(), json.to_owned());
        assert_eq!(misfit(field("it", Kind::Integer), json), told);
    }
}

#[test]
fn floats_are_the_nearest_and_finite() {
    for json in ["0", "-0.0", "12.5", "1e3", "1E-7", "-89.9787", "0.1", "1.7976931348623157e308"] {
        let mut decoder = decoder(&[field("it", Kind::Float)]);
        decoder.push(&record(format!("{{\"it\":{json}}}").as_bytes())).unwrap();
        let read = decoder.finish().columns()[0].as_primitive::<Float64Type>().value(0);
        assert_eq!(read.to_bits(), json.parse::<f64>().unwrap().to_bits(), "{json}");
    }
    assert_eq!(value(field("it", Kind::Float), "1e-999"), "0.0");
    for json in ["1e999", "-1e999", "1.8e308"] {
        assert_eq!(misfit(field("it", Kind::Float), json).0, "field it is out of range");
    }
    for json in ["\"1\"", "false", "[]"] {
        assert_eq!(misfit(field("it", Kind::Float), json).0, "field it is not a number");
    }
}

#[test]
fn booleans_are_not_numbers() {
    assert_eq!(value(field("it", Kind::Boolean), "true"), "true");
    assert_eq!(value(field("it", Kind::Boolean), "false"), "false");
    for json in ["0", "1", "\"true\"", "[]"] {
        assert_eq!(misfit(field("it", Kind::Boolean), json).0, "field it is not a boolean");
    }
}

#[test]
fn text_is_unescaped() {
    for (json, text) in [
        (r#""""#, ""),
        (r#""plain""#, "plain"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""Rosie\u2019s \u00e9\u00C9""#, "Rosie’s éÉ"),
        (r#""\ud83d\ude00 and 😀""#, "😀 and 😀"),
        (r#""\u0000""#, "\0"),
        (r#""a text of more than sixteen bytes \\ and \u002c some""#, {
            "a text of more than sixteen bytes \\ and , some"
        }),
    ] {
        assert_eq!(value(field("it", Kind::Text), json), text, "{json}");
    }
    for json in ["1", "true", "[]", "{}"] {
        let told = ("field it is not text".to_owned(), json.to_owned());
        assert_eq!(misfit(field("it", Kind::Text), json), told);
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text_but_may_be_skipped() {
    for half in [r"\ud83d", r"\ude00", r"\ud83d\ud83d", r"\ud83d\n", r"\ud83dx"] {
        let reject = reject(&[field("it", Kind::Text)], format!(r#"{{"it":"a{half}"}}"#));
        assert_eq!(reject.reason, "field it has half a surrogate pair");
        assert_eq!(reject.offset, Some(8), "{half}");

        let skipped = format!(r#"{{"other":"{half}","{half}":1,"it":"x"}}"#);
        assert_eq!(row(&[field("it", Kind::Text)], &skipped), [Some("x".to_owned())]);
    }
}

#[test]
fn timestamps_are_rfc_3339_and_nothing_else() {
    let it = || field("it", Kind::Timestamp);
    assert_eq!(value(it(), "\"2020-08-28T03:52:47Z\""), "2020-08-28T03:52:47Z");
    assert_eq!(value(it(), "\"2020-08-28T03:52:47.25+02:00\""), "2020-08-28T01:52:47.25Z");
    assert_eq!(value(it(), r#""2020-08-28\u005403:52:47Z""#), "2020-08-28T03:52:47Z");
    let (reason, detail) = misfit(it(), "\"2020-08-28 03:52:47\"");
    assert_eq!(reason, "field it is not a timestamp");
    assert_eq!(
        detail,
        "\"2020-08-28 03:52:47\": expected Z or an offset such as +02:00 at the end"
    );
    assert_eq!(misfit(it(), "1598586767").0, "field it is not a timestamp");
    assert_eq!(misfit(it(), "\"0000-08-28T03:52:47Z\"").0, "field it is out of range");
}

#[test]
fn lists_hold_items_of_one_kind_and_no_null() {
    assert_eq!(value(field("it", Kind::TextList), "[]"), "[]");
    assert_eq!(value(field("it", Kind::TextList), r#"[ "a" , "\u0062", "" ]"#), "[a, b, ]");
    assert_eq!(value(field("it", Kind::FloatList), "[1, 2.5,-1e2]"), "[1.0, 2.5, -100.0]");
    for (kind, json, reason) in [
        (Kind::TextList, r#"["a", null]"#, "field it has an item that is null"),
        (Kind::TextList, r#"["a", 1]"#, "field it has an item that is not text"),
        (Kind::TextList, r#"[["a"]]"#, "field it has an item that is not text"),
        (Kind::FloatList, "[1, null]", "field it has an item that is null"),
        (Kind::FloatList, "[1, \"2\"]", "field it has an item that is not a number"),
        (Kind::FloatList, "[1e999]", "field it has an item that is out of range"),
        (Kind::TextList, "\"a\"", "field it is not a list of text"),
        (Kind::FloatList, "1", "field it is not a list of numbers"),
    ] {
        assert_eq!(misfit(field("it", kind), json).0, reason, "{json}");
    }
    assert_eq!(misfit(field("it", Kind::TextList), r#"["a", [1, 2]]"#).1, "[1, 2]");
}

#[test]
fn coerced_fields_take_the_other_way_to_write_it() {
    for (kind, json, value_) in [
        (Kind::Boolean, "\"true\"", "true"),
        (Kind::Integer, "\"-12\"", "-12"),
        (Kind::Integer, "\"12.0\"", "12"),
        (Kind::Integer, r#""1\u0032""#, "12"),
        (Kind::Float, "\"12.5\"", "12.5"),
        (Kind::Float, "12.5", "12.5"),
        (Kind::Text, "1.50", "1.50"),
        (Kind::Text, "-1e3", "-1e3"),
        (Kind::Text, "false", "false"),
        (Kind::TextList, "[1.50, true, \"x\"]", "[1.50, true, x]"),
        (Kind::FloatList, "[\"1.5\", 2]", "[1.5, 2.0]"),
    ] {
        assert_eq!(value(coerced("it", kind), json), value_, "{json}");
    }
    for (kind, json) in [
        (Kind::Boolean, "\"True\""),
        (Kind::Boolean, "\"1\""),
        (Kind::Boolean, "1"),
        (Kind::Integer, "\"\""),
        (Kind::Integer, "\" 12\""),
        (Kind::Integer, "\"+12\""),
        (Kind::Integer, "\"012\""),
        (Kind::Integer, "\"46k\""),
        (Kind::Integer, "true"),
        (Kind::Float, "\"NaN\""),
        (Kind::Float, "\"1.\""),
        (Kind::Text, "[]"),
        (Kind::Text, "{}"),
        (Kind::Timestamp, "0"),
    ] {
        assert!(misfit(coerced("it", kind), json).0.starts_with("field it is not "), "{json}");
    }
    assert_eq!(misfit(coerced("it", Kind::Float), "\"1e999\"").0, "field it is out of range");
}
