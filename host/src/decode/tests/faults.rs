//! Records that are no records.

use super::*;

fn title() -> [DeclaredField; 1] {
    [field("title", Kind::Text)]
}

#[test]
fn malformed_json_is_told_with_its_place() {
    for (json, detail) in [
        ("{", "expected a key at byte 1, where the record ends"),
        (r#"{"title""#, "expected a colon at byte 8, where the record ends"),
        (r#"{"title":"#, "expected a value at byte 9, where the record ends"),
        (r#"{"title":"t"#, "expected the end of a string at byte 11, where the record ends"),
        (r#"{"title":"t""#, "expected a comma or } at byte 12, where the record ends"),
        (r#"{"title":"t","x":"#, "expected a value at byte 17, where the record ends"),
        (r#"{"title":"t" "x":1}"#, "expected a comma or } at byte 13"),
        (r#"{"title":"t",}"#, "expected a key at byte 13"),
        (r#"{,"title":"t"}"#, "expected a key at byte 1"),
        (r#"{title:"t"}"#, "expected a key at byte 1"),
        (r#"{'title':"t"}"#, "expected a key at byte 1"),
        (r#"{"title" "t"}"#, "expected a colon at byte 9"),
        (r#"{"title":"t"}{"title":"t"}"#, "expected the end of the record at byte 13"),
        (r#"{"title":"t"} x"#, "expected the end of the record at byte 14"),
        (r#"{"title":nul}"#, "expected null at byte 9"),
        (r#"{"x":tru}"#, "expected true at byte 5"),
        (r#"{"x":NaN}"#, "expected a value at byte 5"),
        (r#"{"x":Infinity}"#, "expected a value at byte 5"),
        (r#"{"x":-}"#, "expected a digit at byte 6"),
        (r#"{"x":-Infinity}"#, "expected a digit at byte 6"),
        (r#"{"x":+1}"#, "expected a value at byte 5"),
        (r#"{"x":.5}"#, "expected a value at byte 5"),
        (r#"{"x":1.}"#, "expected a digit at byte 7"),
        (r#"{"x":1e}"#, "expected a digit at byte 7"),
        (r#"{"x":1e+}"#, "expected a digit at byte 8"),
        (r#"{"x":012}"#, "expected a comma or } at byte 6"),
        (r#"{"x":0x1}"#, "expected a comma or } at byte 6"),
        (r#"{"x":[1,]}"#, "expected a value at byte 8"),
        (r#"{"x":[1 2]}"#, "expected a comma or ] at byte 8"),
        (r#"{"x":[1}}"#, "expected a comma or ] at byte 7"),
        (r#"{"x":{"y":1]}"#, "expected a comma or } at byte 11"),
        (r#"{"x":{1:1}}"#, "expected a key at byte 6"),
        (r#"{"x":1/**/}"#, "expected a comma or } at byte 6"),
        ("{\"x\":\"a\tb\"}", "control character 0x09 in a string at byte 7"),
        ("{\"title\":\"a\nb\"}", "control character 0x0a in a string at byte 11"),
        ("{\"ti\0tle\":\"t\"}", "control character 0x00 in a string at byte 4"),
        ("{\u{a0}\"title\":\"t\"}", "expected a key at byte 1"),
        ("{\u{c}\"title\":\"t\"}", "expected a key at byte 1"),
        (r#"{"title":"\x"}"#, r#"expected one of "\/bfnrtu after a backslash at byte 11"#),
        (r#"{"x":"\u12g4"}"#, "expected four hex digits at byte 10"),
        (r#"{"x":"\u12"}"#, "expected four hex digits at byte 10"),
        (r#"{"title":"\ud83d\u12"}"#, "expected four hex digits at byte 20"),
    ] {
        let reject = reject(&title(), json);
        assert_eq!(reject.reason, "record is not valid JSON", "{json}");
        assert_eq!(reject.detail.as_deref(), Some(detail), "{json}");
        let offset = reject.offset.expect("a place").to_string();
        assert!(detail.contains(&format!("at byte {offset}")), "{json}: {offset}");
    }
}

#[test]
fn values_that_are_not_json_are_told_as_such_also_where_they_do_not_fit() {
    for json in [r#"{"title":[1,}"#, r#"{"title":01}"#, r#"{"title":{"a"}}"#] {
        assert_eq!(reject(&title(), json).reason, {
            if json.contains("01") { "field title is not text" } else { "record is not valid JSON" }
        });
    }
}

#[test]
fn blanks_are_those_of_json() {
    let json = "\r\n\t {\n\"title\" \t:\r\n  \"t\" , \"x\" : [ ] , \"y\":{ } }\n\n";
    assert_eq!(row(&title(), json), [Some("t".to_owned())]);
}

#[test]
fn a_record_is_an_object() {
    for (json, what) in [
        ("[]", "an array"),
        (" [{\"title\":\"t\"}]", "an array"),
        ("\"title\"", "a string"),
        ("-1.5e3", "a number"),
        ("true", "a boolean"),
        ("null\n", "null"),
    ] {
        let reject = reject(&title(), json);
        assert_eq!(reject.reason, "record is not a JSON object");
        assert_eq!(reject.detail.as_deref(), Some(what));
    }
    for json in ["nul", "hello", "[1", "}", "1 2"] {
        assert_eq!(reject(&title(), json).reason, "record is not valid JSON", "{json}");
    }
}

#[test]
fn what_a_record_looks_like_that_is_none_is_part_of_the_reason() {
    for (json, likeness) in [
        (&b"index,title"[..], "record is not valid JSON: it looks like CSV"),
        (b"1,Oak,3", "record is not valid JSON: it looks like CSV"),
        (b"<html>", "record is not valid JSON: it looks like XML or HTML"),
        (b"{\0\"\0t\0\"\0:\0", "record is not valid JSON: it looks like UTF-16"),
        (b"\xff\xfe{\0", "record is not valid UTF-8: it looks like UTF-16"),
    ] {
        let mut decoder = decoder(&title());
        assert_eq!(decoder.push(&record(json)).unwrap_err().reason, likeness);
    }
    let fields = [required("title", Kind::Text)];
    let missing = "required field title is missing";
    for (json, likeness) in [
        (r#"{"data": [{"title": "t"}]}"#, ": it looks like a {data: […]} wrapper"),
        (r#"{"page": 1, "pins": [{"title": "t"}]}"#, ": it looks like a {…: […]} wrapper"),
        (r#"{"data": [{"name": "t"}]}"#, ""),
        (r#"{"data": {"title": "t"}}"#, ""),
    ] {
        assert_eq!(reject(&fields, json).reason, format!("{missing}{likeness}"), "{json}");
    }
}

#[test]
fn nothing_is_told_apart_from_empty() {
    let none = Record::default();
    assert_eq!(reject_around(&title(), &none).reason, "record has no value");
    for json in ["", " ", "\n"] {
        assert_eq!(reject(&title(), json).reason, "record is empty");
    }
    assert_eq!(reject(&title(), "{}").reason, "all fields are null");
}

#[test]
fn bytes_that_are_not_utf_8_are_told_with_their_place() {
    let byte_order_mark = reject(&title(), "\u{feff}{\"title\":\"t\"}");
    assert_eq!(byte_order_mark.reason, "record starts with a byte order mark");
    for (json, detail, offset) in [
        (&b"{\"title\":\"\xff\"}"[..], "byte 0xff at byte 10", 10),
        (b"{\"x\":\"caf\xe9\"}", "byte 0xe9 at byte 9", 9),
        (b"{\"x\":\"\xed\xa0\x80\"}", "byte 0xed at byte 6", 6),
        (b"\xff{\0", "byte 0xff at byte 0", 0),
        (b"{\"title\":\"t\"}\xc3", "byte 0xc3 at byte 13", 13),
    ] {
        let reject = reject(&title(), json);
        assert_eq!(reject.reason, "record is not valid UTF-8");
        assert_eq!((reject.detail.as_deref(), reject.offset), (Some(detail), Some(offset)));
    }
}

#[test]
fn a_record_has_a_size() {
    let limits = DecodeLimits { record_bytes_max: 13, ..DecodeLimits::default() };
    let mut decoder = Decoder::new(&title(), limits);
    assert_eq!(decoder.push(&record(br#"{"title":"t"}"#)), Ok(()));
    let reject = decoder.push(&record(br#"{"title":"tt"}"#)).unwrap_err();
    assert_eq!(reject.reason, "record is too large");
    assert_eq!(reject.detail.as_deref(), Some("14 bytes; the limit is 13"));
}

#[test]
fn a_record_has_a_depth() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    // The record is the first level.
    for value in [nested(63), objects(63)] {
        let json = format!(r#"{{"title":"t","x":{value}}}"#);
        assert_eq!(row(&title(), &json), [Some("t".to_owned())]);
    }
    for value in [nested(64), objects(64), "[".repeat(500_000)] {
        for key in ["x", "title"] {
            let json = format!(r#"{{"{key}":{value}}}"#);
            let reject = reject(&title(), json);
            assert_eq!(reject.reason, "record is nested too deeply");
        }
    }
    // Where the limit is higher, there is still no stack to overflow.
    let limits = DecodeLimits { depth_max: usize::MAX, ..DecodeLimits::default() };
    let json = format!(r#"{{"title":"t","x":{}}}"#, nested(500_000));
    assert_eq!(Decoder::new(&title(), limits).push(&record(json.as_bytes())), Ok(()));
}

#[test]
fn details_are_bounded_between_characters() {
    for text in ["é".repeat(5_000), "x".repeat(5_000), "😀".repeat(5_000)] {
        let (reason, detail) = misfit(field("it", Kind::Integer), &format!("\"{text}\""));
        assert_eq!(reason, "field it is not an integer");
        assert!(detail.len() <= 1024 && detail.len() > 1015 && detail.ends_with('…'));
    }
}

#[test]
fn the_first_fault_is_told() {
    let fields = [ind(), field("title", Kind::Text)];
    for (json, reason) in [
        (r#"{"title": 1, "x": }"#, "field title is not text"),
        (r#"{"x": , "title": 1}"#, "record is not valid JSON"),
        (r#"{"title": 1}"#, "field title is not text"),
        (r#"{"title": null}"#, "required field ind is missing"),
    ] {
        assert_eq!(reject(&fields, json).reason, reason, "{json}");
    }
}

#[test]
fn a_batch_ends_before_its_offsets_do() {
    let json = record(br#"{"title":"t"}"#);
    let mut decoder = decoder(&title());
    decoder.push(&json).unwrap();
    decoder.input_bytes = i32::MAX as usize - 13;
    assert!(decoder.has_room(&json));
    decoder.input_bytes += 1;
    assert!(!decoder.has_room(&json));
    assert_eq!(decoder.finish().rows(), 1);
    assert!(decoder.has_room(&json));
}
