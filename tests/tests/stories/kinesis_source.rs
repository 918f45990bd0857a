//! From Kinesis to Postgres, SQLite and a folder exactly once, through every reshard.
//!
//! `PINHOST_KILLS=50` makes as many reshards, each with a kill; `tests/soak` says more.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use pinhost_tests::command::{Said, command, said};
use pinhost_tests::http_proxy::{Fate, HttpProxy};
use pinhost_tests::kills::wanted;
use pinhost_tests::kinesis::{CREDENTIALS, Oracle, Stream};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::{kinesalite, kinesis, postgres};
use pinhost_tests::{pinhost, table};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TIME: Duration = Duration::from_secs(90);

struct Story {
    runtime: Runtime,
    folder: TempDir,
    stream: Stream,
    oracle: Oracle,
    target: Target,
}

enum Target {
    Postgres { url: String },
    Sqlite,
    Folder,
}

impl Story {
    fn new(endpoint: &str, shards: i32, target: Target) -> Self {
        Self::through(endpoint, endpoint, shards, target)
    }

    /// A pipeline that asks the server by a proxy of it.
    fn through(proxy: &str, endpoint: &str, shards: i32, target: Target) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let stream = runtime.block_on(Stream::on(endpoint, shards));
        let folder = TempDir::new().expect("a folder");
        let sink = match &target {
            Target::Postgres { url } => format!("{{ postgres: {{ url: '{url}', table: posts }} }}"),
            Target::Sqlite => {
                "{ sqlite: { path: posts.db, table: posts, create: true } }".to_owned()
            }
            Target::Folder => {
                fs::create_dir(folder.path().join("posts")).expect("a folder");
                "{ objects: { url: ./posts/ } }".to_owned()
            }
        };
        let name = &stream.name;
        let pipeline = format!(
            "\
name: {name}
source:
  kinesis:
    streams: [{name}]
    poll: 200ms
    session_timeout: 2s
    aws: {{ endpoint: '{proxy}' }}
rule:
  fields:
    k: {{ type: text, required: true }}
    n: {{ type: integer, required: true }}
    shard: {{ type: text, from: $shard, required: true }}
    sequence: {{ type: text, from: $sequence, required: true }}
    key: {{ type: text, from: $key, required: true }}
    at: {{ type: timestamp, from: $timestamp, required: true }}
    stream: {{ type: text, from: $topic, required: true }}
sink: {sink}
unit: {{ rows: 100, time: 50ms }}
limits: {{ start_time: 20s, halt_time: 40s }}
"
        );
        fs::write(folder.path().join("p.yaml"), pipeline).expect("a file");
        Self { runtime, folder, stream, oracle: Oracle::default(), target }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the pipeline's file, which has that in one place.
    #[track_caller]
    fn change(&self, from: &str, to: &str) {
        let file = self.path().join("p.yaml");
        let yaml = fs::read_to_string(&file).expect("UTF-8");
        assert_eq!(yaml.matches(from).count(), 1, "{from:?} in {yaml}");
        fs::write(file, yaml.replace(from, to)).expect("a file");
    }

    fn put(&mut self, records: usize) {
        self.runtime.block_on(self.oracle.put(&self.stream, records));
    }

    fn start(&self) -> Running {
        Running::start_in(pinhost!(), self.path(), &["p.yaml"], &CREDENTIALS)
    }

    fn start_to_the_end(&self) -> Running {
        Running::start_in(pinhost!(), self.path(), &["--until-end", "p.yaml"], &CREDENTIALS)
    }

    #[track_caller]
    fn run_to_the_end(&self) {
        self.start_to_the_end().done(TIME);
    }

    fn command(&self, args: &[&str]) -> Said {
        said(command(pinhost!(), self.path()).args(args).envs(CREDENTIALS))
    }

