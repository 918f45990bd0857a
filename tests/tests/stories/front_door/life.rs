//! Edits, outages and ends while clients go on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pinhost_tests::command::{command, said};
use pinhost_tests::pinhost;
use pinhost_tests::proxy::{Conduct, Proxy};
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::postgres;
use pinhost_tests::table;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::load::{Clients, database, execute};
use super::{Door, RULE, TIME};

#[test]
fn the_listener_outlives_edits_of_every_part() {
    let door = Door::open("routes: [/pin]");
    let mut client = door.client();
    let clients = Clients::start(&door.address, 3);
    assert_eq!(client.post("/pin", "{\"ind\": 1}").status, 200);
    // The rule.
    door.change("    title: text\n", "    title: text\n    extra: { type: text, from: $rest }\n");
    door.running.says("took over", TIME);
    // The source: another route.
    door.change("routes: [/pin]", "routes: [/pin, /geo]");
    wait_until(TIME, || client.post("/geo", "{\"ind\": 2}").status == 200, || door.running.log());
    // The sink: another database.
    door.change("path: d.db", "path: e.db");
    let other = door.folder.path().join("e.db");
    let is_there = || other.exists() && door.running.log().matches("begin anew").count() == 2;
    wait_until(TIME, is_there, || door.running.log());
    wait_until(TIME, || client.post("/pin", "{\"ind\": 3}").status == 200, || door.running.log());
    let answered = clients.stop();
    assert!(answered.stored.len() > 10, "{answered:?}");
    assert!(answered.others.is_empty(), "nobody was refused: {:?}", answered.others);
    let log = door.running.log();
    assert_eq!(log.matches("requests are taken at").count(), 1, "{log}");
    let rows = |database: &Path| table::rows(database, "SELECT ind FROM t");
    let stored = rows(&door.database()).into_iter().chain(rows(&other));
    answered.are_among(&stored.map(|ind| ind.parse().expect("a number")).collect());
    assert_eq!(rows(&other).iter().filter(|ind| **ind == "3").count(), 1);
    door.running.drain();
}

#[test]
fn a_rule_that_rejects_is_no_reason_to_halt() {
    let door = Door::open("");
    let mut client = door.client();
    let bad = format!("[{}]", vec!["{\"title\": \"x\"}"; 3_000].join(","));
    let answer = client.post("/pin/", &bad);
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(0)));
    assert_eq!(client.post("/pin/", "{\"ind\": 1}").status, 200);
    assert_eq!(door.rows("SELECT count(*) FROM pinhost_dead_letter"), ["3000"]);
    door.running.drain();
}

#[test]
fn while_the_sink_is_away_requests_are_told_to_come_again() {
    let runtime = Runtime::new().expect("a runtime");
    let url = database();
    let (_, place) = url.rsplit_once('@').unwrap_or(("", url.trim_start_matches("postgres://")));
    let (server, _) = place.split_once('/').expect("a URL with a database");
    let proxy = Proxy::start(runtime.handle(), server);
    let through = url.replace(server, &proxy.address.to_string());
    let sink = format!("postgres: {{ url: '{through}', table: t, create: true }}");
    let door = Door::into(&sink, "timeout: 1s");
    let mut client = door.client();
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 1}").status == 200, || door.running.log());
    proxy.conduct(Conduct::Reset);
    let began = Instant::now();
    let answer = client.post("/pin/", "{\"ind\": 2}");
    assert_eq!((answer.status, &*answer.headers["retry-after"]), (503, "1"), "{answer:#?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    proxy.conduct(Conduct::Pass);
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 3}").status == 200, || door.running.log());
    let rows = table::postgres(&url, "SELECT DISTINCT ind FROM t WHERE ind <> 2 ORDER BY ind");
    assert_eq!(rows, [[json!(1)], [json!(3)]]);
    door.running.drain();
}

