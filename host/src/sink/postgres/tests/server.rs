//! A real server, started by the tests and ended with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::LazyLock;

#[derive(Debug)]
pub(super) struct Server {
    said: BTreeMap<String, String>,
}

/// Of the tests of this process.
pub(super) static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(None));

impl Server {
    /// `data` is that of a server before.
    pub(super) fn start(data: Option<&str>) -> Self {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let test = std::env::current_exe().unwrap();
        let output = Command::new("bash")
            .arg(host.join("../tests/services/start-postgres.sh"))
            .arg(test.ancestors().nth(3).unwrap().join("services"))
            .args(data)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "no server: see above");
        let said = String::from_utf8(output.stdout).unwrap();
        let said = said.lines().filter_map(|line| line.split_once('='));
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let server = Self { said };
        // A test's statics are never dropped, and a test may be killed. The server's children live on for a
        // moment.
        let (tests, server_id) = (process::id(), server.said("PG_PID"));
        let watch = format!(
            "while kill -0 {tests}; do sleep 0.2; done; kill -9 {server_id}; sleep 1; rm -rf '{}'",
            server.said("PG_DATA")
        );
        let mut leash = Command::new("setsid");
        leash.args(["--fork", "sh", "-c", &watch]).stdin(Stdio::null());
        leash.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        server
    }

    /// As an administrator does.
    pub(super) fn stop(&self) {
        let id = self.said("PG_PID");
        let wait = format!("kill -INT {id}; while kill -0 {id} 2>/dev/null; do sleep 0.05; done");
        assert!(Command::new("sh").args(["-c", &wait]).status().unwrap().success());
    }

    pub(super) fn said(&self, name: &str) -> &str {
        &self.said[name]
    }

    /// `127.0.0.1:5432`
    pub(super) fn address(&self) -> &str {
        let url = self.said("PG_URL");
        let (_, rest) = url.split_once('@').unwrap();
        rest.split_once('/').unwrap().0
    }
}
