//! From Kafka into an archive in a bucket, and out of it by a rule: what comes out is what the same rule made of
//! the stream, the places and versions of rows included.
//!
//! `PINHOST_KILLS=100` makes it the long version; `tests/soak` says more.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::sync::Once;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pinhost_tests::answers::{compare, repository};
use pinhost_tests::command::{Said, command, said};
use pinhost_tests::http_proxy::{Fate, HttpProxy};
use pinhost_tests::kafka::Topic;
use pinhost_tests::kills::Kills;
use pinhost_tests::objects::Objects;
use pinhost_tests::services::{S3, kafka, postgres, s3};
use pinhost_tests::{pinhost, table};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PARTITIONS: i32 = 3;
const RECORDS: u64 = 4_000;
/// Each comes again and again, in all partitions.
const KEYS: u64 = 200;
/// How far away the bucket is: most time goes by between a unit's first request and its last.
const LATENCY: Duration = Duration::from_millis(40);

/// A topic, a bucket, a database and a folder.
struct Scene {
    runtime: Runtime,
    folder: TempDir,
    topic: Topic,
    s3: &'static S3,
    /// Through which the server is asked.
    endpoint: String,
    bucket_name: String,
    bucket: Objects,
    url: String,
}

impl Scene {
    fn new() -> Self {
        // One after the other: whoever comes first starts them.
        static SERVERS: Once = Once::new();
        SERVERS.call_once(|| {
            kafka();
            postgres();
            s3();
        });
        let runtime = Runtime::new().expect("a runtime");
        let topic = runtime.block_on(Topic::new(PARTITIONS));
        let name = format!("d_{:016x}", fastrand::u64(..));
        let server: PgConnectOptions = postgres().parse().expect("a URL");
        let made = runtime.block_on(async {
            let mut connection = server.connect().await?;
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await
        });
        made.expect("a database");
        let (server, _) = postgres().rsplit_once('/').expect("a URL with a database");
        let url = format!("{server}/{name}");
        let folder = TempDir::new().expect("a folder");
        let (s3, endpoint) = (s3(), s3().endpoint().to_owned());
        let (bucket_name, bucket) = s3.bucket("pins");
        Self { runtime, folder, topic, s3, endpoint, bucket_name, bucket, url }
    }

    /// A pipeline between the topic and this sink. Its units are small, so that there is always one in the
    /// making.
    fn write(&self, name: &str, rule: &str, sink: &str) {
        let (brokers, topic) = (kafka().brokers, &self.topic.name);
        let text = format!(
            "name: {name}
source: {{ kafka: {{ brokers: '{brokers}', topics: [{topic}], group: '{name}-${{RUN}}' }} }}
{rule}
sink: {sink}
unit: {{ rows: 300, time: 50ms }}
dead_letters: {{ max_ratio: 1 }}
"
        );
        fs::write(self.folder.path().join(format!("{name}.yaml")), text).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(pinhost!(), self.folder.path());
        command.args(arguments).envs(self.s3.credentials());
        command.env("AWS_ENDPOINT_URL_S3", &self.endpoint);
        // In a group of its own nobody waits for the session of a dead process to end.
        command.env("RUN", fastrand::u64(..).to_string());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// How long a command takes that nobody disturbs.
    fn takes(&self, arguments: &[&str]) -> Duration {
        let began = Instant::now();
        self.run(arguments).done();
        began.elapsed()
    }

    fn sqlite(&self, file: &str, query: &str) -> Vec<Vec<Value>> {
        table::sqlite(&self.folder.path().join(file), query)
    }

    fn postgres(&self, query: &str) -> Vec<Vec<Value>> {
        table::postgres(&self.url, query)
    }

    /// Sends whatever a topic can hold.
    fn send(&self) {
        let producer = self.topic.producer();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        let now = i64::try_from(now).expect("not yet");
        let records: Vec<_> = (0..RECORDS).map(|number| Sent::random(number, now)).collect();
        self.runtime.block_on(async {
            let mut deliveries = Vec::new();
            for sent in &records {
                deliveries.push(producer.send_result(sent.record(&self.topic.name)));
            }
            for delivery in deliveries {
                let delivery = delivery.unwrap_or_else(|(error, _)| panic!("{error}"));
                delivery.await.expect("an answer").unwrap_or_else(|(error, _)| panic!("{error}"));
            }
        });
    }
}

struct Sent {
    partition: i32,
    time_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

impl Sent {
    /// Rows, changes of rows in no order of time, deletes, and what nobody can make a row of.
    fn random(number: u64, now_ms: i64) -> Self {
        let key = match number % 41 {
            5 => None,
            6 => Some(b"\xff\xfe".to_vec()),
            _ => Some(format!("key {}", fastrand::u64(..KEYS)).into_bytes()),
        };
        let row = json!({ "n": number, "note": "a\nb" });
        let value = match number % 13 {
            1 | 2 => None,
            3 => Some(Vec::new()),
            4 => Some(b"no\njson\r\n\n".to_vec()),
            // Large enough for many units.
            5 => Some(b"\xff\x00\n".repeat(15_000)),
            6..9 => Some(serde_json::to_vec_pretty(&row).expect("JSON")),
            9 => Some(format!("\n{row}\n\n").into_bytes()),
            _ => Some(row.to_string().into_bytes()),
        };
        let header = |key, value: Option<&'static [u8]>| Header { key, value };
        let headers = match number % 3 {
            0 => OwnedHeaders::new(),
            1 => OwnedHeaders::new().insert(header("origin", Some(b"app\n1"))),
            _ => OwnedHeaders::new()
                .insert(header("trace", Some(b"\x00\xff")))
                .insert(header("origin", None)),
        };
        Self {
            partition: fastrand::i32(0..PARTITIONS),
            time_ms: now_ms - fastrand::i64(0..60_000),
            key,
            value,
            headers,
        }
    }

