//! Real servers, started by the tests themselves and ended with them.
//!
//! What a server needs is kept in `target/services` once it was fetched; `tests/services` says how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

/// A server that ends with this process, however that ends.
#[derive(Debug)]
pub struct Server {
    pub pid: u32,
    said: BTreeMap<String, String>,
}

impl Server {
    /// # Panics
    /// If the server does not start: its script says why on stderr.
    fn start(script: &str, pid: &str) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
        let output = Command::new("bash")
            .arg(scripts.join(script))
            .arg(folder())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("bash can be started");
        assert!(output.status.success(), "{script} failed: see above");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let said: BTreeMap<_, _> = said
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let pid = said[pid].parse().expect("a process id");
        leash(pid);
        Self { pid, said }
    }

    fn said(&self, name: &str) -> &str {
        &self.said[name]
    }
}

/// Ends a server when this process is gone. A test's statics are never dropped, and a test may be killed.
fn leash(server: u32) {
    let tests = process::id();
    let watch = format!("while kill -0 {tests}; do sleep 0.2; done; kill -9 {server}");
    Command::new("setsid")
        .args(["--fork", "sh", "-c", &watch])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("setsid can be started");
}

/// Where servers are kept between test runs: `target/services`.
fn folder() -> PathBuf {
    let test = env::current_exe().expect("a test is a file");
    let target = test.ancestors().nth(3).expect("a folder of cargo's target folder");
    let folder = target.join("services");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A PostgreSQL that the tests of one process share.
pub fn postgres() -> &'static str {
    static POSTGRES: LazyLock<Server> =
        LazyLock::new(|| Server::start("start-postgres.sh", "PG_PID"));
    POSTGRES.said("PG_URL")
}

/// An S3-compatible server that the tests of one process share.
#[derive(Debug)]
pub struct S3 {
    server: Server,
}

pub fn s3() -> &'static S3 {
    static S3: LazyLock<S3> =
        LazyLock::new(|| S3 { server: Server::start("start-s3.sh", "S3_PID") });
    &S3
}

impl S3 {
    pub fn endpoint(&self) -> &str {
        self.server.said("S3_URL")
    }

    /// What a command needs to be let in.
    pub fn credentials(&self) -> [(&'static str, &str); 2] {
        [
            ("AWS_ACCESS_KEY_ID", self.server.said("S3_ACCESS_KEY")),
            ("AWS_SECRET_ACCESS_KEY", self.server.said("S3_SECRET_KEY")),
        ]
    }

    /// Makes a bucket. It is a folder, in which objects are files: what the server holds can be looked at
    /// without asking it.
    ///
    /// # Panics
    /// If there is one of this name.
    pub fn bucket(&self, name: &str) -> PathBuf {
        let folder = Path::new(self.server.said("S3_DATA")).join(name);
        fs::create_dir(&folder).expect("a new folder");
        folder
    }
}
