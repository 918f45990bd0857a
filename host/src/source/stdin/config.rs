//! What may be written below `stdin:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::Compression;

/// Records on the standard input. It has no position: each run starts anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdinSourceConfig {
    /// How the input is compressed; `auto` tells by its first bytes.
    pub compression: Compression,
    /// Take the record out of this member of each record's object; one without it is taken as it
    /// is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}
