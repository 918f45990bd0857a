//! Lanes as rows name them: unique for pipeline, source and lane.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::connect::Retry;
use crate::ledger::sql::{LaneKeys, SqlConnection, lineage};
use crate::record::provenance::{LaneName, LaneSources, source_of};
use crate::record::{ConnectorError, Lane, Past, Position, RawBatch, Unit};

/// What lanes were read from, as far as this process has asked. That only ever grows.
#[derive(Debug, Default)]
pub(crate) struct KnownSources(Mutex<HashMap<(Arc<str>, Lane), LaneSources>>);

/// For each part of a unit, or for each letter that is tried again, its lane by the source that it was read
/// from.
#[derive(Debug, Default)]
pub(crate) struct RowLanes(Vec<Vec<(Option<Uuid>, String)>>);

impl RowLanes {
    /// In the middle of a transaction.
    pub(crate) async fn of_unit(
        sql: &mut dyn SqlConnection,
        keys: &LaneKeys,
        known: &KnownSources,
        unit: &Unit,
    ) -> Result<Self, ConnectorError> {
        let mut lanes = Self::default();
        for part in &unit.parts {
            lanes.add(sql, keys, known, (&unit.lane, &part.raw)).await?;
        }
        Ok(lanes)
    }

    pub(crate) async fn of_retry(
        sql: &mut dyn SqlConnection,
        keys: &LaneKeys,
        known: &KnownSources,
        retry: &Retry,
    ) -> Result<Self, ConnectorError> {
        let mut lanes = Self::default();
        for letter in &retry.letters {
            lanes.add(sql, keys, known, (&letter.lane, &letter.part.raw)).await?;
        }
        Ok(lanes)
    }

    async fn add(
        &mut self,
        sql: &mut dyn SqlConnection,
        keys: &LaneKeys,
        known: &KnownSources,
        (lane, raw): (&Lane, &RawBatch),
    ) -> Result<(), ConnectorError> {
        // A row is that of whoever read the record first.
        let (pipeline, lane) = match &raw.past {
            Some(Past::Archived { lane: Some(lane), .. }) => {
                (keys.replay_into.as_ref().unwrap_or(&keys.pipeline), lane)
            }
            Some(Past::Archived { lane: None, .. } | Past::Unknown { .. }) | None => {
                (&keys.pipeline, lane)
            }
        };
        let mut firsts: Vec<Position> = Vec::new();
        for record in 0..raw.records.len() {
            let position = raw.position(record);
            let is_new = firsts.last().is_none_or(|last| source_of(last) != source_of(&position));
            if is_new && firsts.iter().all(|it| source_of(it) != source_of(&position)) {
                firsts.push(position);
            }
        }
        let sources = known.of(sql, (pipeline, lane), &firsts).await?;
        let name = LaneName { pipeline: Arc::clone(pipeline), lane: lane.name().into(), sources };
        self.0.push(firsts.iter().map(|at| (source_of(at), name.at(at))).collect());
        Ok(())
    }

    /// # Panics
    /// If the unit has no such part, or the part no record of this source.
    pub(crate) fn name(&self, part: usize, position: &Position) -> &str {
        let named = self.0[part].iter().find(|(source, _)| *source == source_of(position));
        &named.expect("it is the position of one of the part's records").1
    }
}

impl KnownSources {
    /// The sources of a lane, those of these positions among them.
    async fn of(
        &self,
        sql: &mut dyn SqlConnection,
        (pipeline, lane): (&Arc<str>, &Lane),
        positions: &[Position],
    ) -> Result<LaneSources, ConnectorError> {
        if positions.iter().all(|at| source_of(at).is_none()) {
            return Ok(LaneSources::default());
        }
        let key = (Arc::clone(pipeline), lane.clone());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sources) = lock().get(&key).filter(|known| known.hold(positions)) {
            return Ok(sources.clone());
        }
        let stored = lineage::positions(sql, pipeline, lane).await?;
        let sources = LaneSources::new(stored.into_iter().chain(positions.iter().copied()));
        lock().insert(key, sources.clone());
        Ok(sources)
    }
}
