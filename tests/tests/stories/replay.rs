//! History goes through a rule again: `pinhost replay`.
//!
//! `PINHOST_KILLS=100` makes it the long version; `tests/soak` says more.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::kills::Kills;
use pinhost_tests::running::Running;
use pinhost_tests::{pinhost, table};
use tempfile::TempDir;

const RECORDS: u64 = 5_000;
/// Different values of `index`: each comes ten times.
const KEYS: u64 = 500;

struct Scene {
    folder: TempDir,
}

impl Scene {
    /// A pipeline that ran, and an archive of what it has read.
    fn new(table: &str) -> Self {
        let scene = Self { folder: TempDir::new().expect("a folder") };
        let source =
            format!("{{ generate: {{ profile: pin, count: {RECORDS}, keys: {KEYS}, seed: 3 }} }}");
        let rule = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/rules/pin.yaml");
        let rule = rule.display();
        let unit = "unit: { rows: 700, time: 50ms }";
        let write =
            |file: &str, text: String| fs::write(scene.path().join(file), text).expect("a file");
        for (file, name, database) in
            [("live.yaml", "live", "live.db"), ("other.yaml", "other", "other.db")]
        {
            write(
                file,
                format!(
                    "name: {name}\nsource: {source}\nrule: {rule}\nsink: {{ sqlite: {{ path: {database}, {table} }} }}\n{unit}\n"
                ),
            );
        }
        write(
            "archive.yaml",
            format!(
                "name: archive\nsource: {source}\nsink: {{ objects: {{ url: archive, compression: zstd }} }}\n{unit}\n"
            ),
        );
        scene.run(&["run", "live.yaml", "archive.yaml"]).done();
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(pinhost!(), self.path());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    fn replay(&self, arguments: &[&str]) -> Said {
        self.run(&[&["replay", "live.yaml", "--from", "archive"], arguments].concat())
    }

    /// How many records a replay into the other pipeline's table reads.
    fn read(&self, arguments: &[&str]) -> u64 {
        let said = self.replay(&[&["--to", "other.yaml"], arguments].concat()).done();
        let line = said.stderr.lines().find(|line| line.contains("records read"));
        let digits = |line: &str| {
            let count = line.trim_start().trim_start_matches("records read").trim_start();
            let count = count
                .split("  ")
                .next()
                .expect("a figure")
                .replace([',', ' ', '\u{202f}', '\u{a0}'], "");
            count.parse::<u64>().expect("a figure")
        };
        line.map_or(0, digits)
    }

    /// The rows with the versions that decided between them.
    fn rows(&self, database: &str) -> Vec<String> {
        table::rows(
            &self.path().join(database),
            "SELECT ind, title, follower_count, hex(_pinhost_version) FROM pin ORDER BY ind",
        )
    }
}

const UPSERTED: &str = "table: pin, key: [ind]";

#[test]
fn a_replay_gives_the_rows_that_the_stream_gave() {
    let scene = Scene::new(UPSERTED);
    let live = scene.rows("live.db");
    assert_eq!(live.len() as u64, KEYS, "there is something to compare");
    let said = scene.replay(&["--to", "other.yaml"]).done();
    assert_eq!(scene.rows("other.db"), live);
    let (_, id) = said.stderr.split_once("run id").expect("its name");
    let id = id.split_whitespace().next().expect("its name");
    assert!(
        said.stderr.contains(&format!("--run-id {id} --sink-of other.yaml")),
        "what to type next: {}",
        said.stderr
    );
    let letters =
        ["dead-letters", "live.yaml", "--run-id", id, "--sink-of", "other.yaml", "list", "--json"];
    let letters = scene.run(&[&letters[..], &["--limit", "10000"]].concat()).done();
    let lived = ["dead-letters", "live.yaml", "list", "--limit", "10000", "--json"];
    let ids = |said: &Said| {
        let id = |line: &str| {
            let letter: serde_json::Value = serde_json::from_str(line).expect("JSON");
            letter["id"].as_str().expect("an id").to_owned()
        };
        let mut ids: Vec<_> = said.stdout.lines().map(id).collect();
        ids.sort();
        ids
    };
    assert!(ids(&letters).len() > 10);
    assert_eq!(ids(&letters), ids(&scene.run(&lived).done()));

    scene.replay(&[]).done();
    assert_eq!(scene.rows("live.db"), live, "no row is newer than it was");
    let again = scene.replay(&[]).done();
    assert!(again.stderr.contains("nothing new to read"), "{}", again.stderr);

    let (_, id) = again.stderr.split_once("run id").expect("its name");
    let id = id.split_whitespace().next().expect("its name");
    let replayed = scene.run(&["lineage", "live.yaml", "--run-id", id]).done();
    assert!(replayed.stdout.contains("objects"), "{}", replayed.stdout);
}

impl Scene {
    /// Where the records of rows stand, and what made the rows; of some keys, or of all.
    fn made(&self, arguments: &[&str], keys: u64) -> Vec<(u64, String)> {
        let mut made = Vec::new();
        for ind in 0..keys {
            let which = format!("ind={ind}");
            let trace = [&["lineage"], arguments, &["--json", "--where", &which]].concat();
            let said = self.run(&trace);
            // The only record with this key may be a dead letter.
            if said.code == Some(1) {
                continue;
            }
            for row in said.done().json()["rows"].as_array().expect("rows") {
                let text = |key: &str| row[key].as_str().unwrap_or_default();
                made.push((text("record").parse().expect("a place"), text("generation").into()));
            }
        }
        made
    }

