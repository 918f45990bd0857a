//! Makes cargo build the module. There is nothing to run.

fn main() {}
