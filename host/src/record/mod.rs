//! Records, lanes, columns, batches and units as plain values. No input, no output, no clock.

mod column;
mod digest;
mod failure;
mod generation;
mod input;
pub mod json;
pub mod lift;
pub mod ndjson;
mod position;
pub mod provenance;
mod raw;
mod receipt;
mod sequence;
pub(crate) mod special;
pub(crate) mod text;
pub(crate) mod time;
mod unit;

/// The detail of a record's or a row's rejection is cut here; the contract with plugins names the figure.
pub(crate) const DETAIL_BYTES_MAX: usize = 1024;

pub use column::{Batch, Field, Kind};
pub(crate) use column::{item, memory};
pub use digest::{Digest, DigestHasher};
pub use failure::{ConnectorError, ErrorClass};
pub use generation::{Generation, PluginBytes};
pub use input::{Header, Record};
pub use position::{Lane, Mark, Place, Position, PositionError, SourceId, Start};
pub use raw::{ArchivedPlace, Past, RawBatch, RawFault, RawHeader, RawRecord, Span};
pub use receipt::{Receipt, Receipts, RowReceipt};
pub(crate) use time::Rfc3339;
pub use unit::{DeadLetter, Deletes, DroppedRecord, EncodedRows, RowBytes, Rows, Unit, UnitPart};
