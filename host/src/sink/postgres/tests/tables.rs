//! The table: made, completed, checked.

use super::*;
use crate::record::{ConnectorError, ErrorClass, Position};
use crate::sink::conformance::Change;

const FIELDS: [(&str, Kind); 2] = [("id", Kind::Integer), ("a \"word\"", Kind::Text)];

fn not_made(config: PostgresSinkConfig) -> PostgresSinkConfig {
    PostgresSinkConfig { create: false, ..config }
}

async fn refused(config: &PostgresSinkConfig, fields: &[(&str, Kind)]) -> ConnectorError {
    let sink = PostgresSink::open(config, context()).unwrap();
    sink.writer(Some(columns(fields)), false).await.unwrap_err()
}

/// What to type, of what a finding says.
fn ddl(error: &ConnectorError) -> String {
    assert_eq!(error.class, ErrorClass::Systemic);
    error.help.as_ref().unwrap().split_once(":\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn values_of_all_kinds_are_stored_as_documented() {
    let fields: Vec<_> = Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    let row = concat!(
        r#"{"boolean": true, "integer": -9223372036854775808, "float": 0.1, "text": "aä", "#,
        r#""timestamp": "2020-08-28T03:52:47.5Z", "text-list": ["a", "\""], "float-list": [1, 1e300]}"#
    );
    let empty =
        r#"{"text": "", "text-list": [], "float-list": [], "timestamp": "0001-01-01T00:00:00Z"}"#;
    let columns = columns(&fields);
    for key in [vec![], vec!["integer".to_owned()]] {
        let database = TestDatabase::new().await;
        let config = PostgresSinkConfig { key: key.clone(), ..database.config("t") };
        let sink = opened(&config, &columns).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        if key.is_empty() {
            writer.write_rows(&[row, "{}", empty]).await;
        } else {
            writer.write_rows(&[row]).await;
        }
        let found = database
            .query(
                "SELECT concat_ws(' ', boolean, integer, float, text, timestamp AT TIME ZONE 'UTC', \
                 \"text-list\", \"float-list\", _pinhost_lane, _pinhost_position) AS v FROM t",
            )
            .await;
        let expected = [
            r#"t -9223372036854775808 0.1 aä 2020-08-28 03:52:47.5 {a,"\""} {1,1e+300} test/a 0"#,
            "test/a 1",
            " 0001-01-01 00:00:00 {} {} test/a 2",
        ];
        assert_eq!(found, expected[..found.len()]);
        let types = "SELECT format_type(atttypid, -1) AS v FROM pg_attribute \
                     WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum";
        let types = database.query(types).await;
        assert_eq!(
            types[..7],
            [
                "boolean",
                "bigint",
                "double precision",
                "text",
                "timestamp with time zone",
                "text[]",
                "double precision[]",
            ]
        );
    }
}

#[tokio::test]
async fn a_table_is_made_as_it_is_told_to_be_typed() {
    let database = TestDatabase::new().await;
    let error = refused(&not_made(database.keyed()), &FIELDS).await;
    assert!(error.to_string().ends_with("there is no table t"), "{error}");
    let expected = "CREATE TABLE \"t\" (\n    \"id\" bigint NOT NULL,\n    \"a \"\"word\"\"\" text,\n    \
                    \"_pinhost_lane\" text,\n    \"_pinhost_position\" text,\n    \
                    \"_pinhost_generation\" text,\n    \
                    \"_pinhost_version\" bytea,\n    PRIMARY KEY (\"id\")\n);";
    assert_eq!(ddl(&error), expected);
    // Typed as told, all is well.
    database.execute(expected).await;
    let sink = opened(&not_made(database.keyed()), &columns(&FIELDS)).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1}"#]).await;
    let version = "SELECT _pinhost_version IS NOT NULL AS v FROM t";
    assert_eq!(database.query(version).await, ["true"]);
}

#[tokio::test]
async fn a_column_that_the_rule_gains_is_added() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.config("t"), &columns(&FIELDS[..1])).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1}"#]).await;

    let error = refused(&not_made(database.config("t")), &FIELDS).await;
    assert!(error.to_string().ends_with("table t has no column a \"word\""), "{error}");
    assert_eq!(ddl(&error), "ALTER TABLE \"t\" ADD COLUMN \"a \"\"word\"\"\" text;");

    for _ in 0..2 {
        let sink = opened(&database.config("t"), &columns(&FIELDS)).await;
        let row = serde_json::json!({ "id": 2, "a \"word\"": "x" }).to_string();
        LaneWriter::new(&sink, "a").await.write_rows(&[&row]).await;
    }
    let words = database.query("SELECT \"a \"\"word\"\"\" AS v FROM t").await;
    assert_eq!(words, ["null", "x", "x"]);
}

