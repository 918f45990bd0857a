//! Has cargo build the module; there is nothing to run.

fn main() {}
