//! From Kafka to Kafka exactly once, for whoever reads committed messages, whatever is done to the processes.
//!
//! An oracle knows every record that was sent. After each story every record's row is there once, in the order
//! of its lane.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::kafka::{Message, Topic};
use pinhost_tests::kills::wanted;
use pinhost_tests::ledger::{Ledger, Verdict};
use pinhost_tests::pinhost;
use pinhost_tests::proxy::{Fault, Proxy};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::{kafka, turn};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TIME: Duration = Duration::from_secs(60);

/// Of what is read, and of what is written: without a key a lane has one of them.
const PARTITIONS: i32 = 4;

struct Story {
    runtime: Runtime,
    folder: TempDir,
    read: Topic,
    written: Topic,
}

impl Story {
    fn new() -> Self {
        Self::between(kafka().brokers, kafka().brokers)
    }

    /// Of topics at `brokers`, where the sink reaches them by `sink`.
    fn between(brokers: &str, sink: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let read = runtime.block_on(Topic::on(brokers, PARTITIONS));
        let written = runtime.block_on(Topic::on(brokers, PARTITIONS));
        let folder = TempDir::new().expect("a folder");
        let (name, to) = (&read.name, &written.name);
        let yaml = format!(
            "\
name: {name}
source: {{ kafka: {{ brokers: '{brokers}', topics: [{name}], session_timeout: 3s }} }}
rule: rule.yaml
sink: {{ kafka: {{ brokers: '{sink}', topic: {to}, transaction_timeout: 10s }} }}
unit: {{ rows: 300, time: 50ms }}
"
        );
        fs::write(folder.path().join("p.yaml"), yaml).expect("a file");
        let story = Self { runtime, folder, read, written };
        story.save("");
        story
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a rule there as editors do, with one more column or none.
    fn save(&self, more: &str) {
        let rule = format!(
            "\
fields:
  part: {{ type: integer, from: $partition }}
  at: {{ type: integer, from: $offset }}
  k: {{ type: text, required: true }}
  n: {{ type: integer, required: true }}
{more}"
        );
        fs::write(self.path().join("draft"), rule).expect("a file");
        fs::rename(self.path().join("draft"), self.path().join("rule.yaml")).expect("a file");
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(&self.read, PARTITIONS)
    }

    fn start(&self) -> Running {
        Running::start(pinhost!(), self.path(), &["p.yaml"])
    }

    fn command(&self, args: &[&str]) -> Said {
        said(command(pinhost!(), self.path()).args(args))
    }

    fn rows(&self) -> Vec<Value> {
        let messages = self.written.read_committed();
        let row = |message: Message| {
            serde_json::from_slice(&message.value.expect("a row")).expect("JSON")
        };
        messages.into_iter().map(row).collect()
    }

    fn verdict(&self, ledger: &Ledger) -> Verdict {
        let cells = |row: &Value| ["part", "at", "k", "n"].map(|name| row[name].clone()).to_vec();
        ledger.compare_all(&self.rows().iter().map(cells).collect::<Vec<_>>())
    }

    /// Waits until so many rows can be read.
    #[track_caller]
    fn writes(&self, rows: usize, process: &Running) {
        self.writes_within(TIME, rows, process);
    }

    #[track_caller]
    fn writes_within(&self, time: Duration, rows: usize, process: &Running) {
        // Reading all of them takes longer than looking where they end.
        let told = || format!("{} of {rows} rows\n{}", self.rows().len(), process.log());
        wait_until(
            time,
            || {
                sleep(Duration::from_millis(200));
                self.written.ends() >= rows as i64 && self.rows().len() >= rows
            },
            told,
        );
    }
}

/// Kills one of two processes again and again, at a random moment, and starts another in its place.
#[test]
fn rows_are_there_once_and_in_order_whoever_is_killed() {
    let kills = wanted(4);
    let story = Story::new();
    let feed = story.ledger().feed(story.runtime.handle(), 1_000);
    let mut running = [story.start(), story.start()];
    story.writes(1_000, &running[0]);
    for done in 1..=kills {
        sleep(Duration::from_secs(3).mul_f64(fastrand::f64()));
        let unlucky = &mut running[fastrand::usize(..2)];
        unlucky.kill();
        *unlucky = story.start();
        if done % 20 == 0 {
            println!("{done} kills");
        }
    }
    let ledger = feed.stop(story.runtime.handle());
    let time = TIME + Duration::from_secs(2) * kills;
    story.writes_within(time, ledger.sent.len(), &running[0]);
    running.into_iter().for_each(|process| process.drain());
    let verdict = story.verdict(&ledger);
    println!("{kills} kills: {verdict:?}");
    verdict.is_sound();
    let lineage = story.command(&["lineage", "p.yaml", "--json"]);
    assert_eq!(lineage.code, Some(0), "{}", lineage.stderr);
}

/// EndTxn, as a client sends it: its number, and the version that librdkafka speaks.
const END_TRANSACTION: &[u8] = &[0, 26, 0, 1];

/// The answer to the end of a transaction is lost, or the request never arrives: it is found out which.
#[test]
fn a_commit_whose_answer_is_lost_is_found_out() {
    let turn = turn();
    let runtime = Runtime::new().expect("a runtime");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
    let proxy = Proxy::start(runtime.handle(), &format!("127.0.0.1:{port}"));
    let server = turn.kafka_behind(port, proxy.address.port());
    let brokers = server.said("KAFKA_BOOTSTRAP");
    let story = Story::between(brokers, &proxy.address.to_string());
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let process = story.start();
    story.writes(300, &process);
    let (lost, cut) = (Fault::LoseAnswerTo(END_TRANSACTION), Fault::CutBefore(END_TRANSACTION));
    for (done, fault) in (0..).zip([lost, cut, lost, cut]) {
        proxy.plan(fault);
        wait_until(TIME, || proxy.happened() > done, || format!("{fault:?}\n{}", process.log()));
        let before = story.rows().len();
        story.writes(before + 300, &process);
    }
    let ledger = feed.stop(story.runtime.handle());
    story.writes(ledger.sent.len(), &process);
    process.drain();
    story.verdict(&ledger).is_sound();
}

/// A process that was stopped beyond the time-out of its transaction comes back to lanes that others have.
#[test]
fn a_process_that_comes_back_late_writes_nothing_more() {
    let story = Story::new();
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let zombie = story.start();
    story.writes(500, &zombie);
    zombie.signal("STOP");
    let other = story.start();
    let before = story.rows().len();
    // All lanes have moved over, and more than what was on its way is there.
    story.writes(before + 2_000, &other);
    zombie.signal("CONT");
    story.writes(before + 3_000, &other);
    let ledger = feed.stop(story.runtime.handle());
    story.writes(ledger.sent.len(), &other);
    zombie.drain();
    other.drain();
    story.verdict(&ledger).is_sound();
}

/// A copy of the file in which one line was changed must not disturb whoever runs the original.
#[test]
fn a_copied_file_fences_nobody() {
    let story = Story::new();
    let mut ledger = story.ledger();
    story.runtime.block_on(ledger.send(300));
    let process = story.start();
    story.writes(300, &process);
    let other = story.runtime.block_on(Topic::new(1));
    let yaml = fs::read_to_string(story.path().join("p.yaml")).expect("UTF-8");
    let copy = yaml.replace(&story.written.name, &other.name);
    fs::write(story.path().join("copy.yaml"), copy).expect("a file");
    let copied = story.command(&["run", "copy.yaml"]);
    assert_eq!(copied.code, Some(1), "{}", copied.stderr);
    assert!(copied.stderr.contains(&other.name), "{}", copied.stderr);
    assert!(copied.stderr.contains("`name:`"), "{}", copied.stderr);
    story.runtime.block_on(ledger.send(300));
    story.writes(600, &process);
    process.drain();
    story.verdict(&ledger).is_sound();
    assert_eq!(other.read_committed().len(), 0);
}

/// The commands read what the process writes, and have it do what they are asked for.
#[test]
fn commands_look_at_the_ledger_and_the_owner_does_what_they_ask() {
    let story = Story::new();
    let mut ledger = story.ledger();
    story.runtime.block_on(ledger.send(200));
    story.runtime.block_on(story.read.send(0, ["not JSON"]));
    let process = story.start();
    story.writes(200, &process);
    let lane = format!("{}-0", story.read.name);
    wait_until(
        TIME,
        || {
            let lanes = story.command(&["lanes", "p.yaml", "--json"]).json();
            lanes.as_array().is_some_and(|lanes| lanes.len() == PARTITIONS as usize)
        },
        || process.log(),
    );
    let letters = story.command(&["dead-letters", "p.yaml", "list", "--json"]);
    assert!(letters.stdout.contains("not JSON"), "{}{}", letters.stdout, letters.stderr);
    let lineage = story.command(&["lineage", "p.yaml"]);
    assert_eq!(lineage.code, Some(0), "{}", lineage.stderr);
    let generations = story.command(&["generations", "p.yaml"]);
    assert_eq!(generations.code, Some(0), "{}", generations.stderr);
    let resumed = story.command(&["lanes", "resume", "p.yaml", &lane, "--accept-rejects", "9"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let moved =
        story.command(&["lanes", "move", "p.yaml", &lane, "--to", "earliest", "--accept-gap"]);
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    // What the lane holds is written a second time, once its process has something to commit and finds out.
    let again = ledger.by_partition()[0].1 as usize;
    story.runtime.block_on(ledger.send_to([(0, "key 1".to_owned())]));
    story.writes(200 + again + 1, &process);
    process.drain();
}

/// Another rule with another column takes over while rows flow, and the lanes keep their owner.
#[test]
fn a_swap_to_other_columns_loses_and_repeats_nothing() {
    let story = Story::new();
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let process = story.start();
    story.writes(500, &process);
    story.save("  m: { type: text, from: $key }\n");
    let has_more = || story.rows().iter().any(|row| row.get("m").is_some());
    wait_until(TIME, has_more, || process.log());
    let ledger = feed.stop(story.runtime.handle());
    story.writes(ledger.sent.len(), &process);
    process.drain();
    story.verdict(&ledger).is_sound();
}

/// A finite source ends, and its second run finds nothing more to do.
#[test]
fn a_pipeline_of_generated_records_ends_with_all_of_them() {
    let story = Story::new();
    let (brokers, to) = (kafka().brokers, &story.written.name);
    let yaml = format!(
        "\
name: g-{to}
source: {{ generate: {{ profile: pin, count: 5000 }} }}
rule: {{ fields: {{ ind: {{ type: integer, aliases: [index] }}, title: text }} }}
sink: {{ kafka: {{ brokers: '{brokers}', topic: {to}, key: [ind] }} }}
"
    );
    fs::write(story.path().join("g.yaml"), yaml).expect("a file");
    let run = story.command(&["run", "g.yaml"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rows = story.rows();
    let dead = story.command(&["dead-letters", "g.yaml", "list", "--json", "--limit", "5000"]);
    assert_eq!(rows.len() + dead.stdout.lines().count(), 5000, "{}", run.stderr);
    let again = story.command(&["run", "g.yaml"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(story.rows().len(), rows.len(), "it was read to its end");
}
