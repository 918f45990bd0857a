//! Processes of one group, and whatever happens to them at random for as long as somebody likes: they are killed,
//! stopped and continued, asked to end; their rule is edited, well and badly; their sink and, in the long version,
//! their brokers are away for a while. An oracle knows every record.
//!
//! `PINHOST_SOAK=3600` (seconds) makes it the long version; `tests/soak` says more.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use pinhost_tests::command::{command, said};
use pinhost_tests::http_proxy::{Fate, HttpProxy, lot};
use pinhost_tests::kafka::{Message, Topic};
use pinhost_tests::ledger::Ledger;
use pinhost_tests::objects::Objects;
use pinhost_tests::pinhost;
use pinhost_tests::proxy::{Conduct, Proxy};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::{Server, kafka, postgres, s3, turn};
use pinhost_tests::table;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PARTITIONS: i32 = 6;
const PROCESSES: usize = 3;
const PER_SECOND: u64 = 400;
const SHORT: Duration = Duration::from_secs(10);

/// Until everything that was sent is there. Who was harmed a moment ago waits for sessions and back-off.
const CATCHING_UP: Duration = Duration::from_secs(180);

/// What begins every key: how much of it a rule takes away tells its generation.
const MARKS: [&str; 4] = ["k", "ke", "key", "key "];

fn asked_for() -> Option<Duration> {
    let seconds = env::var("PINHOST_SOAK").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("PINHOST_SOAK is a number of seconds")))
}

/// Where rows go.
trait Target {
    /// What stands behind `sink:`.
    fn yaml(&self) -> String;
    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Rows of `part, at, k, n` in the order in which they were written.
    fn rows(&self) -> Vec<Vec<Value>>;
    /// Has it be away for a while, and says how.
    fn harm(&self, random: &mut Rng) -> &'static str;
}

fn for_a_while(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(200..4_000))
}

struct Postgres {
    /// The proxy lives on it.
    _runtime: Runtime,
    proxy: Proxy,
    /// Without the proxy.
    url: String,
}

impl Postgres {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let name = format!("d_{:016x}", fastrand::u64(..));
        let (server, _) = postgres().rsplit_once('/').expect("a URL with a database");
        let url = format!("{server}/{name}");
        for (url, sql) in [
            (postgres(), format!("CREATE DATABASE {name}")),
            (
                &url,
                "CREATE TABLE posts (seq bigserial, part bigint, at bigint, k text, n bigint)"
                    .to_owned(),
            ),
        ] {
            let options: PgConnectOptions = url.parse().expect("a URL");
            let done = runtime
                .block_on(async { options.connect().await?.execute(AssertSqlSafe(sql)).await });
            done.expect("it is made");
        }
        let proxy = Proxy::start(runtime.handle(), Self::address(&url));
        Self { _runtime: runtime, proxy, url }
    }

    fn address(url: &str) -> &str {
        let (_, server) = url.split_once('@').expect("a URL with a role");
        server.split_once('/').expect("a URL with a database").0
    }
}

impl Target for Postgres {
    fn yaml(&self) -> String {
        let url = self.url.replace(Self::address(&self.url), &self.proxy.address.to_string());
        format!("{{ postgres: {{ url: '{url}', table: posts }} }}")
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        table::postgres(&self.url, "SELECT part, at, k, n FROM posts ORDER BY seq")
    }

    fn harm(&self, random: &mut Rng) -> &'static str {
        let (conduct, name) = match random.u8(..4) {
            0 => (Conduct::BlackHole, "a silent database"),
            1 => (Conduct::Reset, "a database that nobody reaches"),
            2 => (Conduct::Delay(Duration::from_millis(50)), "a slow database"),
            _ => {
                // Connections are ended by somebody who may.
                let end = "SELECT count(pg_terminate_backend(pid))::int8 FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid()";
                table::postgres(&self.url, end);
                return "ended connections";
            }
        };
        self.proxy.conduct(conduct);
        sleep(for_a_while(random));
        self.proxy.conduct(Conduct::Pass);
        name
    }
}

