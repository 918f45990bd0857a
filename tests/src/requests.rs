//! A Python that has what tests run by it need.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// What is fetched if this machine's Python lacks it.
const REQUESTS: &str = "requests==2.34.2";

/// A Python that has `requests`: this machine's, or one of our own beside the servers.
///
/// # Panics
/// If it cannot be made.
pub fn python_with_requests() -> &'static PathBuf {
    static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
        let has = |python: &PathBuf| {
            let asked = Command::new(python).args(["-c", "import requests"]).output();
            asked.is_ok_and(|asked| asked.status.success())
        };
        let of_machine = PathBuf::from("python3");
        let folder = crate::services::folder().join("python-requests");
        let own = folder.join("bin/python");
        if has(&of_machine) {
            return of_machine;
        }
        if !has(&own) {
            let run = |command: &mut Command| {
                let done = command.status().expect("python can be started");
                assert!(done.success(), "{command:?}");
            };
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            run(Command::new(&own).args(["-m", "pip", "install", "--quiet", REQUESTS]));
        }
        own
    });
    &PYTHON
}
