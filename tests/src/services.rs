//! Real servers, started by the tests themselves and ended with them.
//!
//! One of each kind is shared by all tests of a process, which give their topics, databases and buckets
//! names that nobody else has. A test that does a server harm takes its [turn] and owns the server.
//! What a server needs is kept in `target/services` once it was fetched; `tests/services` says how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::{env, fs};

use object_store::aws::AmazonS3Builder;

use crate::objects::Objects;

/// How many tests may own servers at a time: more of these would only wait for each other.
const TURNS: usize = 2;

static TURNS_LEFT: Mutex<usize> = Mutex::new(TURNS);
static TURN_IS_OVER: Condvar = Condvar::new();

/// A test's leave to own servers. It is over when the last of them is dropped.
#[derive(Debug, Clone)]
pub struct Turn {
    _place: Arc<Place>,
}

#[derive(Debug)]
struct Place;

/// Waits until a test may own servers. One turn is enough for all that it owns.
///
/// # Panics
/// If a thread panicked while it counted.
pub fn turn() -> Turn {
    let left = TURNS_LEFT.lock().expect("nobody panics while counting");
    let mut left = TURN_IS_OVER.wait_while(left, |left| *left == 0).expect("the same");
    *left -= 1;
    Turn { _place: Arc::new(Place) }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TURNS_LEFT.lock().expect("nobody panics while counting") += 1;
        TURN_IS_OVER.notify_one();
    }
}

impl Turn {
    /// A PostgreSQL of its own for a test that does it harm.
    pub fn postgres(&self) -> Server {
        self.owned(&ServerKind::POSTGRES)
    }

    /// A Kafka broker of its own for a test that does it harm.
    pub fn kafka(&self) -> Server {
        self.owned(&ServerKind::KAFKA)
    }

    /// A Kafka broker that lets clients in as brokers of Amazon MSK do.
    pub fn kafka_with_iam(&self) -> Server {
        self.owned(&ServerKind::KAFKA_WITH_IAM)
    }

    /// A Kafka broker with a listener at `port` that tells clients to come to `advertised`, where a proxy is.
    pub fn kafka_behind(&self, port: u16, advertised: u16) -> Server {
        let proxied = [("KAFKA_PROXIED", format!("{port} {advertised}"))];
        let mut server = Server::start_with(&ServerKind::KAFKA, None, &proxied);
        server.owner = Some(self.clone());
        server
    }

    fn owned(&self, kind: &'static ServerKind) -> Server {
        let mut server = Server::start(kind);
        server.owner = Some(self.clone());
        server
    }
}

/// How a server is started.
#[derive(Debug)]
struct ServerKind {
    script: &'static str,
    prefix: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

impl ServerKind {
    const POSTGRES: Self = Self { script: "start-postgres.sh", prefix: "PG", environment: &[] };
    const KAFKA: Self = Self { script: "start-kafka.sh", prefix: "KAFKA", environment: &[] };
    const KAFKA_WITH_IAM: Self = Self { environment: &[("KAFKA_IAM", "1")], ..Self::KAFKA };
    const S3: Self = Self { script: "start-s3.sh", prefix: "S3", environment: &[] };
    const KINESIS: Self = Self { script: "start-kinesis.sh", prefix: "KINESIS", environment: &[] };
    const KINESALITE: Self =
        Self { environment: &[("KINESIS_SERVER", "kinesalite")], ..Self::KINESIS };
}

/// A server that ends with this process, however that ends; or with the test that owns it.
#[derive(Debug)]
pub struct Server {
    kind: &'static ServerKind,
    pub pid: u32,
    said: BTreeMap<String, String>,
    /// None if it is shared.
    owner: Option<Turn>,
}

impl Server {
    /// # Panics
    /// If the server does not start: its script says why on stderr.
    fn start(kind: &'static ServerKind) -> Self {
        Self::start_in(kind, None)
    }

    /// With data that are there already, and under the address that it had; or anew.
    fn start_in(kind: &'static ServerKind, data: Option<&str>) -> Self {
        Self::start_with(kind, data, &[])
    }

