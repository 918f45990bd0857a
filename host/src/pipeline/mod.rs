//! What was written becomes what will run.

pub mod config;
