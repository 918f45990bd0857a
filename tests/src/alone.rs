//! Tests that measure their own process, which no other test may share.

use std::env;
use std::process::Command;

const ALONE: &str = "PINHOST_TEST_ALONE";

/// Whether this process runs nothing but this test. If it does not, one is started that does, and has to
/// end well: the test is over then. `environment` is for what it cannot know otherwise.
///
/// # Panics
/// If the test fails, or there is none of this name.
#[track_caller]
pub fn is_alone(test: &str, environment: &[(&str, &str)]) -> bool {
    if env::var(ALONE).as_deref() == Ok(test) {
        return true;
    }
    let tests = env::current_exe().expect("a test is a file");
    let output = Command::new(tests)
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, test)
        .envs(environment.iter().copied())
        .output()
        .expect("the tests can be started again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} fails in a process of its own:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
