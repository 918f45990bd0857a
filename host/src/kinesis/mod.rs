//! Kinesis, for whoever reads a stream or writes to one: whom to ask and as whom, what a stream is, and what
//! an answer means that is none.
//!
//! Not here: records and positions of a stream, which are a source's.

mod clock;
mod config;
mod error;
mod service;

pub use self::config::{AwsConfig, check_aws, check_stream};
pub use self::error::KinesisError;
pub use self::service::{Service, ShardFacts, StreamFacts};
