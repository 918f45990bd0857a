//! Claims and commits: who owns a lane, and what is the next record of its log.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use super::LogError;
use super::fold::{LaneEvent, LaneFold, StagedObject, UnitRecord};
use super::identity::Identity;
use super::lane::{LaneLog, Next};
use super::store::{Attempt, LogStore, Publisher, Staged, Stager};
use crate::ledger::LineageSums;
use crate::ledger::{CommitOutcome, Stored};
use crate::record::{Digest, Lane, Position, Unit};

/// A lane that this process has claimed, and where its log stands as far as is known here.
#[derive(Debug)]
pub(crate) struct Held {
    pub token: Uuid,
    pub fold: LaneFold,
    /// Whether the objects of the last unit are known to be where they belong.
    settled: bool,
}

impl Held {
    /// Takes a lane over. The claim is a record: it takes the name of the next one from whoever had
    /// the lane, who finds the claim there and knows.
    pub async fn claim(
        (log, publisher): (&LaneLog, &dyn Publisher),
        lane: &Lane,
        fold: Option<LaneFold>,
        identity: &Identity,
        start: Position,
    ) -> Result<Self, LogError> {
        let (token, attempt) = (Uuid::new_v4(), Uuid::new_v4());
        let mut fold = match fold {
            Some(fold) => fold,
            None => {
                let Identity { source, target, .. } = identity.clone();
                let lane = lane.name().to_owned();
                let event = LaneEvent::Opened { lane, source, target, start };
                log.open(attempt, token, event).await?
            }
        };
        loop {
            identity.meet(&fold.source, &fold.target)?;
            if fold.owner == token {
                break;
            }
            log.append(&mut fold, attempt, token, LaneEvent::Claimed).await?;
        }
        log.enter(&fold).await?;
        let mut held = Self::adopt(fold);
        held.settle(log, publisher).await?;
        log.sweep(&held.fold).await?;
        Ok(held)
    }

    /// A lane that the log says is ours.
    pub fn adopt(fold: LaneFold) -> Self {
        Self { token: fold.owner, fold, settled: false }
    }

    async fn settle(&mut self, log: &LaneLog, publisher: &dyn Publisher) -> Result<(), LogError> {
        if !self.settled {
            log.settle(publisher, &self.fold).await?;
            self.settled = true;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        log: &LaneLog,
        attempt: Uuid,
        event: LaneEvent,
    ) -> Result<Next, LogError> {
        // Also if nobody waits for the answer any more.
        self.settled = false;
        log.append(&mut self.fold, attempt, self.token, event).await
    }

    pub async fn commit(
        &mut self,
        (log, publisher): (&LaneLog, &dyn Publisher),
        unit: &Unit,
        stager: &dyn Stager,
    ) -> Result<CommitOutcome, LogError> {
        if !unit.is_balanced() {
            return Err(LogError::Unbalanced { lane: unit.lane.to_string() });
        }
        // The unit before has to be where it belongs: only the last one is looked after by the next
        // owner.
        self.settle(log, publisher).await?;
        if let Some(ended) = self.ended(unit) {
            return Ok(ended);
        }
        if unit.records() == 0 && unit.from == unit.to {
            return Ok(CommitOutcome::Done(Stored::default()));
        }
        let attempt =
            Attempt { keys: log.keys(), claimed_by: self.fold.claimed_by, id: Uuid::new_v4() };
        let staged = stager.stage(&attempt, Some(&self.fold)).await?;
        loop {
            let objects = staged.objects(log.keys(), self.fold.next);
            let record = record(unit, &*staged, objects);
            let mut stored = record.stored();
            stored.receipts = unit.wants_receipts.then(|| staged.receipts());
            match self.append(log, attempt.id, LaneEvent::Committed(record)).await? {
                Next::Ours => {
                    self.settle(log, publisher).await?;
                    return Ok(CommitOutcome::Done(stored));
                }
                Next::Theirs { claim } => {
                    let ended = if claim == self.token {
                        // What an earlier call tried, and gave up on.
                        self.settle(log, publisher).await?;
                        self.ended(unit)
                    } else {
                        Some(CommitOutcome::Fenced)
                    };
                    if let Some(ended) = ended {
                        staged.discard().await;
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// How a unit ended that cannot be the next one.
    fn ended(&self, unit: &Unit) -> Option<CommitOutcome> {
        let Unit { from, to, generation, .. } = *unit;
        match self.fold.is_last(from, to, generation) {
            Some(last) => Some(CommitOutcome::Done(last.stored())),
            None => (self.fold.position != from).then_some(CommitOutcome::Fenced),
        }
    }

    /// Makes an object an entry of the lane's journal.
    pub async fn journal(
        &mut self,
        store: &dyn LogStore,
        log: &LaneLog,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, LogError> {
        let digest = Digest::of(&entry);
        let attempt = Uuid::new_v4();
        let key = log.keys().journal(number, attempt);
        let mut is_put = false;
        loop {
            if let Some(there) = self.fold.journal.get(number as usize) {
                return Ok(there.digest == digest && there.claim == self.token);
            }
            if self.fold.journal.len() as u64 != number {
                return Ok(false);
            }
            if !std::mem::replace(&mut is_put, true) {
                store.put(&key, entry.clone()).await?;
            }
            let event = LaneEvent::Journaled { key: key.clone(), digest };
            match self.append(log, attempt, event).await? {
                Next::Theirs { claim } if claim != self.token => return Ok(false),
                Next::Ours | Next::Theirs { .. } => {}
            }
        }
    }
}

fn record(unit: &Unit, staged: &dyn Staged, objects: Vec<StagedObject>) -> UnitRecord {
    let mut refused = BTreeMap::new();
    for (_, letter) in staged.refused() {
        *refused.entry(letter.reason.clone()).or_default() += 1;
    }
    let late = staged.refused().len() as u64;
    let sums = LineageSums {
        read: unit.records(),
        stored: unit.rows() - late,
        superseded: 0,
        dropped: unit.dropped(),
        dead: unit.dead_letters() + late,
    };
    let Unit { from, to, generation, accepted_rejects, .. } = *unit;
    UnitRecord { from, to, generation, sums, refused, accepted_rejects, objects }
}
