//! Looking at what there is, and planning what is new.

use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt as _};

use super::indexed::IndexFolder;
use super::kafka_connect::{Companion, ConnectKey, Part};
use super::plan::{Known, Planned, Standing, to_entry};
use super::replay::ReplayPlan;
use super::{Changed, ObjectsSourceError, walk};
use crate::objects::{Compression, OWN, ObjectRoot};
use crate::record::ConnectorError;
use crate::record::lift::PipelineArgs;
use crate::source::Journal;

/// What a journal's entry holds at most. All but the last of a replay hold as many.
pub const PLAN_OBJECTS_MAX: usize = 10_000;
/// What one look holds in memory; the next one finds the others.
const LOOK_OBJECTS_MAX: usize = 100_000;
/// Where Kafka Connect puts keys of records without a value, by its default for `tombstone.encoded.partition`.
const TOMBSTONES: &str = "tombstone";
/// Changed objects of one look that are named one by one.
const NAMED_MAX: u64 = 10;

const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Where the objects are, and which of them are meant.
#[derive(Debug)]
pub(super) struct Shelf {
    pub root: ObjectRoot,
    pub url: String,
    /// Another folder whose indexes are believed.
    pub archive: Option<Path>,
    pub matching: Option<Pattern>,
    pub settle: Duration,
    pub changed: Changed,
    pub compression: Compression,
    /// The pipeline, as commands name it.
    pub args: PipelineArgs,
    /// What is read, if nothing else is to be looked for.
    pub replay: Option<Arc<ReplayPlan>>,
}

impl Shelf {
    pub fn is_local(&self) -> bool {
        self.root.local.is_some()
    }

    /// An object's name for people.
    pub fn name(&self, key: &str) -> String {
        let separator = if key.is_empty() || self.url.ends_with('/') { "" } else { "/" };
        format!("{}{separator}{key}", self.url)
    }

    pub fn failed(&self, cause: StoreError) -> ObjectsSourceError {
        ObjectsSourceError::List { url: self.url.clone(), cause }
    }

    /// Whether the URL is that of a file; an error if there is nothing.
    pub async fn is_file(&self) -> Result<bool, ObjectsSourceError> {
        let Some(path) = &self.root.local else { return Ok(false) };
        match tokio::fs::metadata(path).await {
            Ok(meta) => Ok(meta.is_file()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                Err(ObjectsSourceError::Missing { path: self.url.clone() })
            }
            Err(cause) => Err(ObjectsSourceError::Read { object: self.url.clone(), cause }),
        }
    }

    /// Where the objects' indexes are, if they are an archive or a part of one.
    pub async fn indexes(&self) -> Result<Arc<[IndexFolder]>, ObjectsSourceError> {
        IndexFolder::find(self).await
    }

    /// The objects that are meant, behind one of them if need be.
    pub async fn list(
        &self,
        after: Option<&Path>,
    ) -> Result<BoxStream<'_, Result<Listed, StoreError>>, ObjectsSourceError> {
        let (store, root) = (&self.root.store, &self.root.root);
        if self.is_file().await? {
            return self.only().await;
        }
        let listed = match (&self.root.local, after) {
            (Some(folder), _) => walk::files(folder.clone()),
            (None, Some(after)) => store.list_with_offset(Some(root), after),
            (None, None) => store.list(Some(root)),
        };
        let mut listed = listed.peekable();
        // What the URL names may be an object itself.
        let is_empty = Pin::new(&mut listed).peek().await.is_none();
        if is_empty && after.is_none() && !self.is_local() && !root.as_ref().is_empty() {
            return self.only().await;
        }
        let input = listed.try_filter_map(move |meta| ready(Ok(self.input(&meta))));
        Ok(input.boxed())
    }

    /// The object that the URL names.
    async fn only(&self) -> Result<BoxStream<'_, Result<Listed, StoreError>>, ObjectsSourceError> {
        let found = match self.root.store.head(&self.root.root).await {
            Ok(meta) if meta.size > 0 => Some(Planned::new(String::new(), &meta, self.is_local())),
            Ok(_) | Err(StoreError::NotFound { .. }) => None,
            Err(cause) => return Err(self.failed(cause)),
        };
        Ok(stream::iter(found).map(|object| Ok(Listed::Input(object))).boxed())
    }

    fn input(&self, meta: &ObjectMeta) -> Option<Listed> {
        let key = self.root.key(&meta.location);
        let is_hidden = |name: &str| name.starts_with('.') || name.starts_with(OWN);
        let is_meant = |pattern: &Pattern| pattern.matches_with(key, MATCH);
        // What is empty has no records; once it has some it is a new object.
        let is_input = meta.size > 0
            && !key.split('/').any(is_hidden)
            && self.matching.as_ref().is_none_or(is_meant);
        if !is_input {
            return None;
        }
        let object = Planned::new(key.to_owned(), meta, self.is_local());
        Some(match ConnectKey::parse(key).and_then(|key| key.part) {
            Some(part) => Listed::Beside(Companion { part, object }),
            None => Listed::Input(object),
        })
    }

    /// Says that these are left out, of which this is one.
    pub fn report_tombstones(&self, tombstones: u64, one: &str) {
        let object = self.name(one);
        tracing::warn!(
            object,
            "{tombstones} objects of keys are in a folder of tombstones and are left out: where a record \
             without a value stood among the others, Kafka Connect does not tell"
        );
    }

    /// How long an object has to rest until it may be read.
    fn settles_in(&self, object: &Planned, now: i64) -> Option<Duration> {
        // In a bucket there are whole objects only, and values before their keys and headers.
        if !self.is_local() && ConnectKey::parse(&object.key).is_none() {
            return None;
        }
        // A clock that is ahead of ours, as a file server's, makes files young as well.
        let age = Duration::from_micros(now.abs_diff(object.modified));
        self.settle.checked_sub(age).filter(|rest| !rest.is_zero())
    }
}

