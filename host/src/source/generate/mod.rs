//! `generate`: dirty posts out of nothing, for trying out and measuring pipelines.
//!
//! Record `i` depends on the seed, the profile, the number of keys and `i` alone, so that a lane can be
//! opened anywhere. What is dirty, and how often, is taken from the real data.

mod config;
mod json;
mod kind;
mod pace;
mod pin;
mod place;
mod posts;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::record::{ConnectorError, ErrorClass, Lane, Position, RawBatch, RawRecord, SourceId};

use super::{Bounds, Journal, Known, LaneChange, LaneReader, Most, OneLane, Outset, Source};
pub use config::{GenerateProfile, GenerateSourceConfig};
pub use kind::Generate;
use pace::Pace;
pub use posts::Posts;
use posts::{Wire, one_in, pick};

const LANE: &str = "generate";
/// Raised with every change that makes another record of the same seed.
const FORMAT: u32 = 1;
/// 2024-01-01T00:00:00Z: the time of record 0, in microseconds. Records are a millisecond apart.
const FIRST_TIMESTAMP: i64 = 1_704_067_200_000_000;
/// More than most posts take, so that a batch grows once.
const POST_BYTES: usize = 900;

#[derive(Debug)]
pub struct GenerateSource {
    config: GenerateSourceConfig,
    lane: OneLane,
}

impl GenerateSource {
    pub fn new(config: &GenerateSourceConfig) -> Self {
        Self { config: config.clone(), lane: OneLane::new(LANE) }
    }
}

#[async_trait]
impl Source for GenerateSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        let GenerateSourceConfig { profile, seed, keys, .. } = &self.config;
        let profile = match profile {
            GenerateProfile::Pin => "pin",
            GenerateProfile::Geo => "geo",
            GenerateProfile::User => "user",
        };
        let keys = keys.map(|keys| format!(":keys={keys}")).unwrap_or_default();
        Ok(SourceId::new(format!("generate:{profile}:{seed}{keys}:v{FORMAT}")))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        let mut outset = self.lane.resume(known);
        if let Some(count) = self.config.count {
            outset.ends.insert(self.lane.lane.clone(), Position::number(count));
        }
        Ok(outset)
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        Ok(self.lane.next_change())
    }

    async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
        Ok(Position::number(0))
    }

    async fn bounds(&self, _lane: &Lane) -> Result<Bounds, ConnectorError> {
        let latest = self.config.count.map(Position::number);
        Ok(Bounds { earliest: Some(Position::number(0)), latest })
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let Some(next) = from.as_number() else {
            let message = format!("lane {lane} stands at {from}, which is no record's number");
            return Err(ConnectorError::new(ErrorClass::Fatal, message));
        };
        let GenerateSourceConfig { profile, seed, keys, count, rate, .. } = self.config;
        Ok(Box::new(GenerateReader {
            posts: Posts::new(profile, seed, keys),
            next,
            end: count.unwrap_or(u64::MAX),
            pace: rate.map(|rate| Pace::new(rate, Instant::now())),
        }))
    }
}

#[derive(Debug)]
struct GenerateReader {
    posts: Posts,
    next: u64,
    end: u64,
    pace: Option<Pace>,
}

#[async_trait]
impl LaneReader for GenerateReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let mut records = self.end - self.next;
        if let Some(pace) = &mut self.pace {
            tokio::time::sleep_until(pace.next().into()).await;
            records = records.min(pace.due(Instant::now()).max(1));
        }
        let batch = self.batch(records, most);
        if let Some(pace) = &mut self.pace {
            pace.took(batch.records.len() as u64);
        }
        Ok(Some(batch))
    }

    fn ahead(&self) -> Option<u64> {
        let has_end = self.end != u64::MAX;
        has_end.then(|| self.end - self.next)
    }
}

impl GenerateReader {
    /// As many of the next `records` as `most` allows.
    fn batch(&mut self, records: u64, most: Most) -> RawBatch {
        let records = usize::try_from(records).unwrap_or(usize::MAX).min(most.records).max(1);
        let mut bytes = Vec::with_capacity(records.saturating_mul(POST_BYTES).min(most.bytes));
        let mut batch = Vec::with_capacity(records.min(bytes.capacity() / POST_BYTES + 1));
        let from = self.next;
        while batch.len() < records {
            let start = bytes.len();
            self.posts.write(self.next, &mut bytes);
            if bytes.len() > most.bytes && !batch.is_empty() {
                bytes.truncate(start);
                break;
            }
            batch.push(RawRecord {
                timestamp_micros: Some(timestamp_micros(self.next)),
                ..RawRecord::value(Position::number(self.next), start..bytes.len())
            });
            self.next += 1;
        }
        RawBatch::new(bytes.into(), batch, (Position::number(from), Position::number(self.next)))
    }
}

fn timestamp_micros(record: u64) -> i64 {
    let millis = i64::try_from(record).unwrap_or(i64::MAX);
    FIRST_TIMESTAMP.saturating_add(millis.saturating_mul(1000))
}