struct Sqlite {
    runtime: Runtime,
    database: PathBuf,
}

impl Target for Sqlite {
    fn yaml(&self) -> String {
        format!("{{ sqlite: {{ path: '{}', table: posts }} }}", self.database.display())
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        table::sqlite(&self.database, "SELECT part, at, k, n FROM posts ORDER BY rowid")
    }

    fn harm(&self, random: &mut Rng) -> &'static str {
        let options = SqliteConnectOptions::new()
            .filename(&self.database)
            .busy_timeout(Duration::from_secs(20));
        self.runtime.block_on(async {
            let mut connection = options.connect().await.expect("a connection");
            connection.execute("BEGIN IMMEDIATE").await.expect("the lock");
            tokio::time::sleep(for_a_while(random)).await;
            connection.execute("ROLLBACK").await.expect("no lock");
        });
        "a locked database"
    }
}

/// A folder, or a bucket behind something that loses requests and answers.
struct Store {
    url: String,
    objects: Objects,
    /// Where the bucket is.
    endpoint: Option<String>,
}

impl Target for Store {
    fn yaml(&self) -> String {
        format!("{{ objects: {{ url: '{}' }} }}", self.url)
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(endpoint) = &self.endpoint else { return Vec::new() };
        let credentials = s3().credentials().map(|(name, value)| (name, value.to_owned()));
        credentials.into_iter().chain([("AWS_ENDPOINT_URL_S3", endpoint.clone())]).collect()
    }

    /// Keys of a lane are in its order.
    fn rows(&self) -> Vec<Vec<Value>> {
        let objects = self.objects.below("pins");
        let is_rows = |key: &str| key.ends_with(".ndjson") && !key.contains("/_pinhost/");
        let texts = objects.into_iter().filter(|(key, _)| is_rows(key)).map(|(_, bytes)| bytes);
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("a row");
            ["part", "at", "k", "n"].map(|column| row[column].clone()).to_vec()
        };
        let rows = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("UTF-8");
            text.lines().map(row).collect::<Vec<_>>()
        };
        texts.flat_map(rows).collect()
    }

    /// What loses requests does so all the while.
    fn harm(&self, random: &mut Rng) -> &'static str {
        sleep(for_a_while(random) / 4);
        "nothing"
    }
}

/// A topic of another cluster, if the first one is harmed.
struct Written {
    topic: Topic,
}

impl Target for Written {
    fn yaml(&self) -> String {
        let (brokers, topic) = (kafka().brokers, &self.topic.name);
        format!("{{ kafka: {{ brokers: '{brokers}', topic: {topic}, transaction_timeout: 10s }} }}")
    }

    /// All rows of a lane are in one partition.
    fn rows(&self) -> Vec<Vec<Value>> {
        let row = |message: Message| {
            let row: Value = serde_json::from_slice(&message.value.expect("a row")).expect("JSON");
            ["part", "at", "k", "n"].map(|column| row[column].clone()).to_vec()
        };
        self.topic.read_committed().into_iter().map(row).collect()
    }

    fn harm(&self, random: &mut Rng) -> &'static str {
        sleep(for_a_while(random) / 4);
        "nothing"
    }
}

struct Soak<T> {
    runtime: Runtime,
    folder: TempDir,
    topic: Topic,
    target: T,
    /// In the long version.
    broker: Option<Server>,
    random: Rng,
    running: Vec<Running>,
    mark: usize,
    happened: Vec<&'static str>,
}

