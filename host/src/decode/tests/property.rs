//! The decoder beside a slow one made of serde_json, on records that nobody thought of.

use std::collections::HashMap;
use std::fmt;

use arrow::array::Float64Array;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;

fn fields() -> Vec<DeclaredField> {
    let nested = Origin::Value(vec![FieldPath::dotted("o.p")]);
    vec![
        ind(),
        field("title", Kind::Text),
        field("score", Kind::Float),
        field("flag", Kind::Boolean),
        field("tags", Kind::TextList),
        field("sizes", Kind::FloatList),
        coerced("count", Kind::Integer),
        coerced("note", Kind::Text),
        field("at", Kind::Timestamp),
        from("p", Kind::Integer, nested),
        from("rest", Kind::Text, Origin::Rest),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_record_becomes_what_serde_json_reads_in_it(json in bytes()) {
        let mut decoder = decoder(&fields());
        let pushed = decoder.push(&record(&json));
        let mut rows = shown(&decoder.finish());
        let expected = expected(&json);
        let is_json = is_json(&json);
        match (pushed, expected) {
            (Ok(()), Some((expected, undeclared))) => {
                let mut row = rows.remove(0);
                let rest = row.pop().flatten().expect("the rest is never null");
                prop_assert_eq!(row, expected);
                let mut rest = entries(&rest).expect("the rest is an object");
                rest.retain(|(key, _)| key != b"o");
                prop_assert_eq!(rest, undeclared);
            }
            (Err(reject), None) => {
                prop_assert!(rows.is_empty());
                if reject.reason.starts_with("record is not valid JSON") {
                    prop_assert!(!is_json);
                }
                prop_assert!(reject.offset.is_none_or(|at| at <= json.len()));
            }
            (pushed, expected) => prop_assert!(false, "{pushed:?} instead of {expected:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariant 9.
    #[test]
    fn a_record_decodes_alike_wherever_it_stands(
        records in prop::collection::vec((bytes(), prop::bool::weighted(0.2)), 0..20),
    ) {
        let mut together = decoder(&fields());
        let mut rows = Vec::new();
        let mut rejects = Vec::new();
        for (json, cut) in &records {
            rejects.push(together.push(&record(json)).err());
            if *cut {
                rows.extend(shown(&together.finish()));
            }
        }
        rows.extend(shown(&together.finish()));

        let mut rows = rows.into_iter();
        for ((json, _), reject) in records.iter().zip(rejects) {
            let mut alone = decoder(&fields());
            prop_assert_eq!(alone.push(&record(json)).err(), reject);
            for row in shown(&alone.finish()) {
                prop_assert_eq!(Some(row), rows.next());
            }
        }
        prop_assert_eq!(rows.next(), None);
    }
}

const ODD_KEYS: &[&str] =
    &["ind", "index", "title", "x", "o", "tags", "downloaded", "a longer name than usual"];

/// Any order of fields that mostly fit, things that don't, and now and then a broken byte.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let count = prop_oneof!["[1-9][0-9]{0,18}(\\.0)?", "\"[1-9][0-9]{0,19}\""];
    let at = prop_oneof![
        "\"2020-0[1-9]-08[T ]10:0[0-9]:00(\\.[0-9]{1,8})?(Z|\\+02:00)\"",
        "\"19[0-9]{2}-02-[23][0-9]T23:59:59-08:00\"",
    ];
    let typed = vec![
        (key("ind"), "-?(0|[1-9][0-9]{0,2})".boxed()),
        (key("title"), string().boxed()),
        (key("score"), number().boxed()),
        (key("flag"), "true|false".boxed()),
        (key("tags"), list(string().boxed())),
        (key("sizes"), list(number().boxed())),
        (key("count"), count.boxed()),
        (key("note"), prop_oneof![string(), number(), Just("true".to_owned())].boxed()),
        (key("at"), at.boxed()),
        (key("o"), object(vec![(key("p"), "[0-9]".boxed()), (key("q"), any_value().boxed())])),
    ];
    let odd = prop::collection::vec(
        (prop::sample::select(ODD_KEYS).prop_flat_map(key), any_value()),
        1..3,
    );
    let odd = prop::option::weighted(0.3, odd);
    let record = (entries_of(typed), odd, blank(), blank());
    let text = record.prop_map(|(mut entries, odd, before, after)| {
        for (key, value) in odd.into_iter().flatten() {
            entries.push(format!("{key}:{value}"));
        }
        format!("{before}{{{}}}{after}", entries.join(","))
    });
    let text = prop_oneof![30 => text, 1 => any_value()];
    let damage = (
        any::<Index>(),
        0..3,
        prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[],:01.eEx-n u"[..])],
    );
    (text, prop::option::weighted(0.3, damage)).prop_map(|(text, damage)| {
        let mut bytes = text.into_bytes();
        if let Some((place, how, byte)) = damage
            && !bytes.is_empty()
        {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => bytes.truncate(place),
            }
        }
        bytes
    })
}

type Entries = Vec<(BoxedStrategy<String>, BoxedStrategy<String>)>;

fn entries_of(entries: Entries) -> impl Strategy<Value = Vec<String>> {
    let len = entries.len();
    let written: Vec<_> = entries
        .into_iter()
        .map(|(key, value)| {
            let value = prop_oneof![60 => value, 6 => Just("null".to_owned()), 1 => any_value()];
            (key, blank(), value)
                .prop_map(|(key, blank, value)| format!("{blank}{key}:{blank}{value}"))
        })
        .collect();
    (written, subsequence((0..len).collect::<Vec<_>>(), len / 2..=len).prop_shuffle())
        .prop_map(|(written, order)| order.into_iter().map(|at| written[at].clone()).collect())
}

fn object(entries: Entries) -> BoxedStrategy<String> {
    entries_of(entries).prop_map(|entries| format!("{{{}}}", entries.join(","))).boxed()
}

fn list(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec((item, blank()), 0..4)
        .prop_map(|items| {
            let items: Vec<_> =
                items.iter().map(|(item, blank)| format!("{blank}{item}")).collect();
            format!("[{}]", items.join(","))
        })
        .boxed()
}

fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![string(), number(), "true|false|null"];
    leaf.prop_recursive(4, 12, 4, |inner| {
        let entry =
            (prop::sample::select(&["a", "ind", "p"][..]).prop_flat_map(key), inner.clone());
        let object = prop::collection::vec(entry, 0..4).prop_map(|entries| {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            format!("{{{}}}", entries.join(", "))
        });
        prop_oneof![list(inner.boxed()), object]
    })
}

/// A key, its first letter now and then as an escape.
fn key(name: &str) -> BoxedStrategy<String> {
    let first = name.bytes().next().expect("names are not empty");
    let escaped = format!("\"\\u{first:04x}{}\"", &name[1..]);
    prop_oneof![9 => Just(format!("\"{name}\"")), 1 => Just(escaped)].boxed()
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[ -~]".prop_map(|plain| plain.replace(['"', '\\'], "?")),
        2 => "[a-z ]{10,40}",
        2 => "[À-ž’😀\u{7f}\u{2028}]",
        1 => prop::sample::select(&[r#"\""#, r"\\", r"\/", r"\n", r"\u0000", r"\u00e9", r"\ud83d\ude00"][..])
            .prop_map(str::to_owned),
    ];
    let half = prop::option::weighted(0.01, Just(r"\udead"));
    (prop::collection::vec(piece, 0..8), half)
        .prop_map(|(pieces, half)| format!("\"{}{}\"", pieces.concat(), half.unwrap_or_default()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        4 => any::<f64>()
            .prop_filter("JSON has no others", |float| float.is_finite())
            .prop_map(|float| { format!("{float:e}") }),
        1 => "-?1[eE][+-]?[0-9]{3}",
        4 => any::<i64>().prop_map(|integer| integer.to_string()),
    ]
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 3 => Just(" ".to_owned()), 1 => "[ \t\r\n]{1,3}"]
}

/// Keys and values of an object; as bytes, because a key may hold half a surrogate pair.
type Read = Vec<(Vec<u8>, String)>;

fn is_json(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|json| serde_json::from_str::<IgnoredAny>(json).is_ok())
}

fn entries(json: &str) -> Option<Read> {
    struct Object(Read);
    struct Key(Vec<u8>);
    struct ObjectVisitor;
    struct KeyVisitor;

    impl<'de> Deserialize<'de> for Object {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(ObjectVisitor).map(Self)
        }
    }

    impl<'de> Visitor<'de> for ObjectVisitor {
        type Value = Read;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some((Key(key), value)) = map.next_entry::<_, &RawValue>()? {
                entries.push((key, value.get().to_owned()));
            }
            Ok(entries)
        }
    }

    impl<'de> Deserialize<'de> for Key {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(KeyVisitor).map(Self)
        }
    }

    impl Visitor<'_> for KeyVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.to_vec())
        }
    }

    serde_json::from_str::<Object>(json).ok().map(|object| object.0)
}

