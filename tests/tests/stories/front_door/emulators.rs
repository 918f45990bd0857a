//! The lines of Python that people have, run by the `requests` that they have, and `pinhost emulate`.

use std::process::Command;

use pinhost_tests::answers::repository;
use pinhost_tests::command::{command, said};
use pinhost_tests::http_client::HttpClient;
use pinhost_tests::pinhost;
use pinhost_tests::requests::python_with_requests;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::table;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::load::database;
use super::{Door, TIME};

#[test]
fn the_example_is_run_as_it_stands() {
    let example = repository().join("examples/front-door");
    let folder = TempDir::new().expect("a folder");
    for file in ["pipeline.yaml", "pin.yaml"] {
        std::fs::copy(example.join(file), folder.path().join(file)).expect("a copy");
    }
    let environment = [("HTTP_LISTEN", "127.0.0.1:0")];
    let args = ["pipeline.yaml"];
    let running = Running::start_in(pinhost!(), folder.path(), &args, &environment);
    let url = format!("http://{}/dev", running.takes_requests_at());
    let mut printed = Vec::new();
    for script in ["fastapi.py", "rest_proxy.py", "api_gateway.py"] {
        let run = Command::new(python_with_requests())
            .arg(example.join(script))
            .env("INVOKE_URL", &url)
            .output()
            .expect("python can be started");
        assert!(run.status.success(), "{script}: {run:?}\n{}", running.log());
        printed.push(String::from_utf8(run.stdout).expect("UTF-8"));
    }
    assert_eq!(printed, ["200\n200\n", "200\n200\n", "200\n200\n"]);
    let rows = table::rows(
        &folder.path().join("posts.db"),
        "SELECT topic, ind, follower_count FROM pin ORDER BY topic, ind",
    );
    let expected = [
        "\"0a1b2c.pin\" | 7528 | 124000",
        "\"0a1b2c.pin\" | 7529 | 3000000",
        "\"pin\" | 7528 | 124000",
        "\"pin\" | 7529 | 3000000",
        "\"streaming-0a1b2c-pin\" | 7528 | 124000",
        "\"streaming-0a1b2c-pin\" | 7529 | 3000000",
    ];
    assert_eq!(rows, expected);
    running.drain();
}

#[test]
fn emulate_posts_three_kinds_of_each_post_to_any_door() {
    let door = Door::with("", "sqlite: { path: d.db, table: t }", "");
    for (to, topics) in [
        ("pin", ["geo", "pin", "user"]),
        ("topics", ["x.geo", "x.pin", "x.user"]),
        ("streams", ["x.geo", "x.pin", "x.user"]),
    ] {
        let url = format!("http://{}", door.address);
        let mut emulate = command(pinhost!(), door.folder.path());
        emulate.args(["emulate", &url, "--to", to, "--prefix", "x.", "--count", "20", "--json"]);
        let told: Value = said(&mut emulate).done().json();
        let answered: u64 = told["statuses"]
            .as_object()
            .expect("statuses")
            .values()
            .map(|count| count.as_u64().expect("a count"))
            .sum();
        assert_eq!(json!(answered), told["requests"], "{told}");
        assert_eq!(told["unanswered"], json!(0));
        let taken = door.rows("SELECT DISTINCT topic FROM t ORDER BY topic");
        for topic in topics {
            assert!(taken.contains(&format!("\"{topic}\"")), "{topic} in {taken:?}");
        }
    }
    door.running.drain();
    // Nobody listens any more.
    let mut emulate = command(pinhost!(), door.folder.path());
    emulate.args(["emulate", &format!("http://{}", door.address), "--count", "1"]);
    let told = said(&mut emulate);
    assert!(told.code == Some(3) && told.stderr.contains("nobody answers"), "{told:#?}");
}

#[test]
fn the_shipped_pipelines_take_what_emulators_send() {
    let folder = TempDir::new().expect("a folder");
    let files = ["ingest-to-postgres", "ingest-to-postgres-geo", "ingest-to-postgres-user"];
    let files = files.map(|file| repository().join(format!("pipelines/{file}.yaml")));
    let args = files.each_ref().map(|file| file.to_str().expect("UTF-8"));
    let url = database();
    let environment = [("HTTP_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", &*url)];
    let running = Running::start_in(pinhost!(), folder.path(), &args, &environment);
    let address = running.takes_requests_at();
    // The last of the three may not listen yet.
    let mut client = HttpClient::connect(&address);
    for kind in ["pin", "geo", "user"] {
        let mut is_there = || client.send(("GET", &format!("/{kind}")), &[], "").status == 405;
        wait_until(TIME, &mut is_there, || running.log());
    }
    let mut emulate = command(pinhost!(), folder.path());
    emulate.args(["emulate", &format!("http://{address}"), "--count", "20", "--to", "streams"]);
    for kind in ["pin", "geo", "user"] {
        let file = repository().join(format!("tests/data/e2e/{kind}.ndjson"));
        emulate.arg(format!("--{kind}")).arg(file);
    }
    said(emulate.args(["--prefix", "streaming-0a1b2c-"])).done();
    for table in ["pin", "geo", "users"] {
        let rows =
            table::postgres(&url, &format!("SELECT count(*) FROM {table} HAVING count(*) > 10"));
        assert_eq!(rows.len(), 1, "{table}");
    }
    running.drain();
}
