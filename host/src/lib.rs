//! pinhost: a stream processor whose cleaning rules are sandboxed WebAssembly components.

pub mod cli;
mod guest_build;
pub mod plugin;
pub mod record;
pub mod run;
