//! Runs records through rules: lanes, cleaning threads, units; what becomes of calls that fail.

mod beside;
mod bisect;
mod breaker;
mod budget;
mod chain;
mod clean;
mod conduct;
mod cut;
mod examples;
mod function;
mod halt;
mod lane;
mod live;
mod look;
mod news;
mod outcome;
mod patience;
mod pool;
mod retry;
mod ring;
mod rule_test;
#[cfg(test)]
mod simulation;
mod supervise;

pub use beside::{Beside, BesideError, Compared, Which};
pub use breaker::Tripped;
pub use chain::{Chain, ChainHalted, Chained, Dropped, HaltReason, Rejected, StepTally};
pub use clean::{CleanRows, Worker};
pub use conduct::{Conduct, Trouble, trouble};
pub use cut::UnitLimits;
pub use examples::{Example, Examples};
pub use function::{
    FunctionInput, FunctionReject, FunctionRows, FunctionWorker, JsonColumnFault, RuleFunction,
    piped, restored,
};
pub use halt::{CommonReason, CommonReasons, Halt};
pub use live::{GenerationEvent, Generations, Live};
pub use look::{Look, Looked, LookedEnd, LookedValue};
pub use news::{LaneHealth, LaneStep, Listener, News, Phase, SwapResult, UnitFigures};
pub use outcome::{Difference, Named, RowOutcome, kept, rejected, row_differences};
pub use pool::{Pool, Uncleanable};
pub use retry::{Retried, retry};
pub use ring::Ring;
pub use rule_test::{RuleTestError, RuleTests};
pub use supervise::{BATCH, Connected, LiveMaker, PipelineError, PipelineRun, Running, closed};
