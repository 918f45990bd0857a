//! Pipelines on buckets: a real S3-compatible server, over HTTP.
//!
//! `PINHOST_KILLS=100` makes it the long version; `tests/soak` says more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::http_proxy::{Fate, HttpProxy, lot};
use pinhost_tests::kills::Kills;
use pinhost_tests::objects::Objects;
use pinhost_tests::services::{S3, s3};
use pinhost_tests::{pinhost, table};
use serde_json::Value;
use tempfile::TempDir;

const RECORDS: u64 = 3_000;

/// A folder to run in, and a bucket.
struct Scene {
    folder: TempDir,
    name: String,
    bucket: Objects,
    s3: &'static S3,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (name, bucket) = s3().bucket(name);
        Self { folder, name, bucket, s3: s3() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Asks for the bucket through something that gets in between.
    fn write_through(&self, proxy: &HttpProxy, file: &str, text: &str) {
        self.write(file, text);
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).expect("it was written");
        fs::write(path, text.replace(self.s3.endpoint(), &proxy.endpoint)).expect("a file");
    }

    /// Writes a pipeline file. In it `$S3` stands for what leads to the bucket.
    fn write(&self, file: &str, text: &str) {
        let Self { name, .. } = self;
        let s3 = format!("url: s3://{name}/pins, s3: {{ endpoint: \"{}\" }}", self.s3.endpoint());
        let rule = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/rules/pin.yaml");
        let text = text.replace("$S3", &s3).replace("$RULE", &rule.display().to_string());
        fs::write(self.path().join(file), text).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(pinhost!(), self.path());
        command.args(arguments).envs(self.s3.credentials());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// What somebody sees who lists everything and knows nothing of pinhost.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        data(&self.bucket)
    }

    fn lines(&self) -> Vec<String> {
        lines(self.objects())
    }
}

fn data(objects: &Objects) -> BTreeMap<String, Vec<u8>> {
    let mut objects = objects.below("");
    objects.retain(|key, _| !key.contains("_pinhost/"));
    objects
}

/// All lines of all objects, in the order of their keys.
fn lines(objects: BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let lines = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    objects.into_values().flat_map(lines).collect()
}

fn generate(sink: &str) -> String {
    format!(
        "name: pins
source: {{ generate: {{ profile: pin, count: {RECORDS}, seed: 7 }} }}
rule: $RULE
sink: {sink}
unit: {{ rows: 700, time: 50ms }}
"
    )
}

fn is_row(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|row| row.get("ind").is_some())
}

#[test]
fn rows_are_written_to_a_bucket_and_read_back_once() {
    let scene = Scene::new("there-and-back");
    scene.write("out.yaml", &generate("{ objects: { $S3 } }"));
    scene.write("same.yaml", &generate("{ objects: { url: same } }"));
    scene.run(&["run", "out.yaml"]).done();
    scene.run(&["run", "same.yaml"]).done();
    let lines = scene.lines();
    assert!(lines.len() > 2_000 && lines.iter().all(|line| is_row(line)), "{}", lines.len());
    let folder = Objects::in_folder(&scene.path().join("same"));
    assert_eq!(lines, self::lines(data(&folder)));

    scene.write(
        "in.yaml",
        "name: back
source: { objects: { $S3 } }
rule: { fields: { ind: integer, title: text } }
sink: { sqlite: { path: back.db, table: pin } }
",
    );
    let count = || {
        let rows = table::rows(&scene.path().join("back.db"), "SELECT count(*) FROM pin");
        rows[0].trim_matches('|').to_owned()
    };
    scene.run(&["run", "--until-end", "in.yaml"]).done();
    assert_eq!(count(), lines.len().to_string());
    scene.run(&["run", "--until-end", "in.yaml"]).done();
    assert_eq!(count(), lines.len().to_string(), "nothing is new");
    // Its key comes first, and it comes last.
    let late = generate("{ objects: { $S3 } }").replace("name: pins", "name: a-late-one");
    scene.write("late.yaml", &late.replace(&format!("count: {RECORDS}"), "count: 1"));
    scene.run(&["run", "late.yaml"]).done();
    scene.run(&["run", "--until-end", "in.yaml"]).done();
    assert_eq!(count(), (lines.len() + 1).to_string(), "only what is new is read");
}

