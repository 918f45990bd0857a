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

/// A Kafka broker that the tests of one process share.
#[derive(Debug)]
pub struct Kafka {
    pub brokers: &'static str,
    /// The listener with TLS and SCRAM: user pins, password pins-secret.
    pub secure: &'static str,
    /// Whom to trust there.
    pub ca: &'static str,
}

pub fn kafka() -> Kafka {
    static KAFKA: LazyLock<Server> = LazyLock::new(|| Server::start("start-kafka.sh", "KAFKA_PID"));
    Kafka {
        brokers: KAFKA.said("KAFKA_BOOTSTRAP"),
        secure: KAFKA.said("KAFKA_SECURE"),
        ca: KAFKA.said("KAFKA_CA"),
    }
}