    /// What is written is another generation, or the first one again.
    fn is_another(&self, is_other: bool) {
        let file = self.path().join("live.yaml");
        let written = fs::read_to_string(&file).expect("UTF-8").replace(DEEP, "");
        let more = if is_other { DEEP } else { "" };
        fs::write(file, format!("{written}{more}")).expect("a file");
    }

    /// Where each range of the stream's lineage begins and ends, and of which generation it is.
    fn ranges(&self) -> Vec<(u64, u64, String)> {
        let lineage = self.run(&["lineage", "live.yaml", "--json"]).done().json();
        let ranges = lineage.as_array().expect("ranges").iter();
        let range = |range: &serde_json::Value| {
            let text = |key: &str| range[key].as_str().unwrap_or_default();
            let place = |key: &str| text(key).parse().expect("a place");
            (place("from"), place("to"), text("generation").to_owned())
        };
        ranges.map(range).collect()
    }
}

const DEEP: &str = "limits: { depth: 63 }\n";

#[test]
fn rows_that_a_replay_has_replaced_are_of_its_generation() {
    let scene = Scene::new("table: pin");
    let objects = fs::read_dir(scene.path().join("archive")).expect("a folder");
    let mut names: Vec<_> =
        objects.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| name.contains("--"));
    names.sort();
    scene.is_another(true);
    scene.replay(&["--replace", "--match", &names[1]]).done();

    let ranges = scene.ranges();
    let [(0, RECORDS, first), (from, to, second)] = &ranges[..] else { panic!("{ranges:?}") };
    assert!(first != second && 0 < *from && *to < RECORDS, "{ranges:?}");
    let made = scene.made(&["live.yaml"], 5);
    for (record, generation) in &made {
        let expected = if (from..to).contains(&record) { second } else { first };
        assert_eq!(generation, expected, "of record {record}: {ranges:?}");
    }
    for generation in [first, second] {
        assert!(made.iter().any(|(_, made)| made == generation), "{made:?}");
    }
    let told = scene.run(&["lineage", "live.yaml"]).done().stdout;
    assert!(told.contains("replayed"), "{told}");
    let told = scene.run(&["generations", "live.yaml"]).done().stdout;
    assert!(told.contains("replayed") && told.contains("5,000"), "{told}");
}

