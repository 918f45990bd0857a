//! Whatever form a change is told in, what comes out is what a plain loop over the rows makes.

use pinhost_plugin::contract::{Change, Column};
use pinhost_plugin::native::Native;
use pinhost_plugin::testing::{Json, clean, json};
use pinhost_plugin::view::{self, Texts};
use pinhost_plugin::{
    Batch, ColumnType, Edit, Edits, Finding, FloatList, Integer, Plan, Plugin, Read, Stop, Tally,
    Text, TextList, Write,
};
use proptest::prelude::*;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Config {}

/// Does to a text what its first letter says.
#[derive(Debug)]
struct Letters {
    text: Edits<Text>,
    copy: Write<Text>,
    length: Write<Integer>,
    floats: Write<FloatList>,
    parts: Write<TextList>,
    joined: Edits<Text>,
    kept: Tally,
}

impl Plugin for Letters {
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, Finding> {
        Ok(Self {
            text: plan.edit("", "text"),
            copy: plan.write("", "copy"),
            length: plan.write("", "length"),
            floats: plan.write("", "floats"),
            parts: plan.write("", "parts"),
            joined: plan.edit("", "list"),
            kept: plan.tally("kept"),
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        batch.edit(self.text, |text, row| {
            Ok(match text.chars().next() {
                Some('n') => Edit::Null,
                Some('s') => Edit::Slice(text[1..].trim_start_matches('s')),
                Some('c') => Edit::Slice("a constant"),
                Some('t') => Edit::Text(text.to_uppercase()),
                Some('d') => return Err(Stop::Drop),
                Some('r') => return Err(Stop::reject("text starts with r").detail(text)),
                _ => {
                    row.tally(self.kept);
                    Edit::Keep
                }
            })
        });
        let (text, list) = (self.text.read, self.joined.read);
        batch.derive((text, list), self.copy, |(text, list), _| Some([text?, "+", list?]));
        batch.derive(text, self.length, |text, _| text.map(|text| text.len() as i64));
        batch.derive((text,), self.floats, |(text,), _| {
            if text.is_some_and(|text| text.ends_with('r')) {
                return Err(Stop::reject("text ends with r"));
            }
            Ok(text.map(|text| [text.len() as f64, 0.5]))
        });
        batch.split(list, self.parts, b',', |pieces, parts, _| {
            for piece in pieces {
                match piece.trim() {
                    "" => {}
                    "null" => parts.set_null(),
                    "own" => parts.push(&format!("own{}", parts.len())),
                    piece => {
                        parts.push_new(piece);
                    }
                }
            }
        });
        batch.split_and_join(self.joined, b',', |pieces, parts, _| {
            pieces.filter(|piece| *piece != "b").for_each(|piece| parts.push(piece));
        });
    }
}

fn expected(text: Option<&str>, list: Option<&str>) -> Result<Json, Option<&'static str>> {
    let edited = match text {
        Some(text) => match text.chars().next() {
            Some('n') => None,
            Some('s') => Some(text[1..].trim_start_matches('s').to_owned()),
            Some('c') => Some("a constant".to_owned()),
            Some('t') => Some(text.to_uppercase()),
            Some('d') => return Err(None),
            Some('r') => return Err(Some("text starts with r")),
            _ => Some(text.to_owned()),
        },
        None => None,
    };
    if text.is_some_and(|text| text.ends_with('r')) {
        return Err(Some("text ends with r"));
    }
    let mut parts: Vec<String> = vec![];
    let mut null = list.is_none();
    for piece in list.unwrap_or("").split(',').map(str::trim) {
        match piece {
            "null" => null = true,
            "own" => parts.push(format!("own{}", parts.len())),
            piece if piece.is_empty() || parts.iter().any(|part| part == piece) => {}
            piece => parts.push(piece.to_owned()),
        }
    }
    let joined =
        list.map(|list| list.split(',').filter(|p| *p != "b").collect::<Vec<_>>().join(","));
    Ok(json!({
        "text": edited,
        "copy": text.zip(list).map(|(text, list)| format!("{text}+{list}")),
        "length": text.map(str::len),
        "floats": text.map(|text| json!([text.len() as f64, 0.5])),
        "parts": if null { json!(null) } else { json!(parts) },
        "list": joined,
    }))
}

const LETTERS: [&str; 7] = ["k", "n", "s", "c", "t", "d", "r"];
const MOSTLY_KEPT: [&str; 14] =
    ["k", "k", "k", "k", "k", "k", "k", "k", "k", "k", "k", "k", "s", "t"];

/// Texts that start with one of these letters.
fn texts(
    letters: &'static [&'static str],
) -> impl Strategy<Value = Vec<(Option<String>, Option<String>)>> {
    let text = prop::option::weighted(0.9, (prop::sample::select(letters), "[ér€]{0,9}"))
        .prop_map(|text| text.map(|(letter, rest)| format!("{letter}{rest}")));
    let part =
        prop_oneof![4 => "[abé ]{0,3}", 1 => Just("own".to_owned()), 1 => Just("null".to_owned())];
    let list = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(","));
    prop::collection::vec((text, prop::option::weighted(0.9, list)), 1..80)
}

