//! Rules that are changed while their pipeline runs: what is good takes over, what is not goes, and every row
//! is one generation's (invariants 1, 4, 5 and 7).
//!
//! `PINHOST_SWAPS=200` makes it the long version; `tests/soak` says more.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::guests;
use pinhost_tests::guests::hand::{Hand, hand};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::{pinhost, table};
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(120);

/// What records say before the part that rows keep: how much of it a rule takes away marks its generation.
const PREFIX: &str = "Local save in /data/";

/// So many of its characters can be gone, and what is left of it is known again.
const MARKS: usize = 13;

/// A pipeline that runs, and its rule.
struct Stream {
    folder: TempDir,
    running: Running,
    /// The rule's mark, and what the hostile step does.
    rule: Value,
    /// Of the next plugin that is another one.
    number: u8,
}

/// A rule whose rows are marked: so many characters of the prefix are gone.
fn rule(mark: usize, step: &Value) -> Value {
    json!({
        "fields": {
            "text": { "type": "text", "path": "title" },
            "save_location": "text",
            "at": { "type": "integer", "from": "$offset" },
        },
        "steps": [
            { "plugin": "strip-prefix",
              "with": { "column": "save_location", "prefix": &PREFIX[..mark] } },
            { "id": "odd", "plugin": "./odd.wasm", "with": step },
        ],
        "output": ["at", "save_location"],
        "tests": [{
            "name": "a place is kept",
            "records": [{ "title": "a", "save_location": format!("{PREFIX}art") }],
            "rows": [{ "save_location": format!("{}art", &PREFIX[mark..]) }],
        }],
    })
}

fn nothing() -> Value {
    json!({ "do": "nothing" })
}

/// Puts a file there as editors do.
fn save(path: &Path, bytes: impl AsRef<[u8]>) {
    let draft = path.with_extension("draft~");
    fs::write(&draft, bytes).expect("a file");
    fs::rename(&draft, path).expect("a file");
}

/// A plugin like this one, under another digest.
fn another(plugin: &[u8], number: u8) -> Vec<u8> {
    // A section of no meaning: its kind, its size, the size of its name, its name, what is in it.
    [plugin, &[0, 3, 1, b'n', number]].concat()
}

impl Stream {
    fn start(source: &str, limits: &str) -> Self {
        Self::start_into("table: pin", source, limits)
    }

