//! History goes through a rule again: `pinhost replay`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pinhost_tests::command::{Said, command, done_after_kills, said};
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
    scene.replay(&["--to", "other.yaml"]).done();
    assert_eq!(scene.rows("other.db"), live);

    scene.replay(&[]).done();
    assert_eq!(scene.rows("live.db"), live, "no row is newer than it was");
    let again = scene.replay(&[]).done();
    assert!(again.stderr.contains("nothing new to read"), "{}", again.stderr);
}

#[test]
fn a_replay_that_is_killed_goes_on() {
    let scene = Scene::new(UPSERTED);
    let began = Instant::now();
    scene.replay(&["--to", "other.yaml", "--run-id", "clean"]).done();
    let span = began.elapsed();
    fs::remove_file(scene.path().join("other.db")).expect("the database");
    let kills = done_after_kills(5, span, || {
        scene.command(&["replay", "live.yaml", "--from", "archive", "--to", "other.yaml"])
    });
    assert_eq!(scene.rows("other.db"), scene.rows("live.db"), "after {kills} kills");
    let read = "SELECT sum(read) FROM pinhost_lineage";
    let read = table::rows(&scene.path().join("other.db"), read);
    assert!(read[0].contains(&RECORDS.to_string()), "each record is read once: {read:?}");
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
    let read = |arguments: &[&str]| {
        let said = scene.replay(&[&["--to", "other.yaml"], arguments].concat()).done();
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
    };
    assert_eq!(read(&["--until", "1970-01-01T00:00:00Z"]), 0);
    let all = read(&["--since", "1970-01-01T00:00:00Z"]);
    assert_eq!(all, RECORDS);
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
    run(&["replay", "live.yaml", "--from", "old"]);
    let rows =
        table::rows(&folder.path().join("live.db"), "SELECT ind, title FROM pin ORDER BY ind");
    assert_eq!(rows.len(), 2);
    assert!(rows[0].contains("live") && rows[1].contains("old"), "{rows:?}");
}
