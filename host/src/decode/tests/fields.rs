//! Where fields are found, and what is told when they aren't.

use super::*;

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[test]
fn a_required_field_may_be_null_but_not_missing() {
    let fields = [required("title", Kind::Text), field("ind", Kind::Integer)];
    assert_eq!(row(&fields, r#"{"ind": 1, "title": null}"#), [None, text("1")]);
    assert_eq!(row(&fields, r#"{"title": "t"}"#), [text("t"), None]);
    let reject = reject(&fields, r#"{"ind": 1}"#);
    assert_eq!(reject.reason, "required field title is missing");
    assert_eq!(reject.offset, None);
}

#[test]
fn a_record_of_which_only_the_key_can_be_read_is_rejected() {
    let fields = [ind(), field("title", Kind::Text), field("tags", Kind::TextList)];
    for json in [r#"{"ind": 7528}"#, r#"{"ind": 1, "title": null, "img_src": "x"}"#] {
        assert_eq!(reject(&fields, json).reason, "all fields are null");
    }
    assert_eq!(row(&fields, r#"{"ind": null, "title": ""}"#), [None, text(""), None]);
    assert_eq!(row(&fields, r#"{"ind": null, "tags": []}"#), [None, None, text("[]")]);

    let keyless = [field("title", Kind::Text), from("at", Kind::Integer, Origin::Offset)];
    let envelope = Record { offset: Some(1), ..record(br#"{"value": {"title": "t"}}"#) };
    assert_eq!(reject_around(&keyless, &envelope).reason, "all fields are null");

    // Where a key field is all that is declared of the record, it is enough.
    let rest = from("rest", Kind::Text, Origin::Rest);
    assert_eq!(row(&[ind(), rest.clone()], r#"{"ind": 1}"#), [text("1"), text("{}")]);
    assert_eq!(row(&[rest], "{}"), [text("{}")]);
}

#[test]
fn an_alias_stands_for_its_field() {
    let fields = [ind(), field("title", Kind::Text)];
    for json in [r#"{"ind": 1, "title": "t"}"#, r#"{"title": "t", "index": 1}"#] {
        assert_eq!(row(&fields, json), [text("1"), text("t")]);
    }
}

#[test]
fn a_field_is_given_once() {
    let fields = [ind(), field("title", Kind::Text)];
    for (json, reason, detail) in [
        (
            r#"{"ind": 1, "title": "a", "title": "b"}"#,
            "field title is given twice",
            "first as title, then as title at byte 25",
        ),
        (
            r#"{"ind": 1, "index": 1}"#,
            "field ind is given twice",
            "first as ind, then as index at byte 11",
        ),
        (
            r#"{"index": null, "ind": null}"#,
            "field ind is given twice",
            "first as index, then as ind at byte 16",
        ),
    ] {
        let reject = reject(&fields, json);
        assert_eq!((&*reject.reason, reject.detail.as_deref()), (reason, Some(detail)));
    }
    // Nobody reads these.
    assert_eq!(row(&fields, r#"{"x": 1, "ind": 1, "title": "t", "x": 2}"#)[0], text("1"));
}

#[test]
fn keys_match_however_they_are_written() {
    let quoted = r#"a "quoted" \ key"#;
    let fields = [field("title", Kind::Text), field(quoted, Kind::Integer)];
    let json = r#"{"ti\u0074le": "t", "a \"quoted\" \\ key": 1}"#;
    assert_eq!(row(&fields, json), [text("t"), text("1")]);
    assert_eq!(reject(&fields, r#"{"title": "t", "titl\u0065": "t"}"#).reason, {
        "field title is given twice"
    });
    // The raw form of such a name is not JSON, and is not taken for the name.
    assert_eq!(reject(&fields, r#"{"title": "t", "a "quoted" \ key": 1}"#).reason, {
        "record is not valid JSON"
    });
    assert_eq!(reject(&fields, r#"{"Title": "t"}"#).reason, "all fields are null");
}

#[test]
fn keys_may_come_in_any_order_and_number() {
    let fields = [field("a", Kind::Integer), field("b", Kind::Integer), field("c", Kind::Integer)];
    let mut decoder = decoder(&fields);
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for batch in 0..3 {
        for (round, order) in orders.iter().cycle().take(60).enumerate() {
            let [a, b, c] = order.map(|key| ["a", "b", "c"][key]);
            let json = format!(
                r#"{{"x{round}": 0, "{a}": "?", "x": {{"a": 1}}, "{b}": "?", "{batch}-{round}": 0, "{c}": "?"}}"#
            );
            let json = json.replace(r#""a": "?""#, r#""a": 1"#).replace(r#""b": "?""#, r#""b": 2"#);
            let json = json.replace(r#""c": "?""#, r#""c": 3"#);
            decoder.push(&record(json.as_bytes())).unwrap();
        }
        let rows = shown(&decoder.finish());
        assert!(rows.iter().all(|row| *row == [text("1"), text("2"), text("3")]));
    }
}

fn offer() -> [DeclaredField; 3] {
    let path = |path| Origin::Value(vec![FieldPath::dotted(path)]);
    [
        from("price", Kind::Float, path("offer.price")),
        from("name", Kind::Text, path("offer.seller.name")),
        field("title", Kind::Text),
    ]
}

#[test]
fn nested_fields_are_found_by_path() {
    let json = r#"{"offer": {"price": 1.5, "x": [], "seller": {"name": "n"}}, "title": "t"}"#;
    assert_eq!(row(&offer(), json), [text("1.5"), text("n"), text("t")]);
    for json in [
        r#"{"title": "t"}"#,
        r#"{"title": "t", "offer": null}"#,
        r#"{"title": "t", "offer": {}}"#,
        r#"{"title": "t", "offer": {"seller": null, "price": null}}"#,
        r#"{"title": "t", "offer.price": 1, "price": 2}"#,
    ] {
        assert_eq!(row(&offer(), json), [None, None, text("t")], "{json}");
    }
    let mut fields = offer();
    fields[0].required = true;
    assert_eq!(reject(&fields, r#"{"title": "t", "offer": null}"#).reason, {
        "required field price is missing"
    });
}

#[test]
fn what_leads_to_a_nested_field_is_an_object_given_once() {
    let rejected = reject(&offer(), r#"{"offer": {"seller": [1]}}"#);
    assert_eq!(rejected.reason, "field offer.seller is not an object");
    assert_eq!(rejected.detail.as_deref(), Some("[1]"));
    assert_eq!(reject(&offer(), r#"{"offer": {}, "offer": null}"#).reason, {
        "field offer is given twice"
    });
}

#[test]
fn the_rest_is_kept_as_it_was_written() {
    let rest = || from("rest", Kind::Text, Origin::Rest);
    let fields = [field("title", Kind::Text), rest()];
    for (json, kept) in [
        (r#"{"title": "t"}"#, "{}"),
        (r#"{"b" : 1.50, "title": "t", "\u0061": [ 1, {"x" :null} ] }"#, {
            r#"{"b":1.50,"\u0061":[ 1, {"x" :null} ]}"#
        }),
        (r#"{"title": "t", "x": "{", "y": {}, "x": "é\n"}"#, r#"{"x":"{","y":{},"x":"é\n"}"#),
    ] {
        assert_eq!(row(&fields, json), [text("t"), text(kept)]);
    }

    let [price, name, title] = offer();
    let fields = [rest(), price, name, title];
    for (json, kept) in [
        (r#"{"offer": {"price": 1, "seller": {}}, "title": "t"}"#, "{}"),
        (r#"{"a": 1, "offer": {"price": 1, "b": 2, "seller": {"c": 3}}, "d": 4}"#, {
            r#"{"a":1,"offer":{"b":2,"seller":{"c":3}},"d":4}"#
        }),
        (r#"{"offer": {"seller": {"c": 3}, "price": 1}}"#, r#"{"offer":{"seller":{"c":3}}}"#),
    ] {
        assert_eq!(row(&fields, json)[0], text(kept));
    }
}

#[test]
fn what_surrounds_a_record_can_be_fields() {
    let fields = [
        field("title", Kind::Text),
        from("key", Kind::Text, Origin::Key),
        DeclaredField { coerce: true, ..from("number", Kind::Integer, Origin::Key) },
        from("topic", Kind::Text, Origin::Topic),
        from("partition", Kind::Integer, Origin::Partition),
        from("offset", Kind::Integer, Origin::Offset),
        from("timestamp", Kind::Timestamp, Origin::Timestamp),
        from("trace", Kind::Text, Origin::Header("trace".to_owned())),
    ];
    let headers = [
        Header { name: "trace", value: Some(b"1") },
        Header { name: "trace", value: Some(b"2") },
        Header { name: "other", value: Some(b"\xff") },
    ];
    let full = Record {
        value: Some(br#"{"title": "t", "key": "not this", "offset": -1}"#),
        key: Some(b"12"),
        topic: Some("pins"),
        partition: Some(3),
        offset: Some(4),
        position: None,
        timestamp_micros: Some(0),
        headers: &headers,
    };
    let expected = ["t", "12", "12", "pins", "3", "4", "1970-01-01T00:00:00Z", "2"];
    assert_eq!(row_around(&fields, &full), expected.map(text));
    let bare = record(br#"{"title": "t"}"#);
    assert_eq!(row_around(&fields, &bare)[1..], [const { None }; 7]);

    for (record, reason) in [
        (Record { key: Some(b"a\xff"), ..full }, "field key is not valid UTF-8"),
        (Record { key: Some(b"a"), ..full }, "field number is not an integer"),
        (Record { timestamp_micros: Some(i64::MAX), ..full }, "field timestamp is out of range"),
    ] {
        assert_eq!(reject_around(&fields, &record).reason, reason);
    }
    let required = [DeclaredField { required: true, ..fields[7].clone() }];
    let reject = reject_around(&required, &bare);
    assert_eq!(reject.reason, "required field trace is missing");
}

#[test]
fn fields_that_cannot_be_told_apart_are_not_declared() {
    let path = |name, path| from(name, Kind::Text, Origin::Value(vec![FieldPath::dotted(path)]));
    let rest = |name| from(name, Kind::Text, Origin::Rest);
    for (fields, fault) in [
        (vec![field("a", Kind::Text), field("a", Kind::Text)], "field a is declared twice"),
        (vec![path("a", "x"), path("b", "x")], "fields b and a are both read from x"),
        (vec![path("a", "x"), path("b", "x.y")], {
            "field a is read from x, where other fields need an object"
        }),
        (vec![path("b", "x.y.z"), path("a", "x.y")], {
            "field a is read from x.y, where other fields need an object"
        }),
        (vec![rest("a"), rest("b")], "fields b and a both hold the rest"),
        (vec![from("a", Kind::Integer, Origin::Key)], {
            "field a cannot be integer where it comes from"
        }),
        (vec![from("a", Kind::Text, Origin::Offset)], {
            "field a cannot be text where it comes from"
        }),
        (vec![from("a", Kind::Text, Origin::Value(Vec::new()))], {
            "field a has no path to read it from"
        }),
    ] {
        assert_eq!(check(&fields).expect_err(fault).to_string(), fault);
    }
}