    /// Rows of these columns in the order in which they were written.
    fn rows(&self, columns: &str) -> Vec<Vec<Value>> {
        match &self.target {
            Target::Postgres { url } => {
                table::postgres(url, &format!("SELECT {columns} FROM posts ORDER BY seq"))
            }
            Target::Sqlite => table::sqlite(
                &self.path().join("posts.db"),
                &format!("SELECT {columns} FROM posts ORDER BY rowid"),
            ),
            Target::Folder => rows_of_objects(&self.path().join("posts"), columns),
        }
    }

    /// How many records are done with, as the sink says.
    fn read(&self) -> usize {
        let lineage = self.command(&["lineage", "p.yaml", "--json"]);
        if lineage.code != Some(0) {
            return 0;
        }
        let ranges = lineage.json();
        let read = |range: &Value| range["read"].as_u64().unwrap_or(0) as usize;
        ranges.as_array().map_or(0, |ranges| ranges.iter().map(read).sum())
    }

    #[track_caller]
    fn reads_all(&self, told: impl Fn() -> String) {
        let all = self.oracle.records();
        let told = || format!("{} of {all} records\n{}", self.read(), told());
        wait_until(TIME, || self.read() >= all, told);
    }

    fn lanes(&self) -> Vec<Value> {
        let lanes = self.command(&["lanes", "p.yaml", "--json"]).done().json();
        lanes.as_array().expect("lanes").clone()
    }

    #[track_caller]
    fn is_sound(&self) {
        self.oracle.compare(&self.rows("k, n")).is_sound();
        assert_eq!(self.read(), self.oracle.records());
    }
}

/// Keys are in the order in which a lane has written its rows; parents of shards come before children.
fn rows_of_objects(folder: &Path, columns: &str) -> Vec<Vec<Value>> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("_pinhost") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ndjson") {
                files.push(path);
            }
        }
    }
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("UTF-8"));
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a row");
        columns.split(", ").map(|column| row[column].clone()).collect()
    };
    texts.flat_map(|text| text.lines().map(row).collect::<Vec<_>>()).collect()
}

fn database() -> Target {
    let name = format!("d_{:016x}", fastrand::u64(..));
    let (server, _) = postgres().rsplit_once('/').expect("a URL with a database");
    let url = format!("{server}/{name}");
    let runtime = Runtime::new().expect("a runtime");
    for (url, sql) in [
        (postgres(), format!("CREATE DATABASE {name}")),
        (
            &url,
            "CREATE TABLE posts (seq bigserial, k text, n bigint, shard text, sequence text, \
             key text, at timestamptz, stream text)"
                .to_owned(),
        ),
    ] {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let done = async { options.connect().await?.execute(AssertSqlSafe(sql)).await };
        runtime.block_on(done).expect("it is made");
    }
    Target::Postgres { url }
}

/// Shards are split and merged so often, while processes are killed.
fn prove(target: Target, reshards: u32) {
    let mut story = Story::new(kinesis(), 2, target);
    story.put(200);
    let mut running = [story.start(), story.start()];
    let mut kills = 0;
    for done in 1..=reshards {
        story.put(80);
        story.runtime.block_on(story.stream.reshard());
        story.put(40);
        // At any moment of what comes of it.
        sleep(Duration::from_millis(fastrand::u64(..1_500)));
        let unlucky = fastrand::usize(..running.len());
        running[unlucky].kill();
        running[unlucky] = story.start();
        kills += 1;
        if done % 10 == 0 {
            println!("{done} reshards, {} of {} records", story.read(), story.oracle.records());
        }
    }
    story.reads_all(|| running.iter().map(Running::log).collect::<Vec<_>>().join("\n---\n"));
    for process in running {
        process.drain();
    }
    let verdict = story.oracle.compare(&story.rows("k, n"));
    println!("{reshards} reshards, {kills} kills: {verdict:?}");
    story.is_sound();
    // Whatever is closed was read to its end.
    let lanes = story.lanes();
    let ended = lanes.iter().filter(|lane| lane["position"] == "end").count();
    let shards = story.runtime.block_on(story.stream.shards());
    assert_eq!(lanes.len(), shards.len());
    assert!(ended >= reshards as usize, "{lanes:?}");
}

