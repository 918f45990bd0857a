//! What records are called that stand in objects: by the object's key, which people know, and not by the
//! number that it has in a plan. In the stream and in a replay a record has the same name.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::ObjectPosition;
use super::plan::{Planned, from_entry};
use crate::ledger::Archive;
use crate::record::{ConnectorError, Lane, Position};

/// A record of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectRecord {
    /// What stands behind the URL of the source.
    pub key: String,
    /// Which record of the object, counted from 0.
    pub record: u64,
}

impl fmt::Display for ObjectRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, record {}", self.key, self.record)
    }
}

/// Finds names in the plans of a pipeline's lanes, which stand in its ledger.
#[derive(Debug, Default)]
pub struct ObjectNames {
    /// The journals of those lanes that were asked for.
    journals: HashMap<Lane, Vec<Bytes>>,
    /// The plan that was looked into last.
    plan: Option<(Lane, u64, Vec<Planned>)>,
}

impl ObjectNames {
    /// None if the record is of no object, or if the source is one object.
    pub async fn of(
        &mut self,
        archive: &dyn Archive,
        lane: &Lane,
        at: Position,
    ) -> Result<Option<ObjectRecord>, ConnectorError> {
        let Ok(at) = ObjectPosition::try_from(at) else { return Ok(None) };
        if !self.journals.contains_key(lane) {
            self.journals.insert(lane.clone(), archive.journal(lane).await?);
        }
        let is_open =
            self.plan.as_ref().is_some_and(|(of, plan, _)| of == lane && *plan == at.plan);
        if !is_open {
            let entry =
                usize::try_from(at.plan).ok().and_then(|plan| self.journals[lane].get(plan));
            let Some(entry) = entry else { return Ok(None) };
            self.plan = Some((lane.clone(), at.plan, from_entry(at.plan, entry)?));
        }
        let objects = self.plan.as_ref().map_or(&[][..], |(_, _, objects)| objects);
        let object = usize::try_from(at.object).ok().and_then(|object| objects.get(object));
        let named = object.filter(|object| !object.key.is_empty());
        Ok(named.map(|object| ObjectRecord { key: object.key.clone(), record: at.row }))
    }
}
