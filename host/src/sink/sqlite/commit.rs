//! A unit in one transaction.

use super::error::SqliteFault;
use super::lane::Lanes;
use super::letters;
use super::lineage;
use super::session::Session;
use super::versions;
use super::write::Plan;
use crate::connect::{CommitOutcome, Retry, Stored};
use crate::ledger::Claim;
use crate::record::Unit;
use crate::sink::table::commit::{RowsToWrite, check, outcome};
use crate::sink::table::{Keep, TableFault, Target};

/// A commit without an answer.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Nothing of it was committed.
    Before(SqliteFault),
    /// SQLite was asked to commit, and whether it did is not known.
    Unknown(SqliteFault, Stored),
}

impl From<SqliteFault> for CommitError {
    fn from(fault: SqliteFault) -> Self {
        Self::Before(fault)
    }
}

impl From<TableFault> for CommitError {
    fn from(fault: TableFault) -> Self {
        Self::Before(fault.into())
    }
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error.into())
    }
}

pub(super) async fn commit(
    session: &mut Session,
    (target, plan): (&Target, &Plan),
    lanes: &Lanes<'_>,
    claim: &Claim,
    unit: &Unit,
    forget: Option<Keep>,
) -> Result<CommitOutcome, CommitError> {
    check(claim, unit)?;
    let mut transaction = session.begin().await?;
    if lanes.claimed(&mut transaction, claim).await? != Some(unit.from) {
        transaction.rollback().await?;
        return Ok(CommitOutcome::Fenced);
    }

    let rows = RowsToWrite::of_unit(target, unit)?;
    plan.clear(&mut transaction, unit).await?;
    let written = plan.write(&mut transaction, &rows).await?;
    if let Some(reasons) = written.too_many(unit) {
        transaction.rollback().await?;
        return Ok(CommitOutcome::Refused(reasons));
    }
    let letters = rows.letters(unit, &written);
    letters::add(&mut transaction, lanes.pipeline, unit.generation, &letters).await?;
    if let Some(Keep { letters, deletes }) = forget {
        if let Some(keep) = letters {
            letters::forget(&mut transaction, lanes.pipeline, keep).await?;
        }
        versions::forget(&mut transaction, lanes.target, deletes).await?;
    }
    lineage::add(&mut transaction, lanes, unit, written.sums(unit)).await?;

    if !lanes.advance(&mut transaction, claim, unit, written.rejects(unit)).await? {
        transaction.rollback().await?;
        return Ok(CommitOutcome::Fenced);
    }
    let stored = written.told();
    match transaction.commit().await {
        Ok(()) => Ok(CommitOutcome::Done(stored)),
        Err(error) => Err(CommitError::Unknown(error.into(), stored)),
    }
}

/// What became of a commit whose answer was lost. The write lock that this takes is only to be had once
/// the transaction in question has ended.
pub(super) async fn settle(
    session: &mut Session,
    lanes: &Lanes<'_>,
    claim: &Claim,
    unit: &Unit,
    error: SqliteFault,
    stored: Stored,
) -> Result<CommitOutcome, SqliteFault> {
    let mut transaction = session.begin().await?;
    let position = lanes.claimed(&mut transaction, claim).await?;
    transaction.rollback().await?;
    match position {
        Some(position) if position == unit.from && position != unit.to => Err(error),
        Some(position) if position == unit.to => Ok(CommitOutcome::Done(stored)),
        _ => Ok(CommitOutcome::Fenced),
    }
}

/// Letters that went through the rule again, in one transaction: all of them, or none if one is not as it
/// was read any more.
pub(super) async fn retry(
    session: &mut Session,
    (target, plan): (&Target, &Plan),
    pipeline: &str,
    retry: &Retry,
) -> Result<CommitOutcome, SqliteFault> {
    let mut transaction = session.begin().await?;
    let rows = RowsToWrite::of_retry(target, retry)?;
    let written = plan.write(&mut transaction, &rows).await?;
    let refused = rows.refused_again(&written);
    for (at, letter) in retry.letters.iter().enumerate() {
        let outcome = outcome(letter, refused.get(&at));
        let (id, attempts, generation) = (letter.id.as_str(), letter.attempts, retry.generation);
        let is_ours =
            letters::tried(&mut transaction, pipeline, id, attempts, generation, &outcome).await?;
        if !is_ours {
            transaction.rollback().await?;
            return Ok(CommitOutcome::Fenced);
        }
    }
    transaction.commit().await?;
    Ok(CommitOutcome::Done(written.told()))
}
