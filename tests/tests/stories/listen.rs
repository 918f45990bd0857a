//! What those can do who reach `--listen` and nothing else.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pinhost_tests::pinhost;
use pinhost_tests::running::{Running, wait_until};
use tempfile::TempDir;

/// What the process may open, which is little more than it needs.
const DESCRIPTORS: usize = 150;
const IDLE: usize = 400;
/// More than a connection may last.
const SOON: Duration = Duration::from_secs(20);

fn start(folder: &TempDir) -> (Running, String) {
    let text = "name: pins\nsource: { generate: { profile: pin, rate: 500 } }\n\
                sink: { objects: { url: pins } }\nunit: { time: 100ms }\n";
    fs::write(folder.path().join("pins.yaml"), text).expect("a file");
    let args = ["pins.yaml", "--listen", "127.0.0.1:0"];
    let running = Running::start(pinhost!(), folder.path(), &args);
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let pid = running.pid().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(limited.is_ok_and(|limited| limited.success()), "prlimit is part of util-linux");
    let address = running.listens_at();
    (running, address)
}

/// What a path answers, whole.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pinhost\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer:?}");
    answer
}

fn records(address: &str) -> u64 {
    let metrics = get(address, "/metrics");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("pinhost_records_total{pipeline=\"pins\"} "));
    line.map_or(0, |count| count.parse().expect("a number"))
}

/// Waits for the other side to end a connection on which nothing was asked.
fn is_ended(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("an idle connection is not ended: {other:?}"),
    }
}

#[test]
fn idle_clients_cost_no_commit_and_no_scrape() {
    let folder = TempDir::new().expect("a folder");
    let (running, address) = start(&folder);
    let mut idle: Vec<_> =
        (0..IDLE).map(|_| TcpStream::connect(&address).expect("it listens")).collect();
    for _ in 0..3 {
        let before = records(&address);
        wait_until(SOON, || records(&address) > before, || running.log());
    }
    let descriptors = format!("/proc/{}/fd", running.pid());
    let open = fs::read_dir(descriptors).expect("Linux").count();
    assert!(open < DESCRIPTORS, "{open} descriptors");
    assert!(get(&address, "/livez").ends_with("ok\n"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    // The first made room for the others, and the last have had their time.
    is_ended(&mut idle[0]);
    is_ended(&mut idle[IDLE - 1]);
    assert!(!running.log().contains("ERROR"), "{}", running.log());
    running.drain();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_not_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let (running, address) = start(&folder);
    let mut slow = TcpStream::connect(&address).expect("it listens");
    let began = Instant::now();
    // It never comes to its end, and is never silent.
    let request = format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(10_000));
    let mut bytes = request.bytes();
    while slow.write_all(&[bytes.next().expect("there are enough")]).is_ok() {
        assert!(began.elapsed() < SOON, "it is still waited for");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(get(&address, "/livez").ends_with("ok\n"));
    running.drain();
}