#[test]
fn a_lane_that_is_halted_goes_on_once_an_edit_mends_it() {
    let url = database();
    let sink = format!("postgres: {{ url: '{url}', table: t, create: true }}");
    let door = Door::into(&sink, "timeout: 1s");
    let mut client = door.client();
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 1}").status == 200, || door.running.log());
    execute(&url, "ALTER TABLE t DROP COLUMN title");
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 2}").status == 503, || door.running.log());
    door.change("    title: text\n", "");
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 3}").status == 200, || door.running.log());
    let rows = table::postgres(&url, "SELECT count(*) FROM t WHERE ind = 3");
    assert_eq!(rows, [[json!(1)]]);
    door.running.drain();
}

#[test]
fn on_sigterm_what_is_in_flight_is_answered() {
    let door = Door::into("objects: { url: rows }", "");
    let mut client = door.client();
    let body = "{\"ind\": 1}";
    assert_eq!(client.post("/pin/", body).status, 200);
    let head = format!("POST /pin/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write(format!("{head}{body}").as_bytes()).expect("it listens");
    // Objects take a second for a unit: it waits.
    std::thread::sleep(Duration::from_millis(200));
    door.running.drain();
    assert_eq!(client.answer().expect("an answer").status, 200);
    let objects = fs::read_dir(door.folder.path().join("rows")).expect("a folder");
    assert!(objects.count() > 0);
}

#[test]
fn pipelines_share_an_address_and_a_clash_is_a_finding() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, listen: &str, routes: &str| {
        let source = format!("{{ http: {{ listen: '{listen}', routes: [{routes}] }} }}");
        let sink = format!("{{ sqlite: {{ path: {name}.db, table: t }} }}");
        let yaml = format!("name: {name}\nsource: {source}\n{RULE}sink: {sink}\n");
        fs::write(folder.path().join(format!("{name}.yaml")), yaml).expect("a file");
    };
    write("a", "127.0.0.1:0", "/pin, /topics/*");
    write("b", "127.0.0.1:0", "/geo, /topics/*");
    let files = ["a.yaml", "b.yaml"];
    for verb in ["check", "run"] {
        let told = "pipeline a reads requests to /topics/* at the same address";
        let mut both = command(pinhost!(), folder.path());
        let both = said(both.arg(verb).args(files));
        assert!(both.code == Some(2) && both.stderr.contains(told), "{both:#?}");
    }
    write("b", "127.0.0.1:0", "/geo, /topics/*.geo");
    let running = Running::start(pinhost!(), folder.path(), &files);
    let address = running.takes_requests_at();
    let mut client = pinhost_tests::http_client::HttpClient::connect(&address);
    let topic = [("Content-Type", "application/vnd.kafka.json.v2+json")];
    let body = r#"{"records": [{"value": {"ind": 2}}]}"#;
    wait_until(TIME, || client.post("/geo", "{\"ind\": 1}").status == 200, || running.log());
    assert_eq!(client.post("/pin", "{\"ind\": 1}").status, 200);
    assert_eq!(client.send(("POST", "/topics/x.geo"), &topic, body).status, 200);
    assert_eq!(client.send(("POST", "/topics/x.pin"), &topic, body).status, 200);
    let topics =
        |name: &str| table::rows(&folder.path().join(name), "SELECT topic FROM t ORDER BY topic");
    assert_eq!(topics("a.db"), ["\"pin\"", "\"x.pin\""]);
    assert_eq!(topics("b.db"), ["\"geo\"", "\"x.geo\""]);
    running.drain();
}

/// Without the server that the tests share.
#[test]
fn a_run_that_is_to_end_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let source = "{ http: { listen: '127.0.0.1:0' } }";
    let yaml = format!("name: a\nsource: {source}\n{RULE}sink: {{ stdout: {{}} }}\n");
    fs::write(folder.path().join("a.yaml"), yaml).expect("a file");
    let mut run = command(pinhost!(), folder.path());
    let told = said(run.args(["run", "--until-end", "a.yaml"]));
    assert!(told.code == Some(1) && told.stderr.contains("requests have no end"), "{told:#?}");
    // So that Postgres is there for the others, whoever comes first.
    assert!(postgres().starts_with("postgres"));
}
