//! pinhost: a stream processor whose cleaning rules are sandboxed WebAssembly components.

pub mod decode;
pub mod plugin;
pub mod record;
pub mod run;
