//! What a connector is to the rest of the house: a kind, with its configuration and its facts.
//!
//! A kind ([`SourceKind`], [`SinkKind`]) knows its key in a pipeline's file, the type of its
//! configuration, its template and its page. A configuration ([`SourceConfig`], [`SinkConfig`])
//! checks itself, opens what it describes, and answers what others ask in plain values:
//! [`SourceFacts`] and [`SinkFacts`]. Nobody else asks which kind it is. The lists of kinds stand
//! above this room, where connectors are: [`SOURCES`](crate::source::SOURCES) and
//! [`SINKS`](crate::sink::SINKS).

mod config;
mod facts;
mod ledger_kind;
mod names;
mod sink;
mod sink_kind;
mod source_kind;
mod start;

pub use crate::ledger::{CommitOutcome, RetriedLetter, Retry, Stored};
pub use config::{AnyConfig, ConfigFile};
pub use facts::{
    ColumnRole, Commits, Ends, GroupShare, NamedColumns, NotWithRule, Positions, SinkFacts,
    SourceFacts, Spread, Surrounding, Surroundings, Upsert, WantedColumns,
};
pub use ledger_kind::{LedgerConfig, LedgerKind, LedgerStore, PipelineLedger, WriteLeave};
pub use names::{DatabaseNames, NameFault};
pub use sink::{Rebased, Sink, SinkContext, Writer};
pub use sink_kind::{PipelineSink, SinkConfig, SinkKind};
pub use source_kind::{PipelineSource, SourceConfig, SourceKind};
pub use start::StartConfig;