    fn record<'a>(&'a self, topic: &'a str) -> FutureRecord<'a, [u8], [u8]> {
        FutureRecord {
            topic,
            partition: Some(self.partition),
            payload: self.value.as_deref(),
            key: self.key.as_deref(),
            timestamp: Some(self.time_ms),
            headers: Some(self.headers.clone()),
        }
    }
}

const RULE: &str = "rule:
  fields:
    k: { type: text, from: $key, required: true }
    n: { type: integer, required: true }
    note: text
    origin: { type: text, from: $headers.origin }
    topic: { type: text, from: $topic }
    part: { type: integer, from: $partition }
    at: { type: integer, from: $offset }
    seen: { type: timestamp, from: $timestamp }";

/// Everything of a row, and how it is known which record it was made of.
const ROWS: &str = "SELECT k, n, note, origin, topic, part, at, CAST(seen AS text), \
                    _pinhost_lane, _pinhost_position";

/// Rows name their lane by the pipeline as well, which is another one where they are compared.
fn of_any_pipeline(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    const LANE: usize = 8;
    for row in &mut rows {
        let (_, lane) = row[LANE].as_str().and_then(|lane| lane.split_once('/')).expect("a lane");
        row[LANE] = lane.into();
    }
    rows
}

/// Everything of dead letters that does not tell who read them, and when.
const LETTERS: &str =
    "id, lane, position, step, reason, detail, headers, timestamp_micros, topic, partition, state";

/// What killed processes have left undone in an archive.
#[derive(Debug, Default)]
struct Undone {
    seen: HashSet<String>,
    /// Units of which objects were staged.
    staged: u32,
    /// Units that were committed as well, and of which objects were still to be brought to their places.
    committed: u32,
}

impl Undone {
    /// `own` is what pinhost keeps of the pipeline.
    fn look(&mut self, bucket: &Objects, own: &str) {
        let staged = bucket.below(&format!("{own}/staged"));
        if staged.is_empty() {
            return;
        }
        let logs = bucket.below(&format!("{own}/lanes"));
        for object in staged.keys() {
            let (_, name) = object.rsplit_once('/').expect("it is in a folder");
            let (attempt, _) = name.rsplit_once('-').expect("a number at its end");
            if !self.seen.insert(attempt.to_owned()) {
                continue;
            }
            let is_named = |record: &Vec<u8>| String::from_utf8_lossy(record).contains(attempt);
            if logs.values().any(is_named) {
                self.committed += 1;
            } else {
                self.staged += 1;
            }
        }
    }
}

/// What came of the records.
#[derive(Debug, PartialEq)]
struct Left {
    upserted: Vec<Vec<Value>>,
    appended: Vec<Vec<Value>>,
    posts: Vec<Vec<Value>>,
    /// Of those upserted and of those appended.
    letters: [Vec<Vec<Value>>; 2],
}

impl Scene {
    /// Writes the three pipelines with a rule. They keep rows under names that end like this.
    fn write_cleaning(&self, ending: &str) {
        let rows_in = |file: &str, key: &str| {
            format!("{{ sqlite: {{ path: {file}{ending}.db, table: posts{key} }} }}")
        };
        let key = ", key: [k]";
        let (url, table) = (&self.url, format!("posts{ending}"));
        let posts =
            format!("{{ postgres: {{ url: '{url}', table: {table}{key}, create: true }} }}");
        self.write(&format!("upserted{ending}"), RULE, &rows_in("upserted", key));
        self.write(&format!("appended{ending}"), RULE, &rows_in("appended", ""));
        self.write(&format!("posts{ending}"), RULE, &posts);
    }

