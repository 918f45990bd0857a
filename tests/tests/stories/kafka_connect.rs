//! A bucket that the S3 sink of Kafka Connect has written to, with keys and headers.

use std::fs;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::objects::Objects;
use pinhost_tests::services::s3;
use pinhost_tests::{pinhost, table};
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
    name: String,
    bucket: Objects,
}

const RULE: &str = "\
rule:
  fields:
    k: { type: text, from: $key, required: true }
    trace: { type: text, from: $headers.trace }
    n: { type: integer, required: true }
";

impl Scene {
    fn new() -> Self {
        let (name, bucket) = s3().bucket("connect");
        let scene = Self { folder: TempDir::new().expect("a folder"), name, bucket };
        let write = |file: &str, text: String| {
            fs::write(scene.folder.path().join(file), text).expect("a file");
        };
        write(
            "pins.yaml",
            format!(
                "name: pins\nsource: {{ objects: {{ url: '{}', settle: 1s }} }}\n{RULE}\
             sink: {{ sqlite: {{ path: pins.db, table: pins, key: [k] }} }}\n\
                 limits: {{ halt_time: 2s }}\n",
                scene.url(),
            ),
        );
        write(
            "stream.yaml",
            format!(
                "name: stream\nsource: {{ kafka: {{ brokers: '127.0.0.1:1', topics: [pin] }} }}\n{RULE}\
             sink: {{ sqlite: {{ path: stream.db, table: pins, key: [k] }} }}\n"
            ),
        );
        scene
    }

    fn url(&self) -> String {
        format!("s3://{}/topics/pin", self.name)
    }

    /// An object with so many records, the keys and the headers of which are in their own.
    fn put(&self, folder: &str, offset: u64, records: std::ops::Range<u64>) {
        let stem = format!("topics/pin/{folder}/pin+0+{offset:010}");
        let lines = |line: fn(u64) -> String| records.clone().map(line).collect::<String>();
        self.bucket.put(&format!("{stem}.json"), lines(|n| format!("{{\"n\":{n}}}\n")));
        self.bucket.put(&format!("{stem}.keys.json"), lines(|n| format!("\"key {n}\"\n")));
        let header =
            |n: u64| format!("{{\"headers\":[{{\"key\":\"trace\",\"value\":\"trace {n}\"}}]}}\n");
        self.bucket.put(&format!("{stem}.headers.json"), lines(header));
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = command(pinhost!(), self.folder.path());
        command.env("AWS_ENDPOINT_URL_S3", s3().endpoint());
        said(command.args(args).envs(s3().credentials()))
    }

    fn rows(&self, database: &str) -> Vec<String> {
        table::rows(&self.folder.path().join(database), "SELECT k, trace, n FROM pins ORDER BY n")
    }
}

fn rows(records: std::ops::Range<u64>) -> Vec<String> {
    records.map(|n| format!("\"key {n}\" | \"trace {n}\" | {n}")).collect()
}

#[test]
fn keys_and_headers_are_columns_and_a_folder_of_tombstones_is_left_out() {
    let scene = Scene::new();
    scene.put("partition=0", 0, 0..500);
    for n in 500..510 {
        scene.put("year=2024/month=01/day=02", n, n..n + 1);
    }
    scene.bucket.put("topics/pin/tombstone/pin+0+0000000510.keys.json", "\"key 3\"\n");
    let run = scene.run(&["run", "--until-end", "pins.yaml"]).done();
    assert_eq!(scene.rows("pins.db"), rows(0..510));
    for told in ["tombstone/pin+0+0000000510.keys.json", "are left out"] {
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    // What comes later finds its keys, too.
    scene.put("partition=0", 511, 511..520);
    scene.run(&["run", "--until-end", "pins.yaml"]).done();
    assert_eq!(scene.rows("pins.db"), [rows(0..510), rows(511..520)].concat());

    scene.run(&["replay", "stream.yaml", "--from", &scene.url()]).done();
    assert_eq!(scene.rows("stream.db"), scene.rows("pins.db"));
}

#[test]
fn avro_is_refused_with_the_way_out() {
    let scene = Scene::new();
    scene.put("partition=0", 0, 0..5);
    scene.bucket.put("topics/pin/partition=0/pin+0+0000000005.avro", "Obj\u{1}...");
    let halted = scene.run(&["run", "--until-end", "pins.yaml"]);
    assert_ne!(halted.code, Some(0), "{halted:#?}");
    for told in ["pin+0+0000000005.avro is Avro, which is not read", "format.class", "lanes move"] {
        assert!(halted.stderr.contains(told), "no {told} in\n{}", halted.stderr);
    }
    assert_eq!(scene.rows("pins.db"), rows(0..5));
}
