//! Samples as the tools of others write them, and the columns that a person would have chosen.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/samples")
}

fn records(text: &str) -> Vec<String> {
    let records =
        serde_json::Deserializer::from_str(text).into_iter::<Box<serde_json::value::RawValue>>();
    records.map(|record| record.expect("JSON").get().to_owned()).collect()
}

fn proposal(records: &[String]) -> Proposal {
    propose(records.iter().map(String::as_bytes)).expect("records")
}

/// Of these records.
fn of(records: &[&str]) -> Proposal {
    proposal(&records.iter().map(|&record| record.to_owned()).collect::<Vec<_>>())
}

fn column<'a>(proposal: &'a Proposal, name: &str) -> &'a ProposedField {
    let field = proposal.fields.iter().find(|field| field.name == name);
    field.unwrap_or_else(|| panic!("no {name} in {:?}", proposal.columns().collect::<Vec<_>>()))
}

/// Each sample has a file with a line for each column: its name and what it should be.
#[test]
fn ninety_five_of_a_hundred_columns_are_what_a_person_would_have_chosen() {
    let (mut right, mut all) = (0, 0);
    let mut wrong = Vec::new();
    let mut names: Vec<_> =
        fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.retain(|path| path.extension().is_some_and(|end| end == "ndjson"));
    assert_eq!(names.len(), 10);
    for path in names {
        let proposal = proposal(&records(&fs::read_to_string(&path).unwrap()));
        let found: Vec<_> =
            proposal.columns().map(|(name, kind)| format!("{name} {kind}")).collect();
        let expected = fs::read_to_string(path.with_extension("columns")).unwrap();
        let expected: Vec<_> = expected.lines().map(str::to_owned).collect();
        assert!(expected.len() > 3, "{}", path.display());
        all += expected.len();
        right += expected.iter().filter(|column| found.contains(column)).count();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        wrong.extend(
            expected
                .iter()
                .filter(|column| !found.contains(column))
                .map(|column| format!("{name}: no {column}")),
        );
        wrong.extend(
            found
                .iter()
                .filter(|column| !expected.contains(column))
                .map(|column| format!("{name}: {column} instead")),
        );
    }
    println!("{right} of {all} columns: {wrong:#?}");
    assert!(right * 100 >= all * 95, "{right} of {all}: {wrong:#?}");
}

