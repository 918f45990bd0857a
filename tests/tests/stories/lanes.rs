//! Lanes that halt, and the commands that lift it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::running::Running;
use pinhost_tests::{pinhost, table};
use serde_json::Value;
use tempfile::TempDir;

fn run(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(args))
}

/// A pipeline by a rule that hardly any record meets.
fn with_bad_records(records: u64, sink: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let text = format!(
        "\
name: pins
source: {{ generate: {{ profile: pin, count: {records} }} }}
rule: {{ fields: {{ index: integer, follower_count: integer }} }}
sink: {sink}
limits: {{ halt_time: 1ms }}
"
    );
    fs::write(folder.path().join("pins.yaml"), text).expect("a file");
    folder
}

fn lane(folder: &Path) -> Value {
    run(folder, &["lanes", "pins.yaml", "--json"]).done().json()[0].clone()
}

#[test]
fn a_halted_lane_names_the_command_that_lifts_it() {
    for sink in ["{ sqlite: { path: pins.db, table: pin } }", "{ objects: { url: pins } }"] {
        let folder = with_bad_records(3_000, sink);
        let until_end = ["run", "pins.yaml", "--until-end"];
        let halted = run(folder.path(), &until_end);
        assert_eq!(halted.code, Some(1), "{halted:#?}");
        let command = "pinhost lanes resume pins.yaml generate --accept-rejects 1024";
        let command =
            halted.stderr.lines().find_map(|line| line.split_once(command).map(|_| command));
        assert!(command.is_some(), "no command in\n{}", halted.stderr);
        assert_eq!(lane(folder.path())["position"], "0", "nothing of it is committed");

        let args: Vec<_> = command.expect("there is one").split(' ').skip(1).collect();
        let resumed = run(folder.path(), &args).done();
        assert!(resumed.stderr.contains("1,024 more dead letters will be let through"));
        assert_eq!(lane(folder.path())["accepted_rejects"], 1_024);
        assert_eq!(run(folder.path(), &until_end).code, Some(1), "there are more than that");

        let rest = ["lanes", "resume", "pins.yaml", "generate", "--accept-rejects", "3000"];
        run(folder.path(), &rest).done();
        run(folder.path(), &until_end).done();
        let lane = lane(folder.path());
        assert_eq!(lane["position"], "3000");
        let left = lane["accepted_rejects"].as_u64().expect("a number");
        let dead = run(folder.path(), &["dead-letters", "pins.yaml", "export"]).done();
        assert_eq!(left, 4_024 - dead.stdout.lines().count() as u64, "each was used once");
    }
}

#[test]
fn why_a_lane_is_halted_stands_beside_its_position() {
    let folder = with_bad_records(3_000, "{ sqlite: { path: pins.db, table: pin } }");
    let halted = run(folder.path(), &["run", "pins.yaml", "--until-end"]);
    assert_eq!(halted.code, Some(1));
    let shown = run(folder.path(), &["lanes", "pins.yaml"]).done().stdout;
    assert!(shown.contains("halted:"), "{shown}");
    let reason = lane(folder.path())["halted"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("are dead letters"), "{reason}");
    let resume = ["lanes", "resume", "pins.yaml", "generate", "--accept-rejects", "9000"];
    run(folder.path(), &resume).done();
    run(folder.path(), &["run", "pins.yaml", "--until-end"]).done();
    assert_eq!(lane(folder.path())["halted"], Value::Null, "it moved");
}