/// An object that is meant.
#[derive(Debug)]
pub(super) enum Listed {
    Input(Planned),
    /// It belongs to another one, or to none.
    Beside(Companion),
}

/// What lies beside objects and was seen in one listing.
#[derive(Debug, Default)]
pub(super) struct SeenBeside {
    is_any: bool,
    tombstones: u64,
    /// The key of the first of them.
    tombstone: Option<String>,
}

impl SeenBeside {
    pub fn note(&mut self, companion: Companion) {
        self.is_any = true;
        let key = companion.object.key;
        let folder = key.rsplit('/').nth(1);
        if companion.part == Part::Keys && folder == Some(TOMBSTONES) {
            self.tombstones += 1;
            self.tombstone.get_or_insert(key);
        }
    }

    /// Has the objects know what lies beside them. What is left out is told if it was not told before.
    pub async fn pair(
        self,
        shelf: &Shelf,
        objects: &mut [Planned],
        is_told: &mut bool,
    ) -> Result<(), ObjectsSourceError> {
        if let Some(one) = self.tombstone.filter(|_| !std::mem::replace(is_told, true)) {
            shelf.report_tombstones(self.tombstones, &one);
        }
        if self.is_any && !objects.is_empty() { shelf.pair(objects).await } else { Ok(()) }
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
pub(super) fn micros(time: SystemTime) -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// With their numbers, as they stand in the journal.
    pub plans: Vec<(u64, Bytes)>,
    /// When there may be more to plan, as a file has settled by then.
    pub settles_in: Option<Duration>,
    /// Where the indexes are of what was planned.
    pub indexes: Arc<[IndexFolder]>,
}

#[derive(Debug)]
pub(super) struct Planner {
    shelf: Arc<Shelf>,
    journal: Arc<dyn Journal>,
    known: Known,
    plans: u64,
    objects_max: usize,
    /// Where the look before this one has ended, if it did not come to the end.
    after: Option<Path>,
    /// Whether all that was listed until now came by key, as buckets list it. Those of S3 Express do not,
    /// and have no place to list from.
    is_by_key: bool,
    /// Somebody was told that tombstones are left out.
    are_tombstones_told: bool,
}

impl Planner {
    pub fn new(shelf: Arc<Shelf>, journal: Arc<dyn Journal>, known: Known, plans: u64) -> Self {
        Self {
            shelf,
            journal,
            known,
            plans,
            objects_max: LOOK_OBJECTS_MAX,
            after: None,
            is_by_key: true,
            are_tombstones_told: false,
        }
    }

    /// Plans what no earlier plan holds.
    pub async fn look(&mut self) -> Result<Look, ConnectorError> {
        let (objects, settles_in) = match &self.shelf.replay {
            Some(replay) => (self.unplanned(replay), None),
            None => self.find().await?,
        };
        let mut look = Look { plans: Vec::new(), settles_in, indexes: Arc::default() };
        if !objects.is_empty() {
            look.indexes = self.shelf.indexes().await?;
        }
        for objects in objects.chunks(PLAN_OBJECTS_MAX) {
            let entry = to_entry(objects);
            self.journal.append(self.plans, entry.clone()).await?;
            look.plans.push((self.plans, entry));
            self.plans += 1;
            for object in objects {
                self.known.plan(object);
            }
        }
        Ok(look)
    }

