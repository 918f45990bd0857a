//! Kafka as Amazon MSK has it: who a client is, is told by a token that its AWS identity signed.
//!
//! The broker computes each signature again: `tests/services/iam`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::kafka::Topic;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::{Server, turn};
use pinhost_tests::{pinhost, table};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TIME: Duration = Duration::from_secs(60);

/// How long each identity lives that a process is given.
const LIFE: Duration = Duration::from_secs(8);

struct Scene {
    runtime: Runtime,
    folder: TempDir,
    broker: Server,
    topic: Topic,
}

impl Scene {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let broker = turn().kafka_with_iam();
        let topic = runtime.block_on(Topic::on(broker.said("KAFKA_BOOTSTRAP"), 2));
        let scene = Self { runtime, folder: TempDir::new().expect("a folder"), broker, topic };
        scene.write("us-east-1");
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A pipeline whose tokens are for brokers of this region.
    fn write(&self, region: &str) {
        let (brokers, ca) = (self.broker.said("KAFKA_IAM"), self.broker.said("KAFKA_CA"));
        let topic = &self.topic.name;
        let text = format!(
            "\
name: pins
source:
  kafka:
    brokers: '{brokers}'
    topics: [{topic}]
    tls: {{ ca: {ca} }}
    sasl: {{ mechanism: msk-iam, region: {region} }}
rule: {{ fields: {{ n: integer }} }}
sink: {{ sqlite: {{ path: pins.db, table: pins }} }}
unit: {{ time: 50ms }}
limits: {{ start_time: 5s, halt_time: 5s }}
"
        );
        fs::write(self.path().join("pins.yaml"), text).expect("a file");
    }

    /// What a process finds where the tools of AWS look: a program that gives it another temporary identity
    /// each time, whose id begins like this.
    fn identities(&self, prefix: &str, life: &str) -> [(&'static str, PathBuf); 3] {
        let program = self.path().join("identity");
        let text = format!(
            r#"#!/bin/sh
id={prefix}$(date +%s%N)
secret=$(printf 'secret of %s' "$id" | sha256sum | cut -d' ' -f1)
ends=$(($(date +%s) + {life}))
printf '{{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "%s", ' "$id" "$secret"
printf '"SessionToken": "until-%s", "Expiration": "%s"}}' "$ends" "$(date -u -d "@$ends" +%FT%TZ)"
"#
        );
        fs::write(&program, text).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
        let config = self.path().join("aws-config");
        let text = format!("[profile tests]\ncredential_process = {}\n", program.display());
        fs::write(&config, text).expect("a file");
        let nothing = self.path().join("aws-credentials");
        fs::write(&nothing, "").expect("a file");
        [
            ("AWS_PROFILE", "tests".into()),
            ("AWS_CONFIG_FILE", config),
            ("AWS_SHARED_CREDENTIALS_FILE", nothing),
        ]
    }

    fn send(&self, numbers: std::ops::Range<i64>) {
        for partition in 0..2 {
            let values =
                numbers.clone().map(|n| format!("{{\"n\": {}}}", 2 * n + i64::from(partition)));
            self.runtime.block_on(self.topic.send(partition, values));
        }
    }

    /// Runs until everything is read, or it is not let in.
    fn run(&self, environment: [(&'static str, PathBuf); 3]) -> Said {
        let mut command = command(pinhost!(), self.path());
        said(command.args(["run", "pins.yaml", "--until-end"]).envs(environment))
    }

    /// The broker's verdicts.
    fn verdicts(&self) -> Vec<String> {
        let log = Path::new(self.broker.said("KAFKA_DATA")).join("iam.log");
        let log = fs::read_to_string(log).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// When the identities were made that were let in, in nanoseconds.
    fn let_in(&self) -> Vec<u64> {
        let made = |verdict: &String| verdict.strip_prefix("accepted AKIA")?.parse().ok();
        self.verdicts().iter().filter_map(made).collect()
    }

    fn numbers(&self) -> Vec<i64> {
        let rows = table::sqlite(&self.path().join("pins.db"), "SELECT n FROM pins ORDER BY n");
        rows.iter().map(|row| row[0].as_i64().expect("a number")).collect()
    }
}

#[test]
fn tokens_are_renewed_before_their_identity_ends_and_the_stream_goes_on() {
    let scene = Scene::new();
    let life = LIFE.as_secs().to_string();
    let environment = scene.identities("AKIA", &life);
    scene.send(0..50);
    let process = Running::start_in(pinhost!(), scene.path(), &["pins.yaml"], &environment);
    let lives = || {
        let let_in = scene.let_in();
        let span = let_in.iter().max().unwrap_or(&0) - let_in.iter().min().unwrap_or(&0);
        Duration::from_nanos(span).div_duration_f64(LIFE)
    };
    let told = || format!("{:#?}\n{}", scene.verdicts(), process.log());
    for life in 1..=3 {
        wait_until(TIME, || lives() > f64::from(life), told);
        let from = 50 * i64::from(life);
        scene.send(from..from + 50);
        let is_there = || scene.path().join("pins.db").exists();
        wait_until(TIME, || is_there() && scene.numbers().len() as i64 == 2 * from + 100, told);
    }
    assert!(!process.log().contains("ERROR"), "{}", told());
    assert!(scene.verdicts().iter().all(|verdict| verdict.starts_with("accepted")), "{}", told());
    process.drain();
    assert_eq!(scene.numbers(), (0..400).collect::<Vec<_>>());
}

#[test]
fn who_is_not_let_in_hears_why() {
    let scene = Scene::new();
    scene.send(0..10);
    let refused = |said: &Said, why: &str| {
        assert_eq!(said.code, Some(3), "{said:#?}");
        assert!(said.stderr.contains("access_denied"), "{said:#?}");
        let verdicts = scene.verdicts();
        let last = verdicts.last().expect("the broker was asked");
        assert!(last.starts_with(&format!("refused {why}")), "{verdicts:#?}");
    };
    refused(&scene.run(scene.identities("AKIADENIED", "600")), "denied AKIADENIED");
    scene.write("eu-west-1");
    let elsewhere = scene.run(scene.identities("AKIA", "600"));
    refused(&elsewhere, "signed for kafka.eu-west-1.amazonaws.com");
    scene.write("us-east-1");
    let asked = scene.verdicts().len();
    let expired = scene.run(scene.identities("AKIA", "-60"));
    assert_eq!(expired.code, Some(3), "{expired:#?}");
    assert_eq!(scene.verdicts().len(), asked, "what is over is not sent: {expired:#?}");

    scene.run(scene.identities("AKIA", "600")).done();
    assert_eq!(scene.numbers(), (0..20).collect::<Vec<_>>());
}
