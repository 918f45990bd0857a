//! Pipelines and rules as files: what is told about them, and the commands that start and try them.

use std::fs;
use std::path::{Path, PathBuf};

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::pinhost;
use serde_json::{Value, json};
use tempfile::TempDir;

fn run(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(args))
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

#[track_caller]
fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
    fs::write(path, text).expect("it can be written");
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/findings")
}

/// Where golden files are: those of connectors stand in their folders.
fn golden() -> Vec<PathBuf> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let kinds = ["source", "sink"].map(|room| fs::read_dir(host.join(room)).expect("the room"));
    let kinds = kinds.into_iter().flatten().map(|kind| kind.expect("an entry").path());
    let findings = kinds.map(|kind| kind.join("findings")).filter(|folder| folder.is_dir());
    findings.chain([data()]).collect()
}

/// Pairs of a file and what is said about it. `PINHOST_UPDATE=1` writes the latter.
#[test]
fn what_is_wrong_with_a_file_is_told_with_place_and_remedy() {
    let mut checked = 0;
    let folders = golden();
    assert!(folders.len() > 1, "connectors have some");
    let files = folders.iter().map(|folder| fs::read_dir(folder).expect("the golden files"));
    for entry in files.flatten() {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().expect("a name").to_str().expect("in ASCII");
        let said = run(path.parent().expect("a folder"), &["check", name]);
        let golden = path.with_extension("stderr");
        if std::env::var_os("PINHOST_UPDATE").is_some() {
            fs::write(&golden, &said.stderr).expect("it can be written");
        }
        let expected = fs::read_to_string(&golden).expect("the golden file");
        assert_eq!(said.stderr, expected, "{name}");
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{name}");
        checked += 1;
    }
    assert!(checked > 0);
}

/// Each planted mistake stands on a line with its number.
#[test]
fn ten_planted_mistakes_are_ten_findings_on_their_lines() {
    let planted = ["ten_mistakes.yaml", "rules/ten_mistakes.yaml"].map(|name| {
        let text = fs::read_to_string(data().join(name)).expect("the file");
        let lines = text.lines().enumerate();
        let is_planted = |line: &str| {
            let note = line.rsplit_once("# ").map_or("", |(_, note)| note);
            note.starts_with(|first: char| first.is_ascii_digit())
        };
        let planted = lines.filter(|(_, line)| is_planted(line));
        planted.map(|(at, _)| (name.to_owned(), at as u64 + 1)).collect::<Vec<_>>()
    });
    let json = run(&data(), &["check", "--json", "ten_mistakes.yaml"]).json();
    let findings = json["files"][0]["findings"].as_array().expect("findings");
    let found: Vec<_> = findings
        .iter()
        .map(|finding| {
            let place = &finding["place"];
            let file = place["file"].as_str().expect("a file").to_owned();
            (file, place["line"].as_u64().expect("a line"))
        })
        .collect();
    assert_eq!(found.len(), 10);
    assert_eq!(found, planted.concat());
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let folder = folder();
    run(folder.path(), &["check", "none.yaml"]).refused(2, &["none.yaml cannot be read"]);
    write(folder.path(), "a.yaml", "name: \u{feff}");
    write(folder.path(), "empty.yaml", "# nothing\n");
    run(folder.path(), &["check", "empty.yaml"]).refused(2, &["there is nothing in this file"]);
}

const KINDS: [(&str, &str); 16] = [
    ("generate", "postgres"),
    ("generate", "sqlite"),
    ("generate", "objects"),
    ("generate", "stdout"),
    ("kafka", "postgres"),
    ("kafka", "sqlite"),
    ("kafka", "objects"),
    ("kafka", "stdout"),
    ("objects", "postgres"),
    ("objects", "sqlite"),
    ("objects", "objects"),
    ("objects", "stdout"),
    ("stdin", "postgres"),
    ("stdin", "sqlite"),
    ("stdin", "objects"),
    ("stdin", "stdout"),
];

