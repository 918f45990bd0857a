//! What the stories have in common: a topic, a database, pipelines between the two, and the oracle.

use std::fs;
use std::sync::Once;
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::kafka::Topic;
use pinhost_tests::ledger::{Ledger, Verdict};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::{kafka, postgres};
use pinhost_tests::{pinhost, table};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take that has no limit of its own.
pub const TIME: Duration = Duration::from_secs(60);

/// Of consumer groups, in most stories.
pub const SESSION: Duration = Duration::from_secs(3);

pub struct Story {
    pub runtime: Runtime,
    pub folder: TempDir,
    pub topic: Topic,
    /// Of a database of its own.
    pub url: String,
    pub mode: Mode,
    partitions: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Into a table that numbers rows as they come.
    Append,
    /// Into a table with one row for each key, which pinhost makes.
    Upsert,
}

impl Story {
    pub fn new(mode: Mode, partitions: i32) -> Self {
        // One after the other: whoever comes first starts them.
        static SERVERS: Once = Once::new();
        SERVERS.call_once(|| {
            kafka();
            postgres();
        });
        Self::between(kafka().brokers, postgres(), mode, partitions)
    }

    pub fn between(brokers: &str, server: &str, mode: Mode, partitions: i32) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let topic = runtime.block_on(Topic::on(brokers, partitions));
        let name = format!("d_{:016x}", fastrand::u64(..));
        execute(&runtime, server, &format!("CREATE DATABASE {name}"));
        let (server, _) = server.rsplit_once('/').expect("a URL with a database");
        let url = format!("{server}/{name}");
        if mode == Mode::Append {
            let make =
                "CREATE TABLE posts (seq bigserial, part bigint, at bigint, k text, n bigint)";
            execute(&runtime, &url, make);
        }
        let folder = TempDir::new().expect("a folder");
        let story = Self { runtime, folder, topic, url, mode, partitions };
        let yaml = story.pipeline(brokers);
        fs::write(story.folder.path().join("p.yaml"), yaml).expect("a file");
        story
    }

    /// A pipeline whose units are small, so that there is always one in the making.
    fn pipeline(&self, brokers: &str) -> String {
        let (name, url) = (&self.topic.name, &self.url);
        let key = match self.mode {
            Mode::Append => "",
            Mode::Upsert => ", key: [k]",
        };
        let session = SESSION.as_secs();
        format!(
            "\
name: {name}
source: {{ kafka: {{ brokers: '{brokers}', topics: [{name}], session_timeout: {session}s }} }}
rule:
  fields:
    part: {{ type: integer, from: $partition }}
    at: {{ type: integer, from: $offset }}
    k: {{ type: text, required: true }}
    n: {{ type: integer, required: true }}
sink: {{ postgres: {{ url: '{url}', table: posts{key}, create: true }} }}
unit: {{ rows: 300, time: 50ms }}
"
        )
    }

    /// Changes the pipeline's file, which has that in one place.
    #[track_caller]
    pub fn change(&self, from: &str, to: &str) {
        let file = self.folder.path().join("p.yaml");
        let yaml = fs::read_to_string(&file).expect("UTF-8");
        assert_eq!(yaml.matches(from).count(), 1, "{from:?} in {yaml}");
        fs::write(file, yaml.replace(from, to)).expect("a file");
    }

    pub fn group(&self) -> String {
        format!("pinhost.{}", self.topic.name)
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.topic, self.partitions)
    }

    pub fn send(&self, ledger: &mut Ledger, records: u64) {
        self.runtime.block_on(ledger.send(records));
    }

    pub fn start(&self) -> Running {
        Running::start(pinhost!(), self.folder.path(), &["p.yaml"])
    }

    #[track_caller]
    pub fn run_to_the_end(&self) {
        let mut run = Running::start(pinhost!(), self.folder.path(), &["--until-end", "p.yaml"]);
        run.done(TIME);
    }

    pub fn command(&self, args: &[&str]) -> Said {
        said(command(pinhost!(), self.folder.path()).args(args))
    }

    pub fn execute(&self, sql: &str) {
        execute(&self.runtime, &self.url, sql);
    }

    /// Holds the process up where it comes to a table in a transaction, and does this to it meanwhile.
    #[track_caller]
    pub fn at_table(&self, table: &str, process: &Running, done: impl FnOnce()) {
        let mut lock = connect(&self.runtime, &self.url);
        let hold = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        let held = self.runtime.block_on(lock.execute(AssertSqlSafe(hold)));
        held.expect("a lock");
        let waiting = "SELECT count(*) FROM pg_locks \
                       WHERE NOT granted AND database = (SELECT oid FROM pg_database \
                       WHERE datname = current_database())";
        wait_until(TIME, || self.number(waiting) > 0, || process.log());
        done();
        self.runtime.block_on(lock.execute("ROLLBACK")).expect("no lock");
    }

    #[track_caller]
    pub fn number(&self, query: &str) -> i64 {
        table::postgres(&self.url, query)[0][0].as_i64().expect("a number")
    }

    /// How many records the sink has.
    #[track_caller]
    pub fn read(&self) -> i64 {
        // Until the first process has started there is no such table.
        match table::postgres(
            &self.url,
            "SELECT (to_regclass('pinhost.lineage') IS NOT NULL)::int4",
        )[0][0]
            .as_i64()
        {
            Some(1) => self.number("SELECT coalesce(sum(read), 0)::int8 FROM pinhost.lineage"),
            _ => 0,
        }
    }

    /// Waits until the sink has so many records.
    #[track_caller]
    pub fn reads(&self, records: usize, process: &Running) {
        self.reads_within(TIME, records, process);
    }

    #[track_caller]
    pub fn reads_within(&self, time: Duration, records: usize, process: &Running) {
        let records = records as i64;
        let told = || format!("{} of {records} records\n{}", self.read(), process.log());
        wait_until(time, || self.read() >= records, told);
    }

    /// Which lanes have a claim, with its token.
    pub fn claims(&self) -> Vec<Vec<Value>> {
        let there = self.number("SELECT (to_regclass('pinhost.position') IS NOT NULL)::int4");
        if there == 0 {
            return Vec::new();
        }
        table::postgres(&self.url, "SELECT lane, token::text FROM pinhost.position ORDER BY lane")
    }

    /// What the table holds, compared with what was sent.
    pub fn verdict(&self, ledger: &Ledger) -> Verdict {
        let rows = |order: &str| {
            table::postgres(&self.url, &format!("SELECT part, at, k, n FROM posts {order}"))
        };
        match self.mode {
            Mode::Append => ledger.compare_all(&rows("ORDER BY seq")),
            Mode::Upsert => ledger.compare_newest(&rows("")),
        }
    }

    /// Everything is as it has to be.
    #[track_caller]
    pub fn is_sound(&self, ledger: &Ledger) {
        self.verdict(ledger).is_sound();
        self.lineage_adds_up(ledger);
    }

    /// Every record ended in exactly one place.
    #[track_caller]
    pub fn lineage_adds_up(&self, ledger: &Ledger) {
        let sums = "SELECT lane, sum(read)::int8, \
                    sum(stored + superseded + dropped + dead)::int8 \
                    FROM pinhost.lineage GROUP BY lane ORDER BY lane";
        let expected: Vec<Vec<Value>> = ledger
            .by_partition()
            .into_iter()
            .map(|(lane, read)| {
                vec![format!("{}-{lane}", self.topic.name).into(), read.into(), read.into()]
            })
            .collect();
        assert_eq!(table::postgres(&self.url, sums), expected);
    }
}

pub fn connect(runtime: &Runtime, url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    runtime.block_on(options.connect()).expect("a connection")
}

pub fn execute(runtime: &Runtime, url: &str, sql: &str) {
    let mut connection = connect(runtime, url);
    let done = runtime.block_on(connection.execute(AssertSqlSafe(sql.to_owned())));
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
