//! What a user may write in a pipeline or rule file: these types are the manual, and the JSON Schema for
//! editors is made of them.

mod limits;
mod sink;
mod source;
mod values;

pub use limits::{DeadLettersConfig, LimitsConfig, PluginLimitsConfig, UnitConfig};
pub use sink::{
    ObjectsSinkConfig, RowFormat, SinkCompression, SinkConfig, SqliteSinkConfig, StdoutSinkConfig,
};
pub use source::{
    Changed, Compression, GenerateProfile, GenerateSourceConfig, ObjectsSourceConfig, SourceConfig,
    StdinSourceConfig,
};
pub use values::{Duration, Size};
