//! The harness of the black-box tests.

use std::env;
use std::path::PathBuf;

pub mod alone;
pub mod answers;
pub mod command;
pub mod guests;
pub mod http_proxy;
pub mod kafka;
pub mod kills;
pub mod ledger;
pub mod objects;
pub mod proxy;
pub mod python;
pub mod running;
pub mod services;
pub mod table;

/// `pinhost` itself. Cargo builds it with the tests that name it, so that it is never an old one.
#[macro_export]
macro_rules! pinhost {
    () => {
        std::path::Path::new(env!("CARGO_BIN_EXE_pinhost-under-test"))
    };
}

/// Where compiled plugins are kept between tests, so that each is compiled once.
///
/// # Panics
/// If a test is no file.
pub fn cache() -> PathBuf {
    let test = env::current_exe().expect("a test is a file");
    test.ancestors().nth(2).expect("a folder of cargo's").join("pinhost-tests-cache")
}
