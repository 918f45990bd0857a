//! A replay: objects that are listed once, and read once.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::look::{Shelf, micros};
use super::plan::Planned;
use super::{ObjectsSource, ObjectsSourceError, PLAN_OBJECTS_MAX};
use crate::objects::ObjectRoot;
use crate::pipeline::config::ObjectsSourceConfig;
use crate::record::{Digest, ObjectPosition, SourceId};
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
    fn new(
        identity: &SourceId,
        objects: Vec<Planned>,
        times: Times,
        taken_as_micros: Option<i64>,
        is_archive: bool,
    ) -> Self {
        let all = serde_json::to_vec(&(identity.as_str(), &times, &objects));
        let digest = Digest::of(&all.expect("a plan is plain values"));
        Self { objects, times, taken_as_micros, is_archive, digest }
    }

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

    /// When the objects were written: the first of them and the last one.
    pub fn written_micros(&self) -> Option<(i64, i64)> {
        let times = || self.objects.iter().map(|object| object.modified);
        times().min().zip(times().max())
    }

    /// The key of the object in which a record stands.
    pub fn key(&self, at: ObjectPosition) -> Option<&str> {
        let number = at.plan * PLAN_OBJECTS_MAX as u64 + at.object;
        let object = self.objects.get(usize::try_from(number).ok()?)?;
        Some(&object.key)
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
        let taken_as_micros = counts_as_new.then(|| micros(SystemTime::now()));
        let plan = ReplayPlan::new(&identity, objects, times, taken_as_micros, is_archive);
        let plan = Arc::new(plan);
        shelf.replay = Some(Arc::clone(&plan));
        Ok((Self::of(shelf, config, options), plan))
    }

    /// The same with so many of the objects that `plan` has, spread evenly over them.
    ///
    /// # Panics
    /// If there are none, or if it is read already.
    pub fn sampled(mut self, plan: &ReplayPlan, objects: usize) -> (Self, Arc<ReplayPlan>) {
        let all = &plan.objects;
        // The middle one of each of as many stretches.
        let picked = (0..objects).map(|at| all[(2 * at + 1) * all.len() / (2 * objects)].clone());
        let ReplayPlan { times, taken_as_micros, is_archive, .. } = *plan;
        let plan =
            ReplayPlan::new(&self.identity, picked.collect(), times, taken_as_micros, is_archive);
        let plan = Arc::new(plan);
        let shelf = Arc::get_mut(&mut self.shelf).expect("no reader has it yet");
        shelf.replay = Some(Arc::clone(&plan));
        (self, plan)
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
