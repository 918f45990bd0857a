//! Records in a member of another object.

use super::*;

fn unwrapped(json: &str) -> Result<Shown, (String, Option<usize>)> {
    let fields = [field("title", Kind::Text), from("rest", Kind::Text, Origin::Rest)];
    let mut decoder = decoder(&fields).unwrapping(Some("value"));
    match decoder.push(&record(json.as_bytes())) {
        Ok(()) => Ok(shown(&decoder.finish()).remove(0)),
        Err(reject) => Err((reject.reason, reject.offset)),
    }
}

#[test]
fn a_record_is_taken_out_of_its_envelope_or_as_it_is() {
    let row = |title: &str, rest: &str| Ok(vec![Some(title.to_owned()), Some(rest.to_owned())]);
    for (json, expected) in [
        (r#"{"value": {"title": "a", "x": 1}, "offset": 7}"#, row("a", r#"{"x":1}"#)),
        (r#"{"offset": {"value": 1}, "v\u0061lue" : {"title":"a"}} "#, row("a", "{}")),
        (r#"{"title": "a", "x": {"value": {}}}"#, row("a", r#"{"x":{"value": {}}}"#)),
        (r#"{"\ud800": 1, "value": {"value": 2, "title": "a"}}"#, row("a", r#"{"value":2}"#)),
    ] {
        assert_eq!(unwrapped(json), expected, "{json}");
    }
}

#[test]
fn an_envelope_is_json_and_holds_one_record() {
    for (json, reason) in [
        (r#"{"value": {"title": "a"}, "value": {}}"#, "member value is given twice"),
        (r#"{"value": {"title": "a"}, }"#, "record is not valid JSON"),
        (r#"{"value": {"title": "a"}} x"#, "record is not valid JSON"),
        (r#"{"value": {"title": "a"}"#, "record is not valid JSON"),
        (r#"{"value": null}"#, "record is not a JSON object"),
        (r#"["value"]"#, "record is not a JSON object"),
        ("{}", "all fields are null"),
    ] {
        assert_eq!(unwrapped(json).map_err(|(reason, _)| reason), Err(reason.to_owned()), "{json}");
    }
    let nested = format!(r#"{{"x": {}, "value": {{}}}}"#, "[".repeat(100_000));
    assert_eq!(unwrapped(&nested).unwrap_err().0, "record is nested too deeply");
}