#[tokio::test]
async fn a_key_that_nothing_keeps_apart_is_said_with_its_index() {
    let database = TestDatabase::new().await;
    let key = ["id", "n"].map(str::to_owned);
    let config = PostgresSinkConfig { key: key.into(), ..database.config("s.t") };
    let fields = [("id", Kind::Integer), ("n", Kind::Integer)];
    database.execute("CREATE SCHEMA s; CREATE TABLE s.t (id bigint, n bigint)").await;
    for almost in [
        "CREATE INDEX i1 ON s.t (id, n)",
        "CREATE UNIQUE INDEX i2 ON s.t (id)",
        "CREATE UNIQUE INDEX i3 ON s.t (id, n, (id + 1))",
        "CREATE UNIQUE INDEX i4 ON s.t (id, n) WHERE n > 0",
        "ALTER TABLE s.t ADD CONSTRAINT i5 UNIQUE (id, n) DEFERRABLE",
    ] {
        database.execute(almost).await;
        let error = refused(&config, &fields).await;
        assert!(error.to_string().ends_with("rows of table s.t apart by id, n"), "{error}");
        let expected = "CREATE UNIQUE INDEX \"t_by_id_n\" ON \"s\".\"t\" (\"id\", \"n\");";
        assert_eq!(ddl(&error), expected);
    }
    database.execute("ALTER TABLE s.t DROP CONSTRAINT i5").await;
    database.execute("CREATE UNIQUE INDEX i6 ON s.t (n, id)").await;
    let sink = opened(&config, &columns(&fields)).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1, "n": 2}"#]).await;
    assert_eq!(database.query("SELECT n AS v FROM s.t").await, ["2"]);
}

/// Somebody's own table: what can be assigned is, into other types too.
#[tokio::test]
async fn a_table_of_other_types_takes_what_can_be_assigned() {
    for key in [vec![], vec!["id".to_owned()]] {
        let database = TestDatabase::new().await;
        database
            .execute(
                "CREATE TYPE mood AS ENUM ('fine', 'bad'); CREATE DOMAIN short AS varchar(9); \
                 CREATE TABLE t (note text DEFAULT 'mine', id smallint PRIMARY KEY, price numeric(8, 2), \
                 day date, mood mood, extra jsonb, word short, tags varchar(3)[], flag text, \
                 ratios real[], n bigint GENERATED ALWAYS AS IDENTITY)",
            )
            .await;
        let fields = [
            ("id", Kind::Integer),
            ("price", Kind::Float),
            ("day", Kind::Timestamp),
            ("mood", Kind::Text),
            ("extra", Kind::Text),
            ("word", Kind::Text),
            ("tags", Kind::TextList),
            ("flag", Kind::Boolean),
            ("ratios", Kind::FloatList),
        ];
        let config = PostgresSinkConfig { key, ..not_made(database.config("t")) };
        let sink = opened(&config, &columns(&fields)).await;
        let row = concat!(
            r#"{"id": 7, "price": 1.005, "day": "2020-08-28T23:52:47Z", "mood": "fine", "#,
            r#""extra": "{\"a\": [1]}", "word": "w", "tags": ["a", "b"], "flag": true, "ratios": [0.5]}"#
        );
        let told = LaneWriter::new(&sink, "a").await.write_rows(&[row]).await;
        assert_eq!(told, stored(1, 0, &[]));
        let found = "SELECT concat_ws(' ', note, id, price, day, mood, extra, word, tags, flag, ratios, n) \
                     AS v FROM t";
        let expected = r#"mine 7 1.01 2020-08-28 fine {"a": [1]} w {a,b} true {0.5} 1"#;
        let expected = expected
            .replace("1.01", &database.query("SELECT 1.005::float8::numeric(8,2) AS v").await[0]);
        assert_eq!(database.query(found).await, [expected]);
    }
}

