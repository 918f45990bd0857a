//! What `host/src/main.rs` is, where cargo builds it together with the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    pinhost::cli::main()
}
