//! A ledger over a log of three operations: put what is absent, read, and put a blob.
//!
//! ```text
//! _pinhost/<pipeline>/lanes/<lane>/log/<number>.json  what happened to a lane, in order
//! _pinhost/<pipeline>/lanes/<lane>/checkpoint.json    a hint of what the log comes to
//! _pinhost/<pipeline>/lane_list/<lane>.json           that the lane has a log, wherever that is
//! _pinhost/<pipeline>/staged/<lane>/…                 what is not committed yet
//! _pinhost/<pipeline>/pipeline.json                   what it reads and writes, for ever
//! _pinhost/<pipeline>/dead_letters/…, generations/…, retries/log/…, verdicts/log/…
//! _pinhost/<pipeline>/first_run.json, members/<id>    how it began, and who is alive
//! _pinhost/plugins/<digest>.wasm
//! ```
//!
//! A commit stages what it brings, puts the next record of the lane's log if it is absent, which alone is
//! the commit, and then shows what it brought. Whoever claims the lane next finishes that for the last unit,
//! and never cleans again. A claim is a record of the log as well: who had the lane before finds it where
//! the own commit was to be.
//!
//! Not here: what units bring, and how it is shown. That is a [`Stager`]'s and a [`Publisher`]'s.

mod error;
mod fold;
mod held;
mod identity;
pub(crate) mod keys;
mod lane;
pub(crate) mod letters;
mod members;
pub(crate) mod records;
mod retry;
mod store;
mod verdicts;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use uuid::Uuid;

pub use self::error::LogError;
use self::fold::LaneEvent;
pub(crate) use self::fold::{LaneFold, StagedObject};
use self::held::Held;
use self::identity::Identity;
use self::keys::Keys;
use self::lane::{LaneLog, ListedLane, Next};
use self::letters::LetterBook;
use self::retry::Retries;
pub(crate) use self::store::{
    Attempt, LogEntry, LogStore, Publisher, Staged, Stager, TRIES, before_try, create_once,
};
use self::verdicts::Verdicts;
use super::{
    Archive, Claim, Claims, CommitOutcome, DeadLetterFilter, FirstRun, Judgement, LaneState,
    Letters, LineageRange, Member, Members, Retry, StoredDeadLetter,
};
use crate::objects::OWN;
use crate::record::provenance::LaneSources;
use crate::record::{ConnectorError, Digest, Generation, Lane, Position, SourceId, Unit};

/// Lanes that are read at a time.
const IN_FLIGHT: usize = 8;
/// How often dead letters are looked through for old ones.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Whose ledger it is.
#[derive(Debug)]
pub(crate) struct LogContext {
    pub pipeline: Arc<str>,
    /// None for those who only look, and claim nothing.
    pub source: Option<SourceId>,
    /// What shape its rows have: readers of a place meet one only.
    pub target: String,
    /// For ever, if there is none.
    pub keep_dead_letters: Option<Duration>,
}

/// What a pipeline knows of itself, in logs.
#[derive(Debug)]
pub(crate) struct LogLedger {
    context: LogContext,
    store: Arc<dyn LogStore>,
    publisher: Arc<dyn Publisher>,
    keys: Keys,
    member: Uuid,
    retries: Retries,
    verdicts: Verdicts,
    /// What this process knows of its lanes. The log counts; this saves reading it.
    held: Mutex<HashMap<Lane, Arc<AsyncMutex<Option<Held>>>>>,
    /// Generations and plugins that are stored.
    kept: Mutex<HashSet<Digest>>,
    identity: OnceCell<Identity>,
    /// What was shown before any lane of this pipeline was.
    orphan: OnceCell<Option<String>>,
    forgot: Mutex<Option<SystemTime>>,
}