#[test]
fn what_becomes_of_tombstones_stands_in_the_resolved_pipeline() {
    let folder = folder();
    for (rule, sink, said) in [
        (
            "fields: { id: { from: $key, type: text } }",
            "key: [id]",
            "delete the row with their key",
        ),
        (
            "fields: { id: text }",
            "key: [id]",
            "dead letters, because key column id does not come `from: $key`",
        ),
        (
            "fields: { id: { from: $key, type: text } }, steps: [{ plugin: strip-prefix, \
             with: { column: id, prefix: x } }]",
            "key: [id]",
            "dead letters, because column id is written by step strip-prefix",
        ),
        (
            "fields: { id: text }",
            "create: true",
            "dead letters, because sqlite has no `key:` to delete a row by",
        ),
    ] {
        let pipeline = format!(
            "name: a\nsource: {{ kafka: {{ brokers: 'b:1', topics: [posts] }} }}\n\
             rule: {{ {rule} }}\nsink: {{ sqlite: {{ path: a.db, table: t, {sink} }} }}\n"
        );
        write(folder.path(), "a.yaml", &pipeline);
        let resolved = run(folder.path(), &["check", "--resolved", "a.yaml"]).done().stdout;
        let line = format!("\n# tombstones: {said}\n");
        assert!(resolved.contains(&line), "{resolved}");
    }
}

