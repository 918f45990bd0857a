//! Clients that post without a pause, and kills under their load.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pinhost_tests::http_client::HttpClient;
use pinhost_tests::kills;
use pinhost_tests::pinhost;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::postgres;
use pinhost_tests::table;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{RULE, TIME};

/// Numbers of records that clients post; smaller ones are others'.
const FIRST: u64 = 1_000;

pub fn execute(url: &str, sql: &str) {
    let options: PgConnectOptions = url.parse().expect("a URL");
    let done = async { options.connect().await?.execute(AssertSqlSafe(sql.to_owned())).await };
    Runtime::new().expect("a runtime").block_on(done).expect("it is done");
}

/// A database of its own.
pub fn database() -> String {
    let name = format!("d_{:016x}", fastrand::u64(..));
    execute(postgres(), &format!("CREATE DATABASE {name}"));
    let (server, _) = postgres().rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

/// What clients were told.
#[derive(Debug, Default)]
pub struct Answered {
    /// Records of requests that were answered by a 2xx.
    pub stored: BTreeSet<u64>,
    /// Other statuses.
    pub others: Vec<u16>,
    pub broken: u64,
}

impl Answered {
    /// A promise was given for each of them.
    #[track_caller]
    pub fn are_among(&self, rows: &BTreeSet<u64>) {
        let lost: Vec<_> = self.stored.difference(rows).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), self.stored.len());
    }
}

/// Each posts one record after the other, on a connection that it opens again if it breaks off.
pub struct Clients {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Answered>>,
}

impl Clients {
    pub fn start(address: &str, clients: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(FIRST));
        let client = |_| {
            let (address, is_over, next) =
                (address.to_owned(), Arc::clone(&is_over), Arc::clone(&next));
            thread::spawn(move || post_on(&address, &is_over, &next))
        };
        let threads = (0..clients).map(client).collect();
        Self { is_over, threads }
    }

    pub fn stop(self) -> Answered {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Answered::default();
        for thread in self.threads {
            let Answered { stored, others, broken } = thread.join().expect("no panic");
            all.stored.extend(stored);
            all.others.extend(others);
            all.broken += broken;
        }
        all
    }
}

fn post_on(address: &str, is_over: &AtomicBool, next: &AtomicU64) -> Answered {
    let mut answered = Answered::default();
    let mut client = None;
    while !is_over.load(Ordering::Relaxed) {
        let Some(open) = &mut client else {
            client = HttpClient::try_connect(address).ok();
            if client.is_none() {
                thread::sleep(Duration::from_millis(20));
            }
            continue;
        };
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"ind\": {number}, \"title\": \"t\"}}");
        match open.try_send(("POST", "/pin"), &[("Content-Type", "application/json")], body) {
            Ok(answer) if answer.status == 200 => {
                answered.stored.insert(number);
            }
            Ok(answer) => {
                answered.others.push(answer.status);
                client = None;
            }
            Err(_) => {
                answered.broken += 1;
                client = None;
            }
        }
    }
    answered
}

/// One that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn every_2xx_outlives_kills() {
    let url = database();
    let folder = TempDir::new().expect("a folder");
    let address = format!("127.0.0.1:{}", free_port());
    let source = format!("{{ http: {{ listen: '{address}' }} }}");
    let sink = format!("{{ postgres: {{ url: '{url}', table: t, create: true }} }}");
    let yaml = format!("name: door\nsource: {source}\n{RULE}sink: {sink}\n");
    std::fs::write(folder.path().join("p.yaml"), yaml).expect("a file");
    let clients = Clients::start(&address, 8);
    let kills = kills::wanted(3);
    for _ in 0..kills {
        let before = stored(&url).len();
        let mut running = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
        // There is a load when it dies.
        wait_until(TIME, || stored(&url).len() > before + 20, || running.log());
        thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
        running.kill();
    }
    let running = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
    let before = stored(&url).len();
    wait_until(TIME, || stored(&url).len() > before + 20, || running.log());
    let answered = clients.stop();
    running.drain();
    let rows = stored(&url);
    println!(
        "{kills} kills, {} records acknowledged, {} stored",
        answered.stored.len(),
        rows.len()
    );
    answered.are_among(&rows);
    assert!(answered.stored.len() > 50 && answered.broken > 0, "{answered:?}");
}

fn stored(url: &str) -> BTreeSet<u64> {
    let there = table::postgres(url, "SELECT to_regclass('t')::text");
    if there[0][0].is_null() {
        return BTreeSet::new();
    }
    let rows = table::postgres(url, "SELECT ind FROM t");
    rows.into_iter().map(|row| row[0].as_u64().expect("a number")).collect()
}
