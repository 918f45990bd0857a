//! The table: made, completed, checked.

use super::*;
use crate::record::{ConnectorError, ErrorClass};

const FIELDS: [(&str, Kind); 2] = [("id", Kind::Integer), ("a \"word\"", Kind::Text)];

fn keyed(file: &TestFile) -> SqliteSinkConfig {
    SqliteSinkConfig { key: vec!["id".to_owned()], ..file.config("t") }
}

fn not_made(config: SqliteSinkConfig) -> SqliteSinkConfig {
    SqliteSinkConfig { create: false, ..config }
}

async fn refused(config: &SqliteSinkConfig, fields: &[(&str, Kind)]) -> ConnectorError {
    match SqliteSink::open(config, context()) {
        Ok(sink) => sink.writer(Some(columns(fields)), false).await.unwrap_err(),
        Err(error) => error,
    }
}

/// What to type, of what a finding says.
fn ddl(error: &ConnectorError) -> String {
    assert_eq!(error.class, ErrorClass::Systemic);
    error.help.as_ref().unwrap().split_once(":\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn values_of_all_kinds_are_stored_as_documented() {
    let file = TestFile::new();
    let fields: Vec<_> = Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    let sink = opened(&file.config("t"), &columns(&fields)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let row = concat!(
        r#"{"boolean": true, "integer": -9223372036854775808, "float": 0.1, "text": "a\u0000b", "#,
        r#""timestamp": "2020-08-28T03:52:47.5Z", "text-list": ["a", "\""], "float-list": [1, 1e300]}"#
    );
    writer.write_rows(&[row, "{}"]).await;
    let found = file
        .query(
            "SELECT concat_ws(' ', boolean, integer, typeof(float), float, hex(text), timestamp, \
             \"text-list\", \"float-list\", _pinhost_lane, _pinhost_position) AS v FROM t",
        )
        .await;
    assert_eq!(
        found,
        [
            "1 -9223372036854775808 real 0.1 610062 2020-08-28T03:52:47.5Z [\"a\",\"\\\"\"] \
             [1.0,1e+300] test/a 0",
            "null  test/a 1",
        ]
    );
}

#[tokio::test]
async fn a_table_is_made_as_it_is_told_to_be_typed() {
    let told = TestFile::new();
    let error = refused(&not_made(keyed(&told)), &FIELDS).await;
    assert!(error.to_string().ends_with("there is no table t"), "{error}");
    let expected = "CREATE TABLE \"t\" (\n    \"id\" INTEGER NOT NULL,\n    \"a \"\"word\"\"\" TEXT,\n    \
                    \"_pinhost_lane\" TEXT,\n    \"_pinhost_position\" TEXT,\n    \
                    \"_pinhost_generation\" TEXT,\n    \
                    \"_pinhost_version\" BLOB,\n    PRIMARY KEY (\"id\")\n);";
    assert_eq!(ddl(&error), expected);

    let made = TestFile::new();
    opened(&keyed(&made), &columns(&FIELDS)).await;
    let schema = "SELECT sql || ';' AS v FROM sqlite_schema WHERE name = 't'";
    assert_eq!(made.query(schema).await, [expected]);
    // Typed as told, all is well.
    told.execute(expected).await;
    opened(&not_made(keyed(&told)), &columns(&FIELDS)).await;
}

#[tokio::test]
async fn without_provenance_a_table_has_the_rules_columns_only() {
    let file = TestFile::new();
    let config = SqliteSinkConfig { provenance: false, ..keyed(&file) };
    let sink = opened(&config, &columns(&FIELDS)).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1}"#]).await;
    let names = file.query("SELECT name AS v FROM pragma_table_info('t')").await;
    assert_eq!(names, ["id", "a \"word\""]);
}

#[tokio::test]
async fn a_column_that_the_rule_gains_is_added() {
    let file = TestFile::new();
    let sink = opened(&file.config("t"), &columns(&FIELDS[..1])).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[r#"{"id": 1}"#]).await;

    let error = refused(&not_made(file.config("t")), &FIELDS).await;
    assert!(error.to_string().ends_with("table t has no column a \"word\""), "{error}");
    assert_eq!(ddl(&error), "ALTER TABLE \"t\" ADD COLUMN \"a \"\"word\"\"\" TEXT;");

    // Twice: the second has nothing to add. Case is no other name.
    for name in ["a \"word\"", "A \"WORD\""] {
        let columns = columns(&[("ID", Kind::Integer), (name, Kind::Text)]);
        let sink = opened(&file.config("t"), &columns).await;
        let row = serde_json::json!({ "ID": 2, name: "x" }).to_string();
        LaneWriter::new(&sink, "a").await.write_rows(&[&row]).await;
    }
    let words = file.query("SELECT \"a \"\"word\"\"\" AS v FROM t").await;
    assert_eq!(words, ["null", "x", "x"]);
}

#[tokio::test]
async fn a_key_that_nothing_keeps_apart_is_said_with_its_index() {
    let file = TestFile::new();
    let key = ["id", "n"].map(str::to_owned);
    let config = SqliteSinkConfig { key: key.into(), ..file.config("t") };
    let fields = [("id", Kind::Integer), ("n", Kind::Integer)];
    for almost in [
        "CREATE TABLE t (id, n)",
        "CREATE INDEX i1 ON t (id, n)",
        "CREATE UNIQUE INDEX i2 ON t (id)",
        "CREATE UNIQUE INDEX i3 ON t (id, n, 1)",
        "CREATE UNIQUE INDEX i4 ON t (id, n) WHERE n > 0",
    ] {
        file.execute(almost).await;
        let error = refused(&config, &fields).await;
        assert!(error.to_string().ends_with("rows of table t apart by id, n"), "{error}");
        assert_eq!(ddl(&error), "CREATE UNIQUE INDEX \"t_by_id_n\" ON \"t\" (\"id\", \"n\");");
    }
    file.execute("CREATE UNIQUE INDEX \"t_by_id_n\" ON \"t\" (\"id\", \"n\")").await;
    opened(&config, &columns(&fields)).await;
    file.execute("DROP INDEX t_by_id_n; DROP TABLE t; CREATE TABLE t (n, id, PRIMARY KEY (n, id))")
        .await;
    opened(&config, &columns(&fields)).await;
}

#[tokio::test]
async fn a_view_is_no_table() {
    let file = TestFile::new();
    file.execute("CREATE VIEW t AS SELECT 1 AS id").await;
    let error = refused(&file.config("T"), &FIELDS).await;
    assert!(error.to_string().ends_with("T is a view, which takes no rows"), "{error}");
}

#[tokio::test]
async fn names_are_names_whatever_they_hold() {
    let file = TestFile::new();
    let table = "x\"; DROP TABLE y; --";
    let config = SqliteSinkConfig { key: vec!["select ?".to_owned()], ..file.config(table) };
    file.execute("CREATE TABLE y (a)").await;
    let fields = [("select ?", Kind::Text), ("é\n'", Kind::Integer)];
    let sink = opened(&config, &columns(&fields)).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let row = serde_json::json!({ "select ?": "k", "é\n'": 5 }).to_string();
    for _ in 0..2 {
        writer.write_rows(&[&row]).await;
    }
    let sql = "SELECT \"é\n'\" AS v FROM \"x\"\"; DROP TABLE y; --\"";
    assert_eq!(file.query(sql).await, ["5"]);
    assert_eq!(file.query("SELECT count(*) AS v FROM y").await, ["0"]);
}

#[tokio::test]
async fn what_no_table_can_be_is_refused_before_anything_is_touched() {
    let file = TestFile::new();
    let config = |table: &str, key: &[&str], newest: Option<&str>| SqliteSinkConfig {
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        newest: newest.map(str::to_owned),
        ..file.config(table)
    };
    let list = [("id", Kind::Integer), ("tags", Kind::TextList)];
    type Case<'a> = (SqliteSinkConfig, &'a [(&'a str, Kind)], &'a str);
    let cases: [Case<'_>; 10] = [
        (config("", &[], None), &FIELDS, "a table needs a name"),
        (
            config("PINHOST_position", &[], None),
            &FIELDS,
            "`PINHOST_position` begins with `pinhost_`, which pinhost keeps for names of its own",
        ),
        (
            config("a\0b", &[], None),
            &FIELDS,
            "the name `a\0b` has a U+0000, which no name in SQLite has",
        ),
        (
            config("t", &[], None),
            &[("_pinhost_lane", Kind::Text)],
            "`_pinhost_lane` begins with `_pinhost_`, which pinhost keeps for names of its own",
        ),
        (
            config("t", &[], None),
            &[("id", Kind::Text), ("ID", Kind::Text)],
            "columns `id` and `ID` are one to SQLite, which does not tell case apart",
        ),
        (
            config("t", &["no"], None),
            &FIELDS,
            "`key:` names column `no`, which the rule does not give",
        ),
        (config("t", &["id", "id"], None), &FIELDS, "`key:` names column `id` twice"),
        (
            config("t", &["id"], Some("no")),
            &FIELDS,
            "`newest:` names column `no`, which the rule does not give",
        ),
        (
            config("t", &[], Some("id")),
            &FIELDS,
            "`newest:` tells rows of one key apart, and there is no `key:`",
        ),
        (
            config("t", &["id"], Some("tags")),
            &list,
            "`newest:` names column `tags`, and lists have no order",
        ),
    ];
    for (config, fields, said) in cases {
        let error = refused(&config, fields).await;
        assert_eq!(error.to_string(), format!("{}: {said}", config.path));
        assert_eq!(error.class, ErrorClass::Fatal);
    }
    let no_rule = SinkContext { has_rule: false, ..context() };
    let error = SqliteSink::open(&file.config("t"), no_rule).unwrap_err();
    assert!(error.to_string().ends_with("without a rule there are none"), "{error}");
    let no_path = SqliteSinkConfig { path: String::new(), ..file.config("t") };
    assert!(SqliteSink::open(&no_path, context()).is_err());
    assert!(!file.path().exists());
}

/// Issue 25, B7: each spelling of a key had a version of its own.
#[tokio::test]
async fn keys_that_the_table_takes_for_one_are_one_row() {
    for own in ["", ", _pinhost_version BLOB"] {
        let file = TestFile::new();
        file.execute(&format!(
            "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, word TEXT{own})"
        ))
        .await;
        let fields = columns(&[("id", Kind::Text), ("word", Kind::Text)]);
        let sink = opened(&keyed(&file), &fields).await;
        let words = async || file.query("SELECT word AS v FROM t").await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let (newer, older) = (r#"{"id": "a", "word": "newer"}"#, r#"{"id": "A", "word": "older"}"#);
        let stored = writer.write(&[(newer, Some(2)), (older, Some(1))]).await;
        assert_eq!((stored.rows, stored.superseded), (1, 1));
        assert_eq!(words().await, ["newer"]);
        writer.write(&[(older, Some(1))]).await;
        assert_eq!(words().await, ["newer"]);
        writer.write(&[(r#"{"id": "A", "word": "newest"}"#, Some(3))]).await;
        assert_eq!(words().await, ["newest"]);
    }
}