/// Each would read some of the partitions, and nobody the others.
#[test]
fn pipelines_that_share_a_group_and_a_topic_are_told() {
    let folder = folder();
    let pipeline = |name: &str, topics: &str| {
        format!(
            "name: {name}\nsource: {{ kafka: {{ brokers: 'b:1', topics: {topics}, group: ours }} }}\n\
             rule: {{ fields: {{ n: integer }} }}\nsink: {{ stdout: {{}} }}\n"
        )
    };
    write(folder.path(), "a.yaml", &pipeline("a", "[posts, users]"));
    write(folder.path(), "b.yaml", &pipeline("b", "[places]"));
    run(folder.path(), &["check", "a.yaml", "b.yaml"]).done();
    write(folder.path(), "b.yaml", &pipeline("b", "[places, users]"));
    let said = run(folder.path(), &["check", "a.yaml", "b.yaml"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    let told = "pipeline a reads topic users in the same group, `ours`";
    assert!(said.stderr.contains(told), "{}", said.stderr);
}

#[test]
fn a_new_pipeline_passes_check_and_its_tests() {
    let folder = folder();
    let files: Vec<_> = KINDS.iter().map(|(from, to)| format!("{from}-to-{to}.yaml")).collect();
    for ((from, to), file) in KINDS.iter().zip(&files) {
        let new = run(folder.path(), &["new", file, "--from", from, "--to", to]).done();
        assert_eq!(new.stdout, format!("{file}\nrules/{file}\n"));
    }
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let checked = run(folder.path(), &[&["check"], &files[..]].concat()).done();
    assert_eq!(checked.stderr, "", "nothing is left to be said");
    for (line, (from, to)) in checked.stdout.lines().zip(KINDS) {
        let once = match (from, to) {
            ("stdin", _) | (_, "stdout") => "at least once, because",
            _ => "exactly once, because",
        };
        assert!(line.starts_with("ok  ") && line.contains(once), "{line}");
    }
    let tested = run(folder.path(), &[&["test"], &files[..1]].concat()).done();
    assert!(tested.stdout.ends_with("3 tests passed\n"), "{}", tested.stdout);

    let again = ["new", files[0], "--from", "stdin", "--to", "stdout"];
    run(folder.path(), &again).refused(2, &["is there already"]);
    let other = ["new", "../no good.yaml", "--from", "stdin", "--to", "stdout"];
    run(folder.path(), &other).refused(2, &["cannot be called ../no good.yaml"]);
}

#[test]
fn a_resolved_pipeline_is_the_same_pipeline() {
    let folder = folder();
    let new = ["new", "a.yaml", "--from", "generate", "--to", "sqlite"];
    run(folder.path(), &new).done();
    let resolved = run(folder.path(), &["check", "--resolved", "a.yaml"]).done().stdout;
    for said in [
        "# delivery: exactly once, because",
        "unit: { rows: 50000, bytes: 10MiB, time: 1s }",
        "# after it: ind (integer), title (text), category (text), follower_count (integer), tag_list (text-list)",
    ] {
        assert!(resolved.contains(said), "no {said:?} in\n{resolved}");
    }
    write(folder.path(), "resolved.yaml", &resolved);
    let generation = |file: &str| {
        let json = run(folder.path(), &["check", "--json", file]).done().json();
        json["files"][0]["pipeline"]["generation"].clone()
    };
    assert_eq!(generation("a.yaml"), generation("resolved.yaml"));
    let again = run(folder.path(), &["check", "--resolved", "resolved.yaml"]).done().stdout;
    let without_name = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(without_name(&again), without_name(&resolved));
}

/// A cron job without `cd` makes no second database.
#[test]
fn paths_in_a_file_are_those_from_the_file_on() {
    let folder = folder();
    let pipeline = |sink: &str| {
        format!(
            "name: pins\nsource: {{ generate: {{ profile: pin, count: 100 }} }}\n\
             rule: {{ fields: {{ title: text }} }}\nsink: {{ {sink} }}\n"
        )
    };
    for (sink, made) in [
        ("sqlite: { path: pins.db, table: pin }", "pins.db"),
        ("objects: { url: ./pins/ }", "pins/"),
    ] {
        write(folder.path(), "a/pins.yaml", &pipeline(sink));
        fs::create_dir_all(folder.path().join("b")).expect("a folder");
        let whole = folder.path().canonicalize().expect("it is there").join("a").join(made);
        let whole = whole.to_str().expect("in ASCII");
        for (from, file) in [("", "a/pins.yaml"), ("a", "pins.yaml"), ("b", "../a/pins.yaml")] {
            let here = folder.path().join(from);
            let told = run(&here, &["run", file]).done().stderr;
            assert!(told.contains(whole), "no {whole} in\n{told}");
            // The first run has stored everything: the others find it.
            assert_eq!(told.contains("nothing new to read"), !from.is_empty(), "{told}");
            let resolved = run(&here, &["check", "--resolved", file]).done().stdout;
            assert!(resolved.contains(whole), "no {whole} in\n{resolved}");
            assert_eq!(here.join(made).exists(), from == "a", "in {from:?}");
        }
    }
}

#[test]
fn what_decides_a_row_is_the_generation_and_nothing_else() {
    let folder = folder();
    let rule = "fields: { title: text }\nsteps: [{ plugin: placeholders }]\n";
    let pipeline = |name: &str, unit: &str| {
        let source = "source: { stdin: {} }\nrule: rule.yaml\nsink: { stdout: {} }";
        write(folder.path(), "a.yaml", &format!("name: {name}\n{source}\n{unit}\n"));
        let json = run(folder.path(), &["check", "--json", "a.yaml"]).done().json();
        json["files"][0]["pipeline"]["generation"].as_str().expect("a digest").to_owned()
    };
    write(folder.path(), "rule.yaml", rule);
    let before = pipeline("one", "");
    assert_eq!(pipeline("two", "unit: { rows: 10 }"), before);
    assert_ne!(pipeline("one", "limits: { record: 2MiB }"), before);
    let tests = format!("{rule}tests: [{{ name: x, records: [] }}]\n");
    write(folder.path(), "rule.yaml", &tests);
    assert_eq!(pipeline("one", ""), before, "a test decides nothing");
    for other in [
        rule.replace("title: text", "title: { type: text, coerce: true }"),
        rule.replace("plugin: placeholders", "plugin: placeholders, with: { empty: false }"),
        rule.replace("plugin: placeholders", "plugin: placeholders, id: other"),
        format!("{rule}output: [{{ t: title }}]\n"),
    ] {
        write(folder.path(), "rule.yaml", &other);
        assert_ne!(pipeline("one", ""), before, "{other}");
    }
}

#[test]
fn two_pipelines_of_one_name_are_told() {
    let folder = folder();
    let text = "name: one\nsource: { stdin: {} }\nsink: { stdout: {} }\n";
    write(folder.path(), "a.yaml", text);
    write(folder.path(), "b.yaml", text);
    let said = run(folder.path(), &["check", "a.yaml", "b.yaml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("the pipeline in a.yaml is called `one` too"), "{}", said.stderr);
    assert!(said.stderr.contains("b.yaml:1:7"), "{}", said.stderr);
}

const RULE: &str = r#"fields:
  ind: { type: integer, required: true, key: true }
  follower_count: text
steps:
  - plugin: follower-count
    with: { column: follower_count, otherwise: reject }
tests:
  - name: right
    records: [{ ind: 1, follower_count: 46k }, '{"ind": 2', { ind: 3, follower_count: many }]
    rows: [{ follower_count: 46000 }]
    rejects:
      - { record: 1, reason: record is not valid JSON }
      - { record: 2, reason: follower_count is not a count }
  - name: wrong
    records: [{ ind: 1, follower_count: 46k }, { ind: 2, follower_count: many }]
    rows: [{ ind: 2, follower_count: 46 }]
    dropped: 1
"#;

#[test]
fn a_rule_test_that_fails_shows_the_fields() {
    let folder = folder();
    write(folder.path(), "rule.yaml", RULE);
    let failed = run(folder.path(), &["test", "rule.yaml", "--junit", "report.xml"]);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    let expected = "\
ok    right
FAIL  wrong  rule.yaml:14
      record 1
        expected  a row, or dropped
        got       rejected: follower_count is not a count (detail: many)
      dropped
        expected  1
        got       0
      row 0, ind
        expected  2
        got       1
      row 0, follower_count
        expected  46
        got       46000

1 test passed, 1 failed
";
    assert_eq!(failed.stdout, expected);
    let report = fs::read_to_string(folder.path().join("report.xml")).expect("a report");
    for said in [r#"tests="2" failures="1""#, r#"name="right""#, "row 0, ind"] {
        assert!(report.contains(said), "no {said:?} in\n{report}");
    }
    let json = run(folder.path(), &["test", "rule.yaml", "--json"]).json();
    assert_eq!(json["failed"], 1);
    assert_eq!(json["tests"][1]["differences"][2]["place"], "row 0, ind");

    write(folder.path(), "bare.yaml", "fields: { a: text }\n");
    run(folder.path(), &["test", "bare.yaml"]).refused(2, &["there are no tests in bare.yaml"]);
}

/// Long enough to be found by chance nowhere, and such as nobody writes.
const CANARY: &str = "xyzzy-plugh-7301";

/// Invariant 10: also where a password stands in the file itself, and nobody answers.
#[test]
fn the_password_of_a_database_is_shown_nowhere() {
    let folder = folder();
    let pipeline = format!(
        "name: pins\nsource: {{ generate: {{ profile: pin }} }}\nrule: {{ fields: {{ a: text }} }}\n\
         sink: {{ postgres: {{ url: 'postgres://me:{CANARY}@127.0.0.1:1/db?password={CANARY}&sslmode=prefer', table: t }} }}\n"
    );
    write(folder.path(), "pins.yaml", &pipeline);
    for (args, code, answer) in [
        (["check", "pins.yaml"], 0, "exactly once"),
        (
            ["check", "--resolved"],
            0,
            "postgres://me:***@127.0.0.1:1/db?password=***&sslmode=prefer",
        ),
        (["lanes", "pins.yaml"], 3, "db on 127.0.0.1:1: it cannot be reached"),
    ] {
        let args = [&args[..], &["pins.yaml"][..args[1].starts_with("--") as usize]].concat();
        let said =
            said(command(pinhost!(), folder.path()).args(&args).args(["--log-level", "trace"]));
        let all = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(said.code, Some(code), "{all}");
        assert!(all.contains(answer) && !all.contains(CANARY), "{args:?}: {all}");
    }
}

/// Invariant 10: a property of Kafka may hold anything.
#[test]
fn properties_that_may_hold_a_secret_are_shown_nowhere() {
    let folder = folder();
    let pipeline = format!(
        "name: pins\nsource:\n  kafka:\n    brokers: ''\n    topics: [posts]\n    properties:\n\
         \x20     ssl.key.pem: {CANARY}\n      sasl.oauthbearer.config: {CANARY}\n      ssl.kye.pem: {CANARY}\n\
         \x20     client.id: harmless-7301\nsink: {{ stdout: {{}} }}\n"
    );
    write(folder.path(), "pins.yaml", &pipeline);
    let refused = run(folder.path(), &["check", "pins.yaml"]);
    refused.refused(2, &["librdkafka has no property `ssl.kye.pem`"]);
    write(folder.path(), "pins.yaml", &pipeline.replace("ssl.kye.pem", "ssl.key.password"));
    let refused = run(folder.path(), &["check", "pins.yaml"]);
    assert!(!refused.stderr.contains(CANARY), "{}", refused.stderr);
    let sound = pipeline.replace("brokers: ''", "brokers: 'b:1'").replace("ssl.kye", "ssl.ca");
    write(folder.path(), "pins.yaml", &sound);
    let resolved = run(folder.path(), &["check", "--resolved", "pins.yaml"]);
    let all = format!("{}{}", resolved.stdout, resolved.stderr);
    assert!(!all.contains(CANARY), "{all}");
    assert!(all.contains("harmless-7301"), "{all}");
}

/// Invariant 10: whatever is wrong with a value, it is not shown.
#[test]
fn secrets_are_shown_nowhere() {
    let folder = folder();
    let good = "\
name: pins
source: { objects: { url: '${CANARY}/posts', unwrap: \"${CANARY}\" } }
rule:
  fields: { title: text, '${CANARY}': text }
  steps: [{ plugin: placeholders, with: { columns: { title: ['${CANARY}', '${file:secret}'] } } }]
  tests:
    - { name: a, records: ['{\"title\": \"x ${CANARY}\"}'], rows: [{ title: 'y ${CANARY}' }] }
sink: { sqlite: { path: '${CANARY_URL}', table: '${CANARY}' } }
";
    write(folder.path(), "good.yaml", good);
    write(folder.path(), "secret", &format!("{CANARY}-file\n"));
    for (number, bad) in [
        "name: ${CANARY}/",
        "name: ['${CANARY}']\nsource: ${CANARY}\nsink: { stdout: '${CANARY}' }",
        "source: { generate: { profile: '${CANARY}', count: '${CANARY}', rate: '${CANARY}' } }",
        "source: { objects: { url: '${CANARY}://x', settle: '${CANARY}' } }",
        "limits: { memory: '${CANARY}' }\nunit: { time: '${CANARY}' }",
        "rule: rules/${CANARY}.yaml",
        "rule: { fields: { a: '${CANARY}', b: { type: text, from: '${CANARY}' } } }",
        "rule: { fields: { a: text }, steps: [{ plugin: '${CANARY}' }, { plugin: './${CANARY}.wasm' }] }",
        "rule: { fields: { a: text }, steps: [{ plugin: tags, with: { column: '${CANARY}' } }] }",
        "rule: { fields: { a: text }, steps: [{ plugin: tags, with: { column: a, as: '${CANARY}' } }] }",
        "rule: { fields: { a: text }, steps: [{ plugin: tags, id: '${CANARY}' }, { plugin: tags, id: '${CANARY}' }] }",
        "rule: { fields: { a: text }, output: ['${CANARY}', a, { '${CANARY}': '${CANARY}' }] }",
        "rule: { fields: { a: text } }\nsink: { sqlite: { path: x, table: y, key: ['${CANARY}', '${CANARY}'] } }",
        "sink: { sqlite: { path: '${CANARY_URL}', key: '${CANARY_URL}' } }",
        "sink: { postgres: { url: 'x://${CANARY}', table: '${CANARY}', pool: '${CANARY}' } }",
        "name: postgres://me:xyzzy-plugh-7301@host/db",
    ]
    .into_iter()
    .enumerate()
    {
        write(folder.path(), &format!("bad-{number}.yaml"), bad);
    }
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("the files")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    files.sort();
    for file in &files {
        for args in [
            &["check"][..],
            &["check", "--json"],
            &["check", "--resolved"],
            &["test"],
            &["test", "--json"],
            &["test", "--junit", "report.xml"],
        ] {
            let said = said(
                command(pinhost!(), folder.path())
                    .args(args)
                    .arg(file)
                    .args(["--log-level", "trace"])
                    .env("CANARY", CANARY)
                    .env("CANARY_URL", format!("postgres://me:{CANARY}@host/db?x={CANARY}")),
            );
            let expected = match (file.as_str(), args[0]) {
                ("good.yaml", "check") => 0,
                ("good.yaml", _) => 1,
                _ => 2,
            };
            assert_eq!(said.code, Some(expected), "{args:?} {file}: {said:#?}");
            let report = fs::read_to_string(folder.path().join("report.xml")).unwrap_or_default();
            for text in [&said.stdout, &said.stderr, &report] {
                assert!(!text.contains(CANARY), "{args:?} {file}:\n{text}");
            }
        }
    }
    let resolved = said(
        command(pinhost!(), folder.path())
            .args(["check", "--resolved", "good.yaml"])
            .env("CANARY", CANARY)
            .env("CANARY_URL", "x.db"),
    );
    for shown in ["unwrap: \"${CANARY}\"", "\"${file:secret}\"", "path: \"${CANARY_URL}\""] {
        assert!(resolved.stdout.contains(shown), "no {shown} in\n{}", resolved.stdout);
    }
}

#[test]
fn a_log_of_json_has_nothing_else_on_stderr() {
    let folder = folder();
    let pipeline = "name: pins\nsource: { generate: { profile: pin, count: 100 } }\n\
                    rule: { fields: { title: text, index: integer } }\n\
                    sink: { sqlite: { path: pins.db, table: pin } }\n";
    write(folder.path(), "good.yaml", pipeline);
    write(folder.path(), "bad.yaml", &pipeline.replace("count: 100", "count: few"));
    let elsewhere = pipeline.replace("path: pins.db", "path: nowhere/pins.db");
    write(folder.path(), "unlucky.yaml", &format!("{elsewhere}limits: {{ start_time: 10ms }}\n"));
    let lines = |file: &str, code: i32| {
        let said = run(folder.path(), &["run", file, "--log-format", "json"]);
        assert_eq!(said.code, Some(code), "{said:#?}");
        let lines = said.stderr.lines().map(serde_json::from_str::<Value>);
        lines.collect::<Result<Vec<_>, _>>().unwrap_or_else(|_| panic!("{said:#?}"))
    };
    let good = lines("good.yaml", 0);
    assert_eq!(good[0]["message"], "starting");
    assert_eq!(good[good.len() - 1]["records"], 100);

    let bad = lines("bad.yaml", 2);
    assert_eq!((&bad[0]["level"], &bad[0]["place"]), (&json!("ERROR"), &json!("bad.yaml:2:44")));

    let unlucky = lines("unlucky.yaml", 3);
    let error = unlucky.iter().find(|line| line["level"] == "ERROR").expect("an error");
    assert_eq!(error["help"], "make the folder, or correct `path:`");
}

#[test]
fn schemas_and_completions_are_printed() {
    let folder = folder();
    let schema = run(folder.path(), &["schema", "rule"]).done().json();
    assert_eq!(schema["required"], Value::from(vec!["fields"]));
    let schema = run(folder.path(), &["schema"]).done().json();
    assert_eq!(schema["required"], Value::from(vec!["name", "source", "sink"]));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(folder.path(), &["completions", shell]).done().stdout;
        assert!(script.contains("pinhost"), "{script}");
    }
}

#[test]
fn a_pipeline_is_told_apart_from_a_rule_by_its_keys() {
    let folder = folder();
    write(folder.path(), "rule.yaml", "fields: { a: text }\n");
    write(folder.path(), "neither.yaml", "a: 1\n");
    let checked = run(folder.path(), &["check", "rule.yaml"]).done().stdout;
    assert_eq!(checked, "ok  rule.yaml  1 field → 0 steps → 1 column; 0 tests\n");
    let run_rule = run(folder.path(), &["run", "rule.yaml"]);
    let said = ["rule.yaml:1:1", "this is a rule", "as `rule: rule.yaml`", "\n1 finding"];
    run_rule.refused(2, &said);
    let said = ["unknown key `a`", "the key `name` is missing", "the key `sink` is missing"];
    run(folder.path(), &["check", "neither.yaml"]).refused(2, &said);
}

#[test]
fn shipped_files_name_the_schema_that_editors_check_them_by() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
    for (folder, schema) in [("", "pipeline.schema.json"), ("rules", "../rule.schema.json")] {
        let folder = shipped.join(folder);
        assert!(folder.join(schema).exists());
        for entry in fs::read_dir(&folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let expected = format!("# yaml-language-server: $schema={schema}\n");
                assert!(text.starts_with(&expected), "{}", path.display());
            }
        }
    }
}
