//! What a run tells about itself: figures of each pipeline, metrics and health, progress.

mod exposition;
mod histogram;
mod metrics;
mod process;
mod progress;
mod server;
mod stats;

pub use histogram::Histogram;
pub use progress::Progress;
pub use server::{ObserveError, Observed, Server};
pub use stats::{LaneStatus, Stats, Totals};
