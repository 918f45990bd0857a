//! A replay: objects that are listed once, and read once.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::look::{Shelf, micros};
use super::plan::Planned;
use super::{ObjectsSource, ObjectsSourceError};
use crate::objects::ObjectRoot;
use crate::pipeline::config::ObjectsSourceConfig;
use crate::record::Digest;
use crate::source::SourceOptions;

/// Which records are meant, by their time: the record's own where an index tells it, else that of its
/// object. Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    pub since: Option<i64>,
    /// The first that is not meant.
    pub until: Option<i64>,
}

impl Times {
    pub(super) fn hold(&self, time: i64) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }

    pub(super) fn are_all(&self) -> bool {
        *self == Self::default()
    }
}

/// What a replay reads: exactly these objects, in this order.
#[derive(Debug)]
pub struct ReplayPlan {
    pub(super) objects: Vec<Planned>,
    pub(super) times: Times,
    /// What records count as that have no time.
    pub(super) taken_as_micros: Option<i64>,
    is_archive: bool,
    digest: Digest,
}

impl ReplayPlan {
    /// The same objects at the same place have the same one.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn objects(&self) -> u64 {
        self.objects.len() as u64
    }

    /// Whether it is known of some records what they were when they were read first.
    pub fn is_archive(&self) -> bool {
        self.is_archive
    }

    /// As they are stored.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    /// The first and the last key.
    pub fn ends(&self) -> Option<(&str, &str)> {
        Some((&self.objects.first()?.key, &self.objects.last()?.key))
    }
}

impl ObjectsSource {
    /// Lists what there is. What is read is that and nothing else, whatever comes later. Records of which
    /// nobody knows when they were made are older than all others, or count as made now.
    pub async fn replay(
        config: &ObjectsSourceConfig,
        options: &SourceOptions,
        times: Times,
        counts_as_new: bool,
    ) -> Result<(Self, Arc<ReplayPlan>), ObjectsSourceError> {
        let root = ObjectRoot::open(&config.url, &config.s3).await?;
        let mut shelf = Self::shelf(root, config, options).await?;
        let mut objects = shelf.all().await?;
        // Who reads an index learns of each record when it was. No object is older than its records.
        let is_archive = !shelf.indexes().await?.is_empty();
        let bounds = if is_archive { Times { until: None, ..times } } else { times };
        objects.retain(|object| bounds.hold(object.modified));
        let identity = Self::identity_of(&shelf);
        let all = serde_json::to_vec(&(identity.as_str(), &times, &objects));
        let digest = Digest::of(&all.expect("a plan is plain values"));
        let taken_as_micros = counts_as_new.then(|| micros(SystemTime::now()));
        let plan = Arc::new(ReplayPlan { objects, times, taken_as_micros, is_archive, digest });
        shelf.replay = Some(Arc::clone(&plan));
        Ok((Self::of(shelf, config, options), plan))
    }
}

impl Shelf {
    /// All objects that are input now, by key.
    async fn all(&self) -> Result<Vec<Planned>, ObjectsSourceError> {
        let listed = self.list(None).await?;
        let mut all: Vec<Planned> =
            listed.try_collect().await.map_err(|cause| self.failed(cause))?;
        all.sort_unstable();
        Ok(all)
    }
}
