//! Killed at any moment and started again, a pipeline leaves what one clean run leaves (invariants 1 to 4).
//!
//! `PINHOST_KILLS=200 cargo test --release -p pinhost-tests --test stories kill::` is the long version.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pinhost_tests::command::{command, said};
use pinhost_tests::kills::Kills;
use pinhost_tests::{pinhost, table};
use tempfile::TempDir;

const RECORDS: u64 = 20_000;

/// Different values of `index`, in the pipeline that upserts: each comes ten times.
const KEYS: u64 = 2_000;

/// A pipeline whose units are small, so that there is always one in the making.
fn write_pipeline(folder: &Path, sink: &str, seed: u64) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rule = repository.join("pipelines/rules/pin.yaml");
    let rule = rule.display();
    let text = format!(
        "\
name: pins
source: {{ generate: {{ profile: pin, count: {RECORDS}, keys: {KEYS}, seed: {seed} }} }}
rule: {rule}
sink: {sink}
unit: {{ rows: 700, time: 50ms }}
"
    );
    fs::write(folder.join("pipeline.yaml"), text).expect("a file");
}

fn run(folder: &Path) -> Command {
    let mut command = command(pinhost!(), folder);
    command.args(["run", "pipeline.yaml"]);
    command
}

/// Runs it undisturbed; says how long that took.
fn run_clean(folder: &Path) -> Duration {
    let began = Instant::now();
    said(&mut run(folder)).done();
    began.elapsed()
}

/// Kills pipelines into `sink` until it is enough, and compares what each leaves with a clean run.
fn prove(sink: &str, left: fn(&Path) -> Vec<String>) {
    let mut kills = Kills::new(5);
    while !kills.are_enough() {
        let data = kills.random.u64(..1_000);
        let (clean, killed) = (folder(), folder());
        write_pipeline(clean.path(), sink, data);
        write_pipeline(killed.path(), sink, data);
        let span = run_clean(clean.path());
        kills.until_done(span, || run(killed.path()));
        let (expected, found) = (left(clean.path()), left(killed.path()));
        assert!(expected.len() > 1_000, "there is something to compare");
        compare(&expected, &found);
        println!("{} kills, {} lines the same", kills.done, expected.len());
    }
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

#[track_caller]
fn compare(expected: &[String], found: &[String]) {
    for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(expected, found, "line {at}");
    }
    assert_eq!(expected.len(), found.len(), "rows were lost or repeated");
}

/// Everything of a database that does not tell when or how often something was tried.
fn database(folder: &Path) -> Vec<String> {
    let open = |query| table::rows(&folder.join("pins.db"), query);
    let mut left = open("SELECT * FROM pin ORDER BY rowid");
    left.extend(open(
        "SELECT id, lane, position, hex(value), step, reason, detail, generation, state \
         FROM pinhost_dead_letter ORDER BY id",
    ));
    left.extend(open(
        "SELECT lane, min(\"from\"), sum(read), sum(stored), sum(superseded), sum(dropped), sum(dead), \
         sum(read) = sum(stored) + sum(superseded) + sum(dropped) + sum(dead) \
         FROM pinhost_lineage GROUP BY lane",
    ));
    left.extend(open("SELECT lane, position FROM pinhost_position"));
    left
}

#[test]
fn rows_appended_to_sqlite_are_there_once_and_in_order() {
    prove("{ sqlite: { path: pins.db, table: pin } }", database);
}

#[test]
fn rows_upserted_into_sqlite_are_the_newest_ones() {
    prove("{ sqlite: { path: pins.db, table: pin, key: [ind] } }", |folder| {
        let mut left = table::rows(&folder.join("pins.db"), "SELECT * FROM pin ORDER BY ind");
        left.extend(
            database(folder).into_iter().filter(|line| line.contains("generate")).skip(left.len()),
        );
        left
    });
}

/// The rows of all objects, in the order of their keys: that of the lane.
fn objects(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder.join("pins"))
        .expect("the folder of the sink")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "ndjson"))
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("UTF-8"));
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn rows_written_as_objects_are_there_once_and_in_order() {
    prove("{ objects: { url: pins } }", objects);
}