#[test]
fn rows_of_a_table_are_there_once_and_in_order_through_reshards_and_kills() {
    prove(database(), wanted(8));
}

#[test]
fn rows_of_a_folder_are_there_once_and_in_order_through_reshards_and_kills() {
    // A process that is killed is missed after 20 s: a beat is an object here.
    prove(Target::Folder, wanted(1));
}

/// Parents before children at any depth, with a run that ends.
#[test]
fn many_shards_at_once_are_read_to_the_end_that_they_had() {
    let mut story = Story::new(kinesis(), 2, Target::Sqlite);
    story.put(100);
    for shards in [4, 8, 4, 2] {
        story.runtime.block_on(story.stream.set_shards(shards));
        story.put(60);
    }
    story.run_to_the_end();
    story.is_sound();
    let rows = story.rows("k, key, stream, shard, sequence");
    let is_told = |row: &Vec<Value>| {
        let shard = row[3].as_str().is_some_and(|shard| shard.starts_with("shardId-0000000000"));
        let sequence = row[4].as_str().is_some_and(|sequence| sequence.len() >= 56);
        row[0] == row[1] && row[2] == story.stream.name.as_str() && shard && sequence
    };
    assert!(rows.iter().all(is_told), "{rows:?}");
    let mut places: Vec<_> =
        rows.iter().map(|row| (&row[3], &row[4])).map(|it| format!("{it:?}")).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), rows.len(), "records that were packed together are told apart");
    // Another run finds nothing new, and no lane that had ended begins again.
    story.run_to_the_end();
    story.is_sound();
}

/// What comes out of the archive is what the same rule made of the stream, sequence numbers included.
#[test]
fn an_archive_is_replayed_with_its_shards_and_sequence_numbers() {
    let mut story = Story::new(kinesis(), 2, Target::Sqlite);
    story.put(100);
    story.runtime.block_on(story.stream.reshard());
    story.put(100);
    story.run_to_the_end();
    let live = fs::read_to_string(story.path().join("p.yaml")).expect("UTF-8");
    let (head, _) = live.split_once("rule:").expect("a rule");
    let archive = format!("{head}sink: {{ objects: {{ url: ./archive/ }} }}\n");
    let name = &story.stream.name;
    fs::create_dir(story.path().join("archive")).expect("a folder");
    for (file, yaml, other) in [("archive", archive.as_str(), "a-"), ("again", &live, "again-")] {
        let yaml = yaml.replacen(&format!("name: {name}"), &format!("name: {other}{name}"), 1);
        let yaml = yaml.replace("posts.db", "again.db");
        fs::write(story.path().join(format!("{file}.yaml")), yaml).expect("a file");
    }
    story.command(&["run", "--until-end", "archive.yaml"]).done();
    story.command(&["replay", "p.yaml", "--from", "archive", "--to", "again.yaml"]).done();
    let rows = |database: &str| {
        let query = "SELECT k, n, shard, sequence, key, at, stream FROM posts ORDER BY k, n";
        table::sqlite(&story.path().join(database), query)
    };
    assert_eq!(rows("again.db"), rows("posts.db"));
    assert_eq!(rows("again.db").len(), story.oracle.records());
}

