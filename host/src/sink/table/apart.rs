//! Units whose rows are somewhere else: dead letters, lineage, and the lane's position last, in one
//! transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::commit::died;
use super::{Forgetting, Keep};
use crate::connect::{CommitOutcome, Retry, Stored, WriteLeave};
use crate::ledger::model::check_unit;
use crate::ledger::sql::letters::{NewLetter, TriedLetter};
use crate::ledger::sql::{LaneKeys, LedgerMemory, SqlDatabase, archive, lanes, letters, lineage};
use crate::ledger::{Claim, LineageSums};
use crate::record::{ConnectorError, DeadLetter, Receipt, RowReceipt, Unit};

#[derive(Debug)]
pub(crate) struct UnitsApart {
    database: Arc<dyn SqlDatabase>,
    keys: Arc<LaneKeys>,
    memory: Arc<LedgerMemory>,
    forgetting: Forgetting,
}

impl UnitsApart {
    pub(crate) fn new(
        database: Arc<dyn SqlDatabase>,
        keys: Arc<LaneKeys>,
        memory: Arc<LedgerMemory>,
        keep: Keep,
    ) -> Self {
        Self { database, keys, memory, forgetting: Forgetting::new(keep) }
    }

    pub(crate) async fn leave(
        &self,
        claim: &Claim,
        unit: &Unit,
    ) -> Result<WriteLeave, ConnectorError> {
        check_unit(claim, unit).map_err(|fault| self.database.fault(fault))?;
        let mut transaction = self.database.begin().await?;
        let lane = lanes::claimed(&mut *transaction, &self.keys, claim).await?;
        let (pipeline, heard) = (&self.keys.pipeline, self.memory.heard());
        let is_condemned =
            archive::is_condemned(&mut *transaction, pipeline, unit.generation, heard).await?;
        transaction.commit().await?;
        Ok(match lane {
            Some(lane) if lane.position == unit.from && is_condemned => WriteLeave::Condemned,
            Some(lane) if lane.position == unit.from => WriteLeave::Write,
            // Nobody else can have moved it under this claim.
            Some(lane) if lane.position == unit.to => WriteLeave::Committed,
            _ => WriteLeave::Fenced,
        })
    }

    pub(crate) async fn commit(
        &self,
        claim: &Claim,
        unit: &Unit,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError> {
        let mut transaction = self.database.begin().await?;
        let lane = lanes::claimed(&mut *transaction, &self.keys, claim).await?;
        let Some(lane) = lane else { return Ok(CommitOutcome::Fenced) };
        // Nobody else can have moved it under this claim: the answer was lost.
        if lane.position == unit.to && unit.from != unit.to {
            // Who waits for the answer is told by the position alone.
            return Ok(CommitOutcome::Done(told(unit.rows(), refused)));
        }
        if lane.position != unit.from {
            return Ok(CommitOutcome::Fenced);
        }
        if refused.len() as u64 > unit.refusals_max {
            return Ok(CommitOutcome::Refused(told(0, refused).refused));
        }
        let pipeline = &self.keys.pipeline;
        let mut dead = Vec::new();
        for (at, part) in unit.parts.iter().enumerate() {
            let of_part = refused.iter().filter(|(of, _)| *of == at).map(|(_, letter)| letter);
            let new = |letter: &DeadLetter| NewLetter {
                lane: &unit.lane,
                raw: &part.raw,
                letter: letter.clone(),
            };
            dead.extend(part.dead_letters.iter().chain(of_part).map(new));
        }
        letters::add(&mut *transaction, pipeline, unit.generation, &dead).await?;
        if let Some(Keep { letters: Some(keep), .. }) = self.forgetting.due() {
            letters::forget(&mut *transaction, pipeline, keep).await?;
        }
        let mut stored = told(unit.rows(), refused);
        stored.receipts = unit.wants_receipts.then(|| receipts(refused));
        let sums = LineageSums {
            read: unit.records(),
            stored: stored.rows,
            superseded: 0,
            dropped: unit.dropped(),
            dead: unit.dead_letters() + refused.len() as u64,
        };
        lineage::add(&mut *transaction, &self.keys, unit, sums).await?;
        let rejects = unit.accepted_rejects + refused.len() as u64;
        let owned = (claim, lane);
        if !lanes::advance(&mut *transaction, &self.keys, owned, unit, rejects).await? {
            return Ok(CommitOutcome::Fenced);
        }
        // If the answer is lost, the same unit is offered again, and meets what is stored.
        transaction.commit().await?;
        self.memory.note_reached(&unit.lane, unit.to);
        Ok(CommitOutcome::Done(stored))
    }

    pub(crate) async fn commit_retry(
        &self,
        retry: &Retry,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError> {
        let refused: BTreeMap<usize, &DeadLetter> =
            refused.iter().map(|(at, letter)| (*at, letter)).collect();
        let mut transaction = self.database.begin().await?;
        for (at, letter) in retry.letters.iter().enumerate() {
            let tried = TriedLetter {
                id: &letter.id,
                attempts: letter.attempts,
                generation: retry.generation,
                died: died(letter, refused.get(&at).copied()),
            };
            if !letters::tried(&mut *transaction, &self.keys.pipeline, &tried).await? {
                return Ok(CommitOutcome::Fenced);
            }
        }
        transaction.commit().await?;
        let rows: usize = retry.letters.iter().map(|letter| letter.part.origins.len()).sum();
        let refused: Vec<_> =
            refused.into_iter().map(|(at, letter)| (at, letter.clone())).collect();
        Ok(CommitOutcome::Done(told(rows as u64, &refused)))
    }
}

/// Of all rows that are not simply stored.
fn receipts(refused: &[(usize, DeadLetter)]) -> Vec<RowReceipt> {
    let receipt = |(part, letter): &(usize, DeadLetter)| RowReceipt {
        part: *part,
        record: letter.record,
        receipt: Receipt::dead(letter),
    };
    refused.iter().map(receipt).collect()
}

/// What became of so many rows.
fn told(rows: u64, refused: &[(usize, DeadLetter)]) -> Stored {
    let mut reasons = BTreeMap::new();
    for (_, letter) in refused {
        *reasons.entry(letter.reason.clone()).or_default() += 1;
    }
    let rows = rows.saturating_sub(refused.len() as u64);
    Stored { rows, superseded: 0, refused: reasons, receipts: None }
}
