//! Servers and processes that fail, and who is told what.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::connect::{CommitOutcome, RetriedLetter, Retry, SinkContext};
use crate::ledger::Claim;
use crate::record::{Digest, ErrorClass, Lane, Position};
use crate::sink::postgres::state;

const FIELDS: [(&str, Kind); 1] = [("id", Kind::Integer)];

async fn claim(sink: &Opened) -> Claim {
    sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sinks_that_start_at_once_on_an_empty_database_all_get_ready() {
    let database = TestDatabase::new().await;
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let sink = PostgresSink::open(&database.keyed(), context()).unwrap();
            tokio::spawn(async move {
                sink.prepare().await?;
                sink.ledger().claims.claim(&Lane::new("a"), Position::number(0)).await
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    assert_eq!(database.query("SELECT count(*) AS v FROM pinhost.position").await, ["1"]);
}

#[tokio::test]
async fn a_format_is_migrated_and_a_newer_one_is_left_alone() {
    let database = TestDatabase::new().await;
    opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut connection = database.connection().await;
    let later = [state::MIGRATIONS, &["CREATE TABLE pinhost.new (x text)"]].concat();
    for _ in 0..2 {
        state::migrate(&mut connection, &later).await.unwrap();
        assert_eq!(database.query("SELECT value AS v FROM pinhost.meta").await, ["5"]);
    }
    for (format, said) in [("5", "a newer pinhost wrote it"), ("x", "which is no format")] {
        database.execute(&format!("UPDATE pinhost.meta SET value = '{format}'")).await;
        let sink = PostgresSink::open(&database.config("t"), context()).unwrap();
        let error = sink.prepare().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// A process that is stopped just before its COMMIT holds the lane's position.
#[tokio::test]
async fn a_claim_ends_the_session_that_holds_the_lane() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let first = claim(&sink).await;
    let mut zombie = database.connection().await;
    let hold = "BEGIN; INSERT INTO t (id) VALUES (1); UPDATE pinhost.position SET moved = now()";
    sqlx::raw_sql(hold).execute(&mut zombie).await.unwrap();

    let began = Instant::now();
    let next = claim(&sink).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "a commit gets the time that it takes");
    assert_ne!(next.token, first.token);
    sqlx::raw_sql("COMMIT").execute(&mut zombie).await.unwrap_err();
    assert_eq!(database.query("SELECT count(*) AS v FROM t").await, ["0"]);
}

/// What a proxy swallows once, with the connection that it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Commit,
    Answer,
}

/// Between a sink and its server. Loses what it is told to, next time.
struct Proxy {
    address: String,
    next: Arc<Mutex<Option<Lost>>>,
}

impl Proxy {
    async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let next: Arc<Mutex<Option<Lost>>> = Arc::default();
        let (server, lost) = (server.to_owned(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&lost)));
            }
        });
        Self { address, next }
    }

    fn lose(&self, lost: Lost) {
        *self.next.lock().unwrap() = Some(lost);
    }
}

