//! The binary under test: built from the sources as they are, never one that happens to lie there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// What cargo tells a test about itself, and what would make a nested cargo build something else.
const FOREIGN: [&str; 7] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_",
    "CARGO_BIN_",
    "CARGO_PRIMARY_",
    "RUSTC_WORKSPACE_WRAPPER",
    "LD_LIBRARY_PATH",
];

/// The path of `pinhost`, built once per test process with the profile of the test that runs.
///
/// # Panics
/// If it cannot be built; cargo says why.
pub fn pinhost() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build)
}

fn build() -> PathBuf {
    // <target>[/<triple>]/<profile>/deps/<test>
    let test = env::current_exe().expect("a test is a file");
    let output = test.ancestors().nth(2).expect("a folder of cargo's");
    let mut target = output.parent().expect("the target folder is above");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "pinhost"]);
    if !target.join("CACHEDIR.TAG").exists() {
        cargo.arg("--target").arg(target.file_name().expect("the name of a target"));
        target = target.parent().expect("the target folder is above");
    }
    let profile = output.file_name().expect("the name of a profile");
    cargo.arg("--profile").arg(if profile == "debug" { "dev".as_ref() } else { profile });
    cargo.arg("--target-dir").arg(target);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if FOREIGN.iter().any(|foreign| name.starts_with(foreign)) {
            cargo.env_remove(&*name);
        }
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    // Several tests start at once; one builds and the others find it done.
    let lock = File::create(target.join("pinhost-tests.lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let done = cargo.current_dir(workspace).status().expect("cargo, which runs us, can be started");
    assert!(done.success(), "pinhost could not be built");
    output.join("pinhost").with_extension(env::consts::EXE_EXTENSION)
}

/// Where compiled plugins are kept between tests, so that each is compiled once.
pub fn cache() -> PathBuf {
    let test = env::current_exe().expect("a test is a file");
    let cache = test.ancestors().nth(2).expect("a folder of cargo's").join("pinhost-tests-cache");
    fs::create_dir_all(cache.parent().expect("it is below that folder")).expect("a folder");
    cache
}
