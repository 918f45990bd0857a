//! Rows that a table does not take.

use super::*;
use crate::ledger::DeadLetterFilter;
use crate::record::ErrorClass;

const FIELDS: [(&str, Kind); 2] = [("id", Kind::Integer), ("word", Kind::Text)];

async fn reasons(sink: &Opened) -> Vec<(String, String)> {
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    letters.into_iter().map(|letter| (letter.id, letter.reason)).collect()
}

#[tokio::test]
async fn each_refused_row_is_found_and_the_others_keep_their_order() {
    let file = TestFile::new();
    file.execute(
        "CREATE TABLE t (n INTEGER PRIMARY KEY, id INTEGER UNIQUE, word TEXT NOT NULL, \
         CONSTRAINT \"id below 9000\" CHECK (id < 9000))",
    )
    .await;
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;

    let mut rows: Vec<_> = (0..6000).map(|id| format!(r#"{{"id": {id}, "word": "w"}}"#)).collect();
    rows[0] = r#"{"id": 1, "word": null}"#.to_owned();
    rows[300] = r#"{"id": 299, "word": "w"}"#.to_owned();
    rows[5000] = r#"{"id": 9000, "word": "w"}"#.to_owned();
    rows[5999] = r#"{"id": 2, "word": null}"#.to_owned();
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    let refused = [
        ("CHECK constraint failed: id below 9000", 1),
        ("NOT NULL constraint failed: t.word", 2),
        ("UNIQUE constraint failed: t.id", 1),
    ];
    assert_eq!(writer.write_rows(&rows).await, stored(5996, 0, &refused));

    let expected: Vec<_> = (0..6000)
        .filter(|id| ![0, 300, 5000, 5999].contains(id))
        .map(|id: i32| id.to_string())
        .collect();
    assert_eq!(file.query("SELECT id AS v FROM t ORDER BY n").await, expected);
    assert_eq!(
        reasons(&sink).await,
        [
            ("a:0", "NOT NULL constraint failed: t.word"),
            ("a:300", "UNIQUE constraint failed: t.id"),
            ("a:5000", "CHECK constraint failed: id below 9000"),
            ("a:5999", "NOT NULL constraint failed: t.word"),
        ]
        .map(|(id, reason)| (id.to_owned(), reason.to_owned()))
    );
    let sums = sink.archive.lineage().await.unwrap()[0].sums;
    assert_eq!((sums.read, sums.stored, sums.dead), (6000, 5996, 4));
}

#[tokio::test]
async fn a_unit_may_be_refused_row_for_row() {
    let file = TestFile::new();
    file.execute("CREATE TABLE t (id INTEGER, word TEXT CHECK (word <> 'w'))").await;
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = vec![r#"{"id": 1, "word": "w"}"#; 700];
    let refused = [("CHECK constraint failed: word <> 'w'", 700)];
    assert_eq!(writer.write_rows(&rows).await, stored(0, 0, &refused));
    assert_eq!(reasons(&sink).await.len(), 700);
    assert_eq!(file.query("SELECT count(*) AS v FROM t").await, ["0"]);
}

/// A trigger may leave behind what its statement did until then.
#[tokio::test]
async fn what_a_trigger_refuses_leaves_nothing() {
    let file = TestFile::new();
    file.execute(
        "CREATE TABLE t (id INTEGER, word TEXT); \
         CREATE TRIGGER no_threes AFTER INSERT ON t WHEN new.id % 3 = 0 \
         BEGIN SELECT RAISE(FAIL, 'no threes'); END;",
    )
    .await;
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows: Vec<_> = (1..=9).map(|id| format!(r#"{{"id": {id}, "word": "w"}}"#)).collect();
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    assert_eq!(writer.write_rows(&rows).await, stored(6, 0, &[("no threes", 3)]));
    let ids = file.query("SELECT id AS v FROM t ORDER BY rowid").await;
    assert_eq!(ids, ["1", "2", "4", "5", "7", "8"]);
}

#[tokio::test]
async fn a_null_in_the_key_is_a_dead_letter() {
    let file = TestFile::new();
    let config = SqliteSinkConfig { key: vec!["id".to_owned()], ..file.config("t") };
    let sink = opened(&config, &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [r#"{"id": 1, "word": "w"}"#, r#"{"id": null, "word": "w"}"#];
    assert_eq!(writer.write_rows(&rows).await, stored(1, 0, &[("key column id is null", 1)]));
    assert_eq!(reasons(&sink).await, [("a:1".to_owned(), "key column id is null".to_owned())]);
}

/// Invariant 9: had the unit been cut between them, the older row would be there.
#[tokio::test]
async fn where_the_newest_of_a_key_is_refused_the_one_before_counts() {
    let file = TestFile::new();
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT CHECK (word <> 'bad'))";
    file.execute(table).await;
    let config = SqliteSinkConfig { key: vec!["id".to_owned()], ..file.config("t") };
    let rows = [("oldest", 1), ("old", 2), ("bad", 3), ("bad", 4)]
        .map(|(word, time)| (format!(r#"{{"id": 1, "word": "{word}"}}"#), Some(time)));
    let rows = rows.each_ref().map(|(row, time)| (row.as_str(), *time));
    let refused = [("CHECK constraint failed: word <> 'bad'", 2)];

    let sink = opened(&config, &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "whole").await;
    assert_eq!(writer.write(&rows).await, stored(1, 1, &refused));
    assert_eq!(file.query("SELECT word AS v FROM t").await, ["old"]);
    let sums = sink.archive.lineage().await.unwrap()[0].sums;
    assert!(sums.is_balanced() && sums.dead == 2, "{sums:?}");
}

/// Whose fault it is cannot be told any more when SQLite says so at the end of the transaction. It says
/// so instead of an answer, too: that nothing was committed is looked up.
#[tokio::test]
async fn a_constraint_that_waits_for_the_commit_is_nobodys_record() {
    let file = TestFile::new();
    file.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); \
         CREATE TABLE t (id INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED, word TEXT)",
    )
    .await;
    let sink = opened(&file.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let unit = writer.unit(&[(r#"{"id": 1, "word": "w"}"#, None)]);
    let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("FOREIGN KEY constraint failed"), "{error}");
    assert_eq!(sink.claims.lanes().await.unwrap()[0].position, Position::number(0));

    // Mended, the same unit goes through.
    file.execute("INSERT INTO p VALUES (1)").await;
    let row = [r#"{"id": 1, "word": "w"}"#];
    assert_eq!(writer.write_rows(&row).await, stored(1, 0, &[]));
}
