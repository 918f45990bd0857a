//! pinhost: a stream processor whose cleaning rules are sandboxed WebAssembly components.

pub mod record;
