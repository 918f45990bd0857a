//! The harness of the black-box tests.

pub mod binary;

pub use binary::pinhost;
