//! Runs records through steps: what becomes of batches, and of calls that fail.

mod bisect;
mod chain;
mod outcome;
mod rule_test;

pub use chain::{Chain, ChainHalted, Chained, Dropped, HaltReason, Rejected, StepTally};
pub use outcome::{Difference, Named, RowOutcome, kept, rejected, row_differences};
pub use rule_test::{RuleTestError, RuleTests};