/// The values of the declared fields but the rest, and what is undeclared; `None` for a reject.
///
/// What rejects here and is fine with serde_json: a declared key given twice, kinds, what is missing,
/// nothing but nulls. What serde_json may refuse and is fine here: half a surrogate pair and numbers
/// out of range, where nobody reads them. `IgnoredAny` and `RawValue` agree with that.
fn expected(json: &[u8]) -> Option<(Shown, Read)> {
    // Reading keys as bytes, serde_json lets control characters pass.
    let json = std::str::from_utf8(json).ok().filter(|_| is_json(json))?;
    let names =
        ["ind", "index", "title", "score", "flag", "tags", "sizes", "count", "note", "at", "o"];
    let mut given = HashMap::new();
    let mut undeclared = Vec::new();
    for (key, value) in entries(json)? {
        match names.iter().find(|name| name.as_bytes() == key) {
            Some(name) if given.contains_key(name) => return None,
            Some(name) => {
                given.insert(*name, value);
            }
            None => undeclared.push((key, value)),
        }
    }
    if let Some(index) = given.remove("index")
        && given.insert("ind", index).is_some()
    {
        return None;
    }
    let p = match given.remove("o") {
        Some(o) if o != "null" => {
            let mut p = entries(&o)?.into_iter().filter(|(key, _)| key == b"p");
            let only = p.next();
            if p.next().is_some() {
                return None;
            }
            only.map(|(_, value)| value)
        }
        _ => None,
    };
    given.extend(p.map(|p| ("p", p)));
    given.get("ind")?;

    let mut row = Vec::new();
    for field in &fields()[..10] {
        let value = given.get(&*field.name).filter(|value| *value != "null");
        row.push(match value {
            Some(value) => Some(as_kind(field, value)?),
            None => None,
        });
    }
    row[1..].iter().any(Option::is_some).then_some((row, undeclared))
}