proptest! {
    #[test]
    fn changes_are_what_a_plain_loop_makes(
        // Of one kind, few of many, and all.
        rows in prop_oneof![texts(&["k", ""]), texts(&MOSTLY_KEPT), texts(&["k", "n"]), texts(&["s", "t"]), texts(&LETTERS)],
    ) {
        let input: Vec<Json> =
            rows.iter().map(|(text, list)| json!({"text": text, "list": list})).collect();
        let got = clean::<Letters>(json!({}), json!(input));
        let expected: Vec<_> =
            rows.iter().map(|(text, list)| expected(text.as_deref(), list.as_deref())).collect();
        let kept: Vec<&Json> = expected.iter().flatten().collect();
        prop_assert_eq!(got.rows, json!(kept));
        let gone = |dropped: bool| -> Vec<usize> {
            let gone = |&row: &usize| expected[row].as_ref().is_err_and(|why| why.is_none() == dropped);
            (0..rows.len()).filter(gone).collect()
        };
        prop_assert_eq!(got.dropped, gone(true));
        let rejected: Vec<Json> = gone(false)
            .into_iter()
            .map(|row| json!([row, expected[row].as_ref().unwrap_err()]))
            .collect();
        let got = got.rejected.as_array().unwrap().iter();
        prop_assert_eq!(got.map(|r| json!([r["row"], r["reason"]])).collect::<Vec<_>>(), rejected);
    }
}

/// What the host is told about a column of these texts.
fn change(texts: &[&str]) -> Change {
    let columns =
        ["text", "list"].map(|name| Column { name: name.to_owned(), kind: ColumnType::Text });
    let plugin = Native::<Letters>::configure("{}", columns.to_vec()).unwrap();
    let mut offsets = vec![0];
    offsets.extend(texts.iter().scan(0, |end, text| {
        *end += text.len() as u32;
        Some(*end)
    }));
    let bytes = texts.concat();
    let values = view::Values::Text(Texts::new(&offsets, bytes.as_bytes()).unwrap());
    let column = view::ColumnData { values, valid: None };
    plugin.clean(texts.len(), &[column, column]).unwrap().changes.swap_remove(0)
}

#[test]
fn the_cheapest_form_is_told() {
    let with = |others: &[&'static str]| {
        let mut texts = vec!["keep"; 20];
        texts[..others.len()].copy_from_slice(others);
        change(&texts)
    };
    assert_eq!(with(&[]), Change::Unchanged);
    assert_eq!(with(&["s"; 0]), Change::Unchanged);
    assert_eq!(with(&["n", "k", "n"]), Change::Nulls(vec![0b1111_1010, 0xff, 0xff]));
    assert!(matches!(with(&["sa", "n"]), Change::Patched(patch) if patch.rows == [0, 1]));
    assert!(matches!(with(&["sa"; 10]), Change::Slices(slices) if slices.valid.is_none()));
    assert!(
        matches!(with(&["t", "c", "sa", "n"]), Change::Patched(patch) if patch.rows == [0, 1, 2, 3])
    );
    assert!(matches!(with(&["t"; 15]), Change::Replaced(_)));
}

#[test]
fn what_is_read_and_derived_anew_is_compared() {
    #[derive(Debug)]
    struct Double(Edits<Integer>, Read<Integer>);
    impl Plugin for Double {
        type Config = Config;
        fn configure(_: Config, plan: &mut Plan) -> Result<Self, Finding> {
            Ok(Self(plan.edit("", "a"), plan.read("", "a")))
        }
        fn clean(&self, batch: &mut Batch<'_>) {
            batch.derive(self.1, self.0.write, |a, _| a.map(|a| if a > 9 { 2 * a } else { a }));
        }
    }
    let column = Column { name: "a".to_owned(), kind: ColumnType::Integer };
    let plugin = Native::<Double>::configure("{}", vec![column]).unwrap();
    let change = |values: &[i64]| {
        let column = view::ColumnData { values: view::Values::Integer(values), valid: None };
        plugin.clean(values.len(), &[column]).unwrap().changes.remove(0)
    };
    assert_eq!(change(&[1; 20]), Change::Unchanged);
    let mut values = [1; 20];
    values[7] = 10;
    assert!(matches!(change(&values), Change::Patched(patch) if patch.rows == [7]));
    assert!(matches!(change(&[10; 20]), Change::Replaced(_)));
}

#[test]
fn mistakes_are_found_together() {
    let columns = vec![Column { name: "texts".to_owned(), kind: ColumnType::Text }];
    let found = Native::<Letters>::configure("{}", columns).unwrap_err();
    let found: Vec<_> = found.iter().map(|f| (&*f.message, f.help.as_deref())).collect();
    assert_eq!(
        found,
        [
            ("there is no column `text`", Some("did you mean `texts`?")),
            ("there is no column `list`", Some("there are: texts")),
        ]
    );
}

#[test]
fn configuration_is_read_past_a_mistake() {
    #[derive(Debug)]
    struct Strict;
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Config {
        column: String,
        inner: Vec<Inner>,
    }
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        prefix: String,
    }
    impl Plugin for Strict {
        type Config = Config;
        fn configure(_: Config, _: &mut Plan) -> Result<Self, Finding> {
            Ok(Self)
        }
        fn clean(&self, _: &mut Batch<'_>) {}
    }
    let found = |json: Json| {
        let found = Native::<Strict>::configure(&json.to_string(), vec![]).unwrap_err();
        let found = found.into_iter();
        found
            .map(|f| [f.pointer, f.message, f.help.unwrap_or_default()].join("|"))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(json!({})), ["|missing field `column`|"]);
    assert_eq!(
        found(json!({"colum": "a", "axe": 1, "inner": [{"prefix": "p"}, {"prefx": 2}]})),
        [
            "/axe|unknown field `axe`, expected `column` or `inner`|",
            "/colum|unknown field `colum`, expected `column` or `inner`|did you mean `column`?",
            "/inner/1/prefx|unknown field `prefx`, expected `prefix`|did you mean `prefix`?",
            "/inner/1/prefx|invalid type: integer `2`, expected a string|",
        ]
    );
    assert_eq!(
        found(json!({"column": 7, "inner": []})),
        ["/column|invalid type: integer `7`, expected a string|"]
    );
}
