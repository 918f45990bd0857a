//! What a connector implements, and what the rest of the house knows of it.

mod sink;

pub use self::sink::{CommitOutcome, RetriedLetter, Retry, Sink, SinkContext, Stored, Writer};