fn as_kind(field: &DeclaredField, json: &str) -> Option<String> {
    let text = || serde_json::from_str::<String>(json).ok();
    match field.kind {
        Kind::Boolean => serde_json::from_str::<bool>(json).ok().map(|value| value.to_string()),
        Kind::Integer if field.coerce => as_integer(&text().unwrap_or(json.to_owned())),
        Kind::Integer => as_integer(json),
        Kind::Float => as_float(json),
        Kind::Text if field.coerce && !json.starts_with(['[', '{', '"']) => Some(json.to_owned()),
        Kind::Text => text(),
        Kind::Timestamp => as_timestamp(&text()?),
        Kind::TextList => {
            let items: Vec<String> = serde_json::from_str(json).ok()?;
            Some(format!("[{}]", items.join(", ")))
        }
        Kind::FloatList => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let items: Option<Vec<_>> = items.iter().map(|item| as_float(item.get())).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
    }
}

fn is_number(json: &str) -> bool {
    let read = serde_json::from_str::<&RawValue>(json);
    // Blanks around it are fine with serde_json.
    read.is_ok_and(|read| read.get() == json)
        && json.starts_with(|c: char| "-0123456789".contains(c))
}

fn as_integer(json: &str) -> Option<String> {
    let whole = match json.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => json,
    };
    let value: i64 = whole.parse().ok().filter(|_| is_number(json))?;
    Some(value.to_string())
}

/// The standard library rounds correctly, serde_json only nearly.
fn as_float(json: &str) -> Option<String> {
    let value: f64 = json.parse().ok().filter(|_| is_number(json))?;
    let value = Float64Array::from(vec![Some(value).filter(|value| value.is_finite())?]);
    Some(array_value_to_string(&value, 0).expect("floats can be shown"))
}

/// jiff reads more than RFC 3339 has.
fn as_timestamp(text: &str) -> Option<String> {
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let zone =
        form.strip_prefix("0000-00-00T00:00:00").or(form.strip_prefix("0000-00-00 00:00:00"))?;
    let zone = match zone.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('0') => fraction.trim_start_matches('0'),
        Some(_) => return None,
        None => zone,
    };
    // A fraction's digits are gone, and with them those of nothing else.
    if !["Z", "z", "+00:00", "-00:00"].contains(&zone) || text[17..].starts_with("60") {
        return None;
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    let micros = at.as_nanosecond().div_euclid(1_000) as i64;
    jiff::Timestamp::from_microsecond(micros).ok().map(|at| at.to_string())
}
