//! A rule as a function: what real records become between the standard input and the standard output.

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, DictionaryArray, Float32Array, Int32Array, Int64Array,
    LargeListArray, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use pinhost_tests::command::{Said, command, fed};
use pinhost_tests::pinhost;
use serde_json::{Value, json};
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn rule(name: &str) -> String {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/rules");
    rules.join(name).to_str().expect("a path in UTF-8").to_owned()
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn pipe(folder: &Path, args: &[&str]) -> Command {
    let mut command = command(pinhost!(), folder);
    command.arg("pipe").args(args);
    command
}

fn piped(folder: &Path, args: &[&str], input: impl Into<Vec<u8>>) -> Output {
    fed(&mut pipe(folder, args), input.into())
}

#[track_caller]
fn done(output: Output) -> Said {
    Said::from(output).done()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(data(name)).expect("the data")
}

/// `.000+0000` is how a notebook shows a timestamp in UTC.
fn as_published(mut row: Value) -> Value {
    for value in row.as_object_mut().expect("a row").values_mut() {
        let shown = value.as_str().and_then(|text| text.strip_suffix(".000+0000"));
        if let Some(time) = shown {
            *value = Value::from(format!("{time}Z"));
        }
    }
    row
}

#[test]
fn every_published_record_becomes_the_row_that_was_published() {
    let folder = folder();
    for kind in ["pin", "geo", "user"] {
        let input = read(&format!("published/{kind}.ndjson"));
        let said = done(piped(folder.path(), &[&rule(&format!("{kind}.yaml"))], input));
        let rows = lines(&said.stdout);
        let published = lines(&read(&format!("published/{kind}_cleaned.ndjson")));
        assert_eq!(rows.len(), published.len(), "{kind}: {}", said.stderr);
        for (row, published) in rows.into_iter().zip(published) {
            let names = |row: &Value| row.as_object().expect("a row").keys().cloned().collect();
            let expected = as_published(published["expected"].clone());
            let (found, named): (Vec<String>, Vec<String>) = (names(&row), names(&expected));
            assert_eq!(found, named, "the columns in their order");
            assert_eq!(row, expected, "{}", published["source"]);
        }
        assert_eq!(said.stderr, "", "nothing was lost, so nothing is said");
    }
}

#[test]
fn a_rule_and_a_pipeline_that_names_it_give_the_same_rows() {
    let folder = folder();
    let pipeline = format!(
        "name: pins\nsource: {{ generate: {{ profile: pin }} }}\nrule: {}\nsink: {{ sqlite: {{ path: x.db, table: x }} }}\n",
        rule("pin.yaml")
    );
    fs::write(folder.path().join("pipeline.yaml"), pipeline).expect("a file");
    let input = read("pin.ndjson");
    let by_rule = done(piped(folder.path(), &[&rule("pin.yaml")], input.clone()));
    let by_pipeline = done(piped(folder.path(), &["pipeline.yaml"], input.clone()));
    assert_eq!(by_rule.stdout.lines().count(), input.lines().count());
    assert_eq!(by_rule.stdout, by_pipeline.stdout);
    let alone = done(piped(folder.path(), &["pipeline.yaml", "--threads", "1"], input));
    assert_eq!(by_rule.stdout, alone.stdout, "in order on any number of threads");
    assert!(!folder.path().join("x.db").exists(), "its sink is left alone");
}

/// The dead letters in a file, by position.
fn letters(folder: &Path) -> Vec<Value> {
    lines(&fs::read_to_string(folder.join("dead.ndjson")).expect("the dead letters"))
}

fn malformed(stream: &str) -> Vec<Value> {
    let records = lines(&read("malformed.ndjson")).into_iter();
    records.filter(|record| record["stream"] == stream).collect()
}

fn as_input(records: &[Value]) -> String {
    records.iter().map(|record| format!("{}\n", record["record"])).collect()
}

#[test]
fn records_of_the_wrong_shape_are_dead_letters() {
    let folder = folder();
    for (stream, rule) in [("pin", rule("pin.yaml")), ("user", rule("user.yaml"))] {
        let records = malformed(stream);
        let args = [&rule, "--dead-letters", "dead.ndjson"];
        let said = done(piped(folder.path(), &args, as_input(&records)));
        assert_eq!(said.stdout, "", "none of them is a row");
        let letters = letters(folder.path());
        assert_eq!(letters.len(), records.len());
        for (at, (letter, record)) in letters.iter().zip(&records).enumerate() {
            assert_eq!(letter["position"], at.to_string());
            assert_eq!(letter["value"], record["record"].to_string());
            let (why, reason) = (&record["why"], &letter["reason"]);
            let expected = match why.as_str().expect("a text").split(' ').next() {
                Some("field") => "required field image_src is missing",
                Some("whole") => "field ind is not an integer",
                Some("Kafka") => "required field ind is missing",
                Some("pin") => "required field first_name is missing",
                Some("incomplete") => "required field tag_list is missing",
                other => panic!("{other:?} is new"),
            };
            assert_eq!(reason, expected, "{why}");
        }
        let told = format!("{} dead letters in dead.ndjson\n", records.len());
        assert!(said.stderr.starts_with(&told), "{}", said.stderr);
    }
}

#[test]
fn records_in_an_envelope_can_be_unwrapped() {
    let folder = folder();
    for (stream, why, member) in [("user", "Kafka", "value"), ("pin", "whole", "index")] {
        let pipeline = format!(
            "name: x\nsource: {{ stdin: {{ unwrap: {member} }} }}\nrule: {}\nsink: {{ stdout: {{}} }}\n",
            rule(&format!("{stream}.yaml"))
        );
        fs::write(folder.path().join("pipeline.yaml"), pipeline).expect("a file");
        let mut records = malformed(stream);
        records.retain(|record| record["why"].as_str().expect("a text").starts_with(why));
        let wrapped = as_input(&records);
        let bare: String =
            records.iter().map(|record| format!("{}\n", record["record"][member])).collect();
        let expected = done(piped(folder.path(), &[&rule(&format!("{stream}.yaml"))], &*bare));
        assert_eq!(expected.stdout.lines().count(), records.len());
        let found = done(piped(folder.path(), &["pipeline.yaml"], wrapped));
        assert_eq!(found.stdout, expected.stdout);
    }
}

const RULE: &str = "\
fields:
  ind: { type: integer, required: true, key: true, aliases: [index] }
  title: text
  follower_count: { type: text, coerce: true }
  score: float
  tags: text-list
  seen: timestamp
  made: timestamp
  at: { type: timestamp, from: $timestamp }
steps:
  - plugin: follower-count
    with: { column: follower_count, otherwise: reject }
";

fn with_rule() -> TempDir {
    let folder = folder();
    fs::write(folder.path().join("rule.yaml"), RULE).expect("a file");
    folder
}

#[test]
fn however_many_records_are_rejected_the_rest_comes_out() {
    let folder = with_rule();
    let input: String = (0..3_000)
        .map(|ind| match ind % 3 {
            0 => format!("{{\"ind\": {ind}, \"follower_count\": \"1k\"}}\n"),
            1 => format!("{{\"ind\": {ind}, \"follower_count\": \"many\"}}\n"),
            _ => "{\"ind\": \n".to_owned(),
        })
        .collect();
    let said = done(piped(folder.path(), &["rule.yaml"], input));
    let inds: Vec<_> = lines(&said.stdout).iter().map(|row| row["ind"].as_u64()).collect();
    assert_eq!(inds, (0..1_000).map(|at| Some(at * 3)).collect::<Vec<_>>());
    let told = "\
2,000 dead letters
  1,000 follower_count is not a count
  1,000 record is not valid JSON
";
    assert_eq!(said.stderr, told);
}

#[test]
fn rows_come_out_as_soon_as_the_input_pauses() {
    let folder = with_rule();
    let mut child = pipe(folder.path(), &["rule.yaml"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("pinhost can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    for ind in 0..3 {
        writeln!(stdin, "{{\"ind\": {ind}, \"title\": \"\"}}").expect("it listens");
        let mut row = String::new();
        stdout.read_line(&mut row).expect("a row");
        assert_eq!(lines(&row)[0]["ind"], ind);
    }
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
    done(child.wait_with_output().expect("it ends"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let folder = with_rule();
    let mut child = pipe(folder.path(), &["rule.yaml"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("pinhost can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut row = String::new();
    writeln!(stdin, "{{\"ind\": 0, \"title\": \"\"}}").expect("it listens");
    stdout.read_line(&mut row).expect("a row");
    drop(stdout);
    while writeln!(stdin, "{{\"ind\": 1, \"title\": \"\"}}").is_ok() {}
    let said = done(child.wait_with_output().expect("it ends"));
    assert_eq!(said.stderr, "");
}

#[test]
fn compressed_input_and_a_json_array_are_read_as_well() {
    let folder = folder();
    let ndjson = read("published/geo.ndjson");
    let expected = done(piped(folder.path(), &[&rule("geo.yaml")], &*ndjson)).stdout;
    let zipped =
        fed(Command::new("gzip").arg("-c").stdout(Stdio::piped()), ndjson.clone().into_bytes());
    let array = format!("[{}]", ndjson.trim_end().replace('\n', ",\n"));
    for input in [zipped.stdout, array.into_bytes()] {
        assert_eq!(done(piped(folder.path(), &[&rule("geo.yaml")], input)).stdout, expected);
    }
}

#[test]
fn a_rule_that_is_none_is_refused() {
    let folder = folder();
    let said = |args: &[&str]| Said::from(piped(folder.path(), args, ""));
    said(&["none.yaml"]).refused(2, &["none.yaml cannot be read"]);
    fs::write(
        folder.path().join("bare.yaml"),
        "name: x\nsource: { stdin: {} }\nsink: { stdout: {} }\n",
    )
    .expect("a file");
    said(&["bare.yaml", "--format", "arrow"]).refused(2, &["has no rule"]);
    said(&[&rule("geo.yaml"), "--format", "arrow"]).refused(2, &["is not an Arrow IPC stream"]);
    said(&[&rule("geo.yaml"), "--dead-letters", "no/such/folder"]).refused(2, &["no/such/folder"]);
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).expect("a stream");
    for batch in batches {
        writer.write(batch).expect("a batch");
    }
    writer.into_inner().expect("the end")
}

#[track_caller]
fn batches(output: &Output) -> Vec<RecordBatch> {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let reader = StreamReader::try_new(Cursor::new(&output.stdout), None).expect("a schema");
    reader.map(|batch| batch.expect("a batch")).collect()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .expect("columns of one length")
}

#[test]
fn columns_go_in_and_columns_come_out() {
    let folder = with_rule();
    let tags: LargeListArray = {
        let mut tags = arrow::array::builder::LargeListBuilder::new(
            arrow::array::builder::LargeStringBuilder::new(),
        );
        tags.append_value([Some("a"), Some("b")]);
        tags.append_null();
        tags.append_value([Some("c"), None]);
        tags.append_value::<[Option<&str>; 0], _>([]);
        tags.finish()
    };
    let counts: DictionaryArray<Int32Type> =
        [Some("46k"), None, Some("many"), Some("46k")].into_iter().collect();
    let batch = batch(vec![
        ("index", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
        ("follower_count", Arc::new(counts)),
        (
            "title",
            Arc::new(StringViewArray::from(vec![
                Some("a title beyond a view"),
                None,
                None,
                Some(""),
            ])),
        ),
        ("score", Arc::new(Float32Array::from(vec![0.5, 1.0, 2.0, 3.0]))),
        ("tags", Arc::new(tags)),
        ("seen", Arc::new(TimestampSecondArray::from(vec![Some(1), None, None, Some(1)]))),
        (
            "made",
            Arc::new(TimestampNanosecondArray::from(vec![1_500, 0, 0, 0]).with_timezone("+02:00")),
        ),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![7, 7, 7, 7]))),
        ("nobody's", Arc::new(Int64Array::from(vec![0; 4]))),
    ]);
    let args = ["rule.yaml", "--format", "arrow", "--dead-letters", "dead.ndjson"];
    let rows = batches(&piped(folder.path(), &args, stream(&[batch.clone(), batch])));
    let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).expect("one schema");
    let int = |name: &str| rows[name].as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(int("ind"), [Some(1), Some(2), Some(4), Some(1), Some(2), Some(4)]);
    assert_eq!(int("follower_count")[..3], [Some(46_000), None, Some(46_000)]);
    let titles: Vec<_> = rows["title"].as_string::<i32>().iter().collect();
    assert_eq!(titles[..3], [Some("a title beyond a view"), None, Some("")]);
    let scores = rows["score"].as_primitive::<Float64Type>();
    assert_eq!(scores.values()[..3], [0.5, 1.0, 3.0]);
    let tags: Vec<_> = rows["tags"].as_list::<i32>().iter().collect();
    let first: Vec<_> = tags[0].as_ref().expect("tags").as_string::<i32>().iter().collect();
    assert_eq!(first, [Some("a"), Some("b")]);
    assert!(tags[1].is_none() && tags[2].as_ref().is_some_and(Array::is_empty));
    let time = |name: &str| {
        let times = rows[name].as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.timezone(), Some("UTC"));
        times.iter().take(3).collect::<Vec<_>>()
    };
    assert_eq!(time("seen"), [Some(1_000_000), None, Some(1_000_000)]);
    assert_eq!(time("made"), [Some(1), Some(0), Some(0)]);
    assert_eq!(time("at"), [Some(7_000); 3]);

    let letters = letters(folder.path());
    let positions: Vec<_> = letters.iter().map(|letter| &letter["position"]).collect();
    assert_eq!(positions, ["2", "6"]);
    assert_eq!(letters[0]["reason"], "field tags has an item that is null");
    let value = letters[0]["value"].as_str().expect("JSON");
    assert!(value.starts_with(r#"{"ind":3,"title":null,"follower_count":"many""#), "{value}");
}

/// The same records, as they came and as columns.
#[test]
fn rows_are_the_same_from_json_and_from_columns() {
    let folder = folder();
    let records = lines(&read("published/user.ndjson"));
    let text = |name: &str| {
        let texts: LargeStringArray = records.iter().map(|record| record[name].as_str()).collect();
        Arc::new(texts) as ArrayRef
    };
    let number = |name: &str| {
        let numbers: Int64Array = records.iter().map(|record| record[name].as_i64()).collect();
        Arc::new(numbers) as ArrayRef
    };
    let batch = batch(vec![
        ("last_name", text("last_name")),
        ("first_name", text("first_name")),
        ("ind", number("ind")),
        ("age", number("age")),
        ("date_joined", text("date_joined")),
    ]);
    let rule = rule("user.yaml");
    let json = done(piped(folder.path(), &[&rule], read("published/user.ndjson"))).stdout;
    let columns = batches(&piped(folder.path(), &[&rule, "--format", "arrow"], stream(&[batch])));
    let mut at = lines(&json).into_iter();
    for batch in columns {
        for row in 0..batch.num_rows() {
            let joined = batch["date_joined"].as_primitive::<TimestampMicrosecondType>().value(row);
            let expected = at.next().expect("a row");
            let seconds = expected["date_joined"].as_str().expect("a time");
            assert_eq!(joined, micros(seconds));
            let found = json!({
                "ind": batch["ind"].as_primitive::<Int64Type>().value(row),
                "user_name": batch["user_name"].as_string::<i32>().value(row),
                "age": batch["age"].as_primitive::<Int64Type>().value(row),
                "date_joined": seconds,
            });
            assert_eq!(found, expected);
        }
    }
    assert_eq!(at.next(), None);
}

/// As Arrow reads it.
fn micros(time: &str) -> i64 {
    let text: ArrayRef = Arc::new(StringArray::from(vec![time]));
    let to = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let cast = arrow::compute::cast(&text, &to).expect("RFC 3339");
    cast.as_primitive::<TimestampMicrosecondType>().value(0)
}

#[test]
fn columns_that_are_not_those_of_the_rule_are_told() {
    let folder = with_rule();
    let batch = batch(vec![
        ("title", Arc::new(Int64Array::from(vec![1]))),
        ("tags", Arc::new(StringArray::from(vec!["a,b"]))),
    ]);
    let args = ["rule.yaml", "--format", "arrow"];
    Said::from(piped(folder.path(), &args, stream(&[batch]))).refused(
        2,
        &[
            "the columns of the stream are not those of the rule",
            "there is no column ind, which the rule requires",
            "column title is Int64, and the field title is text",
            "column tags is Utf8, and the field tags is text-list",
            "the stream has title (Int64), tags (Utf8)",
        ],
    );
    Said::from(piped(folder.path(), &args, "{\"ind\": 1}\n"))
        .refused(2, &["is not an Arrow IPC stream"]);
}

#[test]
fn an_arrow_stream_is_answered_batch_by_batch() {
    let folder = with_rule();
    let one = batch(vec![
        ("ind", Arc::new(Int64Array::from(vec![1]))),
        ("title", Arc::new(StringArray::from(vec![""]))),
    ]);
    let mut child = pipe(folder.path(), &["rule.yaml", "--format", "arrow"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("pinhost can be started");
    let stdin = child.stdin.take().expect("it is piped");
    let stdout = child.stdout.take().expect("it is piped");
    let mut writer = StreamWriter::try_new(stdin, &one.schema()).expect("it listens");
    let mut reader = StreamReader::try_new(stdout, None).expect("a schema");
    for _ in 0..3 {
        writer.write(&one).expect("it listens");
        assert_eq!(reader.next().expect("an answer").expect("a batch").num_rows(), 1);
    }
    writer.finish().expect("it listens");
    drop(writer);
    assert!(reader.next().is_none());
    done(child.wait_with_output().expect("it ends"));
}
