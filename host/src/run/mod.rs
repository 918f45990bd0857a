//! Runs records through rules: lanes, cleaning threads, units; what becomes of calls that fail.

mod bisect;
mod breaker;
mod budget;
mod chain;
mod clean;
mod cut;
mod examples;
mod lane;
mod patience;
mod pool;
mod retry;
mod supervise;
mod outcome;
mod rule_test;

pub use breaker::Tripped;
pub use chain::{Chain, ChainHalted, Chained, Dropped, HaltReason, Rejected, StepTally};
pub use clean::Live;
pub use cut::UnitLimits;
pub use examples::{Example, Examples};
pub use lane::Halt;
pub use pool::{Pool, Uncleanable};
pub use retry::{Retried, retry};
pub use supervise::{PipelineError, PipelineRun};
pub use outcome::{Difference, Named, RowOutcome, kept, rejected, row_differences};
pub use rule_test::{RuleTestError, RuleTests};