#[test]
fn whoever_made_a_row_last_has_made_it() {
    const AGAIN: u64 = 4_520;
    let scene = Scene::new(UPSERTED);
    scene.is_another(true);
    let said = scene.replay(&[]).done();
    let (_, id) = said.stderr.split_once("run id").expect("its name");
    let id = id.split_whitespace().next().expect("its name");
    let ranges = scene.ranges();
    let [(0, RECORDS, first), (0, RECORDS, second)] = &ranges[..] else { panic!("{ranges:?}") };
    let made = scene.made(&["live.yaml"], 5);
    assert!(made.len() > 2 && made.iter().all(|(_, made)| made == second), "{made:?}");
    assert_eq!(made, scene.made(&["live.yaml", "--run-id", id], 5));

    scene.is_another(false);
    let back = AGAIN.to_string();
    scene.run(&["lanes", "move", "live.yaml", "generate", "--to", &back, "--accept-gap"]).done();
    scene.run(&["run", "live.yaml"]).done();
    let made = scene.made(&["live.yaml"], 40);
    for (record, generation) in &made {
        assert_eq!(generation, if *record < AGAIN { second } else { first }, "of record {record}");
    }
    for generation in [first, second] {
        assert!(made.iter().any(|(_, made)| made == generation), "{made:?}");
    }

    // In another table it is the same.
    scene.replay(&["--to", "other.yaml", "--run-id", "there"]).done();
    let made = scene.made(&["live.yaml", "--run-id", "there", "--sink-of", "other.yaml"], 5);
    assert!(made.len() > 2 && made.iter().all(|(_, made)| made == first), "{made:?}");
}

#[test]
fn a_replay_that_is_killed_goes_on() {
    let scene = Scene::new(UPSERTED);
    let began = Instant::now();
    scene.replay(&["--to", "other.yaml", "--run-id", "clean"]).done();
    let span = began.elapsed();
    let live = scene.rows("live.db");
    let mut kills = Kills::new(5);
    while !kills.are_enough() {
        fs::remove_file(scene.path().join("other.db")).expect("the database");
        kills.until_done(span, || {
            scene.command(&["replay", "live.yaml", "--from", "archive", "--to", "other.yaml"])
        });
        assert_eq!(scene.rows("other.db"), live, "after {} kills", kills.done);
        let read = "SELECT sum(read) FROM pinhost_lineage";
        let read = table::rows(&scene.path().join("other.db"), read);
        assert!(read[0].contains(&RECORDS.to_string()), "each record is read once: {read:?}");
        println!("{} kills, {RECORDS} records are {} rows again", kills.done, live.len());
    }
}

#[test]
fn rows_are_not_appended_twice() {
    let scene = Scene::new("table: pin");
    scene.replay(&[]).refused(2, &["a replay would repeat them", "--to FILE"]);
    scene.replay(&["--dry-run"]).refused(2, &["a replay would repeat them"]);
    scene.replay(&["--to", "other.yaml"]).done();
    let count = |database| table::rows(&scene.path().join(database), "SELECT count(*) FROM pin");
    assert_eq!(count("live.db"), count("other.db"));
    scene.replay(&["--to", "other.yaml"]).done();
    assert_eq!(count("live.db"), count("other.db"), "the same replay twice changes nothing");

    // Another one of the same records.
    let another = ["--to", "other.yaml", "--until", "2200-01-01T00:00:00Z"];
    let refused = scene.replay(&another);
    let (_, id) = refused.stderr.split_once("--run-id ").expect("the way to go on");
    let id = id.split('`').next().expect("its end").to_owned();
    refused.refused(2, &["live.replay-", "a replay would repeat them"]);
    scene.replay(&[&another[..], &["--run-id", &id]].concat()).done();
    assert_eq!(count("live.db"), count("other.db"), "what it has read before is not new");
}

