//! Pipelines that run in the background, until a test ends them in one way or another.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::command;
use crate::services;

/// A `pinhost run`; killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Runs with these arguments; what it says goes to a file, as nobody reads it meanwhile.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(pinhost: &Path, folder: &Path, args: &[&str]) -> Self {
        let log = folder.join(format!("{:016x}.log", fastrand::u64(..)));
        let file = File::create(&log).expect("a file");
        let child = command(pinhost, folder)
            .arg("run")
            .args(args)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("pinhost can be started");
        Self { child, log }
    }

    pub fn signal(&self, name: &str) {
        services::signal(self.child.id(), name);
    }

    /// SIGKILL. It is dead when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("it is dead");
    }

    /// Asks it to end, and waits until it has committed what it read.
    #[track_caller]
    pub fn drain(mut self) {
        const ENDED_BY_SIGTERM: i32 = 128 + 15;
        self.signal("TERM");
        let code = self.ended(Duration::from_secs(60));
        assert_eq!(code, Some(ENDED_BY_SIGTERM), "{}", self.log());
    }

    /// It ends by itself, and all is well.
    #[track_caller]
    pub fn done(&mut self, time: Duration) {
        assert_eq!(self.ended(time), Some(0), "{}", self.log());
    }

    /// The exit code with which it ends by itself.
    #[track_caller]
    pub fn ended(&mut self, time: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.code();
            }
            assert!(began.elapsed() < time, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it said until now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("UTF-8")
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&self, what: &str, time: Duration) {
        wait_until(time, || self.log().contains(what), || self.log());
    }

    pub fn resident_bytes(&self) -> u64 {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("Linux");
        let pages: u64 =
            pages.split(' ').nth(1).expect("resident pages").parse().expect("a number");
        pages * 4096
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a signal that something happened.
///
/// # Panics
/// If it does not happen in time.
#[track_caller]
pub fn wait_until(
    time: Duration,
    mut happened: impl FnMut() -> bool,
    told: impl FnOnce() -> String,
) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < time, "it did not happen in {time:?}: {}", told());
        thread::sleep(Duration::from_millis(20));
    }
}
