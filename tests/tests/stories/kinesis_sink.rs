//! Into a Kinesis stream: at least once, in the order of each key, with a ledger beside it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use pinhost_tests::command::{Said, command, said};
use pinhost_tests::http_proxy::{Fate, HttpProxy};
use pinhost_tests::kinesis::{CREDENTIALS, Stream};
use pinhost_tests::pinhost;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::kinesis;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TIME: Duration = Duration::from_secs(60);
const RECORDS: usize = 600;
const KEYS: usize = 40;

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("a file");
}

fn run(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(args).envs(CREDENTIALS))
}

/// Posts of so many keys, numbered; some are no posts.
fn input(folder: &Path) {
    let line = |n: usize| match n % 100 {
        7 => "no post\n".to_owned(),
        _ => format!("{}\n", json!({ "k": format!("key {}", n % KEYS), "n": n })),
    };
    let posts = folder.join("posts");
    fs::create_dir(&posts).expect("a folder");
    write(&posts, "posts.ndjson", &(0..RECORDS).map(line).collect::<String>());
}

fn pipeline(folder: &Path, stream: &Stream, endpoint: &str) {
    let name = &stream.name;
    let pipeline = format!(
        "\
name: posts
source: {{ objects: {{ url: ./posts/, settle: 0s }} }}
rule:
  fields:
    k: {{ type: text, required: true }}
    n: {{ type: integer, required: true }}
sink: {{ kinesis: {{ stream: {name}, key: k, aws: {{ endpoint: '{endpoint}' }} }} }}
ledger: {{ sqlite: {{ path: ledger.db }} }}
unit: {{ rows: 50, time: 20ms }}
"
    );
    write(folder, "p.yaml", &pipeline);
}

/// What is in the stream: `k` and `n`, of each shard in its order.
fn rows(runtime: &Runtime, stream: &Stream) -> Vec<(String, i64)> {
    let records = runtime.block_on(stream.records());
    let row = |(key, data): (String, Vec<u8>)| {
        let row: Value = serde_json::from_slice(&data).expect("JSON");
        assert_eq!(row["k"], key.as_str(), "the partition key is the column");
        (key, row["n"].as_i64().expect("a number"))
    };
    records.into_iter().map(row).collect()
}

/// Each at least once; without what was repeated, each key in its order.
fn is_sound(rows: &[(String, i64)], most_repeated: usize) {
    let expected: Vec<i64> = (0..RECORDS as i64).filter(|n| n % 100 != 7).collect();
    let mut found: Vec<i64> = rows.iter().map(|(_, n)| *n).collect();
    found.sort_unstable();
    let all = found.len();
    found.dedup();
    assert_eq!(found, expected);
    let repeated = all - found.len();
    println!("{repeated} of {all} were repeated");
    assert!(repeated <= most_repeated, "{repeated}");
    for key in (0..KEYS).map(|key| format!("key {key}")) {
        let of_key = rows.iter().filter(|(k, _)| *k == key).map(|(_, n)| *n);
        let mut newest = i64::MIN;
        let mut first = of_key.filter(|n| {
            let is_new = *n > newest;
            newest = newest.max(*n);
            is_new
        });
        // What comes first of each number is in order, and nothing is left out.
        let expected = expected.iter().filter(|n| **n as usize % KEYS == first_key(&key));
        assert!(expected.copied().all(|n| first.next() == Some(n)), "{key} is out of order");
    }
}

fn first_key(key: &str) -> usize {
    key.trim_start_matches("key ").parse().expect("a number")
}

#[test]
fn rows_are_put_in_the_order_of_their_key_and_letters_are_kept() {
    let runtime = Runtime::new().expect("a runtime");
    let stream = runtime.block_on(Stream::on(kinesis(), 2));
    let folder = TempDir::new().expect("a folder");
    input(folder.path());
    pipeline(folder.path(), &stream, kinesis());
    let checked = run(folder.path(), &["check", "p.yaml"]).done();
    assert!(checked.stdout.contains("at least once"), "{checked:?}");
    run(folder.path(), &["run", "--until-end", "p.yaml"]).done();
    is_sound(&rows(&runtime, &stream), 0);
    let lineage = run(folder.path(), &["lineage", "p.yaml", "--json"]).done().json();
    let ranges = lineage.as_array().expect("ranges").iter();
    assert_eq!(ranges.map(|range| range["dead"].as_u64().unwrap_or(0)).sum::<u64>(), 6);
    run(folder.path(), &["dead-letters", "p.yaml", "list"]).done();
    // Another run has nothing to do: the ledger knows.
    run(folder.path(), &["run", "--until-end", "p.yaml"]).done();
    is_sound(&rows(&runtime, &stream), 0);
}

#[test]
fn a_service_in_trouble_repeats_a_little_and_reorders_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let stream = runtime.block_on(Stream::on(kinesis(), 2));
    let proxy = HttpProxy::start(kinesis(), |number, _| {
        const THROTTLED: &str =
            r#"{"__type":"ProvisionedThroughputExceededException","message":"slow"}"#;
        match Rng::with_seed(number as u64).u32(..100) {
            0..5 => Fate::Refused,
            5..10 => Fate::Denied,
            10..13 => Fate::Cut,
            13..23 => Fate::Answered(400, THROTTLED),
            _ => Fate::Passes,
        }
    });
    let folder = TempDir::new().expect("a folder");
    input(folder.path());
    pipeline(folder.path(), &stream, &proxy.endpoint);
    let start =
        || Running::start_in(pinhost!(), folder.path(), &["--until-end", "p.yaml"], &CREDENTIALS);
    let mut process = start();
    wait_until(TIME, || !runtime.block_on(stream.records()).is_empty(), || process.log());
    process.kill();
    start().done(TIME);
    assert!(proxy.harmed() > 0);
    is_sound(&rows(&runtime, &stream), RECORDS);
}
