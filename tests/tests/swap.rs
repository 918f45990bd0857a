//! Rules that are changed while their pipeline runs: what is good takes over, what is not goes, and every row
//! is one generation's (invariants 1, 4, 5 and 7).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::guests;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::{pinhost, table};
use serde_json::{Value, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// What records say before the part that rows keep: how much of it a rule takes away marks its generation.
const PREFIX: &str = "Local save in /data/";

/// A pipeline that runs, and its rule.
struct Stream {
    folder: TempDir,
    running: Running,
    /// The rule's mark, and what the hostile step does.
    rule: Value,
}

/// A rule whose rows are marked: so many characters of the prefix are gone.
fn rule(mark: usize, step: Value) -> Value {
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
        let folder = TempDir::new().expect("a folder");
        fs::copy(guests::hostile(), folder.path().join("odd.wasm")).expect("a copy");
        let pipeline = format!(
            "name: pins\nsource: {{ generate: {{ profile: pin, {source} }} }}\nrule: rule.yaml\n\
             sink: {{ sqlite: {{ path: pins.db, table: pin }} }}\nunit: {{ time: 100ms }}\n\
             limits: {limits}\n"
        );
        fs::write(folder.path().join("pins.yaml"), pipeline).expect("a file");
        let rule = rule(1, nothing());
        fs::write(folder.path().join("rule.yaml"), rule.to_string()).expect("a file");
        let running = Running::start(pinhost!(), folder.path(), &["pins.yaml"]);
        let stream = Self { folder, running, rule };
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
        let Self { folder, running, rule: _ } = self;
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
        stream.save_rule(rule(mark, nothing()));
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
