//! Rows that a table does not take.

use super::*;
use crate::ledger::{DeadLetterFilter, StoredDeadLetter};
use crate::record::ErrorClass;

const FIELDS: [(&str, Kind); 2] = [("id", Kind::Integer), ("word", Kind::Text)];

async fn letters(sink: &Opened) -> Vec<StoredDeadLetter> {
    sink.letters.list(&DeadLetterFilter::default()).await.unwrap()
}

async fn reasons(sink: &Opened) -> Vec<(String, String)> {
    letters(sink).await.into_iter().map(|letter| (letter.id, letter.reason)).collect()
}

#[tokio::test]
async fn each_refused_row_is_found_and_the_others_keep_their_order() {
    let database = TestDatabase::new().await;
    database
        .execute(
            "CREATE TABLE t (n bigserial, id bigint UNIQUE, word varchar(5) NOT NULL, \
             CONSTRAINT \"id below 9000\" CHECK (id < 9000))",
        )
        .await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;

    let mut rows: Vec<_> = (0..6000).map(|id| format!(r#"{{"id": {id}, "word": "w"}}"#)).collect();
    rows[0] = r#"{"id": 1, "word": null}"#.to_owned();
    rows[300] = r#"{"id": 299, "word": "w"}"#.to_owned();
    rows[5000] = r#"{"id": 9000, "word": "w"}"#.to_owned();
    rows[5999] = r#"{"id": 2, "word": "too long"}"#.to_owned();
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    let refused = [
        ("duplicate key value violates unique constraint \"t_id_key\"", 1),
        ("new row for relation \"t\" violates check constraint \"id below 9000\"", 1),
        ("null value in column \"word\" of relation \"t\" violates not-null constraint", 1),
        ("value too long for type character varying(5)", 1),
    ];
    assert_eq!(writer.write_rows(&rows).await, stored(5996, 0, &refused));

    let expected: Vec<_> = (0..6000)
        .filter(|id| ![0, 300, 5000, 5999].contains(id))
        .map(|id: i32| id.to_string())
        .collect();
    assert_eq!(database.query("SELECT id AS v FROM t ORDER BY n").await, expected);
    let ids: Vec<_> = reasons(&sink).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a:0", "a:300", "a:5000", "a:5999"]);
    assert_eq!(letters(&sink).await[1].detail.as_deref(), Some("Key (id)=(299) already exists."));
    let sums = sink.archive.lineage().await.unwrap()[0].sums;
    assert!(sums.is_balanced() && sums.dead == 4, "{sums:?}");
}

#[tokio::test]
async fn a_text_with_a_nul_is_a_dead_letter_or_loses_it() {
    for (nul, kept) in [
        (NulCharacters::Reject, vec!["plain {x}"]),
        (NulCharacters::Strip, vec!["plain {x}", "cut {x}", "listed {xy}"]),
    ] {
        let database = TestDatabase::new().await;
        let config = PostgresSinkConfig { nul, ..database.config("t") };
        let fields = [("word", Kind::Text), ("tags", Kind::TextList)];
        let sink = opened(&config, &columns(&fields)).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let rows = [
            r#"{"word": "plain", "tags": ["x"]}"#,
            r#"{"word": "c\u0000ut\u0000", "tags": ["x"]}"#,
            r#"{"word": "listed", "tags": ["x\u0000y"]}"#,
        ];
        let told = writer.write_rows(&rows).await;
        assert_eq!(told.rows, kept.len() as u64);
        assert_eq!(told.refused.len(), 3 - kept.len());
        let found = database.query("SELECT word || ' ' || tags::text AS v FROM t").await;
        assert_eq!(found, kept);
        if nul == NulCharacters::Reject {
            let reason = "column tags has a U+0000, which PostgreSQL does not keep";
            assert_eq!(reasons(&sink).await[1], ("a:2".to_owned(), reason.to_owned()));
        }
    }
}

#[tokio::test]
async fn values_outside_of_a_columns_type_are_dead_letters() {
    let database = TestDatabase::new().await;
    database
        .execute("CREATE TABLE t (id integer, amount numeric(4, 1), day date, mark uuid, at timestamptz)")
        .await;
    let fields = [
        ("id", Kind::Integer),
        ("amount", Kind::Float),
        ("day", Kind::Timestamp),
        ("mark", Kind::Text),
        ("at", Kind::Timestamp),
    ];
    let config = PostgresSinkConfig { create: false, ..database.config("t") };
    let sink = opened(&config, &columns(&fields)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [
        r#"{"id": 1, "amount": 12.34, "day": "2020-08-28T03:52:47Z", "mark": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}"#,
        r#"{"id": 3000000000}"#,
        r#"{"id": 2, "amount": 1234.5}"#,
        r#"{"id": 3, "mark": "no uuid"}"#,
        r#"{"id": 4, "mark": "none either"}"#,
        r#"{"id": 5}"#,
    ];
    let refused = [
        ("integer out of range", 1),
        ("invalid input syntax for type uuid", 2),
        ("numeric field overflow", 1),
    ];
    assert_eq!(writer.write_rows(&rows).await, stored(2, 0, &refused));
    let found = "SELECT concat_ws(' ', id, amount, day, mark) AS v FROM t ORDER BY id";
    let expected = ["1 12.3 2020-08-28 a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "5"];
    assert_eq!(database.query(found).await, expected);
    let detail = letters(&sink).await[2].detail.clone();
    assert_eq!(detail.as_deref(), Some("invalid input syntax for type uuid: \"no uuid\""));
}

#[tokio::test]
async fn a_null_in_the_key_is_a_dead_letter() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.keyed(), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [r#"{"id": 1, "word": "w"}"#, r#"{"id": null, "word": "w"}"#];
    assert_eq!(writer.write_rows(&rows).await, stored(1, 0, &[("key column id is null", 1)]));
}

/// Invariant 9: had the unit been cut between them, the older row would be there.
#[tokio::test]
async fn where_the_newest_of_a_key_is_refused_the_one_before_counts() {
    let database = TestDatabase::new().await;
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, word text CHECK (word <> 'bad'))";
    database.execute(table).await;
    let rows = [("oldest", 1), ("old", 2), ("bad", 3), ("bad", 4)]
        .map(|(word, time)| (format!(r#"{{"id": 1, "word": "{word}"}}"#), Some(time)));
    let rows = rows.each_ref().map(|(row, time)| (row.as_str(), *time));
    let refused = [("new row for relation \"t\" violates check constraint \"t_word_check\"", 2)];
    let sink = opened(&database.keyed(), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "whole").await;
    assert_eq!(writer.write(&rows).await, stored(1, 1, &refused));
    assert_eq!(database.query("SELECT word AS v FROM t").await, ["old"]);
    // What was rolled back has left no version behind.
    assert_eq!(writer.write(&[(r#"{"id": 1, "word": "new"}"#, Some(3))]).await.rows, 1);
}

#[tokio::test]
async fn a_key_that_no_index_can_hold_is_a_dead_letter() {
    let database = TestDatabase::new().await;
    let config = PostgresSinkConfig { key: vec!["word".to_owned()], ..database.config("t") };
    let sink = opened(&config, &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    // Not the same character all over: that would be made small.
    let long: String = (0..9000).map(|_| fastrand::alphanumeric()).collect();
    let rows = [long, "short".to_owned()]
        .map(|word| serde_json::json!({ "id": 1, "word": word }).to_string());
    let told = writer.write_rows(&rows.each_ref().map(String::as_str)).await;
    assert_eq!((told.rows, told.refused.len()), (1, 1), "{told:?}");
}

/// A constraint that would wait for the end is asked at once.
#[tokio::test]
async fn a_deferred_constraint_refuses_its_row_alone() {
    let database = TestDatabase::new().await;
    database
        .execute(
            "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (1); \
             CREATE TABLE t (id bigint REFERENCES p DEFERRABLE INITIALLY DEFERRED, word text)",
        )
        .await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let told = writer.write_rows(&[r#"{"id": 1}"#, r#"{"id": 2}"#]).await;
    assert_eq!((told.rows, told.refused.values().sum::<u64>()), (1, 1));
}

#[tokio::test]
async fn what_a_trigger_cannot_write_elsewhere_is_nobodys_record() {
    let database = TestDatabase::new().await;
    database
        .execute(
            "CREATE TABLE t (id bigint, word text); CREATE TABLE audit (id bigint UNIQUE); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO audit VALUES (1); RETURN NEW; END $$; \
             CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let writer = LaneWriter::new(&sink, "a").await;
    let unit = writer.unit(&[(r#"{"id": 1}"#, None), (r#"{"id": 2}"#, None)]);
    let error = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().contains("audit"), "{error}");
    assert_eq!(database.query("SELECT count(*) AS v FROM t").await, ["0"]);
}

#[tokio::test]
async fn a_partitions_constraint_is_the_tables_own() {
    let database = TestDatabase::new().await;
    database
        .execute(
            "CREATE TABLE t (id bigint PRIMARY KEY, word text) PARTITION BY RANGE (id); \
             CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
        )
        .await;
    let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [r#"{"id": 1}"#, r#"{"id": 1}"#, r#"{"id": 10}"#];
    let refused = [
        ("duplicate key value violates unique constraint \"t_1_pkey\"", 1),
        ("no partition of relation \"t\" found for row", 1),
    ];
    assert_eq!(writer.write_rows(&rows).await, stored(1, 0, &refused));
}
