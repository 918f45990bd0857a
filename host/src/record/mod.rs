//! Records, columns and batches as plain values. No input, no output, no clock.

mod column;

pub use column::{Batch, Field, Kind};