/// What goes wrong now and then: each as often as every so many requests.
fn trouble(number: usize, head: &str) -> Fate {
    const THROTTLED: &str =
        r#"{"__type":"ProvisionedThroughputExceededException","message":"slow"}"#;
    const EXPIRED: &str = r#"{"__type":"ExpiredIteratorException","message":"too old"}"#;
    const GARBAGE: &str = r#"{"__type":"InvalidArgumentException","message":"no iterator"}"#;
    const LIMIT: &str = r#"{"__type":"LimitExceededException","message":"too many"}"#;
    let chance = Rng::with_seed(number as u64).u32(..100);
    let asks = |operation: &str| head.to_ascii_lowercase().contains(operation);
    match chance {
        0..4 => Fate::Denied,
        4..8 => Fate::Cut,
        8..11 => Fate::Refused,
        11..15 if asks("getrecords") => Fate::Answered(400, THROTTLED),
        15..25 if asks("getrecords") => Fate::Answered(400, EXPIRED),
        25..28 if asks("getrecords") => Fate::Answered(400, GARBAGE),
        11..15 if asks("getsharditerator") => Fate::Answered(400, THROTTLED),
        11..20 if asks("listshards") || asks("describestream") => Fate::Answered(400, LIMIT),
        _ => Fate::Passes,
    }
}

#[test]
fn a_service_in_trouble_costs_time_and_no_record() {
    let proxy = HttpProxy::start(kinesis(), trouble);
    let mut story = Story::through(&proxy.endpoint, kinesis(), 2, Target::Sqlite);
    story.put(100);
    let process = story.start();
    for _ in 0..3 {
        story.runtime.block_on(story.stream.reshard());
        story.put(60);
    }
    story.reads_all(|| process.log());
    process.drain();
    story.is_sound();
    assert!(proxy.harmed() > 3, "{} of {}", proxy.harmed(), proxy.requests());
}

/// When records were asked for.
static ASKED: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

#[test]
fn a_shard_is_asked_five_times_a_second_at_most_whoever_has_it() {
    let proxy = HttpProxy::start(kinesalite(), |_, head| {
        if head.contains(".GetRecords") {
            ASKED.lock().expect("no panic").push(Instant::now());
        }
        Fate::Passes
    });
    let mut story = Story::through(&proxy.endpoint, kinesalite(), 1, Target::Sqlite);
    story.put(300);
    let mut process = story.start();
    for round in 0..3 {
        story.put(100);
        story.reads_all(|| process.log());
        // One leaves while the next is there, and one is killed.
        if round == 1 {
            let next = story.start();
            std::mem::replace(&mut process, next).drain();
        } else {
            process.kill();
            process = story.start();
        }
    }
    story.reads_all(|| process.log());
    process.drain();
    story.is_sound();
    let asked = ASKED.lock().expect("no panic");
    let within = |from: &Instant| {
        asked.iter().filter(|at| *at >= from && **at < *from + Duration::from_millis(950)).count()
    };
    let most = asked.iter().map(within).max().expect("it was asked");
    println!("asked {} times, {most} times within a second", asked.len());
    assert!((1..=5).contains(&most), "{most} times");
}

#[test]
fn a_key_that_is_denied_is_told_with_the_way_out() {
    let proxy = HttpProxy::start(kinesis(), |_, head| {
        const DENIED: &str =
            r#"{"__type":"KMSAccessDeniedException","message":"the ciphertext refers to a key"}"#;
        if head.contains(".GetRecords") { Fate::Answered(400, DENIED) } else { Fate::Passes }
    });
    let mut story = Story::through(&proxy.endpoint, kinesis(), 1, Target::Sqlite);
    story.change("start_time: 20s", "start_time: 1s");
    story.put(1);
    let mut process = story.start();
    assert_eq!(process.ended(TIME), Some(3));
    let log = process.log();
    for said in ["KMSAccessDeniedException", "the ciphertext refers to a key", "kms:Decrypt"] {
        assert!(log.contains(said), "{log}");
    }
}