    /// What is in no plan of the journal: all of it, or what a replay did not come to that goes on.
    fn unplanned(&self, replay: &ReplayPlan) -> Vec<Planned> {
        let is_new = |object: &&Planned| self.known.standing(object) == Standing::New;
        replay.objects.iter().filter(is_new).cloned().collect()
    }

    /// What is to be planned, by key.
    async fn find(&mut self) -> Result<(Vec<Planned>, Option<Duration>), ObjectsSourceError> {
        if let Some(after) = self.after.take() {
            let found = self.find_after(Some(&after)).await?;
            if !found.0.is_empty() {
                return Ok(found);
            }
        }
        self.find_after(None).await
    }

    async fn find_after(
        &mut self,
        after: Option<&Path>,
    ) -> Result<(Vec<Planned>, Option<Duration>), ObjectsSourceError> {
        let shelf = Arc::clone(&self.shelf);
        let now = micros(SystemTime::now());
        let mut listed = shelf.list(after).await?;
        let mut found = BinaryHeap::new();
        let mut settles_in: Option<Duration> = None;
        let mut changed = 0;
        let mut before = String::new();
        let mut beside = SeenBeside::default();
        while let Some(listed) = listed.try_next().await.map_err(|cause| shelf.failed(cause))? {
            let object = match listed {
                Listed::Input(object) => object,
                Listed::Beside(companion) => {
                    beside.note(companion);
                    continue;
                }
            };
            self.is_by_key &= before <= object.key;
            before.clone_from(&object.key);
            let standing = self.known.standing(&object);
            if standing == Standing::Known {
                continue;
            }
            if standing == Standing::Changed && shelf.changed == Changed::Report {
                changed += 1;
                self.report(&object, changed);
                continue;
            }
            if let Some(rest) = shelf.settles_in(&object, now) {
                settles_in = Some(settles_in.map_or(rest, |least| least.min(rest)));
                continue;
            }
            found.push(object);
            if found.len() <= self.objects_max {
                continue;
            }
            found.pop();
            // What is listed by key is listed on by the next look.
            if !shelf.is_local() && self.is_by_key {
                let last = found.peek().map(|last| shelf.root.path(&last.key));
                self.after = last.transpose().map_err(|cause| shelf.failed(cause))?;
                break;
            }
        }
        if changed > NAMED_MAX {
            let others = changed - NAMED_MAX;
            tracing::warn!(url = shelf.url, "{others} other objects have changed as well");
        }
        let mut found = found.into_sorted_vec();
        beside.pair(&shelf, &mut found, &mut self.are_tombstones_told).await?;
        Ok((found, settles_in))
    }

