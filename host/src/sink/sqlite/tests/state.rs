//! The database itself.

use std::time::Duration;

use super::*;
use crate::ledger::DeadLetterFilter;
use crate::record::{DeadLetter, Digest, ErrorClass, Unit};
use crate::sink::conformance::PINS;
use crate::sink::sqlite::state::migrate;

const FIELDS: [(&str, Kind); 1] = [("id", Kind::Integer)];

fn sink(file: &TestFile) -> SqliteSink {
    SqliteSink::open(&file.config("t"), context()).unwrap()
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let file = TestFile::new();
    sink(&file).prepare().await.unwrap();
    for (format, said) in [("5", "a newer pinhost wrote it"), ("x", "which is no format")] {
        file.execute(&format!("UPDATE pinhost_meta SET value = '{format}'")).await;
        let error = sink(&file).prepare().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(file.query("SELECT value AS v FROM pinhost_meta").await, [format]);
    }
}

#[tokio::test]
async fn an_older_format_is_brought_up_to_date() {
    let file = TestFile::new();
    sink(&file).prepare().await.unwrap();
    let later = [
        "this is behind it already",
        "and this",
        "and that",
        "and all of this",
        "ALTER TABLE pinhost_generation ADD COLUMN verdict TEXT",
        "UPDATE pinhost_generation SET verdict = 'live'; CREATE TABLE pinhost_new (x)",
    ];
    for _ in 0..2 {
        migrate(&mut file.connection().await, &later).await.unwrap();
        assert_eq!(file.query("SELECT value AS v FROM pinhost_meta").await, ["6"]);
    }
    assert_eq!(file.query("SELECT count(*) AS v FROM pinhost_new").await, ["0"]);

    // All of a migration or nothing of it.
    let broken = [
        later[0],
        later[1],
        later[2],
        later[3],
        later[4],
        later[5],
        "CREATE TABLE pinhost_newest (x); nonsense",
    ];
    migrate(&mut file.connection().await, &broken).await.unwrap_err();
    assert_eq!(file.query("SELECT value AS v FROM pinhost_meta").await, ["6"]);
    let tables = "SELECT count(*) AS v FROM sqlite_schema WHERE name = 'pinhost_newest'";
    assert_eq!(file.query(tables).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sinks_that_start_at_once_on_an_empty_database_all_get_ready() {
    for _ in 0..5 {
        let file = TestFile::new();
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let sink = sink(&file);
                tokio::spawn(async move {
                    sink.prepare().await?;
                    sink.ledger().claims.claim(&Lane::new("a"), Position::number(0)).await
                })
            })
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
        assert_eq!(file.query("SELECT count(*) AS v FROM pinhost_position").await, ["1"]);
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_left_alone() {
    let file = TestFile::new();
    let text = "name,age\n".repeat(1000);
    std::fs::write(file.path(), &text).unwrap();
    let error = sink(&file).prepare().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("file is not a database"), "{error}");
    assert!(error.help.unwrap().contains("`path:`"));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database_is_fatal() {
    let file = TestFile::new();
    sink(&file).prepare().await.unwrap();
    // The connection is closed on a thread of its own; until then the log would mend the file.
    while file.path().with_extension("db-wal").exists() {
        tokio::task::yield_now().await;
    }
    let mut bytes = std::fs::read(file.path()).unwrap();
    bytes[100..].fill(0xee);
    std::fs::write(file.path(), bytes).unwrap();
    let error = sink(&file).prepare().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(error.to_string().contains("malformed"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_said() {
    let file = TestFile::new();
    let config = SqliteSinkConfig {
        path: file.path().join("x.db").to_str().unwrap().to_owned(),
        ..file.config("t")
    };
    let sink = SqliteSink::open(&config, context()).unwrap();
    let error = sink.prepare().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().ends_with("the folder that it is in is not there"), "{error}");

    std::fs::create_dir_all(config.path).unwrap();
    let error = sink.prepare().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("unable to open database file"), "{error}");
}

#[tokio::test]
async fn looking_makes_no_database() {
    let file = TestFile::new();
    let sink = sink(&file);
    let sink = sink.ledger();
    assert!(sink.claims.lanes().await.unwrap().is_empty());
    assert!(sink.letters.list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    assert!(!file.path().exists());
}

#[tokio::test]
async fn a_table_that_was_dropped_is_made_again() {
    let file = TestFile::new();
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": 1}"#]).await;
    file.execute("DROP TABLE t").await;

    let unit = writer.unit(&[(r#"{"id": 2}"#, None)]);
    let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("no such table: t"), "{error}");
    writer.write_rows(&[r#"{"id": 2}"#]).await;
    assert_eq!(file.query("SELECT id AS v FROM t").await, ["2"]);
}

/// What a lane's task leaves behind that is dropped in the middle of a commit.
#[tokio::test]
async fn a_commit_that_is_given_up_commits_all_or_nothing() {
    let file = TestFile::new();
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let rows: Vec<_> = (0..3000).map(|id| format!(r#"{{"id": {id}}}"#)).collect();
    let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), None)).collect();
    let mut cut_short = 0;
    for polls in 1..60 {
        let writer = LaneWriter::new(&sink, "a").await;
        let unit = writer.unit(&rows);
        let mut commit = std::pin::pin!(sink.writer.commit(&writer.claim, &unit));
        for _ in 0..polls {
            let waited = tokio::time::timeout(Duration::from_millis(1), &mut commit).await;
            if waited.is_ok() {
                break;
            }
            cut_short += 1;
        }
    }
    assert!(cut_short > 0, "no commit was given up");
    // After whatever is still under way.
    let next = sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap();
    let position = next.position.as_number().unwrap();
    let count = file.query("SELECT count(*) AS v FROM t").await;
    assert_eq!(count, [position.to_string()]);
    assert_eq!(position % 3000, 0);
}

/// Issue 25, B12: it came back as fenced, and the lane stood by for a minute.
#[tokio::test]
async fn a_unit_whose_answer_stays_lost_is_done_once_it_is_offered_again() {
    let file = TestFile::new();
    let sink = sink(&file);
    let store = Arc::clone(&sink.store);
    let sink = Opened::of(sink, columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let (claim, unit) = (writer.claim.clone(), writer.unit(&[(r#"{"id": 1}"#, None)]));
    let answer = stored(1, 0, &[]);

    store.state.note_unsettled(&claim, &unit, answer.clone());
    writer.write_rows(&[r#"{"id": 1}"#]).await;
    let other = Unit { generation: Digest::of(b"another"), ..unit.clone() };
    assert_eq!(sink.writer.commit(&claim, &other).await.unwrap(), CommitOutcome::Fenced);

    store.state.note_unsettled(&claim, &unit, answer.clone());
    let again = sink.writer.commit(&claim, &unit).await.unwrap();
    assert_eq!(again, CommitOutcome::Done(answer.clone()));
    assert_eq!(file.query("SELECT id AS v FROM t").await, ["1"]);

    store.state.note_unsettled(&claim, &unit, answer);
    let next = LaneWriter::new(&sink, "a").await.claim;
    assert_eq!(sink.writer.commit(&claim, &unit).await.unwrap(), CommitOutcome::Fenced);
    assert_eq!(next.position, unit.to);
}

#[tokio::test]
async fn a_closed_database_is_a_single_file() {
    let file = TestFile::new();
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1}"#]).await;
    let files = || std::fs::read_dir(file.folder.path()).unwrap().count();
    assert!(files() > 1, "a log stands beside an open database");
    sink.sink.close().await.unwrap();
    assert_eq!(files(), 1);
    assert_eq!(sink.claims.lanes().await.unwrap().len(), 1, "it opens again when asked");
}

#[tokio::test]
async fn old_letters_are_forgotten_now_and_then() {
    let file = TestFile::new();
    let keep = Some(Duration::from_secs(3600));
    let context = SinkContext { keep_dead_letters: keep, ..context() };
    let open = || {
        let sink = SqliteSink::open(&file.config("t"), context.clone()).unwrap();
        Opened::of(sink, columns(&FIELDS))
    };
    let letter = |record| DeadLetter { record, step: None, reason: "x".to_owned(), detail: None };

    let sink = open().await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let mut unit = writer.unit(&[(r#"{"id": 1}"#, None), (r#"{"id": 2}"#, None)]);
    unit.parts[0] = UnitPart { dead_letters: vec![letter(0), letter(1)], ..writer.part(&[]) };
    unit.parts[0].raw = writer.unit(&[("{}", None), ("{}", None)]).parts[0].raw.clone();
    sink.writer.commit(&writer.claim, &unit).await.unwrap();
    writer.claim.position = unit.to;
    let old =
        "UPDATE pinhost_dead_letter SET time = '2020-01-01T00:00:00.000000Z' WHERE id = 'a:0'";
    file.execute(old).await;

    // Not by every commit: this sink has just looked.
    writer.write_rows(&[r#"{"id": 3}"#]).await;
    let count = "SELECT count(*) AS v FROM pinhost_dead_letter";
    assert_eq!(file.query(count).await, ["2"]);
    let sink = open().await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 4}"#]).await;
    assert_eq!(file.query("SELECT id AS v FROM pinhost_dead_letter").await, ["a:1"]);
}

#[tokio::test]
async fn a_generation_is_stored_with_its_plugins() {
    let file = TestFile::new();
    crate::sink::conformance::generations_are_kept_once(&file).await;
    assert_eq!(file.query("SELECT count(*) AS v FROM pinhost_generation").await, ["2"]);
    let plugins = "SELECT g.plugins ->> '$[0].name' || ' ' || hex(p.bytes) AS v \
                   FROM pinhost_generation g JOIN pinhost_plugin p \
                   ON p.digest = g.plugins ->> '$[0].digest' WHERE g.resolved = '{}'";
    assert_eq!(file.query(plugins).await, ["tags 0061736D"]);
}

#[tokio::test]
async fn state_that_cannot_be_read_is_not_taken_for_none() {
    let file = TestFile::new();
    let sink = file.open(PINS).await;
    sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap();
    file.execute("UPDATE pinhost_position SET position = 'somewhere'").await;
    let error = sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(error.to_string().ends_with("holds `somewhere`, which is no position"), "{error}");
}