#[tokio::test]
async fn a_table_that_cannot_take_the_rows_is_said_with_what_mends_it() {
    let database = TestDatabase::new().await;
    for (table, said, mends) in [
        (
            "CREATE TABLE t (id boolean, word text)",
            "column id is boolean, and the rule gives integer",
            "ALTER TABLE \"t\" ALTER COLUMN \"id\" TYPE bigint USING \"id\"::text::bigint;",
        ),
        (
            "CREATE TABLE t (id bigint, word integer)",
            "column word is integer, and the rule gives text",
            "ALTER TABLE \"t\" ALTER COLUMN \"word\" TYPE text USING \"word\"::text::text;",
        ),
        (
            "CREATE TABLE t (id bigint, word bytea)",
            "column word is bytea, and the rule gives text",
            "ALTER TABLE \"t\" ALTER COLUMN \"word\" TYPE text USING \"word\"::text::text;",
        ),
        (
            "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, word text)",
            "column id is computed by the table",
            "ALTER TABLE \"t\" ALTER COLUMN \"id\" SET GENERATED BY DEFAULT;",
        ),
        (
            "CREATE TABLE t (id bigint, word text GENERATED ALWAYS AS ('x') STORED)",
            "column word is computed by the table",
            "ALTER TABLE \"t\" ALTER COLUMN \"word\" DROP EXPRESSION;",
        ),
        (
            "CREATE TABLE t (id bigint, word text, x integer NOT NULL)",
            "column x of table t may not be null, and the rule does not give it",
            "ALTER TABLE \"t\" ALTER COLUMN \"x\" DROP NOT NULL;",
        ),
    ] {
        database.execute(table).await;
        let fields = [("id", Kind::Integer), ("word", Kind::Text)];
        let error = refused(&database.config("t"), &fields).await;
        assert!(error.to_string().ends_with(said), "{error}");
        assert_eq!(ddl(&error), mends);
        database.execute(mends).await;
        opened(&database.config("t"), &columns(&fields)).await;
        database.execute("DROP TABLE t").await;
    }
    database.execute("CREATE VIEW t AS SELECT 1 AS id").await;
    let error = refused(&database.config("t"), &FIELDS).await;
    assert!(error.to_string().ends_with("t is a view, which takes no rows"), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_keep_all_texts_is_refused() {
    let database = TestDatabase::new().await;
    let name = format!("{}_latin", database.name);
    let make = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    database.execute(&format!("CREATE DATABASE {name} {make}")).await;
    let latin = TestDatabase { address: database.address.clone(), name };
    let error = refused(&latin.config("t"), &FIELDS).await;
    assert!(error.to_string().ends_with("its encoding is LATIN1, and texts are UTF-8"), "{error}");
    assert_eq!(error.class, ErrorClass::Systemic);
}

#[tokio::test]
async fn names_are_names_whatever_they_hold() {
    let database = TestDatabase::new().await;
    let table = "x\"; DROP TABLE y; --";
    database.execute("CREATE TABLE y (a text); CREATE TABLE \"T\" (id bigint)").await;
    let fields = [("select $1", Kind::Text), ("é\n'", Kind::Integer)];
    for key in [vec![], vec!["select $1".to_owned()]] {
        let config = PostgresSinkConfig { key, ..database.config(table) };
        let sink = opened(&config, &columns(&fields)).await;
        let row = serde_json::json!({ "select $1": "k", "é\n'": 5 }).to_string();
        LaneWriter::new(&sink, "a").await.write_rows(&[&row]).await;
        let sql = "SELECT \"é\n'\" AS v FROM \"x\"\"; DROP TABLE y; --\"";
        assert_eq!(database.query(sql).await, ["5"]);
        database.execute("DROP TABLE \"x\"\"; DROP TABLE y; --\"").await;
    }
    assert_eq!(database.query("SELECT count(*) AS v FROM y").await, ["0"]);
    let error = refused(&not_made(database.config("t")), &[("id", Kind::Integer)]).await;
    assert!(error.to_string().ends_with("there is no table t"), "T is another one: {error}");
}

/// Issue 25, A9: two names were two targets for versions and locks, and a deleted row came back.
#[tokio::test]
async fn a_table_is_one_target_however_it_is_written() {
    let database = TestDatabase::new().await;
    let written =
        |table: &str| PostgresSinkConfig { key: vec!["id".to_owned()], ..database.config(table) };
    let short = opened(&written("t"), &columns(&FIELDS)).await;
    let long = opened(&written("public.t"), &columns(&FIELDS)).await;
    let mut one = LaneWriter::new(&short, "1").await;
    // The same pipeline under the other name is no other target.
    let mut other = LaneWriter::new(&long, "2").await;
    one.write(&[(r#"{"id": 1, "a \"word\"": "old"}"#, Some(10))]).await;
    one.change(&[(Change::Delete(r#"{"id": 1}"#), Some(30))]).await;
    let late = other.write(&[(r#"{"id": 1, "a \"word\"": "late"}"#, Some(20))]).await;
    assert_eq!(late, stored(0, 1, &[]), "what was deleted does not come back");
    assert!(database.query("SELECT id AS v FROM t").await.is_empty());
    assert_eq!(short.claims.pipelines().await.unwrap(), ["test"]);
    let targets = "SELECT DISTINCT target AS v FROM pinhost.position";
    assert_eq!(database.query(targets).await, ["public.t"]);

    // What an older pinhost has stored is found again.
    for table in ["position", "version", "lineage"] {
        database.execute(&format!("UPDATE pinhost.{table} SET target = 't'")).await;
    }
    let again = opened(&written("t"), &columns(&FIELDS)).await;
    assert_eq!(again.claims.pipelines().await.unwrap(), ["test"]);
    let late = LaneWriter::new(&again, "2").await;
    assert_eq!(late.claim.position, Position::number(1));
    let versions = "SELECT DISTINCT target AS v FROM pinhost.version";
    assert_eq!(database.query(versions).await, ["public.t"]);
}

/// Issue 25, B7: two records that anybody can send halted the lane for good.
#[tokio::test]
async fn keys_that_the_table_takes_for_one_are_one_row() {
    let texts = ["a", "a\u{0}"];
    let (text, times) = (Kind::Text, ["2020-08-28T03:00:00Z", "2020-08-28T04:00:00Z"]);
    let own = "word text, _pinhost_version bytea";
    for (made, kind, nul, [one, other]) in [
        (None, text, NulCharacters::Strip, texts),
        (Some(format!("id char(3) PRIMARY KEY, {own}")), text, NulCharacters::Strip, texts),
        (Some(format!("id char(3) PRIMARY KEY, {own}")), text, NulCharacters::Reject, ["a", "a "]),
        (
            Some("id char(3) PRIMARY KEY, word text".into()),
            text,
            NulCharacters::Reject,
            ["a", "a "],
        ),
        (
            Some(format!("id date PRIMARY KEY, {own}")),
            Kind::Timestamp,
            NulCharacters::Reject,
            times,
        ),
    ] {
        let database = TestDatabase::new().await;
        if let Some(columns) = &made {
            database.execute(&format!("CREATE TABLE t ({columns})")).await;
        }
        let config = PostgresSinkConfig { nul, ..database.keyed() };
        let sink = opened(&config, &columns(&[("id", kind), ("word", Kind::Text)])).await;
        let row = |id: &str, word: &str| serde_json::json!({ "id": id, "word": word }).to_string();
        let words = async || database.query("SELECT word AS v FROM t").await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let (newer, older) = (row(one, "newer"), row(other, "older"));
        writer.write(&[(&*newer, Some(2)), (&*older, Some(1))]).await;
        assert_eq!(words().await, ["newer"], "{made:?} {one:?} {other:?}");
        writer.write(&[(&*row(other, "old"), Some(1))]).await;
        assert_eq!(words().await, ["newer"], "{made:?} {one:?} {other:?}");
        writer.write(&[(&*row(other, "newest"), Some(3))]).await;
        assert_eq!(words().await, ["newest"], "{made:?} {one:?} {other:?}");
    }
}

/// Issue 25, B10: a reader held up all commits, as whoever waits for a table has others wait behind.
#[tokio::test]
async fn a_reader_of_a_table_that_is_to_have_another_column_holds_up_no_commit() {
    let database = TestDatabase::new().await;
    let fields = columns(&FIELDS[..1]);
    let sink = opened(&database.keyed(), &fields).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let mut reader = database.connection().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM t").execute(&mut reader).await.unwrap();
    let wider = sink.sink.writer(Some(columns(&FIELDS)), false);
    let mut wider = std::pin::pin!(wider);
    let waiting =
        "SELECT count(*) AS v FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
    // It has come to the table, and waits for it.
    let has_come = async {
        while database.query(waiting).await == ["0"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        made = &mut wider => panic!("somebody reads the table: {made:?}"),
        () = has_come => {}
    }
    let committed = async {
        for id in ["1", "2", "3"] {
            writer.write_rows(&[&*format!("{{\"id\": {id}}}")]).await;
        }
    };
    tokio::select! {
        made = &mut wider => panic!("somebody reads the table: {made:?}"),
        () = committed => {}
    }
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    wider.await.unwrap();
    let names =
        "SELECT attname AS v FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 6";
    assert_eq!(database.query(names).await, [FIELDS[1].0]);
}
