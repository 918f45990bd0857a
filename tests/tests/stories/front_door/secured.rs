//! Tokens, and encryption that python's own client trusts.

use std::fs;
use std::path::Path;
use std::process::Command;

use pinhost_tests::command::{command, said};
use pinhost_tests::pinhost;
use pinhost_tests::requests::python_with_requests;
use pinhost_tests::running::{Running, wait_until};
use tempfile::TempDir;

use super::{Door, RULE, TIME};

#[test]
fn who_has_no_token_is_told_so() {
    let folder = TempDir::new().expect("a folder");
    let tokens = folder.path().join("token");
    fs::write(&tokens, "first\n").expect("a file");
    let door = Door::open(&format!("token_file: '{}'", tokens.display()));
    let mut client = door.client();
    let mut status = |token: &str| {
        let headers = [("Content-Type", "application/json"), ("Authorization", token)];
        client.send(("POST", "/pin/"), &headers, "{\"ind\": 1}").status
    };
    assert_eq!((status("Bearer first"), status("Bearer second"), status("first")), (200, 401, 401));
    fs::write(&tokens, "second\n").expect("a file");
    wait_until(TIME, || status("Bearer second") == 200, || door.running.log());
    assert_eq!(status("Bearer first"), 401);
    let headers = [("Content-Type", "application/vnd.kafka.json.v2+json")];
    let answer = door.client().send(("POST", "/topics/pin"), &headers, "{}");
    assert_eq!((answer.status, &answer.json()["error_code"]), (401, &40101.into()));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    door.running.drain();
}

#[test]
fn who_listens_for_strangers_needs_a_token() {
    let folder = TempDir::new().expect("a folder");
    let source = "{ http: { listen: '0.0.0.0:8080' } }";
    let yaml = format!("name: a\nsource: {source}\n{RULE}sink: {{ stdout: {{}} }}\n");
    fs::write(folder.path().join("a.yaml"), yaml).expect("a file");
    let mut check = command(pinhost!(), folder.path());
    let told = said(check.args(["check", "a.yaml"]));
    assert!(told.code == Some(2) && told.stderr.contains("token_file"), "{told:#?}");
}

/// A certificate that vouches for itself, for this name.
fn certificate(folder: &Path, subject: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "new.key"])
        .args(["-out", "new.pem", "-subj", &format!("/CN={subject}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .output()
        .expect("openssl can be started");
    assert!(made.status.success(), "{made:?}");
    fs::rename(folder.join("new.key"), folder.join("server.key")).expect("a file");
    fs::rename(folder.join("new.pem"), folder.join("server.pem")).expect("a file");
}

#[test]
fn connections_are_encrypted_and_certificates_are_renewed() {
    let folder = TempDir::new().expect("a folder");
    certificate(folder.path(), "first");
    let tls = "tls: { certificate: server.pem, key: server.key }";
    let source = format!("{{ http: {{ listen: '127.0.0.1:0', {tls} }} }}");
    let sink = "{ sqlite: { path: d.db, table: t } }";
    let yaml = format!("name: door\nsource: {source}\n{RULE}sink: {sink}\n");
    fs::write(folder.path().join("p.yaml"), yaml).expect("a file");
    let running = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
    let address = running.takes_requests_at();
    let post = "import requests, sys; print(requests.post(sys.argv[1], json={'ind': 1}, \
                verify=sys.argv[2]).status_code)";
    let posted = || {
        let url = format!("https://{address}/pin/");
        let posted = Command::new(python_with_requests())
            .args(["-c", post, &url])
            .arg(folder.path().join("server.pem"))
            .output();
        String::from_utf8(posted.expect("python can be started").stdout).expect("UTF-8")
    };
    assert_eq!(posted().trim(), "200", "{}", running.log());
    // What speaks without encryption is not heard.
    let mut plain = pinhost_tests::http_client::HttpClient::connect(&address);
    assert!(plain.try_send(("POST", "/pin/"), &[], "{}").is_err());
    certificate(folder.path(), "second");
    wait_until(TIME, || posted().trim() == "200", || running.log());
    running.drain();
}