#[test]
fn parquet_is_written_to_a_bucket() {
    let scene = Scene::new("parquet");
    let sink = "{ objects: { $S3, format: parquet, partition_by: [category] } }";
    scene.write("out.yaml", &generate(sink));
    scene.run(&["run", "out.yaml"]).done();
    let objects = scene.objects();
    assert!(objects.len() > 5);
    for (key, bytes) in objects {
        assert!(key.starts_with("pins/category=") && key.ends_with(".parquet"), "{key}");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{key}");
    }
}

/// Invariants 1 to 4.
#[test]
fn a_pipeline_that_is_killed_leaves_in_a_bucket_what_a_clean_run_leaves() {
    let scene = |name: &str| {
        let scene = Scene::new(name);
        scene.write("out.yaml", &generate("{ objects: { $S3 } }"));
        scene
    };
    let clean = scene("clean");
    let began = Instant::now();
    clean.run(&["run", "out.yaml"]).done();
    let span = began.elapsed();
    let left = clean.lines();
    let mut kills = Kills::new(8);
    for round in 0.. {
        if kills.are_enough() {
            break;
        }
        let killed = scene(&format!("killed-{round}"));
        kills.until_done(span, || killed.command(&["run", "out.yaml"]));
        assert_eq!(killed.lines(), left, "after {} kills", kills.done);
        println!("{} kills, {RECORDS} records are the same {} rows", kills.done, left.len());
    }
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_with_advice() {
    let scene = Scene::new("refused");
    let quick = |text: String| text + "limits: { start_time: 100ms }\n";
    let source = |url: &str, endpoint: &str| {
        quick(format!(
            "name: in
source: {{ objects: {{ url: \"{url}\", s3: {{ endpoint: \"{endpoint}\", region: us-east-1 }} }} }}
sink: {{ stdout: {{}} }}
"
        ))
    };
    let here = scene.s3.endpoint();

    scene.write(
        "missing.yaml",
        &quick(generate("{ objects: { $S3 } }")).replace(
            "$S3",
            &format!("url: s3://no-such-bucket/pins, s3: {{ endpoint: \"{here}\" }}"),
        ),
    );
    let missing = ["s3://no-such-bucket/pins: NoSuchBucket", "make the bucket"];
    scene.run(&["run", "missing.yaml"]).refused(3, &missing);
    scene.write("missing_source.yaml", &source("s3://no-such-bucket", here));
    scene.run(&["run", "--until-end", "missing_source.yaml"]).refused(3, &missing[1..]);

    scene.write("denied.yaml", &quick(generate("{ objects: { $S3 } }")));
    let mut denied = scene.command(&["run", "denied.yaml"]);
    let denied = said(denied.env("AWS_SECRET_ACCESS_KEY", "another"));
    assert!(
        !denied.stderr.contains("AWS4-HMAC"),
        "what was signed is nobody's business: {denied:?}"
    );
    denied.refused(3, &["SignatureDoesNotMatch", "AWS_PROFILE"]);

    let mut nobody = scene.command(&["run", "denied.yaml"]);
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    nobody.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", scene.path());
    said(&mut nobody).refused(3, &["no credentials", "AWS_PROFILE"]);

    scene.write("silent.yaml", &source("s3://pins", "http://127.0.0.1:1"));
    let silent = ["cannot list the objects of s3://pins", "refused", "endpoint"];
    scene.run(&["run", "--until-end", "silent.yaml"]).refused(3, &silent);

    scene.write("plain.yaml", &source("s3://pins", "http://storage.example.com"));
    scene.run(&["check", "plain.yaml"]).refused(2, &["plain.yaml:2", "allow_http: true"]);
    scene.write("from_outside.yaml", &generate("{ objects: { url: s3://pins } }"));
    let mut outside = scene.command(&["run", "from_outside.yaml"]);
    outside
        .env("AWS_ENDPOINT_URL_S3", "http://storage.example.com")
        .env("AWS_REGION", "eu-north-1");
    said(&mut outside).refused(3, &["without encryption", "allow_http"]);
}

#[test]
fn credentials_come_from_a_profile_or_a_process() {
    let scene = Scene::new("profiles");
    let [(_, id), (_, secret)] = scene.s3.credentials();
    let json = format!(r#"{{"Version": 1, "AccessKeyId": "{id}", "SecretAccessKey": "{secret}"}}"#);
    fs::write(scene.path().join("credentials.json"), json).unwrap();
    let config = format!(
        "[profile keys]
aws_access_key_id = {id}
aws_secret_access_key = {secret}
region = us-east-1
endpoint_url = {}
[profile process]
credential_process = cat {}
region = us-east-1
endpoint_url = {0}
",
        scene.s3.endpoint(),
        scene.path().join("credentials.json").display()
    );
    fs::write(scene.path().join("config"), config).unwrap();
    for profile in ["keys", "process"] {
        let sink = format!("{{ objects: {{ url: s3://{}/{profile} }} }}", scene.name);
        scene.write("out.yaml", &generate(&sink));
        let mut command = command(pinhost!(), scene.path());
        command.args(["run", "out.yaml"]).env("AWS_PROFILE", profile);
        command.env("AWS_CONFIG_FILE", scene.path().join("config"));
        said(&mut command).done();
        assert!(!scene.bucket.below(profile).is_empty(), "{profile}");
    }
}

#[test]
fn an_archive_in_a_bucket_is_replayed() {
    let scene = Scene::new("archive");
    let table = |file: &str| format!("{{ sqlite: {{ path: {file}, table: pin, key: [ind] }} }}");
    scene.write("live.yaml", &generate(&table("live.db")));
    let archive = generate("{ objects: { $S3, compression: gzip } }").replace("rule: $RULE\n", "");
    scene.write("archive.yaml", &archive.replace("name: pins", "name: archive"));
    scene.write("other.yaml", &generate(&table("other.db")).replace("name: pins", "name: other"));
    scene.run(&["run", "live.yaml", "archive.yaml"]).done();
    let indexes = scene.bucket.below("pins/_pinhost/archive/index");
    assert_eq!(indexes.len(), scene.objects().len());

    let (endpoint, from) = (scene.s3.endpoint(), format!("s3://{}/pins", scene.name));
    let replay = ["replay", "live.yaml", "--from", &from, "--to", "other.yaml"];
    scene.run(&[&replay[..], &["--endpoint", endpoint]].concat()).done();
    let rows = |file: &str| {
        let query = "SELECT ind, title, hex(_pinhost_version) FROM pin ORDER BY ind";
        table::rows(&scene.path().join(file), query)
    };
    assert_eq!(rows("other.db"), rows("live.db"));
}

#[test]
fn whatever_becomes_of_requests_rows_are_there_once_and_in_order() {
    let (clean, harmed) = (Scene::new("unharmed"), Scene::new("harmed"));
    let proxy = HttpProxy::start(s3().endpoint(), |number, head| {
        let is_commit = head.to_ascii_lowercase().contains("if-none-match");
        match (lot(number), is_commit) {
            (0..4, _) => Fate::Refused,
            (4..7, _) | (7..14, true) => Fate::Cut,
            (14..18, _) | (18..25, true) => Fate::Denied,
            _ => Fate::Passes,
        }
    });
    let many = generate("{ objects: { $S3 } }") + "limits: { start_time: 10m, halt_time: 10m }\n";
    let many = many.replace(&format!("count: {RECORDS}"), "count: 6000");
    clean.write("out.yaml", &many);
    harmed.write_through(&proxy, "out.yaml", &many);
    clean.run(&["run", "out.yaml"]).done();
    harmed.run(&["run", "out.yaml"]).done();
    assert_eq!(clean.lines(), harmed.lines());
    assert!(proxy.harmed() > 10, "{} requests were harmed", proxy.harmed());
}