#[test]
fn rows_that_are_replaced_make_way_in_one_step_with_the_new_ones() {
    let scene = Scene::new("table: pin");
    let rows = || {
        let place = "CAST(_pinhost_position AS integer)";
        let query = format!("SELECT *, {place} FROM pin ORDER BY {place}");
        table::rows(&scene.path().join("live.db"), &query)
    };
    let spoil = || {
        let database = scene.path().join("live.db");
        table::change_sqlite(&database, "UPDATE pin SET title = 'spoilt' WHERE ind % 3 = 0");
    };
    let live = rows();
    spoil();
    assert_ne!(rows(), live);
    scene.replay(&["--replace"]).done();
    assert_eq!(rows(), live);
    let again = scene.replay(&["--replace"]).done();
    assert!(again.stderr.contains("nothing new to read"), "{}", again.stderr);

    let began = Instant::now();
    scene.replay(&["--dry-run", "--replace"]).done();
    let span = began.elapsed() * 2;
    let mut kills = Kills::new(4);
    for round in 0.. {
        if kills.are_enough() {
            break;
        }
        spoil();
        let id = format!("mended-{round}");
        kills.until_done(span, || {
            let replay = ["replay", "live.yaml", "--from", "archive", "--replace", "--run-id", &id];
            scene.command(&replay)
        });
        assert_eq!(rows(), live);
        println!("{} kills, {} rows are as they were", kills.done, live.len());
    }

    // Only what is read again makes way.
    table::change_sqlite(&scene.path().join("live.db"), "UPDATE pin SET title = 'spoilt'");
    let one = fs::read_dir(scene.path().join("archive")).expect("a folder");
    let mut names: Vec<_> =
        one.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| name.contains("--"));
    names.sort();
    scene.replay(&["--replace", "--match", &names[0]]).done();
    let spoilt = rows().iter().filter(|row| row.contains("spoilt")).count();
    assert!((1..live.len()).contains(&spoilt), "{spoilt} of {}", live.len());
    assert_eq!(rows().len(), live.len());
}

/// Issue 25, A1: 1,971 of 3,000 records stood twice.
#[test]
fn what_the_stream_has_not_read_yet_is_left_to_it() {
    const READ: u64 = 1_000;
    let scene = Scene::new("table: pin");
    let live = fs::read_to_string(scene.path().join("live.yaml")).expect("a file");
    let behind = live.replace("name: live", "name: behind").replace("live.db", "behind.db");
    let write = |more: &str| {
        let text = behind.replace(&format!("count: {RECORDS}"), more);
        fs::write(scene.path().join("behind.yaml"), text).expect("a file");
    };
    let rows = |database: &str| {
        let place = "CAST(_pinhost_position AS integer)";
        let query = format!("SELECT ind, title, {place} FROM pin ORDER BY {place}");
        table::rows(&scene.path().join(database), &query)
    };
    let replay = |id: &str| {
        let replay = ["replay", "behind.yaml", "--from", "archive", "--replace", "--run-id", id];
        scene.run(&replay).done().stderr
    };
    write(&format!("count: {READ}"));
    scene.run(&["run", "behind.yaml"]).done();
    let before = rows("behind.db");
    write(&format!("count: {RECORDS}"));
    let told = replay("behind");
    assert!(told.contains("4,000") && told.contains("has not read them yet"), "{told}");
    assert_eq!(rows("behind.db"), before);

    // While both run, and whoever is ahead.
    write(&format!("count: {RECORDS}, rate: 1500"));
    let mut stream = Running::start(pinhost!(), scene.path(), &["behind.yaml"]);
    let mut replays = 0;
    while stream.has_ended().is_none() {
        replay(&format!("beside-{replays}"));
        replays += 1;
    }
    stream.done(Duration::from_secs(60));
    assert!(replays > 0);
    assert_eq!(rows("behind.db"), rows("live.db"));
    let told = replay("ahead");
    assert!(!told.contains("has not read them yet"), "{told}");
    assert_eq!(rows("behind.db"), rows("live.db"));
}