    fn start_with(
        kind: &'static ServerKind,
        data: Option<&str>,
        more: &[(&'static str, String)],
    ) -> Self {
        let ServerKind { script, prefix, environment } = kind;
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
        let output = Command::new("bash")
            .arg(scripts.join(script))
            .arg(folder())
            .args(data)
            .envs(environment.iter().copied())
            .envs(more.iter().map(|(name, value)| (*name, value.as_str())))
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
        let server = Self { kind, pid, said, owner: None };
        server.leash();
        server
    }

    /// Kills it, and starts it again as it was.
    pub fn restart(&mut self) {
        signal(self.pid, "KILL");
        let mut again = Self::start_in(self.kind, Some(self.data()));
        // What is dropped in its place is nobody's, and is dead already.
        again.owner = self.owner.take();
        *self = again;
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
        self.said(&format!("{}_DATA", self.kind.prefix))
    }

    /// Ends the server when this process is gone, and its data with it. A test's statics are never dropped,
    /// and a test may be killed.
    fn leash(&self) {
        let (tests, server, data) = (process::id(), self.pid, self.data());
        // Whoever ends the server sooner sees to its data. Its children live on for a moment.
        let watch = format!(
            "while kill -0 {tests}; do kill -0 {server} || exit 0; sleep 1; done
             kill -9 {server}; sleep 1; rm -rf '{data}'"
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

impl Drop for Server {
    /// The process goes on, and needs the room for the servers of other tests.
    fn drop(&mut self) {
        if self.owner.is_some() {
            // Its children live on for a moment.
            let end = format!("kill -9 {}; sleep 1; rm -rf '{}'", self.pid, self.data());
            let _ = Command::new("setsid").args(["--fork", "sh", "-c", &end]).status();
        }
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
pub(crate) fn folder() -> PathBuf {
    let test = env::current_exe().expect("a test is a file");
    let target = test.ancestors().nth(3).expect("a folder of cargo's target folder");
    let folder = target.join("services");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A PostgreSQL that the tests of one process share.
pub fn postgres() -> &'static str {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&ServerKind::POSTGRES));
    SHARED.said("PG_URL")
}

/// An S3-compatible server that the tests of one process share.
#[derive(Debug)]
pub struct S3 {
    server: Server,
}

pub fn s3() -> &'static S3 {
    static SHARED: LazyLock<S3> = LazyLock::new(|| S3 { server: Server::start(&ServerKind::S3) });
    &SHARED
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

    /// Makes a bucket, which is a folder of the server's; its name, and what lies in it.
    ///
    /// # Panics
    /// If the folder cannot be made.
    pub fn bucket(&self, prefix: &str) -> (String, Objects) {
        let name = format!("{prefix}-{:016x}", fastrand::u64(..));
        let folder = Path::new(self.server.said("S3_DATA")).join(&name);
        fs::create_dir(&folder).expect("a new folder");
        let [(_, id), (_, secret)] = self.credentials();
        let bucket = AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .with_bucket_name(&name)
            .build();
        (name, Objects::of(bucket.expect("a bucket")))
    }
}

/// Kinesis as far as it is there without AWS, shared by the tests of one process: where it is. It does nearly
/// all that Kinesis does, some hundred records a second.
pub fn kinesis() -> &'static str {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&ServerKind::KINESIS));
    SHARED.said("KINESIS_URL")
}

/// Another one that knows less, and is quicker.
pub fn kinesalite() -> &'static str {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&ServerKind::KINESALITE));
    SHARED.said("KINESIS_URL")
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
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&ServerKind::KAFKA));
    Kafka {
        brokers: SHARED.said("KAFKA_BOOTSTRAP"),
        secure: SHARED.said("KAFKA_SECURE"),
        ca: SHARED.said("KAFKA_CA"),
    }
}

/// Prometheus's tool that checks metrics and tries rules.
///
/// # Panics
/// If it is not there and cannot be fetched: its script says why on stderr.
pub fn promtool() -> &'static Path {
    static TOOL: LazyLock<PathBuf> = LazyLock::new(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("services/promtool.sh");
        let output = Command::new("bash")
            .arg(script)
            .arg(folder())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("bash can be started");
        assert!(output.status.success(), "promtool.sh failed: see above");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        said.trim().strip_prefix("PROMTOOL=").expect("a path").into()
    });
    &TOOL
}