/// Shards of a stream that was made anew have the names of those before: they are others.
#[test]
fn a_stream_that_was_made_anew_is_never_taken_for_the_one_before() {
    let mut story = Story::new(kinesis(), 1, Target::Sqlite);
    story.change("halt_time: 40s", "halt_time: 1s");
    story.put(50);
    story.run_to_the_end();
    story.runtime.block_on(async {
        story.stream.delete().await;
        story.stream.make(1).await;
    });
    let before = story.oracle.records();
    story.put(50);
    let mut process = story.start_to_the_end();
    assert_eq!(process.ended(TIME), Some(3), "{}", process.log());
    assert!(process.log().contains("was deleted and made anew"), "{}", process.log());
    let lane = format!("{}-shardId-000000000000", story.stream.name);
    let lift = format!("pinhost lanes move p.yaml {lane} --to earliest --accept-gap");
    assert!(process.log().contains(&lift), "{}", process.log());
    assert_eq!(story.rows("n").len(), before);
    let args: Vec<_> = lift.split(' ').skip(1).collect();
    story.command(&args).done();
    story.run_to_the_end();
    story.oracle.compare(&story.rows("k, n")).is_sound();
}

/// The record that was read last has to be there still.
#[test]
fn records_that_are_gone_halt_the_lane() {
    let mut story = Story::new(kinesis(), 1, Target::Sqlite);
    story.change("halt_time: 40s", "halt_time: 1s");
    story.put(50);
    story.run_to_the_end();
    let lanes = story.lanes();
    let (lane, at) = (lanes[0]["lane"].as_str().unwrap(), lanes[0]["position"].as_str().unwrap());
    // As if the lane had read a record that is older than all that are there.
    let shards = story.runtime.block_on(story.stream.shards());
    let begins = shards[0].sequence_number_range().unwrap().starting_sequence_number();
    let gone = at.replacen(at.split('.').next().unwrap(), begins, 1);
    story.command(&["lanes", "move", "p.yaml", lane, "--to", &gone, "--accept-gap"]).done();
    let mut process = story.start_to_the_end();
    assert_eq!(process.ended(TIME), Some(3), "{}", process.log());
    assert!(process.log().contains("is gone"), "{}", process.log());
    assert_eq!(story.rows("n").len(), story.oracle.records());
}

#[test]
fn a_pipeline_begins_where_it_is_told_to_and_reads_only_what_it_is_told_to() {
    let story = Story::new(kinesis(), 2, Target::Sqlite);
    story.change(
        "    poll: 200ms\n",
        "    poll: 200ms\n    start: latest\n    only: { key: 'in-*' }\n",
    );
    let put = |keys: &[&str], from: i64| {
        let entries = keys.iter().zip(from..).map(|(key, n)| {
            ((*key).to_owned(), json!({ "k": key, "n": n }).to_string().into_bytes())
        });
        let entries: Vec<_> = entries.collect();
        story.runtime.block_on(story.stream.put(&entries));
    };
    put(&["in-a", "in-b", "out"], 0);
    // Of another moment than the first run.
    sleep(Duration::from_millis(50));
    let process = story.start();
    wait_until(TIME, || story.lanes_claimed() == 2, || process.log());
    put(&["in-a", "out", "in-b", "outer"], 10);
    wait_until(TIME, || story.read() == 4, || process.log());
    process.drain();
    let mut rows = story.rows("k, n");
    rows.sort_by_key(|row| row[1].as_i64());
    assert_eq!(rows, [vec![json!("in-a"), json!(10)], vec![json!("in-b"), json!(12)]]);
    let lineage = story.command(&["lineage", "p.yaml", "--json"]).done().json();
    let dropped = lineage.as_array().unwrap().iter();
    assert_eq!(dropped.map(|range| range["dropped"].as_u64().unwrap_or(0)).sum::<u64>(), 2);
    // What comes while nothing runs is read by the next run: the start was decided once.
    put(&["in-c"], 20);
    story.run_to_the_end();
    assert_eq!(story.rows("n").len(), 3);
}

impl Story {
    /// Lanes that somebody has claimed.
    fn lanes_claimed(&self) -> usize {
        let lanes = self.command(&["lanes", "p.yaml", "--json"]);
        if lanes.code != Some(0) {
            return 0;
        }
        lanes.json().as_array().map_or(0, Vec::len)
    }
}