#[test]
fn rows_of_another_pipeline_in_the_same_table_stay() {
    let scene = Scene::new("table: pin");
    // It reads the same lane at the same places, and writes into the same table.
    let live = fs::read_to_string(scene.path().join("live.yaml")).expect("a file");
    fs::write(scene.path().join("twin.yaml"), live.replace("name: live", "name: twin"))
        .expect("a file");
    scene.run(&["run", "twin.yaml"]).done();
    let rows = |pipeline: &str| {
        let query = format!("SELECT count(*) FROM pin WHERE _pinhost_lane = '{pipeline}/generate'");
        table::rows(&scene.path().join("live.db"), &query)
    };
    let (live, twin) = (rows("live"), rows("twin"));
    assert_eq!(live, twin);
    scene.replay(&["--replace"]).done();
    assert_eq!((rows("live"), rows("twin")), (live, twin));

    // Rows of an older pinhost name their lane alone: nobody knows which pipeline they are of.
    let database = scene.path().join("live.db");
    let older = "UPDATE pin SET _pinhost_lane = 'generate', _pinhost_generation = NULL";
    table::change_sqlite(&database, older);
    let all = "SELECT count(*) FROM pin";
    let before = table::rows(&database, all);
    let live = fs::read_to_string(scene.path().join("live.yaml")).expect("a file");
    fs::write(scene.path().join("live.yaml"), format!("{live}limits: {{ start_time: 2s }}\n"))
        .expect("a file");
    scene.replay(&["--replace", "--run-id", "older"]).refused(
        3,
        &["do not say which pipeline they are of", "SET _pinhost_lane = 'live/generate'"],
    );
    assert_eq!(table::rows(&database, all), before);
}

#[test]
fn what_cannot_be_replaced_is_said() {
    let scene = Scene::new("table: pin");
    fs::create_dir(scene.path().join("plain")).expect("a folder");
    fs::write(scene.path().join("plain/a.json"), "{}").expect("a file");
    scene
        .run(&["replay", "live.yaml", "--from", "plain", "--replace"])
        .refused(2, &["here is no index", "--overwrite"]);
    scene
        .replay(&["--to", "archive.yaml", "--replace"])
        .refused(2, &["objects keeps them", "--to"]);

    let rule = fs::read_to_string(scene.path().join("live.yaml")).expect("a file");
    let bare = rule.replace("name: live", "name: bare").replace("live.db", "bare.db");
    let bare = bare.replace("table: pin", "table: pin, provenance: false");
    fs::write(scene.path().join("bare.yaml"), bare).expect("a file");
    let quick = rule.replace("unit:", "limits: { start_time: 100ms }\nunit:");
    fs::write(scene.path().join("live.yaml"), quick).expect("a file");
    scene.replay(&["--to", "bare.yaml", "--replace"]).refused(3, &["_pinhost_lane"]);
}

#[test]
fn another_plugin_takes_the_place_of_one_that_a_step_names() {
    let scene = Scene::new(UPSERTED);
    let tags = pinhost::plugin::standard::find("tags").expect("it comes with pinhost");
    fs::write(scene.path().join("new.wasm"), &**tags.bytes()).expect("a file");
    scene.replay(&["--to", "other.yaml", "--plugin", "follower-count=new.wasm"]).done();
    let query = "SELECT follower_count FROM pin WHERE follower_count IS NOT NULL";
    let rows = table::rows(&scene.path().join("other.db"), query);
    assert!(rows.len() > 100 && rows.iter().all(|row| row.contains('[')), "{rows:?}");

    let refused = scene.replay(&["--plugin", "folower-count=new.wasm"]);
    refused.refused(2, &["no step is called `folower-count`", "did you mean `follower-count`?"]);
    scene
        .replay(&["--plugin", "tags=old.wasm"])
        .refused(2, &["old.wasm cannot be read", "beside it there is new.wasm"]);
    scene.replay(&["--plugin", "tags"]).refused(2, &["STEP=FILE"]);
}

