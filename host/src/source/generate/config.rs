//! What may be written below `generate:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Dirty Pinterest posts, made up as they are seen in reality. The same seed gives the same
/// records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateSourceConfig {
    /// What the records are.
    pub profile: GenerateProfile,
    /// How many; left out, without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Records a second; left out, as fast as they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rate: Option<u64>,
    #[serde(default)]
    pub seed: u64,
    /// How many different `index` values there are, so that records repeat them; left out, a few of
    /// a hundred records repeat an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keys: Option<u64>,
    /// Take the record out of this member of each record's object; one without it is taken as it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwrap: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateProfile {
    /// Posts.
    Pin,
    /// Where they were posted.
    Geo,
    /// Who posted them.
    User,
}