    fn write_archive(&self, name: &str, folder: &str) {
        let sink = format!(
            "{{ objects: {{ url: s3://{}/{folder}, compression: zstd }} }}",
            self.bucket_name
        );
        self.write(name, "", &sink);
    }

    fn left(&self, ending: &str) -> Left {
        let [upserted, appended] =
            ["upserted", "appended"].map(|file| format!("{file}{ending}.db"));
        let letters = |file: &str| {
            let query =
                format!("SELECT value, key, {LETTERS} FROM pinhost_dead_letter ORDER BY id");
            self.sqlite(file, &query)
        };
        Left {
            upserted: self.upserted(&upserted),
            appended: of_any_pipeline(
                self.sqlite(&appended, &format!("{ROWS} FROM posts ORDER BY part, at")),
            ),
            posts: self.posts(&format!("posts{ending}")),
            letters: [letters(&upserted), letters(&appended)],
        }
    }

    fn upserted(&self, file: &str) -> Vec<Vec<Value>> {
        let query = format!("{ROWS}, _pinhost_version FROM posts ORDER BY k");
        of_any_pipeline(self.sqlite(file, &query))
    }

    fn posts(&self, table: &str) -> Vec<Vec<Value>> {
        let version = "encode(_pinhost_version, 'hex')";
        let query = format!("{ROWS}, {version} FROM {table} ORDER BY k COLLATE \"C\"");
        of_any_pipeline(self.postgres(&query))
    }
}

#[test]
fn what_is_replayed_from_an_archive_is_what_was_streamed() {
    let far = HttpProxy::start(s3().endpoint(), |_, _| {
        sleep(LATENCY);
        Fate::Passes
    });
    let scene = Scene { endpoint: far.endpoint.clone(), ..Scene::new() };
    scene.send();
    scene.write_cleaning("");
    scene.run(&["run", "--until-end", "upserted.yaml", "appended.yaml", "posts.yaml"]).done();
    let live = scene.left("");
    let rows = live.upserted.len() as u64;
    assert!((KEYS / 2..KEYS).contains(&rows), "{rows} rows, some are deleted");
    assert!(live.appended.len() as u64 > RECORDS / 2);
    for letters in &live.letters {
        assert!(letters.len() as u64 > RECORDS / 10, "{} dead letters", letters.len());
    }

    scene.write_archive("undisturbed", "undisturbed");
    scene.write_cleaning("_undisturbed");
    scene.run(&["run", "--until-end", "undisturbed.yaml"]).done();
    // Whoever goes on looks at what is there first.
    let archiving = far.requests() * 5 / 4;
    let (bucket, topic) = (&scene.bucket_name, &scene.topic.name);
    let whole = |folder: &str| format!("s3://{bucket}/{folder}");
    let from = |folder: &str| format!("{}/topics/{topic}", whole(folder));
    let (undisturbed, archive) = (from("undisturbed"), whole("undisturbed"));
    let to = ["--to", "upserted_undisturbed.yaml"];
    let replay = ["replay", "upserted.yaml", "--from", &undisturbed, to[0], to[1]];
    scene.run(&replay).refused(2, &["$key", "--archive"]);
    let replaying = scene.takes(&[&replay[..], &["--archive", &archive]].concat());
    assert_eq!(scene.upserted("upserted_undisturbed.db"), live.upserted);

    let mut kills = [(); 4].map(|()| Kills::new(3));
    let mut undone = Undone::default();
    for round in 0.. {
        if kills.iter().all(Kills::are_enough) {
            break;
        }
        let raw = format!("raw-{round}");
        scene.write_archive("archive", &raw);
        let ending = format!("_again_{round}");
        scene.write_cleaning(&ending);
        let own = format!("{raw}/_pinhost/archive");
        let [archived, replayed @ ..] = &mut kills;
        archived.until_done_at(archiving, &far, LATENCY, || {
            undone.look(&scene.bucket, &own);
            scene.command(&["run", "--until-end", "archive.yaml"])
        });
        for (pipeline, replayed) in ["upserted", "appended", "posts"].into_iter().zip(replayed) {
            let (of, to) = (format!("{pipeline}.yaml"), format!("{pipeline}{ending}.yaml"));
            replayed.until_done(replaying, || {
                let (from, archive) = (from(&raw), whole(&raw));
                let parts = ["--from", &from, "--archive", &archive, "--to", &to];
                scene.command(&[&["replay", &of], &parts[..]].concat())
            });
        }
        assert_eq!(scene.left(&ending), live);
        println!(
            "{:?} kills of archiving and of replays; {} units were left staged, {} committed; \
             {RECORDS} records are the same {} rows and {} dead letters",
            kills.each_ref().map(|kills| kills.done),
            undone.staged,
            undone.committed,
            live.appended.len(),
            live.letters[1].len(),
        );
    }

    scene.postgres("UPDATE posts SET note = 'spoilt' WHERE n % 2 = 0 RETURNING k");
    assert_ne!(scene.posts("posts"), live.posts);
    let parts = ["--from", &undisturbed, "--archive", &archive, "--replace"];
    scene.run(&[&["replay", "posts.yaml"], &parts[..]].concat()).done();
    assert_eq!(scene.posts("posts"), live.posts);
}

/// Whoever has only what the shipped pipelines leave has everything.
#[test]
fn the_published_answers_are_found_in_the_archive() {
    let scene = Scene::new();
    let kinds = [("pin", "KAFKA_TOPIC"), ("geo", "KAFKA_TOPIC_GEO"), ("user", "KAFKA_TOPIC_USER")];
    let topics = kinds.map(|(kind, variable)| {
        let topic = scene.runtime.block_on(Topic::new(PARTITIONS));
        let batch = repository().join(format!("tests/data/e2e/{kind}.ndjson"));
        let batch = fs::read_to_string(batch).expect("UTF-8");
        for (partition, skipped) in (0..PARTITIONS).zip(0..) {
            let lines = batch.lines().skip(skipped).step_by(PARTITIONS as usize);
            scene.runtime.block_on(topic.send(partition, lines));
        }
        (variable, topic.name)
    });
    let (archived, cleaned) = (
        format!("s3://{}/archive", scene.bucket_name),
        format!("s3://{}/clean", scene.bucket_name),
    );
    let shipped = |command: &mut Command| {
        command.env("ARCHIVE", &archived).env("CLEAN", &cleaned);
        command.env("KAFKA_BROKERS", kafka().brokers).env("DATABASE_URL", &scene.url);
        command.envs(topics.iter().map(|(variable, topic)| (*variable, topic)));
        said(command)
    };
    let file = |name: &str| repository().join("pipelines").join(name).display().to_string();
    let (archive, parquet) = (file("kafka-to-s3.yaml"), file("kafka-to-parquet.yaml"));
    shipped(&mut scene.command(&["check", &archive, &parquet])).done();
    shipped(&mut scene.command(&["run", "--until-end", &archive, &parquet])).done();
    for ((_, topic), pipeline) in topics.iter().zip([
        "kafka-to-postgres.yaml",
        "kafka-to-postgres-geo.yaml",
        "kafka-to-postgres-user.yaml",
    ]) {
        let from = format!("{archived}/topics/{topic}");
        let replay = ["replay", &file(pipeline), "--from", &from, "--archive", &archived];
        shipped(&mut scene.command(&replay)).done();
    }
    compare(|query| scene.postgres(query));
    let clean = scene.bucket.below("clean");
    assert!(clean.keys().any(|key| key.contains("/category=art/")), "{:?}", clean.keys());
}