#[test]
fn a_dry_run_says_what_would_be_read() {
    let scene = Scene::new(UPSERTED);
    let told = scene.replay(&["--to", "other.yaml", "--dry-run"]).done();
    for line in ["live from archive", "objects", "run id", "exactly once"] {
        assert!(told.stdout.contains(line), "no {line:?} in\n{}", told.stdout);
    }
    assert!(!scene.path().join("other.db").exists());
    let same = scene.replay(&["--to", "other.yaml", "--dry-run"]).done();
    assert_eq!(told.stdout, same.stdout);
    let none = scene.replay(&["--to", "other.yaml", "--dry-run", "--match", "*.xml"]).done();
    assert!(none.stdout.contains("there are none"), "{}", none.stdout);
}

#[test]
fn only_records_of_a_time_are_read() {
    let scene = Scene::new(UPSERTED);
    let read = |arguments: &[&str]| scene.read(arguments);
    assert_eq!(read(&["--until", "1970-01-01T00:00:00Z"]), 0);
    let all = read(&["--since", "1970-01-01T00:00:00Z"]);
    assert_eq!(all, RECORDS);
}

#[test]
fn only_records_that_one_generation_has_cleaned_are_read() {
    let scene = Scene::new(UPSERTED);
    let written = fs::read_to_string(scene.path().join("live.yaml")).expect("UTF-8");
    let other = format!("{written}limits: {{ depth: 63 }}\n");
    fs::write(scene.path().join("live.yaml"), other).expect("a file");
    scene.run(&["lanes", "move", "live.yaml", "generate", "--to", "2000", "--accept-gap"]).done();
    scene.run(&["run", "live.yaml"]).done();
    let lineage = scene.run(&["lineage", "live.yaml", "--json"]).done().json();
    let generations: Vec<_> = lineage
        .as_array()
        .expect("ranges")
        .iter()
        .filter_map(|range| range["generation"].as_str())
        .collect();
    let [first, second] = generations[..] else { panic!("{lineage}") };
    assert_eq!(scene.read(&["--cleaned-by", &second[..12]]), RECORDS - 2_000);
    assert_eq!(scene.read(&["--cleaned-by", first]), RECORDS);
    let unknown = scene.replay(&["--to", "other.yaml", "--cleaned-by", "0123"]);
    unknown.refused(2, &["no generation `0123` of pipeline live", "pinhost generations"]);
}

#[test]
fn records_of_an_unknown_time_only_fill_in_rows_that_are_missing() {
    let folder = TempDir::new().expect("a folder");
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("posts/a.json", r#"{"ind": 1, "title": "live"}"#);
    write("old/a.json", r#"{"ind": 2, "title": "old"}"#);
    write("old/b.json", r#"{"ind": 1, "title": "old"}"#);
    write(
        "live.yaml",
        "name: live
source: { objects: { url: posts, settle: 0s } }
rule: { fields: { ind: integer, title: text } }
sink: { sqlite: { path: live.db, table: pin, key: [ind] } }
",
    );
    let run = |arguments: &[&str]| said(command(pinhost!(), folder.path()).args(arguments)).done();
    run(&["run", "--until-end", "live.yaml"]);
    let plain = run(&["replay", "live.yaml", "--from", "old", "--run-id", "plain"]).stderr;
    let undated = plain.lines().find(|line| line.trim_start().starts_with("undated"));
    let undated = undated.expect("rows that stayed have a count of their own");
    assert!(undated.contains(" 1 ") && undated.contains("`--overwrite`"), "{plain}");
    assert!(!plain.contains("superseded"), "nothing was newer: {plain}");
    let rows = || {
        let query = "SELECT ind, title, _pinhost_lane, _pinhost_position FROM pin ORDER BY ind";
        table::rows(&folder.path().join("live.db"), query)
    };
    assert_eq!(
        rows(),
        [
            r#"1 | "live" | "live/objects" | "0.0.0""#,
            r#"2 | "old" | "live.replay-plain/objects" | "0.0.0""#
        ]
    );
    run(&["replay", "live.yaml", "--from", "old", "--overwrite", "--run-id", "again"]);
    assert_eq!(
        rows(),
        [
            r#"1 | "old" | "live.replay-again/objects" | "0.1.0""#,
            r#"2 | "old" | "live.replay-again/objects" | "0.0.0""#
        ]
    );
}
