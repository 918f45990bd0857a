//! Records, columns and batches as plain values. No input, no output, no clock.

mod column;
mod input;
pub mod json;
pub(crate) mod text;

/// The detail of a record's or a row's rejection is cut here; the contract with plugins names the figure.
pub(crate) const DETAIL_BYTES_MAX: usize = 1024;

pub(crate) use column::item;
pub use column::{Batch, Field, Kind};
pub use input::{Header, Record};
