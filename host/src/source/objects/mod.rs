//! `objects`: records in the objects of a bucket, or in the files of a folder.
//!
//! Objects have no order in time. Each look plans those that no earlier plan holds, by key; the plans stand
//! in the sink beside the position, which is a record of an object of a plan. So everybody who takes the
//! lane over reads the same records in the same order, whatever was added meanwhile.
//!
//! Beside the objects of an archive lie indexes. With one, the records of an object are those that were put
//! into it, with their keys, headers and times, whatever their bytes look like. Kafka Connect writes keys
//! and headers in objects of their own, which are read with those that they belong to.
//!
//! An object is read as it was planned, or not at all: one that changes or vanishes before it is read to
//! its end halts the lane. Files whose names end in `#` and digits are taken for unfinished uploads.

mod config;
mod error;
mod index;
mod indexed;
mod input;
mod kafka_connect;
mod kind;
mod look;
mod names;
mod object;
mod plan;
mod position;
mod reader;
mod replay;
mod stream;
#[cfg(test)]
mod tests;
mod walk;
mod width;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use glob::Pattern;
use object_store::path::Path;

pub use self::config::{Changed, ObjectsSourceConfig};
pub use self::error::{Lift, ObjectsSourceError};
pub use self::kind::Objects;
use self::look::{PLAN_OBJECTS_MAX, Shelf};
pub use self::names::{ObjectNames, ObjectRecord};
pub use self::position::ObjectPosition;
use self::reader::ObjectsReader;
pub use self::replay::{Meant, MeantRange, ReplayPlan, Times};
pub use self::stream::StreamLanes;
use super::{Journal, Known, LaneChange, LaneReader, OneLane, Outset, Source, SourceOptions};
use crate::objects::{OWN, ObjectRoot};
use crate::record::lift::PipelineArgs;
use crate::record::{ConnectorError, Lane, Position, SourceId};

/// All objects are one lane, of this name.
pub const LANE: &str = "objects";

/// How many objects a lane of a replay has behind it.
pub fn objects_before(position: Position) -> u64 {
    let at = ObjectPosition::try_from(position).unwrap_or_default();
    at.plan * PLAN_OBJECTS_MAX as u64 + at.object
}

#[derive(Debug)]
pub struct ObjectsSource {
    shelf: Arc<Shelf>,
    poll: Duration,
    options: SourceOptions,
    identity: SourceId,
    lane: OneLane,
}

impl ObjectsSource {
    /// Fails if there is no such folder; a bucket is asked when it is first looked at.
    pub async fn open(
        config: &ObjectsSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, ObjectsSourceError> {
        Self::over(ObjectRoot::open(&config.url, &config.s3).await?, config, options).await
    }

    async fn over(
        root: ObjectRoot,
        config: &ObjectsSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, ObjectsSourceError> {
        let shelf = Self::shelf(root, config, options).await?;
        Ok(Self::of(shelf, config, options))
    }

    async fn shelf(
        root: ObjectRoot,
        config: &ObjectsSourceConfig,
        options: &SourceOptions,
    ) -> Result<Shelf, ObjectsSourceError> {
        if root.root.parts().any(|part| part.as_ref().starts_with(OWN)) {
            return Err(ObjectsSourceError::Own { url: config.url.clone() });
        }
        let pattern = |pattern: &String| {
            let matching = Pattern::new(pattern);
            matching.map_err(|cause| ObjectsSourceError::Match { pattern: pattern.clone(), cause })
        };
        let shelf = Shelf {
            archive: Self::archive(&root, config).await?,
            root,
            url: config.url.clone(),
            matching: config.matching.as_ref().map(pattern).transpose()?,
            settle: config.settle.0,
            changed: config.changed,
            compression: config.compression,
            args: options.args.clone(),
            replay: None,
        };
        shelf.is_file().await?;
        Ok(shelf)
    }

    /// Where the archive begins that the objects are a part of.
    async fn archive(
        root: &ObjectRoot,
        config: &ObjectsSourceConfig,
    ) -> Result<Option<Path>, ObjectsSourceError> {
        let Some(archive) = &config.archive else { return Ok(None) };
        let opened = ObjectRoot::open(archive, &config.s3).await?;
        let bucket = |url: &str| {
            let (kind, place) = url.split_once("://")?;
            Some((kind.to_owned(), place.split('/').next()?.to_owned()))
        };
        if bucket(archive) != bucket(&config.url) || !root.root.prefix_matches(&opened.root) {
            let (url, archive) = (config.url.clone(), archive.clone());
            return Err(ObjectsSourceError::Elsewhere { url, archive });
        }
        Ok(Some(opened.root))
    }

    fn identity_of(shelf: &Shelf) -> SourceId {
        match &shelf.root.local {
            Some(path) => SourceId::new(path.to_string_lossy()),
            None => SourceId::new(shelf.url.trim_end_matches('/')),
        }
    }

    /// Commands that are told to people name the run like this. What a replay is called depends on what there
    /// is to be read.
    pub fn called(mut self, args: PipelineArgs) -> Self {
        Arc::get_mut(&mut self.shelf).expect("nobody reads yet").args = args;
        self
    }

    fn of(shelf: Shelf, config: &ObjectsSourceConfig, options: &SourceOptions) -> Self {
        Self {
            identity: Self::identity_of(&shelf),
            shelf: Arc::new(shelf),
            poll: config.poll.0,
            options: options.clone(),
            lane: OneLane::new(LANE),
        }
    }
}

#[async_trait]
impl Source for ObjectsSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        Ok(self.identity.clone())
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        Ok(self.lane.resume(known))
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        Ok(self.lane.next_change())
    }

    async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
        Ok(ObjectPosition::default().into())
    }

    async fn open(
        &self,
        _lane: &Lane,
        from: Position,
        journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let from = from.try_into().map_err(|from| ObjectsSourceError::NoPlan { from })?;
        let shelf = Arc::clone(&self.shelf);
        let opened = ObjectsReader::open(shelf, self.poll, &self.options, from, journal);
        Ok(Box::new(opened.await?))
    }
}
