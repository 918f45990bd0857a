//! Runs records through rules: lanes, cleaning threads, units; what becomes of calls that fail.

mod beside;
mod bisect;
mod breaker;
mod budget;
mod chain;
mod clean;
mod cut;
mod examples;
mod lane;
mod outcome;
mod patience;
mod pool;
mod retry;
mod rule_test;
mod supervise;

pub use beside::{Beside, BesideError, Compared, Which};
pub use breaker::Tripped;
pub use chain::{Chain, ChainHalted, Chained, Dropped, HaltReason, Rejected, StepTally};
pub use clean::Live;
pub use cut::UnitLimits;
pub use examples::{Example, Examples};
pub use lane::Halt;
pub use outcome::{Difference, Named, RowOutcome, kept, rejected, row_differences};
pub use pool::{Pool, Uncleanable};
pub use retry::{Retried, retry};
pub use rule_test::{RuleTestError, RuleTests};
pub use supervise::{BATCH, PipelineError, PipelineRun};
