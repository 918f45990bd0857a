//! Dead letters out of the sink, and back into it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::{pinhost, table};
use serde_json::Value;
use tempfile::TempDir;

/// More than any sink gives at a time.
const RECORDS: usize = 1_600;

fn run(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(args)).done()
}

/// A pipeline by a rule that wants this of follower counts, which are texts.
fn write(folder: &Path, sink: &str, kind: &str) {
    let text = format!(
        "name: pins
source: {{ generate: {{ profile: pin, count: {RECORDS}, seed: 5 }} }}
rule: {{ fields: {{ index: integer, follower_count: {kind} }} }}
sink: {sink}
dead_letters: {{ max_ratio: 1 }}
"
    );
    fs::write(folder.join("pins.yaml"), text).expect("a file");
}

fn letters(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The generation that rejected the record of a row did not make the row.
fn is_told_as_of_the_retry(folder: &Path, rejected_by: Option<&str>) {
    let last = "SELECT _pinhost_position FROM pin ORDER BY rowid DESC LIMIT 1";
    let last = table::sqlite(&folder.join("pins.db"), last)[0][0].clone();
    let given = format!("_pinhost_position={}", last.as_str().expect("a place"));
    let traced = run(folder, &["lineage", "pins.yaml", "--json", "--where", &given]).json();
    let made_by = traced["rows"][0]["generation"].as_str().expect("a digest");
    assert_ne!(Some(made_by), rejected_by, "{traced}");
    assert!(traced["generations"][made_by]["rule"].is_object(), "{traced}");
}

#[test]
fn however_many_letters_there_are_each_is_exported_and_retried_once() {
    for sink in ["{ sqlite: { path: pins.db, table: pin } }", "{ objects: { url: pins } }"] {
        let folder = TempDir::new().expect("a folder");
        let folder = folder.path();
        let sums = || {
            let lineage = run(folder, &["lineage", "pins.yaml", "--json"]).json();
            let ranges = lineage.as_array().expect("ranges").clone();
            let sum = |name: &str| ranges.iter().filter_map(|range| range[name].as_u64()).sum();
            let (stored, dead): (u64, u64) = (sum("stored"), sum("dead"));
            (usize::try_from(stored).expect("not many"), usize::try_from(dead).expect("not many"))
        };
        write(folder, sink, "integer");
        run(folder, &["run", "pins.yaml"]);
        let (stored, dead) = sums();
        assert!(dead > RECORDS * 9 / 10 && stored + dead == RECORDS, "{stored} and {dead}");

        let exported = run(folder, &["dead-letters", "pins.yaml", "export"]);
        let exported = letters(&exported.stdout);
        let ids: HashSet<_> = exported.iter().filter_map(|letter| letter["id"].as_str()).collect();
        assert_eq!((exported.len(), ids.len()), (dead, dead));
        run(folder, &["dead-letters", "pins.yaml", "export", "--output", "dead.ndjson"]);
        let file = fs::read_to_string(folder.join("dead.ndjson")).expect("UTF-8");
        assert_eq!(letters(&file), exported);

        write(folder, sink, "text");
        let last = exported[dead - 1]["id"].as_str().expect("an id");
        let retried = run(folder, &["dead-letters", "pins.yaml", "retry", last]);
        assert!(retried.stderr.contains("1 dead letter tried again: 1 stored"), "{retried:?}");
        if sink.contains("sqlite") {
            is_told_as_of_the_retry(folder, exported[dead - 1]["generation"].as_str());
        }
        let retried = run(folder, &["dead-letters", "pins.yaml", "retry"]);
        let (tried, told) =
            retried.stderr.split_once(" dead letters tried again: ").expect("figures");
        let number = |text: &str| text.replace(',', "").parse::<usize>().expect("a number");
        let (stored, _) = told.split_once(" stored").expect("rows");
        let (tried, stored) = (number(tried), number(stored));
        assert_eq!(tried, dead - 1);
        let left = run(folder, &["dead-letters", "pins.yaml", "export"]);
        assert!(
            stored > RECORDS / 2 && letters(&left.stdout).len() == tried - stored,
            "{retried:?}"
        );
        assert!(letters(&left.stdout).iter().all(|letter| letter["attempts"] == 2));
    }
}

/// What is kept of a record that is too large is not the record.
#[test]
fn a_letter_that_holds_a_part_of_its_record_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "\
name: parts
source: { objects: { url: in, settle: 0s } }
sink: { objects: { url: out } }
limits: { record: 100KiB }
dead_letters: { max_ratio: 1 }
";
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let large = format!("{{\"a\": 1}}\n{{\"a\": \"{}\"}}\n", "x".repeat(200 << 10));
    fs::write(folder.path().join("in/a.json"), large).unwrap();
    let run = |args: &[&str]| said(command(pinhost!(), folder.path()).args(args));
    run(&["run", "--until-end", "p.yaml"]).done();
    let told = [
        "objects:0.0.1 holds only a part of its record (record is larger than limits.record)",
        "the whole is where lane objects was read, at 0.0.1",
        "raise `limits.record`",
    ];
    run(&["dead-letters", "p.yaml", "retry"]).refused(1, &told);
    run(&["dead-letters", "p.yaml", "retry", "objects:0.0.1"]).refused(1, &told);
    let listed = run(&["dead-letters", "p.yaml", "list", "--json"]).done().json();
    assert_eq!(listed["id"], "objects:0.0.1", "it is still there");
    // By the name that people know.
    assert_eq!(listed["object"], serde_json::json!({ "key": "a.json", "record": 1 }));
    let shown = run(&["dead-letters", "p.yaml", "show", "objects:0.0.1"]).done();
    assert!(shown.stdout.contains("a.json, record 1"), "{}", shown.stdout);
}

/// Issue 25, B15: the second run was green, and nobody heard of the letters any more.
#[test]
fn whoever_runs_again_is_warned_until_somebody_has_looked_at_the_letters() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    write(folder, "{ sqlite: { path: pins.db, table: pin } }", "integer");
    let file = folder.join("pins.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    let few = text.replace(&format!("count: {RECORDS}"), "count: 900");
    fs::write(&file, few.replace("dead_letters: { max_ratio: 1 }\n", "")).expect("a file");
    let again = || said(command(pinhost!(), folder).args(["run", "pins.yaml"]));
    let first = again();
    assert_eq!(first.code, Some(1), "{first:#?}");
    const WARNED: &str = "of 900 records are dead letters";
    assert!(first.stderr.contains(WARNED), "{}", first.stderr);
    for _ in 0..2 {
        let warned = again().done().stderr;
        assert!(warned.contains(WARNED) && warned.contains("of a run before"), "{warned}");
    }
    run(folder, &["dead-letters", "pins.yaml", "list"]);
    let quiet = again().done().stderr;
    assert!(!quiet.contains(WARNED), "{quiet}");
}
