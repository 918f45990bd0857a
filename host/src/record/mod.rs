//! Records, columns and batches as plain values. No input, no output, no clock.

mod column;
mod input;
pub mod json;
pub(crate) mod text;

pub(crate) use column::item;
pub use column::{Batch, Field, Kind};
pub use input::{Header, Record};
