//! Rows as objects, in a folder or in a bucket: NDJSON or Parquet.
//!
//! ```text
//! <url>/category=art/<pipeline>--<lane>-<number>.ndjson     rows, for any reader that lists a prefix
//! <url>/topics/x.pin/partition=4/x.pin+4+0000000010.json    records as they came, without a rule
//! <url>/_pinhost/<pipeline>/index/<the same key>            where each of those stands, and what it was
//! <url>/_pinhost/<pipeline>/staged/<lane>/…                 objects that are not committed yet
//! <url>/_pinhost/<pipeline>/lanes/<lane>/log/<number>.json  what happened to a lane, in order
//! <url>/_pinhost/<pipeline>/lanes/<lane>/checkpoint.json    a hint of what the log comes to
//! <url>/_pinhost/<pipeline>/lane_list/<lane>.json            that the lane has a log, wherever that is
//! <url>/_pinhost/<pipeline>/pipeline.json                   what it reads and writes, for ever
//! <url>/_pinhost/<pipeline>/dead_letters/…, generations/…, retries/log/…, verdicts/log/…
//! <url>/_pinhost/<pipeline>/first_run.json, members/<id>    how it began, and who is alive
//! <url>/_pinhost/plugins/<digest>.wasm
//! ```
//!
//! A commit stages finished objects, puts the next record of the lane's log if it is absent, which alone
//! is the commit, and then copies the objects to their final keys and deletes what was staged. Whoever
//! claims the lane next finishes that for the last unit, and never cleans again. A claim is a record of the
//! log as well: who had the lane before finds it where the own commit was to be.
//!
//! Not here: multipart uploads, so a unit has to fit into memory; objects that are joined later.

mod archive;
mod commit;
mod compress;
mod config;
mod error;
mod fold;
mod identity;
mod key;
mod kind;
mod lane;
mod letters;
mod log;
mod members;
mod parquet;
mod partition;
mod publish;
mod retry;
mod rows;
mod search;
mod stage;
mod store;
#[cfg(test)]
mod tests;
mod verdicts;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use uuid::Uuid;

use self::commit::Held;
pub use self::config::{KeyLayout, ObjectsSinkConfig, RowFormat, SinkCompression};
pub use self::error::ObjectsSinkError;
use self::fold::{LaneEvent, LaneFold};
use self::identity::Identity;
use self::key::Keys;
pub use self::kind::Objects;
use self::lane::{LaneLog, ListedLane, Next};
use self::letters::LetterBook;
use self::retry::Retries;
use self::rows::Shape;
use self::store::Store;
use self::verdicts::Verdicts;
use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Writer};
use crate::ledger::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, Ledger, Letters,
    LineageRange, Member, Members, RowOrigin, StoredDeadLetter,
};
use crate::objects::OWN;
use crate::record::provenance::LaneName;
use crate::record::{
    Batch, ConnectorError, Digest, Field, Generation, Lane, Past, Position, Rows, Unit,
};

/// Lanes that are read at a time.
const IN_FLIGHT: usize = 8;
/// How often dead letters are looked through for old ones.
const FORGET_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct ObjectsSink {
    config: ObjectsSinkConfig,
    logs: Arc<ObjectsLedger>,
    ledger: Ledger,
}

/// Writes rows of given columns.
#[derive(Debug)]
struct ObjectsWriter {
    logs: Arc<ObjectsLedger>,
    shape: Shape,
}

/// What a pipeline knows of itself, in logs beside its rows.
#[derive(Debug)]
struct ObjectsLedger {
    context: SinkContext,
    store: Arc<Store>,
    keys: Keys,
    /// What shape its rows have: readers of a folder meet one only.
    target: String,
    member: Uuid,
    retries: Retries,
    verdicts: Verdicts,
    /// What this process knows of its lanes. The log counts; this saves reading it.
    held: Mutex<HashMap<Lane, Arc<AsyncMutex<Option<Held>>>>>,
    /// Lanes of other pipelines, and of letters, as rows name them.
    named: AsyncMutex<HashMap<(Arc<str>, Lane), LaneName>>,
    /// Generations and plugins that are stored.
    kept: Mutex<HashSet<Digest>>,
    identity: OnceCell<Identity>,
    /// Rows that were there before any lane of this pipeline was.
    orphan: OnceCell<Option<String>>,
    forgot: Mutex<Option<SystemTime>>,
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
        let logs = Arc::new(ObjectsLedger {
            retries: Retries::new(Arc::clone(&store), keys.retries()),
            verdicts: Verdicts::new(Arc::clone(&store), keys.verdicts()),
            target: shape.target(context.has_rule),
            member: Uuid::new_v4(),
            context,
            store,
            keys,
            held: Mutex::default(),
            named: AsyncMutex::default(),
            kept: Mutex::default(),
            identity: OnceCell::new(),
            orphan: OnceCell::new(),
            forgot: Mutex::default(),
        });
        let ledger = Ledger::of(&logs);
        Ok(Self { config: config.clone(), logs, ledger })
    }
}