impl LogLedger {
    pub fn new(
        context: LogContext,
        store: Arc<dyn LogStore>,
        publisher: Arc<dyn Publisher>,
    ) -> Self {
        let keys = Keys::new(&context.pipeline);
        let retried = (Arc::clone(&store), Arc::clone(&publisher));
        Self {
            retries: Retries::new(retried.0, retried.1, keys.retries()),
            verdicts: Verdicts::new(Arc::clone(&store), keys.verdicts()),
            context,
            store,
            publisher,
            keys,
            member: Uuid::new_v4(),
            held: Mutex::default(),
            kept: Mutex::default(),
            identity: OnceCell::new(),
            orphan: OnceCell::new(),
            forgot: Mutex::default(),
        }
    }

    fn log(&self, lane: &Lane) -> LaneLog {
        LaneLog::new(Arc::clone(&self.store), self.keys.lane(lane))
    }

    fn held(&self, lane: &Lane) -> Arc<AsyncMutex<Option<Held>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(lane.clone()).or_default())
    }

    /// What the lane of a pipeline was read from, one source after the other.
    pub async fn sources(&self, pipeline: &str, lane: &Lane) -> Result<LaneSources, LogError> {
        let log = LaneLog::new(Arc::clone(&self.store), Keys::new(pipeline).lane(lane));
        Ok(log.read().await?.map(|fold| fold.sources()).unwrap_or_default())
    }

    /// Brings to where it belongs what the last retry has committed.
    pub async fn settle_retries(&self) -> Result<(), LogError> {
        self.retries.settle().await
    }

    async fn claim_lane(&self, lane: &Lane, start: Position) -> Result<Claim, LogError> {
        let held = self.held(lane);
        let mut held = held.lock().await;
        *held = None;
        let log = self.log(lane);
        let fold = log.read().await?;
        if fold.is_none() {
            self.refuse_orphans().await?;
        }
        let identity = self.identity().await?;
        let publisher = &*self.publisher;
        let claimed = Held::claim((&log, publisher), lane, fold, identity, start).await?;
        let claimed = held.insert(claimed);
        let (token, position) = (claimed.token, claimed.fold.position);
        let accepted_rejects = claimed.fold.accepted_rejects;
        self.forget().await;
        Ok(Claim { lane: lane.clone(), token, position, accepted_rejects })
    }

    fn own_identity(&self) -> Identity {
        let LogContext { pipeline, source, target, .. } = &self.context;
        let source = source.as_ref().map_or_else(String::new, ToString::to_string);
        Identity::new(pipeline.to_string(), source, target.clone())
    }

    /// Of this pipeline, which is the one that is stored.
    async fn identity(&self) -> Result<&Identity, LogError> {
        let settle = async || {
            let identity = self.own_identity();
            identity.settle(&*self.store, &self.keys.identity()).await?;
            Ok(identity)
        };
        self.identity.get_or_try_init(settle).await
    }

    async fn all_pipelines(&self) -> Result<Vec<String>, LogError> {
        let read = |folder: String| async {
            let stored = Identity::read(&*self.store, &Keys::identity_in(&folder)).await?;
            Ok::<_, LogError>(stored.map(|stored| stored.pipeline.unwrap_or(folder)))
        };
        let folders = self.store.names(OWN).await?;
        let pipelines = futures_util::stream::iter(folders).map(read).buffered(IN_FLIGHT);
        pipelines.try_filter_map(async |pipeline| Ok(pipeline)).try_collect().await
    }

    /// Rows without any log mean that somebody has deleted the log: reading their records again
    /// would repeat them.
    async fn refuse_orphans(&self) -> Result<(), LogError> {
        let look = async || {
            if !self.store.names(&self.keys.lanes()).await?.is_empty() {
                return Ok(None);
            }
            Ok::<_, LogError>(self.publisher.shown().await?)
        };
        match self.orphan.get_or_try_init(look).await? {
            Some(object) => Err(LogError::LostLogOf { object: object.clone() }),
            None => Ok(()),
        }
    }

    /// What this process holds of a claim, if the claim still holds.
    async fn hold<'a>(
        &self,
        held: &'a mut Option<Held>,
        log: &LaneLog,
        claim: &Claim,
    ) -> Result<Option<&'a mut Held>, LogError> {
        if held.as_ref().is_none_or(|held| held.token != claim.token) {
            let Some(fold) = log.read().await? else { return Ok(None) };
            if fold.owner != claim.token {
                return Ok(None);
            }
            *held = Some(Held::adopt(fold));
        }
        Ok(held.as_mut())
    }

    /// Makes a unit the next record of its lane's log. What it brings is staged before, and shown
    /// after.
    pub async fn commit(
        &self,
        claim: &Claim,
        unit: &Unit,
        stager: &dyn Stager,
    ) -> Result<CommitOutcome, LogError> {
        let committed = {
            let slot = self.held(&claim.lane);
            let mut slot = slot.lock().await;
            let log = self.log(&claim.lane);
            let Some(held) = self.hold(&mut slot, &log, claim).await? else {
                return Ok(CommitOutcome::Fenced);
            };
            let committed = held.commit((&log, &*self.publisher), unit, stager).await?;
            if committed == CommitOutcome::Fenced {
                *slot = None;
            }
            committed
        };
        self.forget().await;
        Ok(committed)
    }

    async fn append_entry(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, LogError> {
        let slot = self.held(&claim.lane);
        let mut slot = slot.lock().await;
        let log = self.log(&claim.lane);
        match self.hold(&mut slot, &log, claim).await? {
            Some(held) => held.journal(&*self.store, &log, number, entry).await,
            None => Ok(false),
        }
    }

    async fn entries(&self, lane: &Lane) -> Result<Vec<Bytes>, LogError> {
        let Some(fold) = self.log(lane).read().await? else { return Ok(Vec::new()) };
        let read = |entry: fold::Entry| async move {
            let lost = || LogError::LostJournal { key: entry.key.clone() };
            self.store.read(&entry.key).await?.ok_or_else(lost)
        };
        futures_util::stream::iter(fold.journal).map(read).buffered(IN_FLIGHT).try_collect().await
    }

    /// All lanes by name, each with its log. A lane that has lost its log halts; those beside it go
    /// on.
    async fn folds(&self) -> Result<Vec<(LaneLog, LaneFold)>, LogError> {
        let folders = self.store.names(&self.keys.lanes()).await?;
        let folds = futures_util::stream::iter(folders).map(|folder| self.fold_in(folder));
        let folds = folds.buffered(IN_FLIGHT).try_filter_map(async |fold| Ok(fold));
        let mut folds: Vec<_> = folds.try_collect().await?;
        folds.sort_by(|(_, a), (_, b)| a.lane.cmp(&b.lane));
        Ok(folds)
    }

    /// The lane whose log is in this folder.
    async fn fold_in(&self, folder: String) -> Result<Option<(LaneLog, LaneFold)>, LogError> {
        let log = LaneLog::new(Arc::clone(&self.store), self.keys.lane_folder(folder));
        match log.read().await {
            Ok(fold) => Ok(fold.map(|fold| (log, fold))),
            Err(LogError::LostLog { .. }) if log.listed().await?.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first lane that says so is enough.
    async fn is_any_committed(&self) -> Result<bool, LogError> {
        for folder in self.store.names(&self.keys.lanes()).await? {
            if self.fold_in(folder).await?.is_some_and(|(_, fold)| fold.has_committed()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn all_lanes(&self) -> Result<Vec<LaneState>, LogError> {
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
                Err(LogError::LostLog { .. }) => {
                    lanes.extend(log.listed().await?.map(ListedLane::lost));
                }
                Err(error) => return Err(error),
            }
        }
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Ok(lanes)
    }

    async fn move_to(&self, lane: &Lane, from: Position, to: Position) -> Result<bool, LogError> {
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

    async fn accept(&self, lane: &Lane, records: u64) -> Result<bool, LogError> {
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
    async fn book(&self, lanes: Option<&[Lane]>) -> Result<(LetterBook, u64), LogError> {
        // Letters of a unit whose owner ended before they were where they belong are letters too.
        for (log, fold) in self.folds().await? {
            log.settle(&*self.publisher, &fold).await?;
        }
        let objects = self.store.entries(&self.keys.dead_letters()).await?.into_iter();
        let mut objects: Vec<_> = objects.map(|entry| entry.key).collect();
        if let Some(lanes) = lanes {
            let prefixes: Vec<_> =
                lanes.iter().map(|lane| self.keys.lane(lane).dead_letters_prefix()).collect();
            objects.retain(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        }
        self.retries.book(objects).await
    }

    /// Makes a retry the next record of the log of retries, if its letters are as they were read.
    pub async fn retry(
        &self,
        retry: &Retry,
        stager: &dyn Stager,
    ) -> Result<CommitOutcome, LogError> {
        let mut lanes: Vec<_> = retry.letters.iter().map(|letter| letter.lane.clone()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        loop {
            let (book, number) = self.book(Some(&lanes)).await?;
            if !retry::is_current(&book, retry) {
                return Ok(CommitOutcome::Fenced);
            }
            if let Some(stored) = self.retries.commit(stager, retry, &book, number).await? {
                return Ok(CommitOutcome::Done(stored));
            }
        }
    }

    async fn keep_generation(&self, generation: &Generation) -> Result<(), LogError> {
        // The plugins first: a generation that is there can be run.
        for plugin in &generation.plugins {
            let body = Bytes::from_owner(Arc::clone(&plugin.bytes));
            self.keep_once(plugin.digest, &self.keys.plugin(plugin.digest), body).await?;
        }
        let resolved = Bytes::copy_from_slice(generation.resolved.as_bytes());
        self.keep_once(generation.digest, &self.keys.generation(generation.digest), resolved).await
    }

    /// Also one that only a replay of this pipeline has kept: it has made rows beside this one's.
    async fn find_generation(&self, digest: Digest) -> Result<Option<Generation>, LogError> {
        if let Some(found) = verdicts::find(&*self.store, &self.keys, digest).await? {
            return Ok(Some(found));
        }
        for folder in self.store.names(OWN).await? {
            let Some(keys) = self.keys.of_replay(&folder) else { continue };
            if let Some(found) = verdicts::find(&*self.store, &keys, digest).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn keep_once(&self, digest: Digest, key: &str, body: Bytes) -> Result<(), LogError> {
        let is_kept =
            |digest| self.kept.lock().unwrap_or_else(PoisonError::into_inner).contains(digest);
        if !is_kept(&digest) {
            create_once(&*self.store, key, body).await?;
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        }
        Ok(())
    }

    /// What is stored of the first run; `decided`, if nothing was.
    async fn first(&self, decided: Option<FirstRun>) -> Result<Option<FirstRun>, LogError> {
        let key = self.keys.first_run();
        if let Some(decided) = decided {
            create_once(&*self.store, &key, Bytes::from(decided.to_json())).await?;
        }
        let Some(stored) = self.store.read(&key).await? else { return Ok(None) };
        let read = std::str::from_utf8(&stored).ok().and_then(FirstRun::from_json);
        let cause = || serde::de::Error::custom("it is no first run");
        match read {
            Some(first) => Ok(Some(first)),
            None => Err(LogError::Unreadable { key, cause: cause() }),
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
        let forgotten = async {
            let all = self.store.entries(&self.keys.dead_letters()).await?;
            let old = all.into_iter().filter(|entry| entry.time < before);
            self.store.delete(old.map(|entry| entry.key).collect()).await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "old dead letters are kept for now");
        }
    }
}

#[async_trait]
impl Claims for LogLedger {
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
        let stored = Identity::read(&*self.store, &self.keys.identity()).await?;
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
impl Archive for LogLedger {
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
impl Letters for LogLedger {
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
impl Members for LogLedger {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let key = self.keys.member(self.member);
        Ok(self.store.put(&key, Bytes::copy_from_slice(note.as_bytes())).await?)
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        Ok(members::all(&*self.store, &self.keys).await?)
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        Ok(self.store.delete(vec![self.keys.member(self.member)]).await?)
    }
}
