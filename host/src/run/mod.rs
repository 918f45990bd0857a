//! Runs records through steps: what becomes of batches, and of calls that fail.

mod bisect;
mod chain;

pub use chain::{Chain, ChainHalted, Chained, Dropped, HaltReason, Rejected, StepTally};