/// Until either end is closed.
async fn pass(mut client: TcpStream, mut server: TcpStream, lost: Arc<Mutex<Option<Lost>>>) {
    let (mut asked, mut answered) = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let asked = &asked[..read];
                let lost = asked.ends_with(b"COMMIT\0").then(|| lost.lock().unwrap().take());
                if lost == Some(Some(Lost::Commit)) || server.write_all(asked).await.is_err() {
                    return;
                }
                if lost == Some(Some(Lost::Answer)) {
                    // It is committed once there is one.
                    server.readable().await.unwrap();
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(&database.address).await;
    let behind = TestDatabase { address: proxy.address.clone(), name: database.name.clone() };
    let sink = opened(&behind.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;

    proxy.lose(Lost::Answer);
    assert_eq!(writer.write_rows(&[r#"{"id": 1}"#]).await, stored(1, 0, &[]));
    assert!(proxy.next.lock().unwrap().is_none(), "it was lost");

    proxy.lose(Lost::Commit);
    let unit = writer.unit(&[(r#"{"id": 2}"#, None)]);
    let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1"]);
    writer.write_rows(&[r#"{"id": 2}"#]).await;
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1", "2"]);
}

#[tokio::test]
async fn a_retry_whose_answer_is_lost_is_done() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(&database.address).await;
    let behind = TestDatabase { address: proxy.address.clone(), name: database.name.clone() };
    let sink = opened(&behind.keyed(), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": null}"#]).await;
    let part = LaneWriter::new(&sink, "b").await.part(&[(r#"{"id": 1}"#, None)]);
    let retry = |generation: &[u8]| Retry {
        generation: Digest::of(generation),
        letters: vec![RetriedLetter {
            id: "a:0".to_owned(),
            attempts: 1,
            lane: Lane::new("a"),
            part: part.clone(),
        }],
    };

    proxy.lose(Lost::Commit);
    let error = sink.writer.commit_retry(&retry(b"one")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(database.query("SELECT id AS v FROM t").await.is_empty());

    proxy.lose(Lost::Answer);
    let committed = sink.writer.commit_retry(&retry(b"one")).await.unwrap();
    assert_eq!(committed, CommitOutcome::Done(stored(1, 0, &[])));
    assert!(proxy.next.lock().unwrap().is_none(), "it was lost");
    assert_eq!(sink.writer.commit_retry(&retry(b"two")).await.unwrap(), CommitOutcome::Fenced);
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1"]);
}

#[tokio::test]
async fn a_server_that_starts_again_is_found_again() {
    let server = Server::start(None);
    let database = TestDatabase::on(&server).await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": 1}"#]).await;

    server.stop();
    let unit = writer.unit(&[(r#"{"id": 2}"#, None)]);
    for _ in 0..2 {
        let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
    }
    let server = Server::start(Some(server.said("PG_DATA")));
    writer.write_rows(&[r#"{"id": 2}"#]).await;
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1", "2"]);
    sink.sink.close().await.unwrap();
    server.stop();
}

/// What a lane's task leaves behind that is dropped in the middle of a commit.
#[tokio::test]
async fn a_commit_that_is_given_up_commits_all_or_nothing() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let rows: Vec<_> = (0..3000).map(|id| format!(r#"{{"id": {id}}}"#)).collect();
    let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), None)).collect();
    let mut cut_short = 0;
    for millis in 1..25 {
        let writer = LaneWriter::new(&sink, "a").await;
        let unit = writer.unit(&rows);
        let commit = sink.writer.commit(&writer.claim, &unit);
        let waited = tokio::time::timeout(Duration::from_millis(millis), commit).await;
        cut_short += u32::from(waited.is_err());
    }
    assert!(cut_short > 0, "no commit was given up");
    // After whatever is still under way.
    let position = claim(&sink).await.position.as_number().unwrap();
    let count = database.query("SELECT count(*) AS v FROM t").await;
    assert_eq!(count, [position.to_string()]);
    assert_eq!(position % 3000, 0);
}

#[tokio::test]
async fn lanes_beyond_the_pool_wait_for_their_turn() {
    let database = TestDatabase::new().await;
    let config = PostgresSinkConfig { pool: 1, ..database.keyed() };
    let sink = Arc::new(opened(&config, &columns(&FIELDS)).await);
    let lanes: Vec<_> = (0..6)
        .map(|lane| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                let mut writer = LaneWriter::new(&sink, &format!("lane {lane}")).await;
                for _ in 0..5 {
                    writer.write(&[(r#"{"id": 1}"#, Some(lane))]).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    let sums: u64 = sink.archive.lineage().await.unwrap().iter().map(|range| range.sums.read).sum();
    assert_eq!(sums, 30);
}

#[tokio::test]
async fn lanes_that_write_the_same_keys_at_once_do_not_block_each_other_for_good() {
    let database = TestDatabase::new().await;
    let sink = Arc::new(opened(&database.keyed(), &columns(&FIELDS)).await);
    let lanes: Vec<_> = (0..4)
        .map(|lane: i64| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                let mut writer = LaneWriter::new(&sink, &format!("lane {lane}")).await;
                for turn in 0..5 {
                    // Each in an order of its own.
                    let ids = (0..200).map(|at| (at * (2 * lane + 1) + turn) % 200);
                    let rows: Vec<_> = ids.map(|id| format!(r#"{{"id": {id}}}"#)).collect();
                    let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), Some(turn))).collect();
                    let unit = writer.unit(&rows);
                    let committed = sink.writer.commit(&writer.claim, &unit).await.unwrap();
                    assert!(matches!(committed, CommitOutcome::Done(_)));
                    writer.claim.position = unit.to;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    assert_eq!(database.query("SELECT count(*) AS v FROM t").await, ["200"]);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_and_never_the_password() {
    let database = TestDatabase::new().await;
    database
        .execute("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN; CREATE TABLE t (id bigint)")
        .await;
    let (address, name) = (&database.address, &database.name);
    for (url, class, said, help) in [
        (
            format!("postgres://poor:hunter2@{address}/{name}"),
            ErrorClass::Systemic,
            "permission denied for database",
            "GRANT CREATE, TEMPORARY ON DATABASE",
        ),
        (
            format!("postgres://nobody:hunter2@{address}/{name}"),
            ErrorClass::Systemic,
            "does not exist",
            "the role and its password",
        ),
        (
            format!("postgres://postgres:hunter2@{address}/nothing"),
            ErrorClass::Systemic,
            "does not exist",
            "CREATE DATABASE",
        ),
        (
            format!("postgres://postgres:hunter2@{address}/{name}?sslmode=require"),
            ErrorClass::Systemic,
            "no encrypted connection",
            "sslmode=verify-full",
        ),
        (
            "postgres://postgres:hunter2@127.0.0.1:1/x".to_owned(),
            ErrorClass::Transient,
            "x on 127.0.0.1:1: it cannot be reached",
            "is it running there?",
        ),
        (
            "postgres://postgres:hunter2@host:port/x".to_owned(),
            ErrorClass::Fatal,
            "`url:` cannot be understood",
            "postgres://me:",
        ),
        (
            "postgres://me@host/x?ssl_mode=require&passphrase=hunter2".to_owned(),
            ErrorClass::Fatal,
            "is not understood",
            "there are sslmode",
        ),
        ("hunter2".to_owned(), ErrorClass::Fatal, "begin with postgres://", "postgres://me:"),
    ] {
        let config = PostgresSinkConfig { url: DatabaseUrl::new(&*url), ..database.config("t") };
        let error = match PostgresSink::open(&config, context()) {
            Ok(sink) => {
                assert!(!format!("{sink:?}").contains("hunter2"));
                sink.prepare().await.unwrap_err()
            }
            Err(error) => error,
        };
        assert_eq!(error.class, class, "{error}");
        let shown = format!("{error} {error:?} {}", error.help.as_deref().unwrap());
        assert!(shown.contains(said) && shown.contains(help), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

/// All that a role needs, and what an administrator may have made for it.
#[tokio::test]
async fn a_role_with_the_documented_rights_alone_runs() {
    let database = TestDatabase::new().await;
    let name = &database.name;
    opened(&database.keyed(), &columns(&FIELDS)).await;
    database
        .execute(&format!(
            "CREATE ROLE modest LOGIN;              GRANT TEMPORARY ON DATABASE {name} TO modest; GRANT USAGE ON SCHEMA pinhost TO modest;              GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pinhost TO modest;              GRANT SELECT, INSERT, UPDATE ON t TO modest"
        ))
        .await;
    let url = DatabaseUrl::new(format!("postgres://modest@{}/{name}", database.address));
    let sink = opened(&PostgresSinkConfig { url, ..database.keyed() }, &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": 1}"#, r#"{"id": null}"#]).await;
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1"]);
    assert_eq!(sink.claims.lanes().await.unwrap().len(), 1);
}

#[tokio::test]
async fn looking_makes_nothing() {
    let database = TestDatabase::new().await;
    let sink = PostgresSink::open(&database.config("t"), context()).unwrap();
    let sink = sink.ledger();
    assert!(sink.claims.lanes().await.unwrap().is_empty());
    assert!(sink.archive.lineage().await.unwrap().is_empty());
    let schemas = "SELECT count(*) AS v FROM pg_namespace WHERE nspname = 'pinhost'";
    assert_eq!(database.query(schemas).await, ["0"]);
}

#[tokio::test]
async fn a_table_that_was_dropped_is_made_again() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": 1}"#]).await;
    database.execute("DROP TABLE t").await;

    let unit = writer.unit(&[(r#"{"id": 2}"#, None)]);
    let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("\"t\" does not exist"), "{error}");
    opened(&database.config("t"), &columns(&FIELDS)).await;
    writer.write_rows(&[r#"{"id": 2}"#]).await;
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["2"]);
}

#[tokio::test]
async fn old_letters_are_forgotten_now_and_then() {
    let database = TestDatabase::new().await;
    let keep = Some(Duration::from_secs(3600));
    let context = SinkContext { keep_dead_letters: keep, ..context() };
    let open = || {
        let sink = PostgresSink::open(&database.keyed(), context.clone()).unwrap();
        Opened::of(sink, columns(&FIELDS))
    };
    let sink = open().await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let null = r#"{"id": null}"#;
    writer.write_rows(&[null, null]).await;
    let old = "UPDATE pinhost.dead_letter SET time = now() - interval '2 hours' WHERE id = 'a:0'";
    database.execute(old).await;

    // Not by every commit: this sink has just looked.
    writer.write_rows(&[r#"{"id": 3}"#]).await;
    let ids = "SELECT id AS v FROM pinhost.dead_letter ORDER BY number";
    assert_eq!(database.query(ids).await, ["a:0", "a:1"]);
    let sink = open().await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 4}"#]).await;
    assert_eq!(database.query(ids).await, ["a:1"]);
}
