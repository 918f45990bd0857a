//! A lane's log with what it comes to, read from a checkpoint on.
//!
//! The checkpoint is a hint: what counts is the log. Without one all records are read, of which none is
//! ever deleted.

use std::sync::Arc;

use uuid::Uuid;

use super::ObjectsSinkError;
use super::fold::{LaneEvent, LaneFold, LogFault};
use super::key::LogKeys;
use super::log::{Appended, FORMAT, Log, Record};
use super::publish::publish;
use super::store::Store;

/// Records that a claim has to read at most, as long as checkpoints can be written.
const CHECKPOINT_RECORDS: u64 = 64;

#[derive(Debug)]
pub(super) struct LaneLog {
    store: Arc<Store>,
    keys: LogKeys,
    log: Log<LaneEvent>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Checkpoint {
    format: u32,
    fold: LaneFold,
}

/// What became of an event that was to be the next of a lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ours,
    /// Something else happened first, under this claim; it is folded in.
    Theirs {
        claim: Uuid,
    },
}

impl LaneLog {
    pub fn new(store: Arc<Store>, keys: LogKeys) -> Self {
        let log = Log::new(Arc::clone(&store), keys.clone());
        Self { store, keys, log }
    }

    pub fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// What the log comes to; none if the lane has none.
    pub async fn read(&self) -> Result<Option<LaneFold>, ObjectsSinkError> {
        let checkpoint = self.store.get(&self.keys.checkpoint()).await?;
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
        if end == 0 && (checkpoint.is_some() || self.has_leftovers().await?) {
            return Err(ObjectsSinkError::LostLog { folder: self.keys.folder.clone() });
        }
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
    async fn has_leftovers(&self) -> Result<bool, ObjectsSinkError> {
        Ok(!self.store.list(&self.keys.folder).await?.is_empty())
    }

    fn opened(&self, record: &Record<LaneEvent>) -> Result<LaneFold, ObjectsSinkError> {
        LaneFold::open(record).map_err(|fault| self.contradiction(0, fault))
    }

    fn apply(
        &self,
        fold: &mut LaneFold,
        record: Record<LaneEvent>,
    ) -> Result<(), ObjectsSinkError> {
        let number = fold.next;
        fold.apply(record).map_err(|fault| self.contradiction(number, fault))
    }

    fn contradiction(&self, number: u64, fault: LogFault) -> ObjectsSinkError {
        ObjectsSinkError::Contradiction { key: self.keys.record(number), fault }
    }

    /// Opens the lane, or finds that somebody else did.
    pub async fn open(
        &self,
        attempt: Uuid,
        claim: Uuid,
        event: LaneEvent,
    ) -> Result<LaneFold, ObjectsSinkError> {
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
    ) -> Result<Next, ObjectsSinkError> {
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
        if let Err(error) = self.store.put(&self.keys.checkpoint(), body).await {
            tracing::debug!(lane = %fold.lane, %error, "no checkpoint of the lane's log");
        }
    }

    /// Brings the objects of the last unit to where they belong. Whoever finds them where they were
    /// staged may do it, as often as it takes.
    pub async fn settle(&self, fold: &LaneFold) -> Result<(), ObjectsSinkError> {
        match &fold.last {
            Some(last) => publish(&self.store, &last.objects).await,
            None => Ok(()),
        }
    }

    /// Deletes what attempts under earlier claims have staged: they can no longer be committed. Those of
    /// later claims, of which this owner may not know yet, are left alone.
    pub async fn sweep(&self, fold: &LaneFold) -> Result<(), ObjectsSinkError> {
        let is_dead = |key: &String| {
            let staged = key.strip_prefix(&self.keys.staged)?.strip_prefix('/')?;
            Some(LogKeys::claimed(staged)? < fold.claimed_by)
        };
        let mut staged = self.store.list(&self.keys.staged).await?;
        staged.retain(|key| is_dead(key) == Some(true));
        self.store.delete(staged).await
    }
}
