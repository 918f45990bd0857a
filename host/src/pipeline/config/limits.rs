//! What is bounded, and where it is cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugin::PluginLimits;
use crate::written::{Duration, Size};

/// Where rows are gathered into units: whichever limit is met first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitConfig {
    /// Rows committed in one step at most.
    pub rows: u32,
    /// Bytes of source records in one unit, about.
    pub bytes: Size,
    /// How long the first record of a unit waits for others.
    pub time: Duration,
}

impl Default for UnitConfig {
    fn default() -> Self {
        Self { rows: 50_000, bytes: Size::mib(10), time: Duration::secs(1) }
    }
}

/// Records that could not be cleaned or stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLettersConfig {
    /// The share of records that may be dead letters, counted over at least 1,000 of them. Above it
    /// the lane halts: it is rarely the records then.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_ratio: f64,
    /// How long a dead letter is kept. Left out, for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Duration>,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self { max_ratio: 0.05, keep: None }
    }
}

/// What a pipeline may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Source bytes, and what was made of them, that are on their way at any time.
    pub memory: Size,
    /// A record's value. Larger ones are dead letters.
    pub record: Size,
    /// Objects and arrays inside each other in a record.
    pub depth: usize,
    /// How long a source or sink may be out of reach before the first commit; afterwards it is
    /// tried for ever.
    pub start_time: Duration,
    /// With `--until-end`: how long a lane may be halted before the run ends.
    pub halt_time: Duration,
    pub probation: ProbationConfig,
    pub plugin: PluginLimitsConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            memory: Size::mib(512),
            record: Size::mib(1),
            depth: 64,
            start_time: Duration::secs(30),
            halt_time: Duration::secs(300),
            probation: ProbationConfig::default(),
            plugin: PluginLimitsConfig::default(),
        }
    }
}

/// What a rule or a plugin that takes over while the pipeline runs may do worse than the one
/// before, before that one takes over again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbationConfig {
    /// How long it is watched.
    pub time: Duration,
    /// Calls into its plugins that may fail where the one before comes through.
    pub traps: u32,
    /// So many more of 1,000 records may become dead letters.
    #[schemars(range(max = 1000))]
    pub extra_rejects: u32,
    /// So many times longer a record may take.
    #[schemars(range(min = 1))]
    pub slowdown: u32,
}

impl Default for ProbationConfig {
    fn default() -> Self {
        Self { time: Duration::secs(600), traps: 0, extra_rejects: 10, slowdown: 5 }
    }
}

/// What each instance of each step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimitsConfig {
    /// How long a plugin may take for a batch.
    pub call: Duration,
    /// How long it may take to describe and to configure itself.
    pub configure: Duration,
    /// Its linear memory.
    pub memory: Size,
    /// What one call may return.
    pub output: Size,
    /// Entries of all its tables together.
    pub table_entries: usize,
    /// The component file.
    pub file: Size,
    /// Instructions for a row that is judged alone, about.
    pub row_fuel: u64,
}

impl Default for PluginLimitsConfig {
    fn default() -> Self {
        let PluginLimits { call, configure, memory, output, table_entries, file, row_fuel } =
            PluginLimits::default();
        Self {
            call: Duration(call),
            configure: Duration(configure),
            memory: Size(memory.as_u64()),
            output: Size(output.as_u64()),
            table_entries,
            file: Size(file.as_u64()),
            row_fuel,
        }
    }
}