    /// Says once that what an object holds now is left out.
    fn report(&mut self, object: &Planned, number: u64) {
        if number <= NAMED_MAX {
            let object = self.shelf.name(&object.key);
            tracing::warn!(
                object,
                "the object has changed since it was planned; what it holds now is not read, as `changed: reread` is not set"
            );
        }
        self.known.leave_out(object);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::from_entry;
    use super::super::tests::{Notes, Unordered, bucket, folder, put, shelf};
    use super::*;

    fn planner(root: ObjectRoot, journal: &Arc<Notes>) -> Planner {
        let journal = Arc::clone(journal) as Arc<dyn Journal>;
        Planner::new(Arc::new(shelf(root)), journal, Known::default(), 0)
    }

    /// The keys of each plan.
    fn planned(journal: &Notes) -> Vec<Vec<String>> {
        let keys = |entry: &Bytes| {
            from_entry(0, entry).unwrap().into_iter().map(|object| object.key).collect()
        };
        journal.entries().iter().map(keys).collect()
    }

    #[tokio::test]
    async fn a_look_that_finds_too_much_leaves_the_rest_to_the_next() {
        let (_folder, folder) = folder();
        for root in [folder, bucket()] {
            for key in ["e", "b/1", "a", "d", "c", "b/2", "g", "f"] {
                put(&root, key, key).await;
            }
            let journal = Arc::default();
            let mut planner = Planner { objects_max: 3, ..planner(root, &journal) };
            while !planner.look().await.unwrap().plans.is_empty() {}
            assert_eq!(
                planned(&journal),
                [vec!["a", "b/1", "b/2"], vec!["c", "d", "e"], vec!["f", "g"]]
            );
        }
    }

    /// A bucket of S3 Express: it lists in no order, and only from the beginning.
    #[tokio::test]
    async fn nothing_is_left_out_where_objects_are_listed_in_no_order() {
        let root = ObjectRoot::over(Arc::new(Unordered::default()), "posts".into(), None);
        let keys = ["e", "b/1", "a", "d", "c", "b/2", "g", "f"];
        for key in keys {
            put(&root, key, key).await;
        }
        let journal = Arc::default();
        let mut planner = Planner { objects_max: 3, ..planner(root, &journal) };
        while !planner.look().await.unwrap().plans.is_empty() {}
        let mut found: Vec<_> = planned(&journal).concat();
        found.sort();
        assert_eq!(found, ["a", "b/1", "b/2", "c", "d", "e", "f", "g"]);
    }

    #[tokio::test]
    async fn a_plan_is_bounded() {
        let (root, journal) = (bucket(), Arc::default());
        for number in 0..=PLAN_OBJECTS_MAX {
            put(&root, &format!("{number:06}"), "{}").await;
        }
        let look = planner(root, &journal).look().await.unwrap();
        assert_eq!(look.plans.iter().map(|plan| plan.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(planned(&journal)[1], [format!("{PLAN_OBJECTS_MAX:06}")]);
    }

    #[tokio::test]
    async fn a_file_waits_until_it_has_settled() {
        let (_folder, root) = folder();
        let path = root.local.clone().unwrap().join("young");
        std::fs::write(&path, "{}").unwrap();
        let journal = Arc::default();
        let mut planner = planner(root, &journal);
        let look = planner.look().await.unwrap();
        assert!(look.plans.is_empty() && look.settles_in <= Some(planner.shelf.settle));
        assert!(look.settles_in.is_some());

        let long_ago = SystemTime::now() - planner.shelf.settle * 2;
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        let look = planner.look().await.unwrap();
        assert_eq!((look.plans.len(), look.settles_in), (1, None));
    }

    #[tokio::test]
    async fn what_is_hidden_empty_or_ours_is_no_input() {
        let (_folder, folder) = folder();
        for root in [folder, bucket()] {
            for key in [".a", "a/.b/c", "_pinhost/x/log", "a/_pinhost_old/x", "b/c", "d.json"] {
                put(&root, key, "{}").await;
            }
            put(&root, "empty", "").await;
            let journal = Arc::default();
            planner(root, &journal).look().await.unwrap();
            assert_eq!(planned(&journal), [["b/c", "d.json"]]);
        }
    }

    #[tokio::test]
    async fn a_pattern_says_what_is_input() {
        let root = bucket();
        for key in ["a.json", "a.txt", "b/c.json", "b/d/e.json"] {
            put(&root, key, "{}").await;
        }
        for (pattern, keys) in [
            ("*.json", &["a.json"][..]),
            ("**/*.json", &["a.json", "b/c.json", "b/d/e.json"]),
            ("b/*", &["b/c.json"]),
            ("**/[ac].*", &["a.json", "a.txt", "b/c.json"]),
        ] {
            let matching = Some(Pattern::new(pattern).unwrap());
            let shelf = Arc::new(Shelf { matching, ..shelf(root.clone()) });
            let journal: Arc<Notes> = Arc::default();
            let notes = Arc::clone(&journal) as Arc<dyn Journal>;
            Planner::new(shelf, notes, Known::default(), 0).look().await.unwrap();
            assert_eq!(planned(&journal), [keys]);
        }
    }

    #[tokio::test]
    async fn only_a_new_object_is_planned_again() {
        let (root, journal) = (bucket(), Arc::default());
        put(&root, "a", "{}").await;
        let mut planner = planner(root.clone(), &journal);
        assert_eq!(planner.look().await.unwrap().plans.len(), 1);
        assert!(planner.look().await.unwrap().plans.is_empty());
        put(&root, "a", "{} {}").await;
        put(&root, "b", "{}").await;
        planner.look().await.unwrap();
        assert_eq!(planned(&journal), [["a"], ["b"]], "`a` is reported");

        let shelf = Arc::new(Shelf { changed: Changed::Reread, ..shelf(root.clone()) });
        planner = Planner { shelf, known: Known::default(), ..planner };
        for entry in journal.entries() {
            for object in from_entry(0, &entry).unwrap() {
                planner.known.plan(&object);
            }
        }
        put(&root, "a", "{} {} {}").await;
        planner.look().await.unwrap();
        assert_eq!(planned(&journal), [["a"], ["b"], ["a"]]);
    }
}