impl ObjectsLedger {
    fn log(&self, lane: &Lane) -> LaneLog {
        LaneLog::new(Arc::clone(&self.store), self.keys.lane(lane))
    }

    fn held(&self, lane: &Lane) -> Arc<AsyncMutex<Option<Held>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(lane.clone()).or_default())
    }

    async fn claim_lane(&self, lane: &Lane, start: Position) -> Result<Claim, ObjectsSinkError> {
        let held = self.held(lane);
        let mut held = held.lock().await;
        *held = None;
        let log = self.log(lane);
        let fold = log.read().await?;
        if fold.is_none() {
            self.refuse_orphans().await?;
        }
        let identity = self.identity().await?;
        let claimed = held.insert(Held::claim(&log, lane, fold, identity, start).await?);
        let (token, position) = (claimed.token, claimed.fold.position);
        let accepted_rejects = claimed.fold.accepted_rejects;
        // The lane may be read from another source by now.
        self.named.lock().await.clear();
        self.forget().await;
        Ok(Claim { lane: lane.clone(), token, position, accepted_rejects })
    }

    fn own_identity(&self) -> Identity {
        let source = self.context.source.as_ref().map_or_else(String::new, ToString::to_string);
        Identity::new(self.context.pipeline.to_string(), source, self.target.clone())
    }

    /// Of this pipeline, which is the one that is stored.
    async fn identity(&self) -> Result<&Identity, ObjectsSinkError> {
        let settle = async || {
            let identity = self.own_identity();
            identity.settle(&self.store, &self.keys.identity()).await?;
            Ok(identity)
        };
        self.identity.get_or_try_init(settle).await
    }

    async fn all_pipelines(&self) -> Result<Vec<String>, ObjectsSinkError> {
        let read = |folder: String| async {
            let stored = Identity::read(&self.store, &Keys::identity_in(&folder)).await?;
            Ok::<_, ObjectsSinkError>(stored.map(|stored| stored.pipeline.unwrap_or(folder)))
        };
        let folders = self.store.names(OWN).await?;
        let pipelines = futures_util::stream::iter(folders).map(read).buffered(IN_FLIGHT);
        pipelines.try_filter_map(async |pipeline| Ok(pipeline)).try_collect().await
    }

    /// Rows without any log mean that somebody has deleted the log: reading their records again would
    /// repeat them.
    async fn refuse_orphans(&self) -> Result<(), ObjectsSinkError> {
        let look = async || {
            if !self.store.names(&self.keys.lanes()).await?.is_empty() {
                return Ok(None);
            }
            self.store.find("", |key| self.keys.is_data(key)).await
        };
        match self.orphan.get_or_try_init(look).await? {
            Some(object) => Err(ObjectsSinkError::LostLogOf { object: object.clone() }),
            None => Ok(()),
        }
    }

    /// What this process holds of a claim, if the claim still holds.
    async fn hold<'a>(
        &self,
        held: &'a mut Option<Held>,
        log: &LaneLog,
        claim: &Claim,
    ) -> Result<Option<&'a mut Held>, ObjectsSinkError> {
        if held.as_ref().is_none_or(|held| held.token != claim.token) {
            let Some(fold) = log.read().await? else { return Ok(None) };
            if fold.owner != claim.token {
                return Ok(None);
            }
            *held = Some(Held::adopt(fold));
        }
        Ok(held.as_mut())
    }

    async fn commit_unit(
        &self,
        shape: &Shape,
        claim: &Claim,
        unit: &Unit,
    ) -> Result<CommitOutcome, ObjectsSinkError> {
        let slot = self.held(&claim.lane);
        let mut slot = slot.lock().await;
        let log = self.log(&claim.lane);
        let Some(held) = self.hold(&mut slot, &log, claim).await? else {
            return Ok(CommitOutcome::Fenced);
        };
        let lanes = self.lane_names(shape, unit, &held.fold).await?;
        let committed = held.commit(&self.store, &log, shape, unit, lanes).await?;
        if committed == CommitOutcome::Fenced {
            *slot = None;
        }
        Ok(committed)
    }

    /// For each part of a unit its lane as rows name it, if they do. `fold` is that of the unit's lane.
    async fn lane_names(
        &self,
        shape: &Shape,
        unit: &Unit,
        fold: &LaneFold,
    ) -> Result<Vec<LaneName>, ObjectsSinkError> {
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
    ) -> Result<Vec<LaneName>, ObjectsSinkError> {
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
    async fn name_of(
        &self,
        pipeline: &Arc<str>,
        lane: &Lane,
    ) -> Result<LaneName, ObjectsSinkError> {
        let key = (Arc::clone(pipeline), lane.clone());
        let mut named = self.named.lock().await;
        if let Some(name) = named.get(&key) {
            return Ok(name.clone());
        }
        let log = LaneLog::new(Arc::clone(&self.store), Keys::new(pipeline).lane(lane));
        let sources = log.read().await?.map(|fold| fold.sources()).unwrap_or_default();
        let name = LaneName { pipeline: Arc::clone(pipeline), lane: lane.name().into(), sources };
        named.insert(key, name.clone());
        Ok(name)
    }

    async fn append_entry(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ObjectsSinkError> {
        let slot = self.held(&claim.lane);
        let mut slot = slot.lock().await;
        let log = self.log(&claim.lane);
        match self.hold(&mut slot, &log, claim).await? {
            Some(held) => held.journal(&self.store, &log, number, entry).await,
            None => Ok(false),
        }
    }

    async fn entries(&self, lane: &Lane) -> Result<Vec<Bytes>, ObjectsSinkError> {
        let Some(fold) = self.log(lane).read().await? else { return Ok(Vec::new()) };
        let read = |entry: fold::Entry| async move {
            let lost = || ObjectsSinkError::LostJournal { key: entry.key.clone() };
            self.store.get(&entry.key).await?.ok_or_else(lost)
        };
        futures_util::stream::iter(fold.journal).map(read).buffered(IN_FLIGHT).try_collect().await
    }

    /// All lanes by name, each with its log. A lane that has lost its log halts; those beside it go on.
    async fn folds(&self) -> Result<Vec<(LaneLog, LaneFold)>, ObjectsSinkError> {
        let folders = self.store.names(&self.keys.lanes()).await?;
        let folds = futures_util::stream::iter(folders).map(|folder| self.fold_in(folder));
        let folds = folds.buffered(IN_FLIGHT).try_filter_map(async |fold| Ok(fold));
        let mut folds: Vec<_> = folds.try_collect().await?;
        folds.sort_by(|(_, a), (_, b)| a.lane.cmp(&b.lane));
        Ok(folds)
    }

    /// The lane whose log is in this folder.
    async fn fold_in(
        &self,
        folder: String,
    ) -> Result<Option<(LaneLog, LaneFold)>, ObjectsSinkError> {
        let log = LaneLog::new(Arc::clone(&self.store), self.keys.lane_folder(folder));
        match log.read().await {
            Ok(fold) => Ok(fold.map(|fold| (log, fold))),
            Err(ObjectsSinkError::LostLog { .. }) if log.listed().await?.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first lane that says so is enough.
    async fn is_any_committed(&self) -> Result<bool, ObjectsSinkError> {
        for folder in self.store.names(&self.keys.lanes()).await? {
            if self.fold_in(folder).await?.is_some_and(|(_, fold)| fold.has_committed()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn all_lanes(&self) -> Result<Vec<LaneState>, ObjectsSinkError> {
        let folds = self.folds().await?;
        let mut lanes: Vec<_> = folds.iter().map(|(_, fold)| fold.state()).collect();
        let known: HashSet<_> = folds.iter().map(|(log, _)| log.keys().listed.clone()).collect();
        for entry in self.store.names(&self.keys.lane_list()).await? {
            let Some(folder) = entry.strip_suffix(".json") else { continue };
            let log =
                LaneLog::new(Arc::clone(&self.store), self.keys.lane_folder(folder.to_owned()));
            if known.contains(&log.keys().listed) {
                continue;
            }
            match log.read().await {
                // It was opened meanwhile.
                Ok(fold) => lanes.extend(fold.map(|fold| fold.state())),
                Err(ObjectsSinkError::LostLog { .. }) => {
                    lanes.extend(log.listed().await?.map(ListedLane::lost));
                }
                Err(error) => return Err(error),
            }
        }
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Ok(lanes)
    }

    async fn move_to(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ObjectsSinkError> {
        let log = self.log(lane);
        let Some(mut fold) = log.read().await? else { return Ok(false) };
        let attempt = Uuid::new_v4();
        while fold.position == from {
            let event = LaneEvent::Moved { from, to };
            if log.append(&mut fold, attempt, attempt, event).await? == Next::Ours {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn accept(&self, lane: &Lane, records: u64) -> Result<bool, ObjectsSinkError> {
        let log = self.log(lane);
        let Some(mut fold) = log.read().await? else { return Ok(false) };
        let attempt = Uuid::new_v4();
        loop {
            // Under the owner's token, who then does not take it for another claim.
            let event = LaneEvent::RejectsAccepted { records };
            let owner = fold.owner;
            if log.append(&mut fold, attempt, owner, event).await? == Next::Ours {
                return Ok(true);
            }
        }
    }

    /// All letters, or those of some lanes, as they are now.
    async fn book(&self, lanes: Option<&[Lane]>) -> Result<(LetterBook, u64), ObjectsSinkError> {
        // Letters of a unit whose owner ended before they were where they belong are letters too.
        for (log, fold) in self.folds().await? {
            log.settle(&fold).await?;
        }
        let mut objects = self.store.list(&self.keys.dead_letters()).await?;
        if let Some(lanes) = lanes {
            let prefixes: Vec<_> =
                lanes.iter().map(|lane| self.keys.lane(lane).dead_letters_prefix()).collect();
            objects.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        }
        self.retries.book(objects).await
    }

    async fn retry(&self, shape: &Shape, retry: &Retry) -> Result<CommitOutcome, ObjectsSinkError> {
        let mut lanes: Vec<_> = retry.letters.iter().map(|letter| letter.lane.clone()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        loop {
            let (book, number) = self.book(Some(&lanes)).await?;
            if !retry::is_current(&book, retry) {
                return Ok(CommitOutcome::Fenced);
            }
            let names = self.letter_lane_names(shape, retry).await?;
            let committed = self.retries.commit(shape, retry, (&book, names), number);
            if let Some(stored) = committed.await? {
                return Ok(CommitOutcome::Done(stored));
            }
        }
    }

    async fn keep_generation(&self, generation: &Generation) -> Result<(), ObjectsSinkError> {
        // The plugins first: a generation that is there can be run.
        for plugin in &generation.plugins {
            let body = Bytes::from_owner(Arc::clone(&plugin.bytes));
            self.keep_once(plugin.digest, &self.keys.plugin(plugin.digest), body).await?;
        }
        let resolved = Bytes::copy_from_slice(generation.resolved.as_bytes());
        self.keep_once(generation.digest, &self.keys.generation(generation.digest), resolved).await
    }

    /// Also one that only a replay of this pipeline has kept: it has made rows beside this one's.
    async fn find_generation(
        &self,
        digest: Digest,
    ) -> Result<Option<Generation>, ObjectsSinkError> {
        if let Some(found) = verdicts::find(&self.store, &self.keys, digest).await? {
            return Ok(Some(found));
        }
        for folder in self.store.names(OWN).await? {
            let Some(keys) = self.keys.of_replay(&folder) else { continue };
            if let Some(found) = verdicts::find(&self.store, &keys, digest).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn keep_once(
        &self,
        digest: Digest,
        key: &str,
        body: Bytes,
    ) -> Result<(), ObjectsSinkError> {
        let is_kept =
            |digest| self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(digest);
        if !is_kept(&digest) {
            self.store.create_once(key, body).await?;
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        }
        Ok(())
    }

    /// What is stored of the first run; `decided`, if nothing was.
    async fn first(&self, decided: Option<FirstRun>) -> Result<Option<FirstRun>, ObjectsSinkError> {
        let key = self.keys.first_run();
        if let Some(decided) = decided {
            self.store.create_once(&key, Bytes::from(decided.to_json())).await?;
        }
        let Some(stored) = self.store.get(&key).await? else { return Ok(None) };
        let read = std::str::from_utf8(&stored).ok().and_then(FirstRun::from_json);
        let cause = || serde::de::Error::custom("it is no first run");
        match read {
            Some(first) => Ok(Some(first)),
            None => Err(ObjectsSinkError::Unreadable { key, cause: cause() }),
        }
    }

    /// Deletes dead letters that are old enough, now and then.
    async fn forget(&self) {
        let Some(keep) = self.context.keep_dead_letters else { return };
        let now = SystemTime::now();
        {
            let mut forgot = self.forgot.lock().unwrap_or_else(PoisonError::into_inner);
            if forgot.is_some_and(|then| {
                now.duration_since(then).is_ok_and(|since| since < FORGET_EVERY)
            }) {
                return;
            }
            *forgot = Some(now);
        }
        // Longer than there is time: for ever.
        let Some(before) = now.checked_sub(keep) else { return };
        if let Err(error) = self.store.delete_older(&self.keys.dead_letters(), before).await {
            tracing::warn!(%error, "old dead letters are kept for now");
        }
    }
}

#[async_trait]
impl Sink for ObjectsSink {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        let ObjectsLedger { store, keys, retries, .. } = &*self.logs;
        store.make().await?;
        store.prove(&keys.probe(Uuid::new_v4())).await?;
        Ok(retries.settle().await?)
    }

    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        // Rows of any columns are objects; that their folders have columns is seen here.
        _dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        let shape = Shape::new(&self.config, columns.as_deref())?;
        Ok(Arc::new(ObjectsWriter { logs: Arc::clone(&self.logs), shape }))
    }

    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        if !self.logs.context.has_rule || !self.config.has_provenance() {
            return Ok(None);
        }
        let ObjectsLedger { store, keys, .. } = &*self.logs;
        Ok(Some(search::origins(store, keys, &self.config, column, value).await?))
    }
}

#[async_trait]
impl Writer for ObjectsWriter {
    fn encode(&self, rows: Batch) -> Rows {
        self.shape.encode(rows)
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        let committed = self.logs.commit_unit(&self.shape, claim, unit).await?;
        self.logs.forget().await;
        Ok(committed)
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        Ok(self.logs.retry(&self.shape, retry).await?)
    }
}

#[async_trait]
impl Claims for ObjectsLedger {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        Ok(self.first(decided).await?)
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        Ok(self.claim_lane(lane, start).await?)
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        Ok(self.move_to(lane, from, to).await?)
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        Ok(self.accept(lane, records).await?)
    }

    async fn meet(&self) -> Result<(), ConnectorError> {
        let stored = Identity::read(&self.store, &self.keys.identity()).await?;
        let Some(stored) = stored else { return Ok(()) };
        Ok(self.own_identity().meet(&stored.source, &stored.target)?)
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        Ok(self.all_lanes().await?)
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(self.all_pipelines().await?)
    }
}

#[async_trait]
impl Archive for ObjectsLedger {
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        Ok(self.keep_generation(generation).await?)
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        Ok(self.find_generation(digest).await?)
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        Ok(self.verdicts.add(judgement).await?)
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        Ok(self.verdicts.all().await?)
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        Ok(self.folds().await?.iter().flat_map(|(_, fold)| fold.lineage()).collect())
    }

    async fn has_committed(&self) -> Result<bool, ConnectorError> {
        Ok(self.is_any_committed().await?)
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(self.entries(lane).await?)
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        Ok(self.append_entry(claim, number, entry).await?)
    }
}

#[async_trait]
impl Letters for ObjectsLedger {
    async fn list(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let (book, _) = self.book(None).await?;
        Ok(book.select(which))
    }

    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        let (book, _) = self.book(None).await?;
        Ok(book.count(which))
    }

    fn at_a_time(&self) -> Option<u64> {
        None
    }
}

/// A beat is an object, and its time is the store's.
#[async_trait]
impl Members for ObjectsLedger {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let key = self.keys.member(self.member);
        Ok(self.store.put(&key, note.as_bytes().to_vec()).await?)
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        Ok(members::all(&self.store, &self.keys).await?)
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        Ok(self.store.delete(vec![self.keys.member(self.member)]).await?)
    }
}
