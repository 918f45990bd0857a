//! Pipelines that run in the background, until a test ends them in one way or another.

use std::ffi::OsStr;
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
        Self::start_in::<&str>(pinhost, folder, args, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_in<V: AsRef<OsStr>>(
        pinhost: &Path,
        folder: &Path,
        args: &[&str],
        environment: &[(&str, V)],
    ) -> Self {
        let log = folder.join(format!("{:016x}.log", fastrand::u64(..)));
        let file = File::create(&log).expect("a file");
        let child = command(pinhost, folder)
            .arg("run")
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
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
    pub fn drain(self) {
        const ENDED_BY_SIGTERM: i32 = 128 + 15;
        self.ends_by("TERM", ENDED_BY_SIGTERM);
    }

    /// The same as somebody does it who sits before it.
    #[track_caller]
    pub fn interrupt(self) {
        const ENDED_BY_SIGINT: i32 = 128 + 2;
        self.ends_by("INT", ENDED_BY_SIGINT);
    }

    #[track_caller]
    fn ends_by(mut self, signal: &str, code: i32) {
        self.signal(signal);
        assert_eq!(self.ended(Duration::from_secs(60)), Some(code), "{}", self.log());
    }

    /// Its exit code, if it has ended by itself.
    ///
    /// # Panics
    /// If nobody knows its state.
    pub fn has_ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("its state")?.code()
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address at which it serves metrics, as it says.
    #[track_caller]
    pub fn listens_at(&self) -> String {
        const SAID: &str = "metrics are served at http://";
        self.says(SAID, Duration::from_secs(30));
        let log = self.log();
        let (_, address) = log.split_once(SAID).expect("it says so");
        address.split('/').next().expect("an address").to_owned()
    }

    /// The address at which it takes requests, as it says.
    #[track_caller]
    pub fn takes_requests_at(&self) -> String {
        const SAID: &str = "requests are taken at http";
        self.says(SAID, Duration::from_secs(30));
        let log = self.log();
        let (_, address) = log.rsplit_once(SAID).expect("it says so");
        let (_, address) = address.split_once("://").expect("a URL");
        address.split_whitespace().next().expect("an address").to_owned()
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
