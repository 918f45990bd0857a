//! Real servers, started by the tests themselves and ended with them.
//!
//! What a server needs is kept in `target/services` once it was fetched; `tests/services` says how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

use object_store::aws::AmazonS3Builder;

use crate::objects::Objects;

/// A server that ends with this process, however that ends.
#[derive(Debug)]
pub struct Server {
    script: &'static str,
    prefix: &'static str,
    pub pid: u32,
    said: BTreeMap<String, String>,
}

impl Server {
    /// # Panics
    /// If the server does not start: its script says why on stderr.
    fn start(script: &'static str, prefix: &'static str) -> Self {
        Self::start_in(script, prefix, None)
    }

    /// With data that are there already, and under the address that it had; or anew.
    fn start_in(script: &'static str, prefix: &'static str, data: Option<&str>) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
        let output = Command::new("bash")
            .arg(scripts.join(script))
            .arg(folder())
            .args(data)
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
        let pid = said[&format!("{prefix}_PID")].parse().expect("a process id");
        let server = Self { script, prefix, pid, said };
        server.leash();
        server
    }

    /// A PostgreSQL of its own for a test that does it harm.
    pub fn postgres() -> Self {
        Self::start("start-postgres.sh", "PG")
    }

    /// A Kafka broker of its own for a test that does it harm.
    pub fn kafka() -> Self {
        Self::start("start-kafka.sh", "KAFKA")
    }

    /// Kills it, and starts it again as it was.
    pub fn restart(&mut self) {
        signal(self.pid, "KILL");
        *self = Self::start_in(self.script, self.prefix, Some(self.data()));
    }

    /// Stops it where it stands, with every process that it has, until what this gives is dropped.
    pub fn stop(&self) -> Stopped {
        signal(self.pid, "STOP");
        let children = self.children();
        children.iter().for_each(|child| signal(*child, "STOP"));
        Stopped { processes: [children, vec![self.pid]].concat() }
    }

    fn children(&self) -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid));
        let children = children.expect("Linux, and a process that is there");
        children.split_whitespace().map(|child| child.parse().expect("a process id")).collect()
    }

    fn data(&self) -> &str {
        self.said(&format!("{}_DATA", self.prefix))
    }

    /// Ends the server when this process is gone, and its data with it. A test's statics are never dropped,
    /// and a test may be killed.
    fn leash(&self) {
        let (tests, server, data) = (process::id(), self.pid, self.data());
        // Its children live on for a moment.
        let watch = format!(
            "while kill -0 {tests}; do sleep 0.2; done; kill -9 {server}; sleep 1; rm -rf '{data}'"
        );
        Command::new("setsid")
            .args(["--fork", "sh", "-c", &watch])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("setsid can be started");
    }

    /// What its script said: `PG_URL`, `KAFKA_BOOTSTRAP`.
    pub fn said(&self, name: &str) -> &str {
        &self.said[name]
    }
}

/// A server that stands still.
#[derive(Debug)]
pub struct Stopped {
    processes: Vec<u32>,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.processes.iter().for_each(|process| signal(*process, "CONT"));
    }
}

/// Sends a signal to a process of ours: `STOP`, `KILL`.
///
/// # Panics
/// If there is no such process.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.is_ok_and(|sent| sent.success()), "no process {process} to send SIG{name}");
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
    static POSTGRES: LazyLock<Server> = LazyLock::new(|| Server::start("start-postgres.sh", "PG"));
    POSTGRES.said("PG_URL")
}

/// An S3-compatible server that the tests of one process share.
#[derive(Debug)]
pub struct S3 {
    server: Server,
}

pub fn s3() -> &'static S3 {
    static S3: LazyLock<S3> = LazyLock::new(|| S3 { server: Server::start("start-s3.sh", "S3") });
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

    /// Makes a bucket, which is a folder of the server's.
    ///
    /// # Panics
    /// If there is one of this name.
    pub fn bucket(&self, name: &str) -> Objects {
        let folder = Path::new(self.server.said("S3_DATA")).join(name);
        fs::create_dir(&folder).expect("a new folder");
        let [(_, id), (_, secret)] = self.credentials();
        let bucket = AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .with_bucket_name(name)
            .build();
        Objects::of(bucket.expect("a bucket"))
    }
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
    static KAFKA: LazyLock<Server> = LazyLock::new(|| Server::start("start-kafka.sh", "KAFKA"));
    Kafka {
        brokers: KAFKA.said("KAFKA_BOOTSTRAP"),
        secure: KAFKA.said("KAFKA_SECURE"),
        ca: KAFKA.said("KAFKA_CA"),
    }
}