    fn start_into(table: &str, source: &str, limits: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::copy(guests::hostile(), folder.path().join("odd.wasm")).expect("a copy");
        let pipeline = format!(
            "name: pins\nsource: {{ generate: {{ profile: pin, {source} }} }}\nrule: rule.yaml\n\
             sink: {{ sqlite: {{ path: pins.db, {table} }} }}\nunit: {{ time: 100ms }}\n\
             limits: {limits}\n"
        );
        fs::write(folder.path().join("pins.yaml"), pipeline).expect("a file");
        let rule = rule(1, &nothing());
        fs::write(folder.path().join("rule.yaml"), rule.to_string()).expect("a file");
        let running = Running::start(pinhost!(), folder.path(), &["pins.yaml"]);
        let stream = Self { folder, running, rule, number: 0 };
        stream.has_rows(1);
        stream
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save_rule(&mut self, rule: Value) {
        save(&self.path("rule.yaml"), rule.to_string());
        self.rule = rule;
    }

    fn run(&self, args: &[&str]) -> Said {
        said(command(pinhost!(), self.folder.path()).args(args))
    }

    fn rows(&self, query: &str) -> Vec<Vec<Value>> {
        table::sqlite(&self.path("pins.db"), query)
    }

    /// Waits until there are so many more rows.
    #[track_caller]
    fn has_rows(&self, more: i64) {
        let count = || {
            let is_there = self.path("pins.db").exists();
            let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'pin'";
            if !is_there || self.rows(tables) != [[json!(1)]] {
                return 0;
            }
            self.rows("SELECT count(*) FROM pin")[0][0].as_i64().expect("a count")
        };
        let before = count();
        wait_until(SOON, || count() >= before + more, || self.running.log());
    }

    #[track_caller]
    fn says(&self, what: &str, times: usize) {
        let said = || self.running.log().matches(what).count();
        wait_until(
            SOON,
            || said() >= times,
            || format!("{what} × {times}:\n{}", self.running.log()),
        );
    }

    /// Ends it, and looks at what is left.
    #[track_caller]
    fn end(self) -> BTreeMap<usize, usize> {
        let Self { folder, running, .. } = self;
        running.drain();
        is_sound(&folder.path().join("pins.db"))
    }
}

/// Every record is a row, in order and once; and each row was made by the generation that the lineage
/// names for it. Returns how many rows each mark has.
#[track_caller]
fn is_sound(database: &Path) -> BTreeMap<usize, usize> {
    let rows = |query| table::sqlite(database, query);
    let marks: BTreeMap<String, usize> = rows(
        "SELECT digest, json_extract(resolved, '$.rule.steps[0].with.prefix') \
         FROM pinhost_generation",
    )
    .iter()
    .map(|row| {
        let text = |at: usize| row[at].as_str().expect("a text");
        (text(0).to_owned(), text(1).len())
    })
    .collect();
    let ranges: Vec<(i64, i64, usize)> =
        rows("SELECT from_position, to_position, generation FROM pinhost_lineage ORDER BY id")
            .iter()
            .map(|row| {
                let text = |at: usize| row[at].as_str().expect("a text");
                let number = |at: usize| text(at).parse().expect("a number");
                (number(0), number(1), marks[text(2)])
            })
            .collect();
    for (one, next) in ranges.iter().zip(&ranges[1..]) {
        assert_eq!(one.1, next.0, "ranges follow each other: {ranges:?}");
    }
    let dead = rows("SELECT CAST(position AS INTEGER) FROM pinhost_dead_letter");
    let mut dead: Vec<_> = dead.iter().map(|row| row[0].as_i64().expect("a place")).collect();
    dead.sort_unstable();
    let rows = rows("SELECT at, save_location FROM pin ORDER BY rowid");
    let mut counts = BTreeMap::new();
    let mut ranges = ranges.into_iter();
    let mut range = ranges.next().expect("a range");
    let mut expected = 0;
    for row in &rows {
        let at = row[0].as_i64().expect("a place");
        while dead.binary_search(&expected).is_ok() {
            expected += 1;
        }
        assert_eq!(at, expected, "lost, repeated or out of order");
        expected += 1;
        while at >= range.1 {
            range = ranges.next().expect("a range for each row");
        }
        // What the scraper did not find, or found elsewhere, has no mark.
        let Some(place) = row[1].as_str().filter(|place| place.contains("/data/")) else {
            continue;
        };
        let is_marked = place.starts_with(&PREFIX[range.2..]);
        assert!(is_marked, "row {at} is {place}, and the lineage says {range:?}");
        *counts.entry(range.2).or_default() += 1;
    }
    assert!(!rows.is_empty());
    counts
}

#[test]
fn a_rule_that_is_saved_takes_over_and_every_row_is_one_generations() {
    let mut stream = Stream::start("rate: 20000", "{}");
    for mark in 2..6 {
        stream.save_rule(rule(mark, &nothing()));
        stream.says("took over from", mark - 1);
        stream.has_rows(1_000);
    }
    let log = stream.running.log();
    for told in [
        "no plugin is new",
        "the rule's test passed in",
        "save_location in",
        "at generate@",
        "it is watched beside",
    ] {
        assert!(log.contains(told), "no {told} in\n{log}");
    }
    assert_eq!(stream.end().keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_plugin_that_is_saved_takes_over_and_the_same_again_does_nothing() {
    let stream = Stream::start("rate: 20000", "{}");
    let plugin = fs::read(guests::hostile()).expect("a plugin");
    save(&stream.path("odd.wasm"), another(&plugin, 1));
    stream.says("took over from", 1);
    assert!(stream.running.log().contains("compiled odd ("), "{}", stream.running.log());
    save(&stream.path("odd.wasm"), another(&plugin, 1));
    fs::write(stream.path("beside.yaml"), "nobody's").expect("a file");
    sleep(Duration::from_secs(1));
    save(&stream.path("odd.wasm"), another(&plugin, 2));
    stream.says("took over from", 2);
    assert_eq!(stream.running.log().matches("took over from").count(), 2);
    assert!(!stream.running.log().contains("refused"), "{}", stream.running.log());
    stream.end();
}

/// What is saved, and what the log says then.
struct Edit {
    name: &'static str,
    save: fn(&mut Stream, usize),
    says: &'static str,
}

fn odd(stream: &mut Stream, mark: usize, step: &Value) {
    stream.save_rule(rule(mark, step));
}

fn plugin() -> Vec<u8> {
    fs::read(guests::hostile()).expect("a plugin")
}

const TOOK_OVER: &str = "took over from";
const REFUSED: &str = "refused, and generation";
const ROLLED_BACK: &str = "rolled back from generation";

/// In an order in which each comes upon a good one.
const EDITS: &[Edit] = &[
    Edit { name: "good", save: |s, mark| odd(s, mark, &nothing()), says: TOOK_OVER },
    Edit { name: "traps", save: |s, mark| odd(s, mark, &json!({ "do": "trap" })), says: REFUSED },
    Edit {
        name: "traps after many rows",
        save: |s, mark| odd(s, mark, &json!({ "do": "trap-after-rows", "n": 12_000 })),
        says: ROLLED_BACK,
    },
    Edit {
        name: "an unknown key",
        save: |s, mark| {
            let mut rule = rule(mark, &nothing());
            rule["stepz"] = json!([]);
            s.save_rule(rule);
        },
        says: REFUSED,
    },
    Edit { name: "good", save: |s, mark| odd(s, mark, &nothing()), says: TOOK_OVER },
    Edit {
        name: "slow",
        save: |s, mark| odd(s, mark, &json!({ "do": "slow", "n": 600_000 })),
        says: ROLLED_BACK,
    },
    Edit {
        name: "bad `with:`",
        save: |s, mark| odd(s, mark, &json!({ "do": "what nobody knows" })),
        says: REFUSED,
    },
    Edit {
        name: "memory-hungry",
        save: |s, mark| odd(s, mark, &json!({ "do": "leak", "n": 1_024 })),
        says: ROLLED_BACK,
    },
    Edit { name: "good", save: |s, mark| odd(s, mark, &nothing()), says: TOOK_OVER },
    Edit {
        name: "of another contract",
        save: |s, _| save(&s.path("odd.wasm"), fs::read(hand(Hand::ContractMajor)).expect("one")),
        says: REFUSED,
    },
    Edit {
        name: "truncated",
        save: |s, _| save(&s.path("odd.wasm"), &plugin()[..plugin().len() / 2]),
        says: REFUSED,
    },
    Edit {
        name: "deleted",
        save: |s, _| fs::remove_file(s.path("odd.wasm")).expect("it was there"),
        says: REFUSED,
    },
    Edit {
        name: "a good plugin",
        save: |s, _| {
            s.number += 1;
            save(&s.path("odd.wasm"), another(&plugin(), s.number));
        },
        says: TOOK_OVER,
    },
    Edit {
        name: "a test that fails",
        save: |s, mark| {
            let mut rule = rule(mark, &nothing());
            rule["tests"][0]["rows"][0]["save_location"] = json!("elsewhere");
            s.save_rule(rule);
        },
        says: REFUSED,
    },
    Edit {
        name: "another answer for fewer rows",
        save: |s, mark| {
            let mut rule = rule(mark, &json!({ "do": "trap-alone", "n": 1 }));
            rule["tests"] = json!([]);
            s.save_rule(rule);
        },
        says: REFUSED,
    },
    Edit { name: "good", save: |s, mark| odd(s, mark, &nothing()), says: TOOK_OVER },
    Edit { name: "no YAML", save: |s, _| save(&s.path("rule.yaml"), "steps: [}"), says: REFUSED },
    Edit {
        name: "of another name",
        save: |s, _| {
            let written = fs::read_to_string(s.path("pins.yaml")).expect("UTF-8");
            save(&s.path("rule.yaml"), s.rule.to_string());
            save(&s.path("pins.yaml"), written.replace("name: pins", "name: posts"));
        },
        says: REFUSED,
    },
    Edit {
        name: "the name as it was, and a good rule",
        save: |s, mark| {
            let written = fs::read_to_string(s.path("pins.yaml")).expect("UTF-8");
            odd(s, mark, &nothing());
            save(&s.path("pins.yaml"), written.replace("name: posts", "name: pins"));
        },
        says: TOOK_OVER,
    },
    Edit { name: "good", save: |s, mark| odd(s, mark, &nothing()), says: TOOK_OVER },
];

fn edits() -> usize {
    env::var("PINHOST_SWAPS")
        .map_or(EDITS.len(), |edits| edits.parse().expect("PINHOST_SWAPS is a number"))
}

/// A slow plugin is to be told from one that never ends.
const LIMITS: &str = "{ probation: { time: 1h, slowdown: 3 }, plugin: { call: 5s } }";

#[test]
fn of_twenty_edits_the_good_ones_take_over_and_nothing_is_lost_or_repeated() {
    let mut stream = Stream::start("rate: 20000", LIMITS);
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    let mut log = String::new();
    for (number, Edit { name, save, says }) in (1..=edits()).zip(EDITS.iter().cycle()) {
        save(&mut stream, 1 + number % MARKS);
        let times = said.entry(says).or_default();
        *times += 1;
        println!("{number} {name}: {says} × {times}");
        stream.says(says, *times);
        stream.has_rows(1_000);
        if *says == TOOK_OVER && number % 3 == 0 {
            stream.running.kill();
            log += &stream.running.log();
            stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
            said.clear();
            stream.has_rows(1_000);
        }
    }
    log += &stream.running.log();
    for told in [
        "the contract failed",
        "compiling failed",
        "reading failed",
        "configuring failed",
        "tests fail",
        "depends on those beside it",
        "limits.probation.slowdown",
        "keeps its name",
        "of its calls failed where the one before comes through",
    ] {
        assert!(log.contains(told), "no {told} in\n{log}");
    }
    let counts = stream.end();
    println!("{counts:?}");
    assert!(counts.len() >= 6, "every good one made rows: {counts:?}");
}

fn generations(stream: &Stream) -> Value {
    stream.run(&["generations", "pins.yaml", "--json"]).done().json()
}

/// Generations with a verdict, in their order.
fn verdicts(stream: &Stream) -> Vec<String> {
    let told = generations(stream);
    let told = told.as_array().expect("a list").iter();
    let verdict = |it: &Value| it["known"]["verdict"].as_str().map(str::to_owned);
    told.filter_map(verdict).collect()
}

#[test]
fn after_a_kill_no_generation_begins_that_was_rolled_back() {
    let mut stream = Stream::start("rate: 20000", "{}");
    stream.save_rule(rule(2, &json!({ "do": "trap-after-rows", "n": 12_000 })));
    stream.says(ROLLED_BACK, 1);
    stream.has_rows(1_000);
    wait_until(
        SOON,
        || verdicts(&stream).contains(&"rolled_back".to_owned()),
        || stream.running.log(),
    );
    for _ in 0..2 {
        stream.running.kill();
        stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
        stream.says("was rolled back: 1 of its calls failed", 1);
        stream.has_rows(1_000);
        assert!(!stream.running.log().contains(ROLLED_BACK), "{}", stream.running.log());
    }
    // The file is another one now: that is a new generation.
    stream.save_rule(rule(3, &nothing()));
    stream.says(TOOK_OVER, 1);
    stream.has_rows(1_000);
    stream.running.kill();
    stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
    stream.says("is new here; for 10m it is watched beside", 1);
    stream.has_rows(1_000);
    assert!(stream.end().contains_key(&3));
}

#[test]
fn after_a_kill_no_generation_begins_that_was_refused() {
    let mut stream = Stream::start("rate: 20000", "{}");
    stream.save_rule(rule(2, &json!({ "do": "trap" })));
    stream.says(REFUSED, 1);
    wait_until(SOON, || verdicts(&stream) == ["live", "refused"], || stream.running.log());
    for _ in 0..2 {
        stream.running.kill();
        stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
        stream.says("was refused: 1 of the rule's 1 tests fail", 1);
        stream.says("runs, which did well: change the rule or its plugins", 1);
        // It may do better on the records that come now.
        stream.says(REFUSED, 1);
        stream.has_rows(1_000);
        assert!(!stream.running.log().contains(TOOK_OVER), "{}", stream.running.log());
    }
    stream.save_rule(rule(3, &nothing()));
    stream.says(TOOK_OVER, 1);
    stream.has_rows(1_000);
    assert_eq!(stream.end().keys().copied().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_generation_that_gets_further_than_before_is_not_called_refused() {
    let mut stream = Stream::start("rate: 20000", "{}");
    let mut failing = rule(2, &nothing());
    failing["tests"][0]["rows"][0]["save_location"] = json!("elsewhere");
    stream.save_rule(failing);
    stream.says(REFUSED, 1);
    let shown = || stream.run(&["generations", "pins.yaml"]).done().stdout;
    wait_until(SOON, || shown().contains("tests fail"), shown);
    // The same generation: tests decide nothing about a row.
    stream.save_rule(rule(2, &nothing()));
    stream.says(TOOK_OVER, 1);
    let shown = stream.run(&["generations", "pins.yaml"]).done().stdout;
    assert!(shown.contains("on probation, runs") && !shown.contains("tests fail"), "{shown}");
    stream.running.kill();
    stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
    stream.says("is new here; for 10m it is watched beside", 1);
    stream.end();
}

#[test]
fn what_ran_is_told_while_the_files_are_broken() {
    let mut stream = Stream::start("rate: 20000", "{}");
    let written = fs::read(stream.path("pins.yaml")).expect("it was written");
    stream.save_rule(rule(2, &nothing()));
    stream.says(TOOK_OVER, 1);
    let of_both = || stream.rows("SELECT count(*) FROM pinhost_lineage") == [[json!(2)]];
    wait_until(SOON, of_both, || stream.running.log());
    save(&stream.path("pins.yaml"), "name: pins\nsource: [}\n");
    stream.says(REFUSED, 1);

    let shown = stream.run(&["generations", "pins.yaml"]).done().stdout;
    assert!(shown.contains("on probation, runs") && shown.contains("before, runs"), "{shown}");
    let lineage = stream.run(&["lineage", "pins.yaml", "--json"]).done().json();
    assert_eq!(lineage.as_array().map(Vec::len), Some(2), "{lineage}");
    let made = stream.run(&["lineage", "pins.yaml", "--where", "at=7"]).done().stdout;
    assert!(made.contains("strip-prefix (plugin"), "{made}");
    let refused = stream.run(&["swap", "pins.yaml", "odd", "odd.wasm"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("pins.yaml:2:"), "{refused:#?}");

    stream.running.signal("TERM");
    stream.running.ended(SOON);
    for command in [&["generations", "pins.yaml"][..], &["lineage", "pins.yaml"]] {
        stream.run(command).refused(2, &["pins.yaml:2:", "any other version of the file"]);
    }
    fs::write(stream.path("before.yaml"), written).expect("a file");
    let shown = stream.run(&["generations", "before.yaml"]).done().stdout;
    assert_eq!(shown.lines().count(), 3, "{shown}");
    is_sound(&stream.path("pins.db"));
}

#[test]
fn a_generation_that_begins_a_process_is_watched_beside_the_one_that_did_well() {
    let mut stream = Stream::start("rate: 20000", "{}");
    stream.running.kill();
    let bad = rule(2, &json!({ "do": "trap-after-rows", "n": 9_000 }));
    stream.save_rule(bad);
    stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
    stream.says("is new here; for 10m it is watched beside", 1);
    stream.says(ROLLED_BACK, 1);
    stream.has_rows(1_000);
    stream.running.kill();
    let mut failing = rule(3, &nothing());
    failing["tests"][0]["rows"][0]["save_location"] = json!("elsewhere");
    stream.save_rule(failing);
    stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
    stream.says("was refused: 1 of the rule's 1 tests fail", 1);
    stream.has_rows(1_000);
    let counts = stream.end();
    assert!(!counts.contains_key(&3), "{counts:?}");
}

#[test]
fn a_plugin_is_swapped_and_rolled_back_on_request() {
    let stream = Stream::start("rate: 20000", "{}");
    let good = stream.path("better.wasm");
    fs::write(&good, another(&plugin(), 1)).expect("a file");
    let swap = ["swap", "pins.yaml", "odd", "better.wasm"];
    let tried = stream.run(&[&swap[..], &["--dry-run"]].concat()).done();
    assert!(tried.stderr.contains("tried on the last"), "{tried:#?}");
    assert!(tried.stderr.contains("nothing has changed"), "{tried:#?}");
    assert_eq!(generations(&stream).as_array().map(Vec::len), Some(1));

    let swapped = stream.run(&swap).done();
    assert!(swapped.stderr.contains(TOOK_OVER), "{swapped:#?}");
    let again = stream.run(&swap).done();
    assert!(again.stderr.contains("runs already"), "{again:#?}");
    stream.has_rows(1_000);
    let shown = stream.run(&["generations", "pins.yaml"]).done().stdout;
    assert!(shown.contains("on probation, runs") && shown.contains("before, runs"), "{shown}");

    let none = stream.run(&["rollback", "pins.yaml", "strip-prefix"]);
    assert_eq!(none.code, Some(1), "{none:#?}");
    let back = stream.run(&["rollback", "pins.yaml", "odd"]).done();
    assert!(back.stderr.contains("takes over again"), "{back:#?}");
    stream.says(ROLLED_BACK, 1);
    wait_until(SOON, || verdicts(&stream) == ["live", "rolled_back"], || stream.running.log());
    let marked = stream.run(&swap);
    assert_eq!(marked.code, Some(1), "{marked:#?}");
    assert!(marked.stderr.contains("was rolled back: somebody asked for it"), "{marked:#?}");
    for (step, file, said) in [
        ("od", "better.wasm", "no step is called `od`"),
        ("odd", "rule.yaml", "is not WebAssembly"),
    ] {
        let refused = stream.run(&["swap", "pins.yaml", step, file]);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(refused.stderr.contains(said), "{refused:#?}");
    }
    stream.has_rows(1_000);
    let row = stream.rows("SELECT at FROM pin ORDER BY rowid DESC LIMIT 1")[0][0].to_string();
    let made = stream.run(&["lineage", "pins.yaml", "--where", &format!("at={row}")]).done().stdout;
    assert!(made.contains("generate") && made.contains("strip-prefix (plugin"), "{made}");
    let folder = stream.folder.path().to_owned();
    let pipeline = folder.join("pins.yaml").display().to_string();
    let Stream { folder: kept, running, .. } = stream;
    running.drain();
    let nobody = said(command(pinhost!(), &folder).args(["rollback", &pipeline, "odd"]));
    nobody.refused(3, &["no process of yours on this machine runs", "pinhost run"]);
    is_sound(&kept.path().join("pins.db"));
}

#[test]
fn another_source_or_sink_has_the_lanes_end_and_begin_anew() {
    let mut stream = Stream::start("rate: 20000", "{ start_time: 1s }");
    let written = fs::read_to_string(stream.path("pins.yaml")).expect("UTF-8");
    save(&stream.path("pins.yaml"), written.replace("time: 100ms", "time: 50ms"));
    stream.says("the lanes end, and begin anew", 1);
    stream.has_rows(1_000);
    stream.save_rule(rule(2, &nothing()));
    stream.says(TOOK_OVER, 1);
    stream.has_rows(10_000);
    save(&stream.path("pins.yaml"), written.replace("path: pins.db", "path: nowhere/pins.db"));
    stream.says("it could not begin", 1);
    stream.has_rows(1_000);
    let last = "SELECT json_extract(g.resolved, '$.rule.steps[0].with.prefix') \
                FROM pinhost_lineage l JOIN pinhost_generation g ON g.digest = l.generation \
                ORDER BY l.id DESC LIMIT 1";
    assert_eq!(stream.rows(last), [[json!(&PREFIX[..2])]], "that is the rule that was saved since");
    save(&stream.path("pins.yaml"), &written);
    stream.says("the lanes end, and begin anew", 2);
    stream.save_rule(rule(3, &nothing()));
    stream.says(TOOK_OVER, 2);
    stream.has_rows(1_000);
    assert_eq!(stream.end().len(), 3);
}

/// Issue 25, A5: what was taken from the pipe and not committed yet was lost when the lanes began anew.
#[test]
fn what_was_taken_from_a_pipe_outlives_an_edit() {
    let folder = TempDir::new().expect("a folder");
    let (file, log) = (folder.path().join("pins.yaml"), folder.path().join("log"));
    let text = "name: pins\nsource: { stdin: {} }\nrule: { fields: { n: integer } }\n\
                sink: { sqlite: { path: pins.db, table: pin } }\nunit: { time: 20ms }\n";
    fs::write(&file, text).expect("a file");
    let said = || fs::read_to_string(&log).expect("UTF-8");
    let mut child = command(pinhost!(), folder.path())
        .args(["run", "pins.yaml"])
        .stdin(Stdio::piped())
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("pinhost can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let is_enough = Arc::new(AtomicBool::new(false));
    let fed = Arc::clone(&is_enough);
    let feeding = thread::spawn(move || {
        let mut records = 0;
        // So that there is always something in the pipe, in the reader and in the making.
        while !fed.load(Ordering::Relaxed) {
            for n in records..records + 300 {
                writeln!(stdin, "{{\"n\": {n}}}").expect("it is read");
            }
            records += 300;
            sleep(Duration::from_millis(20));
        }
        records
    });
    for rows in 1..4 {
        let begun = || said().matches("begin anew").count();
        let edited = text.replace("time: 20ms", &format!("time: 20ms, rows: {rows}00"));
        let is_there = || folder.path().join("pins.db").exists();
        wait_until(SOON, is_there, said);
        save(&file, edited);
        wait_until(SOON, || begun() == rows, said);
    }
    is_enough.store(true, Ordering::Relaxed);
    let records: u64 = feeding.join().expect("no panic");
    assert!(child.wait().expect("it ends").success(), "{}", said());
    let sums = "SELECT count(*), count(DISTINCT n), max(n) FROM pin";
    let sums = table::sqlite(&folder.path().join("pins.db"), sums);
    assert_eq!(sums, [[json!(records), json!(records), json!(records - 1)]]);
}

/// Invariant 7. Issue 25, B5: each of these ended the process.
#[test]
fn an_edit_of_what_is_read_or_written_that_cannot_begin_is_refused() {
    let stream = Stream::start("rate: 20000", "{}");
    let written = fs::read_to_string(stream.path("pins.yaml")).expect("UTF-8");
    for (times, (from, to, said)) in (1..).zip([
        ("table: pin", "table: another", "it could not begin"),
        ("profile: pin", "profile: pin, seed: 77", "it could not begin"),
        ("path: pins.db", "path: nowhere/pins.db", "it could not begin"),
    ]) {
        save(&stream.path("pins.yaml"), written.replace(from, to));
        stream.says(said, times);
        stream.has_rows(1_000);
    }
    assert!(!stream.running.log().contains("begin anew"), "{}", stream.running.log());
    save(&stream.path("pins.yaml"), &written);
    stream.has_rows(1_000);
    stream.end();
}

/// The rows that are there are all, once, of what was read.
fn is_whole(stream: Stream) {
    let Stream { folder, running, .. } = stream;
    running.drain();
    let sums = "SELECT count(DISTINCT at), count(*), \
                max(at) + 1 - (SELECT count(*) FROM pinhost_dead_letter) FROM pin";
    let sums = &table::sqlite(&folder.path().join("pins.db"), sums)[0];
    assert!(sums[0] == sums[1] && sums[1] == sums[2], "{sums:?}");
}

/// A stream whose table is somebody else's to make and to mend.
fn into_a_table_of_its_own() -> Stream {
    let stream = Stream::start("rate: 2000", "{}");
    let written = fs::read_to_string(stream.path("pins.yaml")).expect("UTF-8");
    let table = "table: pin, create: false";
    save(&stream.path("pins.yaml"), written.replace("table: pin", table));
    stream.says("the lanes end, and begin anew", 1);
    stream.has_rows(1_000);
    stream
}

#[test]
fn what_the_table_takes_no_more_is_cleaned_again_by_a_rule_whose_rows_it_takes() {
    let mut stream = into_a_table_of_its_own();
    table::change_sqlite(&stream.path("pins.db"), "ALTER TABLE pin DROP COLUMN save_location");
    stream.says("the sink refuses a unit", 1);
    let mut narrow = rule(2, &nothing());
    (narrow["output"], narrow["tests"]) = (json!(["at"]), json!([]));
    stream.save_rule(narrow);
    stream.says(TOOK_OVER, 1);
    stream.has_rows(1_000);
    is_whole(stream);
}

#[test]
fn lanes_that_wait_for_their_table_begin_anew_all_the_same() {
    let stream = into_a_table_of_its_own();
    table::change_sqlite(&stream.path("pins.db"), "ALTER TABLE pin DROP COLUMN save_location");
    stream.says("the sink refuses a unit", 1);
    let written = fs::read_to_string(stream.path("pins.yaml")).expect("UTF-8");
    save(&stream.path("pins.yaml"), written.replace("create: false", "create: true"));
    stream.says("the lanes end, and begin anew", 2);
    stream.has_rows(1_000);
    is_whole(stream);
}

#[test]
fn a_new_column_is_added_if_it_may_be_and_refused_with_the_statement_if_not() {
    for (may, says) in [("true", TOOK_OVER), ("false", "ALTER TABLE")] {
        let mut stream = Stream::start("rate: 20000", "{}");
        let written = fs::read_to_string(stream.path("pins.yaml")).expect("UTF-8");
        let table = format!("table: pin, create: {may}");
        save(&stream.path("pins.yaml"), written.replace("table: pin", &table));
        if may == "false" {
            stream.says("the lanes end, and begin anew", 1);
            stream.has_rows(1_000);
        }
        let mut wider = rule(2, &nothing());
        wider["output"] = json!(["at", "save_location", "text"]);
        stream.save_rule(wider);
        stream.says(says, 1);
        stream.has_rows(1_000);
        let columns = stream.rows("SELECT name FROM pragma_table_info('pin') WHERE name = 'text'");
        assert_eq!(columns.len(), usize::from(may == "true"));
        stream.end();
    }
}

#[test]
fn a_halted_lane_takes_a_rule_that_can_clean_its_batch() {
    let stream_of = |limits| Stream::start("rate: 20000", limits);
    let mut stream = stream_of("{ probation: { time: 10ms } }");
    let mut bad = rule(2, &nothing());
    bad["fields"]["nowhere"] = json!({ "type": "text", "required": true });
    bad["tests"] = json!([]);
    stream.running.kill();
    // As if it had always been so.
    fs::remove_file(stream.path("pins.db")).expect("it was there");
    stream.save_rule(bad);
    stream.running = Running::start(pinhost!(), stream.folder.path(), &["pins.yaml"]);
    stream.says("the lane is halted", 1);
    stream.save_rule(rule(3, &nothing()));
    stream.says(TOOK_OVER, 1);
    stream.has_rows(1_000);
    assert!(stream.end().contains_key(&3));
}

#[test]
fn a_rule_whose_rows_the_table_refuses_is_rolled_back() {
    let mut stream = Stream::start_into("table: pin, key: [at]", "rate: 20000", "{}");
    let mut without_key = rule(2, &nothing());
    without_key["fields"]["at"] = json!("integer");
    stream.save_rule(without_key);
    stream.says("the sink refuses", 1);
    stream.says(ROLLED_BACK, 1);
    stream.has_rows(1_000);
    assert_eq!(stream.end().keys().copied().collect::<Vec<_>>(), [1]);
}

/// So few that the lane goes on: they are dead letters that there were not before.
#[test]
fn a_rule_of_whose_rows_the_table_refuses_some_is_rolled_back() {
    let mut stream = Stream::start("rate: 20000", "{}");
    let some = format!(
        "CREATE TRIGGER some BEFORE INSERT ON pin \
         WHEN NEW.at % 40 = 0 AND NEW.save_location LIKE '{}%' \
         BEGIN SELECT RAISE(ABORT, 'not these'); END",
        &PREFIX[2..]
    );
    table::change_sqlite(&stream.path("pins.db"), &some);
    stream.save_rule(rule(2, &nothing()));
    stream.says(TOOK_OVER, 1);
    stream.says(ROLLED_BACK, 1);
    stream.says("are dead letters, and before it were", 1);
    stream.has_rows(1_000);
    assert_eq!(stream.end().keys().copied().collect::<Vec<_>>(), [1, 2]);
}
