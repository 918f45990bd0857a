//! Invariant 10: what came out of a variable is shown nowhere, by no command that runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use pinhost_tests::command::{Said, command, fed, said};
use pinhost_tests::pinhost;
use tempfile::TempDir;

/// Long enough to be found by chance nowhere, and such as nobody writes.
const CANARY: &str = "xyzzy-plugh-9417";

fn pinhost(folder: &Path, args: &[&str]) -> Command {
    let mut command = command(pinhost!(), folder);
    command
        .args(args)
        .args(["--log-level", "trace"])
        .env("CANARY", CANARY)
        .env("CANARY_PATH", format!("{CANARY}.db"))
        .env("CANARY_URL", format!("s3://me:{CANARY}@localhost:1/bucket?password={CANARY}"));
    command
}

fn folder(sink: &str, source: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let text = format!(
        "\
name: pins
source: {{ generate: {{ profile: pin, {source} }} }}
rule:
  fields: {{ index: integer, title: text, follower_count: integer }}
  steps:
    - {{ plugin: placeholders, with: {{ columns: {{ title: ['${{CANARY}}', '${{file:secret}}'] }} }} }}
sink: {sink}
limits: {{ start_time: 1ms, halt_time: 1ms }}
"
    );
    fs::write(folder.path().join("pins.yaml"), text).expect("a file");
    fs::write(folder.path().join("secret"), format!("{CANARY}-in-a-file\n")).expect("a file");
    folder
}

#[track_caller]
fn silent(what: &[&str], said: &Said) {
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains(CANARY), "{what:?}:\n{text}");
    }
}

#[test]
fn commands_about_a_pipeline_do_not_show_its_secrets() {
    let folder = folder("{ sqlite: { path: '${CANARY_PATH}', table: pin } }", "count: 3000");
    for (args, code) in [
        (&["check", "pins.yaml"][..], 0),
        (&["check", "--json", "pins.yaml"], 0),
        (&["check", "--resolved", "pins.yaml"], 0),
        (&["run", "pins.yaml", "--until-end"], 1),
        (&["run", "pins.yaml", "--until-end", "--log-format", "json"], 1),
        (&["lanes", "pins.yaml"], 0),
        (&["lanes", "--json", "pins.yaml"], 0),
        (&["lanes", "resume", "pins.yaml", "generate", "--accept-rejects", "9000"], 0),
        (&["run", "pins.yaml"], 0),
        (&["dead-letters", "pins.yaml", "list", "--limit", "2"], 0),
        (&["dead-letters", "pins.yaml", "list", "--json", "--limit", "2"], 0),
        (&["dead-letters", "pins.yaml", "show", "generate:0"], 0),
        (&["dead-letters", "pins.yaml", "retry", "generate:0"], 1),
    ] {
        let said = said(&mut pinhost(folder.path(), args));
        assert_eq!(said.code, Some(code), "{args:?}: {said:#?}");
        silent(args, &said);
    }
    let args = ["pipe", "pins.yaml"];
    let piped =
        fed(&mut pinhost(folder.path(), &args), b"{\"index\": 1, \"title\": \"x\"}\n{\n".to_vec());
    silent(&args, &Said::from(piped).done());
}

#[test]
fn a_password_in_a_url_is_not_shown_when_nobody_answers() {
    let folder = folder("{ objects: { url: '${CANARY_URL}' } }", "count: 10");
    for args in
        [&["check", "--resolved", "pins.yaml"][..], &["run", "pins.yaml"], &["lanes", "pins.yaml"]]
    {
        silent(args, &said(&mut pinhost(folder.path(), args)));
    }
}

#[test]
fn metrics_do_not_show_secrets() {
    let folder = folder("{ sqlite: { path: '${CANARY_PATH}', table: pin } }", "rate: 100");
    let args = ["run", "pins.yaml", "--listen", "127.0.0.1:0"];
    let mut child = pinhost(folder.path(), &args).spawn().expect("pinhost can be started");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let address = loop {
        let line = lines.next().expect("it says where").expect("UTF-8");
        if let Some((_, address)) = line.split_once("metrics are served at ") {
            break address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        }
    };
    let address = address.split('/').next().expect("an address").to_owned();
    for path in ["/metrics", "/livez", "/readyz"] {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: pinhost\r\nConnection: close\r\n\r\n")
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        assert!(!answer.contains(CANARY), "{path}: {answer}");
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
}
