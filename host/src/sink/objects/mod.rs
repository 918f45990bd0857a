//! Rows as objects, in a folder or in a bucket: NDJSON or Parquet.
//!
//! ```text
//! <url>/category=art/<pipeline>--<lane>-<number>.ndjson     rows, for any reader that lists a prefix
//! <url>/topics/x.pin/partition=4/x.pin+4+0000000010.json    records as they came, without a rule
//! <url>/_pinhost/<pipeline>/index/<the same key>            where each of those stands, and what it was
//! <url>/_pinhost/<pipeline>/…                               the ledger, see `ledger/log`
//! ```
//!
//! A commit stages finished objects, puts the next record of the lane's log if it is absent, which alone
//! is the commit, and then copies the objects to their final keys and deletes what was staged.
//!
//! Not here: multipart uploads, so a unit has to fit into memory; objects that are joined later.

mod archive;
mod compress;
mod config;
mod error;
mod key;
mod kind;
mod parquet;
mod partition;
mod publish;
mod rows;
mod search;
mod stage;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

pub use self::config::{KeyLayout, ObjectsSinkConfig, RowFormat, SinkCompression};
pub use self::error::ObjectsSinkError;
pub use self::kind::Objects;
use self::publish::ObjectsPublisher;
use self::rows::Shape;
use self::stage::{LetterStager, UnitStager};
use self::store::Store;
use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Writer};
use crate::ledger::log::keys::Keys;
use crate::ledger::log::{LaneFold, LogContext, LogLedger};
use crate::ledger::{Claim, Ledger, RowOrigin};
use crate::record::provenance::LaneName;
use crate::record::{Batch, ConnectorError, Field, Lane, Past, Rows, Unit};

#[derive(Debug)]
pub struct ObjectsSink {
    config: ObjectsSinkConfig,
    place: Arc<Place>,
    ledger: Ledger,
}

/// Writes rows of given columns.
#[derive(Debug)]
struct ObjectsWriter {
    place: Arc<Place>,
    shape: Shape,
}

/// Where rows go, and what is known of them there.
#[derive(Debug)]
struct Place {
    context: SinkContext,
    store: Arc<Store>,
    keys: Keys,
    logs: Arc<LogLedger>,
    /// Lanes of other pipelines, and of letters, as rows name them.
    named: Mutex<HashMap<(Arc<str>, Lane), LaneName>>,
}

impl ObjectsSink {
    /// Checks what can be checked without the store.
    pub async fn open(
        config: &ObjectsSinkConfig,
        context: SinkContext,
    ) -> Result<Self, ConnectorError> {
        Ok(Self::over(Store::open(&config.url, &config.s3).await?, config, context)?)
    }

    fn over(
        store: Store,
        config: &ObjectsSinkConfig,
        context: SinkContext,
    ) -> Result<Self, ObjectsSinkError> {
        let shape = Shape::new(config, None)?;
        // Those who only look need no columns.
        if let (Some(_), false, Some(what)) =
            (&context.source, context.has_rule, shape.needs_columns())
        {
            return Err(ObjectsSinkError::NoColumns { what });
        }
        let keys = Keys::new(&context.pipeline);
        let store = Arc::new(store);
        let of = LogContext {
            pipeline: Arc::clone(&context.pipeline),
            source: context.source.clone(),
            target: shape.target(context.has_rule),
            keep_dead_letters: context.keep_dead_letters,
        };
        let publisher = ObjectsPublisher { store: Arc::clone(&store), keys: keys.clone() };
        let logs = Arc::new(LogLedger::new(of, Arc::clone(&store) as _, Arc::new(publisher)));
        let ledger = Ledger::of(&logs);
        let place = Place { context, store, keys, logs, named: Mutex::default() };
        Ok(Self { config: config.clone(), place: Arc::new(place), ledger })
    }
}

impl Place {
    /// For each part of a unit its lane as rows name it, if they do. `fold` is that of the unit's lane.
    async fn lane_names(
        &self,
        shape: &Shape,
        unit: &Unit,
        fold: &LaneFold,
    ) -> Result<Vec<LaneName>, ConnectorError> {
        if !shape.has_provenance() {
            return Ok(Vec::new());
        }
        let mut names = Vec::with_capacity(unit.parts.len());
        for part in &unit.parts {
            names.push(match &part.raw.past {
                // The row is that of whoever read the record first.
                Some(Past::Archived { lane: Some(lane), .. }) => {
                    let pipeline = self.context.replay_into.as_ref();
                    let pipeline = pipeline.unwrap_or(&self.context.pipeline);
                    self.name_of(pipeline, lane).await?
                }
                Some(Past::Archived { lane: None, .. } | Past::Unknown { .. }) | None => LaneName {
                    pipeline: Arc::clone(&self.context.pipeline),
                    lane: unit.lane.name().into(),
                    sources: fold.sources(),
                },
            });
        }
        Ok(names)
    }

    async fn letter_lane_names(
        &self,
        shape: &Shape,
        retry: &Retry,
    ) -> Result<Vec<LaneName>, ConnectorError> {
        if !shape.has_provenance() {
            return Ok(Vec::new());
        }
        let mut names = Vec::with_capacity(retry.letters.len());
        for letter in &retry.letters {
            names.push(self.name_of(&self.context.pipeline, &letter.lane).await?);
        }
        Ok(names)
    }

    /// A lane as rows name it that this process does not hold. It is asked for once.
    async fn name_of(&self, pipeline: &Arc<str>, lane: &Lane) -> Result<LaneName, ConnectorError> {
        let key = (Arc::clone(pipeline), lane.clone());
        let mut named = self.named.lock().await;
        if let Some(name) = named.get(&key) {
            return Ok(name.clone());
        }
        let sources = self.logs.sources(pipeline, lane).await?;
        let name = LaneName { pipeline: Arc::clone(pipeline), lane: lane.name().into(), sources };
        named.insert(key, name.clone());
        Ok(name)
    }
}

#[async_trait]
impl Sink for ObjectsSink {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        let Place { store, keys, logs, named, .. } = &*self.place;
        store.make().await?;
        store.prove(&keys.probe(Uuid::new_v4())).await?;
        // A lane may be read from another source by now.
        named.lock().await.clear();
        Ok(logs.settle_retries().await?)
    }

    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        // Rows of any columns are objects; that their folders have columns is seen here.
        _dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        let shape = Shape::new(&self.config, columns.as_deref())?;
        Ok(Arc::new(ObjectsWriter { place: Arc::clone(&self.place), shape }))
    }

    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        if !self.place.context.has_rule || !self.config.has_provenance() {
            return Ok(None);
        }
        let Place { store, keys, .. } = &*self.place;
        Ok(Some(search::origins(store, keys, &self.config, column, value).await?))
    }
}

#[async_trait]
impl Writer for ObjectsWriter {
    fn encode(&self, rows: Batch) -> Rows {
        self.shape.encode(rows)
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        let stager = UnitStager { place: &self.place, shape: &self.shape, unit };
        Ok(self.place.logs.commit(claim, unit, &stager).await?)
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        let stager = LetterStager { place: &self.place, shape: &self.shape, retry };
        Ok(self.place.logs.retry(retry, &stager).await?)
    }
}
