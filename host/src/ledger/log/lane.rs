//! A lane's log with what it comes to, read from a checkpoint on.
//!
//! The checkpoint is a hint: what counts is the log. Without one all records are read, of which
//! none is ever deleted.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::LogError;
use super::fold::{LaneEvent, LaneFold, LogFault};
use super::keys::LogKeys;
use super::records::{Appended, FORMAT, Log, Record};
use super::store::{LogStore, Publisher, create_once};
use crate::ledger::LaneState;
use crate::objects::as_text;
use crate::record::{Lane, Position, SourceId};

/// Records that a claim has to read at most, as long as checkpoints can be written.
const CHECKPOINT_RECORDS: u64 = 64;

#[derive(Debug)]
pub(crate) struct LaneLog {
    store: Arc<dyn LogStore>,
    keys: LogKeys,
    log: Log<LaneEvent>,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    fold: LaneFold,
}

/// What the list of lanes says of one: as it was when it was entered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedLane {
    format: u32,
    lane: String,
    source: String,
    #[serde(with = "as_text")]
    position: Position,
    #[serde(with = "as_text")]
    time: Timestamp,
}

impl ListedLane {
    /// Of a lane whose log is gone.
    pub fn lost(self) -> LaneState {
        LaneState {
            lane: Lane::new(self.lane),
            source: SourceId::new(self.source),
            position: self.position,
            owner: Uuid::nil(),
            member: None,
            claimed: self.time.into(),
            moved: self.time.into(),
            accepted_rejects: 0,
            halted: Some("its log is gone".to_owned()),
        }
    }
}

/// What became of an event that was to be the next of a lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ours,
    /// Something else happened first, under this claim; it is folded in.
    Theirs {
        claim: Uuid,
    },
}

impl LaneLog {
    pub fn new(store: Arc<dyn LogStore>, keys: LogKeys) -> Self {
        let log = Log::new(Arc::clone(&store), keys.clone());
        Self { store, keys, log }
    }

    pub fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// What the log comes to; none if there was never one.
    pub async fn read(&self) -> Result<Option<LaneFold>, LogError> {
        loop {
            if let Some(fold) = self.read_log().await? {
                return Ok(Some(fold));
            }
            if !self.has_traces().await? {
                return Ok(None);
            }
            // A log that has begun meanwhile is not lost.
            if !self.log.has(0).await? {
                return Err(LogError::LostLog { folder: self.keys.folder.clone() });
            }
        }
    }

    async fn read_log(&self) -> Result<Option<LaneFold>, LogError> {
        let checkpoint = self.store.read(&self.keys.checkpoint()).await?;
        let hint = checkpoint
            .as_deref()
            .and_then(|bytes| serde_json::from_slice::<Checkpoint>(bytes).ok())
            .filter(|hint| hint.format == FORMAT)
            .map(|hint| hint.fold);
        // A log that ends before the checkpoint is not the one that it was made of.
        let (mut fold, from) = match hint {
            Some(hint) if self.log.has(hint.next - 1).await? => {
                let from = hint.next;
                (Some(hint), from)
            }
            _ => (None, 0),
        };
        let end = self.log.end(from).await?;
        for record in self.log.read_all(from, end).await? {
            match &mut fold {
                Some(fold) => self.apply(fold, record)?,
                None => fold = Some(self.opened(&record)?),
            }
        }
        if let Some(fold) = fold.as_ref().filter(|fold| fold.next >= from + CHECKPOINT_RECORDS) {
            self.checkpoint(fold).await;
        }
        Ok(fold)
    }

    /// Whether there is anything of the lane but the log.
    async fn has_traces(&self) -> Result<bool, LogError> {
        Ok(self.store.exists(&self.keys.listed).await?
            || !self.store.entries(&self.keys.folder).await?.is_empty())
    }

    /// Enters the lane in the pipeline's list of lanes. Its log is there before, and no unit is.
    pub async fn enter(&self, fold: &LaneFold) -> Result<(), LogError> {
        let LaneFold { lane, source, position, claimed, .. } = fold.clone();
        let listed = ListedLane { format: FORMAT, lane, source, position, time: claimed };
        let body = serde_json::to_vec(&listed).expect("plain values");
        Ok(create_once(&*self.store, &self.keys.listed, body.into()).await?)
    }