#[test]
fn records_inside_an_envelope_are_unwrapped() {
    let connect = r#"{"schema": {"type": "struct"}, "payload": {"id": 1}}"#;
    assert_eq!(of(&[connect, connect]).unwrap.as_deref(), Some("payload"));
    assert_eq!(of(&[r#"{"value": {"id": 1}}"#]).unwrap.as_deref(), Some("value"));
    assert_eq!(of(&[r#"{"value": {"id": 1}, "key": 1}"#]).unwrap, None);
    assert_eq!(of(&[r#"{"value": {"id": 1}}"#, r#"{"value": 1}"#]).unwrap, None);
}

#[test]
fn a_page_of_records_is_no_record() {
    let of = |page: &str| wrapper([page.as_bytes()]);
    assert_eq!(of(r#"{"data": [{"id": 1}], "next": null}"#).as_deref(), Some("data"));
    assert_eq!(of(r#"{"order": 1, "total": 2, "items": [{"id": 1}]}"#), None);
    assert_eq!(of(r#"{"data": [1, 2]}"#), None);
    let record = br#"{"data": [{"id": 1}]}"#;
    assert_eq!(wrapper([&record[..]; 4]), None, "a file of pages is a file of records");
}

#[test]
fn numbers_in_quotes_are_numbers_unless_they_are_codes() {
    let proposal = of(&[
        r#"{"price": "12.50", "plz": "04109", "order_id": "17", "left": "3", "open": "n/a"}"#,
        r#"{"price": "3", "plz": "10115", "order_id": "18", "left": "n/a", "open": "1.5"}"#,
    ]);
    let price = column(&proposal, "price");
    assert_eq!((price.kind, price.coerce), (Kind::Float, true));
    for text in ["plz", "order_id", "open"] {
        assert_eq!(column(&proposal, text).becomes, Kind::Text, "{text}");
    }
    assert_eq!(proposal.key.as_deref(), Some("order_id"));
    let left = column(&proposal, "left");
    assert_eq!((left.kind, left.becomes), (Kind::Text, Kind::Integer));
    let plugins: Vec<_> = proposal.steps.iter().map(|step| step.plugin).collect();
    assert_eq!(plugins, ["placeholders", "follower-count"]);
    assert_eq!(proposal.steps[0].with["columns"]["left"], serde_json::json!(["n/a"]));
}

#[test]
fn what_cannot_be_told_stays_text_with_a_note() {
    let proposal = of(&[
        r#"{"day": "01/02/2024", "price": "€1.234,50", "is_open": "yes", "none": null}"#,
        r#"{"day": "03/02/2024", "price": "€3,00", "is_open": "no", "none": null}"#,
    ]);
    for name in ["day", "price", "is_open", "none"] {
        let field = column(&proposal, name);
        assert_eq!(field.becomes, Kind::Text, "{name}");
        assert!(field.note.is_some(), "{name}");
    }
    assert!(proposal.steps.is_empty() && proposal.key.is_none());
}

#[test]
fn what_no_column_holds_is_the_rest() {
    let proposal = of(&[
        r#"{"id": 1, "items": [{"sku": "a"}], "tags": ["x"], "either": 1, "by_day": {"2024-01-01": 1, "2024-01-02": 1, "2024-01-03": 1, "2024-01-04": 1, "2024-01-05": 1}}"#,
        r#"{"id": 2, "items": [], "tags": [], "either": {"a": 1}, "a.b": 1}"#,
    ]);
    let columns: Vec<_> = proposal.columns().collect();
    let expected = [
        ("id", Kind::Integer),
        ("tags", Kind::TextList),
        ("a_b", Kind::Integer),
        ("rest", Kind::Text),
    ];
    assert_eq!(columns, expected);
    assert_eq!(column(&proposal, "a_b").from, FieldPlace::Alias("a.b".to_owned()));
    let note = column(&proposal, "rest").note.as_deref().unwrap();
    for told in
        ["items: it is a list of objects", "either: it is an object in some", "by_day: its keys"]
    {
        assert!(note.contains(told), "{note}");
    }
}

#[test]
fn a_frequent_text_that_speaks_of_nothing_is_a_placeholder() {
    let mut records: Vec<_> = (0..30).map(|at| format!(r#"{{"title": "Oak {at}"}}"#)).collect();
    records.extend((0..6).map(|_| r#"{"title": "No title available"}"#.to_owned()));
    let proposal = proposal(&records);
    let with = &proposal.steps[0].with;
    assert_eq!(with["columns"], serde_json::json!({ "title": ["No title available"] }));
    assert!(column(&proposal, "title").required);
}

#[test]
fn a_rule_is_written_in_lines_that_people_read() {
    let proposal = of(&[
        r#"{"id": 1, "at": "2024-01-05", "customer": {"name": "Ann"}, "lat": 1.5, "lon": 2.5}"#,
        r#"{"id": 2, "at": "06.01.2024", "customer": {"name": "${HOME}"}, "lat": 1.5, "lon": 2.5}"#,
    ]);
    let row = vec![
        ("id".to_owned(), Value::from(2)),
        ("customer_name".to_owned(), Value::from("${HOME}")),
    ];
    let tests = [TestOfSample {
        name: "record 2 of the sample".to_owned(),
        record: r#"{"id": 2, "customer": {"name": "${HOME}"}}"#.to_owned(),
        end: EndOfRecord::Row(row),
    }];
    let text = rule_text(&proposal, "orders.ndjson", &tests);
    for line in [
        "  id:            { type: integer, required: true, key: true }",
        "  customer_name: { type: text, path: customer.name }",
        "  - id: at-time",
        "    with: { column: at, forms: [\"%Y-%m-%d\", \"%d.%m.%Y\"], otherwise: reject }",
        "  # - plugin: geo-merge",
        "      - '{\"id\": 2, \"customer\": {\"name\": \"$${HOME}\"}}'",
        "        customer_name: \"$${HOME}\"",
    ] {
        assert!(text.lines().any(|written| written == line), "no {line:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}
