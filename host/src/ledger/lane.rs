//! Who owns a lane, and where it stands.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::{Lane, Position, SourceId};

/// A lane that is ours until somebody else claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub lane: Lane,
    /// Random: counters come back after a fail-over.
    pub token: Uuid,
    /// The next record to read.
    pub position: Position,
    /// So many of the next dead letters were accepted beforehand.
    pub accepted_rejects: u64,
}

/// Where a lane stands.
#[derive(Debug, Clone, Serialize)]
pub struct LaneState {
    #[serde(serialize_with = "shown")]
    pub lane: Lane,
    #[serde(serialize_with = "shown")]
    pub source: SourceId,
    #[serde(serialize_with = "shown")]
    pub position: Position,
    /// The claim that may move it.
    pub owner: Uuid,
    /// The process that made the claim, as the ledger's members know it.
    pub member: Option<Uuid>,
    #[serde(serialize_with = "as_rfc3339")]
    pub claimed: SystemTime,
    /// When its position moved last.
    #[serde(serialize_with = "as_rfc3339")]
    pub moved: SystemTime,
    /// So many of the next dead letters were accepted beforehand.
    pub accepted_rejects: u64,
    /// Why it does not go on, as far as the ledger was told.
    pub halted: Option<String>,
}

/// The lanes that there were when the pipeline first ran, and where each of them starts. A lane that is not
/// among them appeared later, and starts at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstRun {
    pub starts: BTreeMap<Lane, Position>,
}

/// Pairs of a lane and a position, as texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFirstRun {
    starts: BTreeMap<String, String>,
}

impl FirstRun {
    /// What ledgers store.
    pub fn to_json(&self) -> String {
        let starts = self.starts.iter().map(|(lane, at)| (lane.to_string(), at.to_string()));
        serde_json::to_string(&StoredFirstRun { starts: starts.collect() }).expect("texts")
    }

    /// None if it is not what was stored.
    pub fn from_json(json: &str) -> Option<Self> {
        let StoredFirstRun { starts } = serde_json::from_str(json).ok()?;
        let starts = starts.into_iter().map(|(lane, at)| Some((Lane::new(lane), at.parse().ok()?)));
        Some(Self { starts: starts.collect::<Option<_>>()? })
    }
}

pub(super) fn shown<S: serde::Serializer>(
    value: &impl ToString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn as_rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_run_reads_back_as_it_was_stored() {
        let starts = [("a\"b", 0), ("ö", 7)];
        let starts = starts.map(|(lane, at)| (Lane::new(lane), Position::number(at)));
        let first = FirstRun { starts: starts.into() };
        assert_eq!(FirstRun::from_json(&first.to_json()), Some(first));
        let none = FirstRun::default();
        assert_eq!(FirstRun::from_json(&none.to_json()), Some(none));
        for json in ["", "{}", r#"{"starts":{"a":"x"}}"#] {
            assert_eq!(FirstRun::from_json(json), None, "{json}");
        }
    }
}
