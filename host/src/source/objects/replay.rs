//! A replay: objects that are listed once, and read once.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::look::{Listed, SeenBeside, Shelf, micros};
use super::plan::Planned;
use super::stream::StreamLanes;
use super::{
    ObjectPosition, ObjectsSource, ObjectsSourceConfig, ObjectsSourceError, objects_before,
};
use crate::objects::{ObjectRoot, as_text};
use crate::record::{Digest, Lane, Position};
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

    fn are_all(&self) -> bool {
        *self == Self::default()
    }
}

/// Which records are meant: all that are in neither way left out.
#[derive(Debug, Clone, Default)]
pub struct Meant {
    pub times: Times,
    /// Only those that were read first within one of these, which an archive tells.
    pub ranges: Option<Arc<[MeantRange]>>,
    /// Only those that this stream has read.
    pub stream: Option<Arc<StreamLanes>>,
}

/// A part of a lane that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeantRange {
    lane: String,
    #[serde(with = "as_text")]
    from: Position,
    /// The first that is not meant.
    #[serde(with = "as_text")]
    to: Position,
}

impl MeantRange {
    pub fn new(lane: &Lane, from: Position, to: Position) -> Self {
        Self { lane: lane.name().to_owned(), from: from.place(), to: to.place() }
    }
}

impl Meant {
    pub(super) fn is_all(&self) -> bool {
        self.times.are_all() && self.ranges.is_none() && self.stream.is_none()
    }

    /// Whether a record of an archive is meant that stood at `at`, and stands at `now`.
    pub(super) fn holds(
        &self,
        time: Option<i64>,
        lane: Option<&Lane>,
        (at, now): (Position, ObjectPosition),
    ) -> bool {
        let is_of_time = self.times.are_all() || time.is_some_and(|time| self.times.hold(time));
        let place = at.place();
        let is_within = |range: &MeantRange| {
            lane.is_some_and(|lane| lane.name() == range.lane)
                && range.from <= place
                && place < range.to
        };
        let ranges = self.ranges.as_ref();
        if !is_of_time || ranges.is_some_and(|ranges| !ranges.iter().any(is_within)) {
            return false;
        }
        match &self.stream {
            Some(stream) if !stream.has_read(lane, at) => {
                stream.leave(now);
                false
            }
            Some(_) | None => true,
        }
    }
}

/// What a replay reads: exactly these objects, in this order.
#[derive(Debug)]
pub struct ReplayPlan {
    pub(super) objects: Vec<Planned>,
    pub(super) meant: Meant,
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

    /// Whether keys or headers lie beside some of them, as Kafka Connect puts them.
    pub fn has_pairs(&self) -> bool {
        self.objects.iter().any(|object| !object.beside.is_empty())
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
    pub fn key(&self, at: Position) -> Option<&str> {
        let object = self.objects.get(usize::try_from(objects_before(at)).ok()?)?;
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
        meant: Meant,
        counts_as_new: bool,
    ) -> Result<(Self, Arc<ReplayPlan>), ObjectsSourceError> {
        let root = ObjectRoot::open(&config.url, &config.s3).await?;
        let mut shelf = Self::shelf(root, config, options).await?;
        let mut objects = shelf.all().await?;
        // Who reads an index learns of each record when it was. No object is older than its records.
        let is_archive = !shelf.indexes().await?.is_empty();
        if meant.ranges.is_some() && !is_archive {
            return Err(ObjectsSourceError::NoPlaces { url: config.url.clone() });
        }
        let times = meant.times;
        let bounds = if is_archive { Times { until: None, ..times } } else { times };
        objects.retain(|object| bounds.hold(object.modified));
        let identity = Self::identity_of(&shelf);
        let digest = digest(identity.as_str(), &meant, &objects);
        let taken_as_micros = counts_as_new.then(|| micros(SystemTime::now()));
        let plan = Arc::new(ReplayPlan { objects, meant, taken_as_micros, is_archive, digest });
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
        let objects: Vec<_> = picked.collect();
        let meant = plan.meant.clone();
        let digest = digest(self.identity.as_str(), &meant, &objects);
        let plan = Arc::new(ReplayPlan { objects, meant, digest, ..*plan });
        let shelf = Arc::get_mut(&mut self.shelf).expect("no reader has it yet");
        shelf.replay = Some(Arc::clone(&plan));
        (self, plan)
    }
}

/// What is read: where, which records, and what each object looks like.
fn digest(url: &str, meant: &Meant, objects: &[Planned]) -> Digest {
    // How far the stream has come makes no other replay of it: given again, it goes on.
    let Meant { times, ranges, stream: _ } = meant;
    let all = match ranges {
        None => serde_json::to_vec(&(url, times, objects)),
        Some(ranges) => serde_json::to_vec(&(url, times, objects, &**ranges)),
    };
    Digest::of(&all.expect("a plan is plain values"))
}

impl Shelf {
    /// All objects that are input now, by key.
    async fn all(&self) -> Result<Vec<Planned>, ObjectsSourceError> {
        let mut listed = self.list(None).await?;
        let mut all = Vec::new();
        let mut beside = SeenBeside::default();
        while let Some(listed) = listed.try_next().await.map_err(|cause| self.failed(cause))? {
            match listed {
                Listed::Input(object) => all.push(object),
                Listed::Beside(companion) => beside.note(companion),
            }
        }
        all.sort_unstable();
        beside.pair(self, &mut all, &mut false).await?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_meant_by_their_first_place_and_their_time() {
        let lane = Lane::new("pins-0");
        let at = Position::number;
        let ranges =
            [MeantRange::new(&lane, at(10), at(20)), MeantRange::new(&lane, at(30), at(31))];
        let meant = Meant { ranges: Some(ranges.into()), ..Meant::default() };
        let now = ObjectPosition::default();
        let held = |record| meant.holds(None, Some(&lane), (at(record), now));
        let found: Vec<_> = (0..40).filter(|record| held(*record)).collect();
        assert_eq!(found, [(10..20).collect::<Vec<_>>(), vec![30]].concat());
        assert!(!meant.holds(None, Some(&Lane::new("pins-1")), (at(10), now)));
        assert!(!meant.holds(None, None, (at(10), now)));
        let late = Meant { times: Times { since: Some(5), until: None }, ..meant };
        assert!(late.holds(Some(5), Some(&lane), (at(10), now)));
        assert!(!late.holds(Some(4), Some(&lane), (at(10), now)));
        assert!(!late.holds(None, Some(&lane), (at(10), now)));
    }
}
