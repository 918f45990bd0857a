//! What is watched: the series are those that the page, the alerts and the dashboard speak of.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pinhost_tests::answers::repository;
use pinhost_tests::pinhost;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::promtool;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// Dead letters, a lane that has an end, and a sink that commits.
const PIPELINE: &str = "\
name: pins
source: { generate: { profile: pin, count: 1000000, rate: 2000 } }
rule: RULES/pin.yaml
sink: { sqlite: { path: pins.db, table: pin, key: [ind] } }
unit: { time: 100ms }
";

fn metrics(address: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: pinhost\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

fn start(folder: &Path) -> (Running, String) {
    let rules = repository().join("pipelines/rules").display().to_string();
    fs::write(folder.join("pins.yaml"), PIPELINE.replace("RULES", &rules)).expect("a file");
    let running = Running::start(pinhost!(), folder, &["pins.yaml", "--listen", "127.0.0.1:0"]);
    let address = running.listens_at();
    let has_dead = || metrics(&address, "*/*").contains("pinhost_dead_letters_total{");
    wait_until(SOON, has_dead, || running.log());
    (running, address)
}

/// Names of our series in a text, without the endings of a histogram's.
fn names(text: &str) -> BTreeSet<String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_inner(c));
    let words = words.filter(|word| word.starts_with("pinhost_"));
    let bare = words.map(|word| {
        let ending = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        ending.unwrap_or(word).to_owned()
    });
    bare.collect()
}

fn example(name: &str) -> PathBuf {
    repository().join("examples/monitoring").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("UTF-8")
}

#[test]
fn alerts_dashboard_and_page_speak_of_series_that_there_are() {
    let folder = TempDir::new().expect("a folder");
    let (_running, address) = start(folder.path());
    let there: BTreeSet<_> = metrics(&address, "*/*")
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .filter(|name| name.starts_with("pinhost_"))
        .collect();
    assert!(there.len() > 20, "{there:?}");
    for file in ["rules.yaml", "rules_test.yaml", "dashboard.json"] {
        let unknown: Vec<_> = names(&read(&example(file))).difference(&there).cloned().collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
    let page = names(&read(&repository().join("host/pages/metrics.md")));
    let build = "pinhost_build_info".to_owned();
    let told: BTreeSet<_> = page.into_iter().chain([build]).collect();
    assert_eq!(told, there, "the page tells of every series, and of no other");
}

#[test]
fn prometheus_understands_what_is_told() {
    let folder = TempDir::new().expect("a folder");
    let (_running, address) = start(folder.path());
    let mut checking = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let text = metrics(&address, "*/*");
    checking.stdin.take().expect("piped").write_all(text.as_bytes()).expect("a pipe");
    let checked = checking.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
    assert!(metrics(&address, "application/openmetrics-text").ends_with("# EOF\n"));
}

#[test]
fn each_alert_fires_when_it_should_and_none_when_all_is_well() {
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let tried = Command::new(promtool())
            .args(arguments)
            .current_dir(example(""))
            .output()
            .expect("promtool");
        assert!(tried.status.success(), "{}", String::from_utf8_lossy(&tried.stderr));
    }
    let rules = read(&example("rules.yaml"));
    let tests = read(&example("rules_test.yaml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "nothing tries {alert}");
    }
}