impl<T: Target> Soak<T> {
    fn new(folder: TempDir, target: T) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let broker = asked_for().map(|_| turn().kafka());
        let brokers = broker.as_ref().map_or(kafka().brokers, |own| own.said("KAFKA_BOOTSTRAP"));
        let topic = runtime.block_on(Topic::on(brokers, PARTITIONS));
        let pipeline = format!(
            "\
name: pins
source: {{ kafka: {{ brokers: '{brokers}', topics: [{}], session_timeout: 3s }} }}
rule: rule.yaml
sink: {}
unit: {{ rows: 300, time: 100ms }}
limits: {{ memory: 64MiB, halt_time: 60s }}
",
            topic.name,
            target.yaml(),
        );
        fs::write(folder.path().join("pins.yaml"), pipeline).expect("a file");
        let seed = env::var("PINHOST_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("PINHOST_SEED={seed} makes the same choices");
        let random = Rng::with_seed(seed);
        let (running, mark, happened) = (Vec::new(), 0, Vec::new());
        let soak = Self { runtime, folder, topic, target, broker, random, running, mark, happened };
        soak.save(&soak.rule(MARKS[0]));
        soak
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn rule(&self, mark: &str) -> String {
        format!(
            "\
fields:
  part: {{ type: integer, from: $partition }}
  at: {{ type: integer, from: $offset }}
  k: {{ type: text, required: true }}
  n: {{ type: integer, required: true }}
  m: {{ type: text, from: $key }}
steps:
  - {{ plugin: strip-prefix, with: {{ column: m, prefix: '{mark}' }} }}
output: [part, at, k, n]
"
        )
    }

    /// Puts the rule there as editors do.
    fn save(&self, rule: &str) {
        fs::write(self.path().join("draft"), rule).expect("a file");
        fs::rename(self.path().join("draft"), self.path().join("rule.yaml")).expect("a file");
    }

    fn start(&self) -> Running {
        Running::start_in(pinhost!(), self.path(), &["pins.yaml"], &self.target.environment())
    }

    /// One thing that happens, and its name.
    fn happen(&mut self) -> &'static str {
        let unlucky = self.random.usize(..PROCESSES);
        match self.random.u8(..12) {
            0..3 => {
                self.running[unlucky].kill();
                self.running[unlucky] = self.start();
                "a kill"
            }
            3..5 => {
                // Within the session, or beyond.
                let time = Duration::from_millis(self.random.u64(100..6_000));
                self.running[unlucky].signal("STOP");
                sleep(time);
                self.running[unlucky].signal("CONT");
                "a stop"
            }
            5 => {
                let next = self.start();
                std::mem::replace(&mut self.running[unlucky], next).drain();
                "an end by SIGTERM"
            }
            6 => {
                let next = self.start();
                std::mem::replace(&mut self.running[unlucky], next).interrupt();
                "an end by SIGINT"
            }
            7..9 => {
                self.mark = (self.mark + 1) % MARKS.len();
                self.save(&self.rule(MARKS[self.mark]));
                "an edit"
            }
            9 => {
                let rule = self.rule(MARKS[self.mark]);
                let bad = ["strip-prefix", "column: m", "steps:"][self.random.usize(..3)];
                self.save(&rule.replace(bad, "nonsense"));
                sleep(for_a_while(&mut self.random) / 4);
                self.save(&rule);
                "a bad edit"
            }
            10 if self.broker.is_some() => {
                let time = for_a_while(&mut self.random);
                let broker = self.broker.as_mut().expect("it is there");
                if self.random.u8(..4) == 0 {
                    broker.restart();
                    return "a killed broker";
                }
                let stopped = broker.stop();
                sleep(time);
                drop(stopped);
                "a stopped broker"
            }
            _ => self.target.harm(&mut self.random),
        }
    }

    /// How many records are done with, as the sink says.
    fn read(&self) -> u64 {
        let mut lanes = command(pinhost!(), self.path());
        lanes.args(["lanes", "pins.yaml", "--json"]).envs(self.target.environment());
        let said = said(&mut lanes);
        if said.code != Some(0) {
            return 0;
        }
        let lanes = said.json();
        let offset = |lane: &Value| {
            let position = lane["position"].as_str().unwrap_or_default();
            let digits = position.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            digits.parse::<u64>().unwrap_or(0)
        };
        lanes.as_array().map_or(0, |lanes| lanes.iter().map(offset).sum())
    }

