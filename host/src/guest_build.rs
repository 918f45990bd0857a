//! How a plugin's crate becomes a component: for `pinhost plugin build`, and for the build script, which
//! includes this file and builds the standard plugins.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use wit_component::ComponentEncoder;

/// Imports nothing by itself: a plugin for it imports nothing but the contract.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What would make a nested cargo build for the host, or with clippy, or somewhere else.
pub const FOREIGN: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
];

/// Whether this `rustc` has the standard library for [`TARGET`].
pub fn has_target(mut rustc: Command) -> io::Result<bool> {
    let printed = rustc
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let folder = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    Ok(printed.status.success() && Path::new(&folder).exists())
}

/// Makes a component of a module that was built with the SDK. The error says what the module has that
/// a plugin cannot have.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}