/// Issue 25, B14: no log, summary, answer or ledger had a reason, and nothing could be looked at.
#[test]
fn where_every_record_fails_the_reasons_are_told_wherever_the_halt_is() {
    let folder = with_bad_records(3_000, "{ sqlite: { path: pins.db, table: pin } }");
    let file = folder.path().join("pins.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    let text = text.replace("follower_count: integer", "nowhere: { type: text, required: true }");
    fs::write(&file, &text).expect("a file");
    let is_reason = |told: &str| {
        // Tables are as wide as the terminal.
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, reasons) = told.split_once("1024 of the last 1024 records are dead letters")?;
        // Nearly all: some records are no JSON, and others fail before they come to that field.
        let (_, record) =
            reasons.split_once(" × required field nowhere is missing, such as 0: {")?;
        record.contains("title").then_some(())
    };
    let halted = run(folder.path(), &["run", "pins.yaml"]);
    assert_eq!(halted.code, Some(1), "{halted:#?}");
    let ended = halted.stderr.find("error").map(|at| &halted.stderr[at..]);
    assert!(ended.is_some_and(|ended| is_reason(ended).is_some()), "{}", halted.stderr);
    let shown = run(folder.path(), &["lanes", "pins.yaml"]).done().stdout;
    assert!(is_reason(&shown).is_some(), "{shown}");
    let stored = lane(folder.path())["halted"].as_str().expect("a reason").to_owned();
    assert!(is_reason(&stored).is_some(), "{stored}");

    // A stream waits, and whoever watches it is told.
    fs::write(&file, text.replace(", count: 3000", "")).expect("a file");
    let args = ["pins.yaml", "--listen", "127.0.0.1:0"];
    let running = Running::start(pinhost!(), folder.path(), &args);
    running.says("the lane is halted", Duration::from_secs(60));
    assert!(is_reason(&running.log()).is_some(), "{}", running.log());
    let ready = get(&running.listens_at(), "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    let (_, body) = ready.split_once("\r\n\r\n").expect("a body");
    let told = body.replace("\\\"", "\"");
    assert!(is_reason(&told).is_some(), "{ready}");
}

/// What a path answers, whole.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pinhost\r\nConnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end");
    answer
}

#[test]
fn a_lane_is_moved_to_its_ends() {
    let folder = with_bad_records(500, "{ sqlite: { path: pins.db, table: pin } }");
    let all_dead = run(folder.path(), &["run", "pins.yaml"]);
    assert_eq!(all_dead.code, Some(1), "{all_dead:#?}");
    for (to, position) in [("earliest", "0"), ("latest", "500"), ("17", "17")] {
        let args = ["lanes", "move", "pins.yaml", "generate", "--to", to, "--accept-gap"];
        run(folder.path(), &args).done();
        assert_eq!(lane(folder.path())["position"], position);
    }
    let nowhere = ["lanes", "move", "pins.yaml", "generate", "--to", "somewhere", "--accept-gap"];
    assert_eq!(run(folder.path(), &nowhere).code, Some(2));
    let endless = fs::read_to_string(folder.path().join("pins.yaml")).expect("the file");
    fs::write(folder.path().join("pins.yaml"), endless.replace(", count: 500", ""))
        .expect("a file");
    let latest = ["lanes", "move", "pins.yaml", "generate", "--to", "latest", "--accept-gap"];
    run(folder.path(), &latest).refused(2, &["where lane generate ends is not known"]);
    let other = ["lanes", "resume", "pins.yaml", "other", "--accept-rejects", "1"];
    run(folder.path(), &other).refused(2, &["has no lane `other`", "it has generate"]);
}

/// A table that takes no row was changed by somebody; the records are not at fault.
#[test]
fn a_lane_whose_rows_are_refused_halts_until_they_are_accepted_as_dead_letters() {
    let folder = TempDir::new().expect("a folder");
    let text = "\
name: pins
source: { generate: { profile: pin, count: 3000 } }
rule: { fields: { index: integer } }
sink: { sqlite: { path: pins.db, table: pin } }
limits: { halt_time: 1ms }
";
    fs::write(folder.path().join("pins.yaml"), text).expect("a file");
    let database = folder.path().join("pins.db");
    table::change_sqlite(&database, "CREATE TABLE pin (\"index\" INTEGER CHECK (\"index\" < 0))");
    let until_end = ["run", "pins.yaml", "--until-end"];
    let command = "lanes resume pins.yaml generate --accept-rejects";
    run(folder.path(), &until_end).refused(1, &["CHECK constraint failed", command]);
    assert_eq!(lane(folder.path())["position"], "0", "nothing of it is committed");
    assert!(table::rows(&database, "SELECT id FROM pinhost_dead_letter").is_empty());

    let accept = ["lanes", "resume", "pins.yaml", "generate", "--accept-rejects", "3000"];
    run(folder.path(), &accept).done();
    run(folder.path(), &until_end).done();
    let lane = lane(folder.path());
    assert_eq!((&lane["position"], &lane["accepted_rejects"]), (&"3000".into(), &0.into()));
    let dead = table::rows(&database, "SELECT count(*) FROM pinhost_dead_letter");
    assert_eq!(dead, ["3000"]);
}