    /// The lane's entry in that list.
    pub async fn listed(&self) -> Result<Option<ListedLane>, LogError> {
        let key = &self.keys.listed;
        let Some(body) = self.store.read(key).await? else { return Ok(None) };
        let unreadable = |cause| LogError::Unreadable { key: key.clone(), cause };
        let listed: ListedLane = serde_json::from_slice(&body).map_err(unreadable)?;
        if listed.format > FORMAT {
            return Err(LogError::Newer { key: key.clone() });
        }
        Ok(Some(listed))
    }

    fn opened(&self, record: &Record<LaneEvent>) -> Result<LaneFold, LogError> {
        LaneFold::open(record).map_err(|fault| self.contradiction(0, fault))
    }

    fn apply(&self, fold: &mut LaneFold, record: Record<LaneEvent>) -> Result<(), LogError> {
        let number = fold.next;
        fold.apply(record).map_err(|fault| self.contradiction(number, fault))
    }

    fn contradiction(&self, number: u64, fault: LogFault) -> LogError {
        LogError::Contradiction { key: self.keys.record(number), fault }
    }

    /// Opens the lane, or finds that somebody else did.
    pub async fn open(
        &self,
        attempt: Uuid,
        claim: Uuid,
        event: LaneEvent,
    ) -> Result<LaneFold, LogError> {
        let record = Record::new(attempt, claim, event);
        match self.log.append(0, &record).await? {
            Appended::Ours => self.opened(&record),
            Appended::Theirs(record) => self.opened(&record),
        }
    }

    /// Makes an event the next of the lane, or takes what came before it.
    pub async fn append(
        &self,
        fold: &mut LaneFold,
        attempt: Uuid,
        claim: Uuid,
        event: LaneEvent,
    ) -> Result<Next, LogError> {
        let record = Record::new(attempt, claim, event);
        let next = match self.log.append(fold.next, &record).await? {
            Appended::Ours => {
                self.apply(fold, record)?;
                Next::Ours
            }
            Appended::Theirs(record) => {
                let claim = record.claim;
                self.apply(fold, record)?;
                Next::Theirs { claim }
            }
        };
        if fold.next.is_multiple_of(CHECKPOINT_RECORDS) {
            self.checkpoint(fold).await;
        }
        Ok(next)
    }

    async fn checkpoint(&self, fold: &LaneFold) {
        let checkpoint = Checkpoint { format: FORMAT, fold: fold.clone() };
        let body = serde_json::to_vec(&checkpoint).expect("a checkpoint is plain values");
        // Without it the next claim takes a little longer.
        if let Err(error) = self.store.put(&self.keys.checkpoint(), body.into()).await {
            tracing::debug!(lane = %fold.lane, %error, "no checkpoint of the lane's log");
        }
    }

    /// Brings the objects of the last unit to where they belong. Whoever finds them where they were
    /// staged may do it, as often as it takes.
    pub async fn settle(&self, publisher: &dyn Publisher, fold: &LaneFold) -> Result<(), LogError> {
        match &fold.last {
            Some(last) => Ok(publisher.publish(&last.objects).await?),
            None => Ok(()),
        }
    }

    /// Deletes what attempts under earlier claims have staged: they can no longer be committed.
    /// Those of later claims, of which this owner may not know yet, are left alone.
    pub async fn sweep(&self, fold: &LaneFold) -> Result<(), LogError> {
        let is_dead = |key: &String| {
            let staged = key.strip_prefix(&self.keys.staged)?.strip_prefix('/')?;
            Some(LogKeys::claimed(staged)? < fold.claimed_by)
        };
        let staged = self.store.entries(&self.keys.staged).await?.into_iter();
        let mut staged: Vec<_> = staged.map(|entry| entry.key).collect();
        staged.retain(|key| is_dead(key) == Some(true));
        Ok(self.store.delete(staged).await?)
    }
}
