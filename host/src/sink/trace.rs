//! Which generation made a row: the one that the row names, or else what the lineage has for its record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connect::Sink;
use crate::ledger::letter::id;
use crate::ledger::{DeadLetterFilter, DeadLetterState, Letters, LineageRange, RowOrigin};
use crate::record::{ConnectorError, Digest, Position};

/// Rows, and what made each of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub rows: Vec<TracedRow>,
    /// By their digests: the rule with its steps, as far as it is kept.
    pub generations: BTreeMap<String, Option<Value>>,
    /// The ids of replays that wrote into the same sink.
    pub replays: Vec<String>,
}

/// A row, by the record that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedRow {
    pub lane: String,
    /// Its place in the lane.
    pub record: String,
    /// The digest of what made it; none if neither the row nor the lineage tells.
    pub generation: Option<String>,
    /// Whether it is read from the row. Otherwise it is inferred from the lineage of the row's record.
    pub is_from_row: bool,
}

/// The rows of which a column has this value, as text; none if rows do not tell where they come from. In
/// `ranges` the latest ones are the last.
pub async fn trace(
    sink: &dyn Sink,
    ranges: &[LineageRange],
    column: &str,
    value: &str,
) -> Result<Option<Trace>, ConnectorError> {
    let Some(origins) = sink.origins(column, value).await? else { return Ok(None) };
    let ledger = sink.ledger();
    let pipelines = ledger.claims.pipelines().await?;
    let replays = pipelines.iter().filter_map(|name| name.rsplit_once(".replay-"));
    let replays = replays.map(|(_, id)| id.to_owned()).collect();
    let unsigned: Vec<_> = origins.iter().filter(|row| row.generation.is_none()).collect();
    let retried = retried(&*ledger.letters, &unsigned).await?;
    let mut trace = Trace { rows: Vec::new(), generations: BTreeMap::new(), replays };
    for row in origins {
        // What was read twice, or replayed: what came last has made the row.
        let mut ranges = ranges.iter().rev().filter(|range| range.made(&row));
        let range = ranges.next();
        // Where a record came once, and its letter was tried again, that was later.
        let by_retry = retried.get(&letter(&row)).filter(|_| ranges.next().is_none());
        let inferred = || by_retry.copied().or_else(|| range?.generation);
        let digest = row.generation.or_else(inferred);
        let generation = digest.map(|digest| digest.to_string());
        if let Some((digest, name)) = digest.zip(generation.clone())
            && !trace.generations.contains_key(&name)
        {
            let kept = ledger.archive.generation(digest).await?;
            let resolved = kept.and_then(|kept| serde_json::from_str(&kept.resolved).ok());
            trace.generations.insert(name, resolved);
        }
        let is_from_row = row.generation.is_some();
        let (lane, record) = (row.lane.to_string(), row.written);
        trace.rows.push(TracedRow { lane, record, generation, is_from_row });
    }
    Ok(Some(trace))
}

/// Of records that were dead letters: what made rows of them when they were tried again.
async fn retried(
    letters: &dyn Letters,
    rows: &[&RowOrigin],
) -> Result<BTreeMap<String, Digest>, ConnectorError> {
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = DeadLetterFilter {
        ids: rows.iter().map(|row| letter(row)).collect(),
        state: Some(DeadLetterState::Retried),
        ..DeadLetterFilter::default()
    };
    let letters = letters.list(&filter).await?;
    Ok(letters.into_iter().map(|letter| (letter.id, letter.generation)).collect())
}

/// The id of the letter that a row's record has, if it was one.
fn letter(row: &RowOrigin) -> String {
    let position: Position = row.written.parse().expect("it was read as one");
    id(row.lane.name(), &position)
}
