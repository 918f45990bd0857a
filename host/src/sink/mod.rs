//! Sinks: what rows are written to, and where the ledger of a pipeline is kept beside them. What all of them
//! implement is in [`crate::connect`] and [`crate::ledger`].

pub(crate) mod columns;
#[cfg(test)]
mod conformance;
pub mod kafka;
pub mod kinesis;
pub mod objects;
pub mod postgres;
pub mod sqlite;
pub mod stdout;
mod table;
mod trace;

pub use self::trace::{Trace, TracedRow, trace};
use crate::connect::{LedgerKind, SinkKind};

/// The kinds of sinks that there are: a new one is a folder, its `mod` and its line here.
pub static SINKS: &[&dyn SinkKind] = &[
    &postgres::Postgres,
    &sqlite::Sqlite,
    &objects::Objects,
    &kafka::Kafka,
    &kinesis::Kinesis,
    &stdout::Stdout,
];

/// The kinds of ledgers that a pipeline can name for a sink that has none.
pub static LEDGERS: &[&dyn LedgerKind] = &[&postgres::LedgerInPostgres, &sqlite::LedgerInSqlite];

/// How one is written, for those who have left it out.
pub const SINK_EXAMPLE: &str = "sink: { sqlite: { path: pins.db, table: pin } }";