    fn told(&self) -> String {
        let logs = self.running.iter().map(Running::log).collect::<Vec<_>>();
        format!("{:?}\n{}", self.happened, logs.join("\n---\n"))
    }

    #[track_caller]
    fn all_run(&mut self) {
        let ended: Vec<_> = self.running.iter_mut().map(Running::has_ended).collect();
        assert!(ended.iter().all(Option::is_none), "{ended:?}\n{}", self.told());
    }

    fn prove(mut self) {
        let feed = Ledger::new(&self.topic, PARTITIONS).feed(self.runtime.handle(), PER_SECOND);
        self.running = (0..PROCESSES).map(|_| self.start()).collect();
        wait_until(CATCHING_UP, || self.read() > 0, || self.told());
        let began = Instant::now();
        let time = asked_for().unwrap_or(SHORT);
        let mut resident = 0;
        while began.elapsed() < time {
            let happened = self.happen();
            self.happened.push(happened);
            sleep(Duration::from_millis(self.random.u64(100..1_500)));
            self.all_run();
            let now = self.running.iter().map(Running::resident_bytes).max();
            resident = resident.max(now.unwrap_or(0));
        }
        let ledger = feed.stop(self.runtime.handle());
        let sent = ledger.sent.len() as u64;
        wait_until(
            CATCHING_UP,
            || self.read() == sent,
            || format!("{} of {sent}\n{}", self.read(), self.told()),
        );
        self.all_run();
        let told = self.told();
        assert!(!told.contains("panicked"), "{told}");
        for process in std::mem::take(&mut self.running) {
            process.drain();
        }
        let verdict = ledger.compare_all(&self.target.rows());
        println!(
            "{} things happened in {:.0} s, {PROCESSES} processes of {} MiB at most: {} records, \
             {} lost, {} repeated, {} reordered, {} other",
            self.happened.len(),
            began.elapsed().as_secs_f64(),
            resident >> 20,
            verdict.records,
            verdict.lost,
            verdict.repeated,
            verdict.reordered,
            verdict.other,
        );
        let mut kinds = self.happened.clone();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let times = self.happened.iter().filter(|happened| **happened == kind).count();
            println!("  {times:>5}  {kind}");
        }
        verdict.is_sound();
    }
}

#[test]
fn into_postgres() {
    Soak::new(TempDir::new().expect("a folder"), Postgres::new()).prove();
}

#[test]
fn into_sqlite() {
    let folder = TempDir::new().expect("a folder");
    let database = folder.path().join("pins.db");
    Soak::new(folder, Sqlite { runtime: Runtime::new().expect("a runtime"), database }).prove();
}

#[test]
fn into_a_folder() {
    let folder = TempDir::new().expect("a folder");
    let pins = folder.path().join("pins");
    fs::create_dir(&pins).expect("a folder");
    let objects = Objects::in_folder(folder.path());
    let url = pins.display().to_string();
    Soak::new(folder, Store { url, objects, endpoint: None }).prove();
}

#[test]
fn into_a_topic() {
    let runtime = Runtime::new().expect("a runtime");
    let topic = runtime.block_on(Topic::new(PARTITIONS));
    Soak::new(TempDir::new().expect("a folder"), Written { topic }).prove();
}

#[test]
fn into_a_bucket() {
    let (name, objects) = s3().bucket("soak");
    let proxy = HttpProxy::start(s3().endpoint(), |number, _| match lot(number) {
        0..3 => Fate::Refused,
        3..6 => Fate::Cut,
        6..9 => Fate::Denied,
        _ => Fate::Passes,
    });
    let endpoint = Some(proxy.endpoint.clone());
    let url = format!("s3://{name}/pins");
    Soak::new(TempDir::new().expect("a folder"), Store { url, objects, endpoint }).prove();
}
