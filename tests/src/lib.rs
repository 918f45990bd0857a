//! The harness of the black-box tests.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub mod alone;
pub mod answers;
pub mod command;
pub mod guests;
pub mod http_client;
pub mod http_proxy;
pub mod kafka;
pub mod kills;
pub mod kinesis;
pub mod ledger;
pub mod objects;
pub mod proxy;
pub mod python;
pub mod requests;
pub mod running;
pub mod services;
pub mod table;

/// `pinhost` itself. Cargo builds it with the tests that name it, so that it is never an old one.
#[macro_export]
macro_rules! pinhost {
    () => {
        $crate::or_another(env!("CARGO_BIN_EXE_pinhost-under-test"))
    };
}

/// What `PINHOST_UNDER_TEST` names instead: the stories can be told of a release build, too.
#[must_use]
pub fn or_another(built: &'static str) -> &'static Path {
    static ANOTHER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| env::var_os("PINHOST_UNDER_TEST").map(PathBuf::from));
    ANOTHER.as_deref().unwrap_or(Path::new(built))
}

/// Where compiled plugins are kept between tests, so that each is compiled once.
///
/// # Panics
/// If a test is no file.
pub fn cache() -> PathBuf {
    let test = env::current_exe().expect("a test is a file");
    test.ancestors().nth(2).expect("a folder of cargo's").join("pinhost-tests-cache")
}
