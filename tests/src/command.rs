//! Running `pinhost` as a user does, and what it said.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use crate::cache;

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Said {
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// It ended with this code, and said each of these on stderr.
    #[track_caller]
    pub fn refused(self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "a refusal is no result");
        for said in said {
            assert!(self.stderr.contains(said), "no {said:?} in\n{}", self.stderr);
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// `pinhost` in a folder, without a terminal; compiled plugins are shared between tests.
pub fn command(pinhost: &Path, folder: &Path) -> Command {
    let mut command = Command::new(pinhost);
    command
        .current_dir(folder)
        .env("PINHOST_CACHE_DIR", cache())
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    command.output().expect("pinhost can be started").into()
}

/// Waits for a command that was started.
pub fn ended(child: Child) -> Said {
    child.wait_with_output().expect("pinhost ends").into()
}

/// Runs a command to its end with this on its standard input.
pub fn fed(command: &mut Command, input: Vec<u8>) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("pinhost can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that ends sooner is told by what it said.
    let feeding = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("pinhost ends");
    feeding.join().expect("no panic");
    output
}
