//! From Kafka into an archive in a bucket, and out of it by a rule: what comes out is what the same rule made of
//! the stream, the places and versions of rows included.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use pinhost_tests::answers::{compare, repository};
use pinhost_tests::command::{Said, command, done_after_kills, said};
use pinhost_tests::kafka::Topic;
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
const KILLS: u32 = 3;

/// A topic, a bucket, a database and a folder.
struct Scene {
    runtime: Runtime,
    folder: TempDir,
    topic: Topic,
    s3: &'static S3,
    bucket: PathBuf,
    url: String,
}

impl Scene {
    fn new(bucket: &str) -> Self {
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
        Self { runtime, folder, topic, s3: s3(), bucket: s3().bucket(bucket), url }
    }

    /// A pipeline between the topic and this sink. Its units are small, so that there is always one in the
    /// making.
    fn write(&self, name: &str, rule: &str, sink: &str) {
        let (brokers, topic) = (kafka().brokers, &self.topic.name);
        let text = format!(
            "name: {name}
source: {{ kafka: {{ brokers: '{brokers}', topics: [{topic}], session_timeout: 3s }} }}
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
        command.env("AWS_ENDPOINT_URL_S3", self.s3.endpoint());
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
            5 => Some(b"\xff\x00\n".to_vec()),
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

/// Everything of dead letters that does not tell who read them, and when.
const LETTERS: &str =
    "id, lane, position, step, reason, detail, headers, timestamp_micros, topic, partition, state";

#[test]
fn what_is_replayed_from_an_archive_is_what_was_streamed() {
    let scene = Scene::new("story");
    scene.send();
    let rows_in =
        |file: &str, key: &str| format!("{{ sqlite: {{ path: {file}, table: posts{key} }} }}");
    let key = ", key: [k]";
    let table_of = |table: &str| {
        format!("{{ postgres: {{ url: '{}', table: {table}{key}, create: true }} }}", scene.url)
    };
    scene.write("archive", "", "{ objects: { url: s3://story/raw, compression: zstd } }");
    scene.write("upserted", RULE, &rows_in("upserted.db", key));
    scene.write("upserted-again", RULE, &rows_in("upserted-again.db", key));
    scene.write("undisturbed-again", RULE, &rows_in("undisturbed-again.db", key));
    scene.write("appended", RULE, &rows_in("appended.db", ""));
    scene.write("appended-again", RULE, &rows_in("appended-again.db", ""));
    scene.write("posts", RULE, &table_of("posts"));
    scene.write("posts-again", RULE, &table_of("posts_again"));
    scene.write("undisturbed", "", "{ objects: { url: undisturbed } }");
    scene.run(&["run", "--until-end", "upserted.yaml", "appended.yaml", "posts.yaml"]).done();
    let span = scene.takes(&["run", "--until-end", "undisturbed.yaml"]);
    let killed =
        done_after_kills(KILLS, span, || scene.command(&["run", "--until-end", "archive.yaml"]));

    let from = format!("s3://story/raw/topics/{}", scene.topic.name);
    let undisturbed =
        ["replay", "upserted.yaml", "--from", &from, "--to", "undisturbed-again.yaml"];
    let span = scene.takes(&undisturbed);
    let replayed = |pipeline: &str, to: &str| {
        done_after_kills(KILLS, span, || {
            scene.command(&["replay", pipeline, "--from", &from, "--to", to])
        })
    };
    let kills = [
        replayed("upserted.yaml", "upserted-again.yaml"),
        replayed("appended.yaml", "appended-again.yaml"),
        replayed("posts.yaml", "posts-again.yaml"),
    ];
    println!("killed {killed} times while archiving, {kills:?} times while replaying");

    let upserted =
        |file: &str| scene.sqlite(file, &format!("{ROWS}, _pinhost_version FROM posts ORDER BY k"));
    let live = upserted("upserted.db");
    assert!(
        (KEYS / 2..KEYS).contains(&(live.len() as u64)),
        "{} rows, some are deleted",
        live.len()
    );
    assert_eq!(upserted("undisturbed-again.db"), live);
    assert_eq!(upserted("upserted-again.db"), live);
    let appended = |file: &str| scene.sqlite(file, &format!("{ROWS} FROM posts ORDER BY part, at"));
    let live = appended("appended.db");
    assert!(live.len() as u64 > RECORDS / 2);
    assert_eq!(appended("appended-again.db"), live);
    for [one, other] in [["upserted", "upserted-again"], ["appended", "appended-again"]] {
        let letters = |name: &str| {
            let query =
                format!("SELECT value, key, {LETTERS} FROM pinhost_dead_letter ORDER BY id");
            scene.sqlite(&format!("{name}.db"), &query)
        };
        let live = letters(one);
        assert!(live.len() as u64 > RECORDS / 10, "{} dead letters", live.len());
        assert_eq!(letters(other), live);
    }
    let posts = |table: &str| {
        let version = "encode(_pinhost_version, 'hex')";
        scene.postgres(&format!("{ROWS}, {version} FROM {table} ORDER BY k COLLATE \"C\""))
    };
    let live = posts("posts");
    assert_eq!(posts("posts_again"), live);

    scene.postgres("UPDATE posts SET note = 'spoilt' WHERE n % 2 = 0 RETURNING k");
    assert_ne!(posts("posts"), live);
    scene.run(&["replay", "posts.yaml", "--from", &from, "--replace"]).done();
    assert_eq!(posts("posts"), live);
}

/// Whoever has only what the shipped pipelines leave has everything.
#[test]
fn the_published_answers_are_found_in_the_archive() {
    let scene = Scene::new("pins");
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
    let shipped = |command: &mut Command| {
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
        let from = format!("s3://pins/archive/topics/{topic}");
        shipped(&mut scene.command(&["replay", &file(pipeline), "--from", &from])).done();
    }
    compare(|query| scene.postgres(query));
    let clean = fs::read_dir(scene.bucket.join("clean")).expect("a folder");
    let folders = clean.map(|entry| entry.expect("an entry").file_name().into_string());
    let folders: Vec<_> = folders.map(|name| name.expect("UTF-8")).collect();
    assert!(folders.iter().any(|name| name == "category=art"), "{folders:?}");
}
