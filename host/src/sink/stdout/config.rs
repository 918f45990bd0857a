//! What may be written below `stdout:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows as NDJSON on the standard output.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutSinkConfig {}
