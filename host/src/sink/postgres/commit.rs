//! A unit in one transaction.

use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Transaction};

use super::error::PostgresFault;
use super::lane::Lanes;
use super::letters;
use super::lineage;
use super::session::{answered, begin};
use super::table::Table;
use super::versions;
use super::write::Plan;
use crate::connect::{CommitOutcome, Retry, Stored};
use crate::ledger::Claim;
use crate::record::Unit;
use crate::sink::table::commit::{RowsToWrite, check, outcome};
use crate::sink::table::{Keep, TableFault};

/// A commit without an answer.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Nothing of it was committed.
    Before(PostgresFault),
    /// The server was asked to commit, and whether it did is not known.
    Unknown(PostgresFault, Stored),
}

impl From<PostgresFault> for CommitError {
    fn from(fault: PostgresFault) -> Self {
        Self::Before(fault)
    }
}

impl From<TableFault> for CommitError {
    fn from(fault: TableFault) -> Self {
        Self::Before(fault.into())
    }
}

pub(super) async fn commit(
    connection: &mut PgConnection,
    (table, plan): (&Table, &Plan),
    lanes: &Lanes<'_>,
    claim: &Claim,
    unit: &Unit,
    forget: Option<Keep>,
) -> Result<CommitOutcome, CommitError> {
    check(claim, unit)?;
    let rows = RowsToWrite::of_unit(&table.target, unit)?;
    let mut transaction = begin(connection).await?;
    // Whoever lost the lane is told before all the work. From here on the lane's next owner can end this
    // transaction: what it wrote would be in the way of the same rows.
    if lanes.claimed(&mut transaction, claim).await? != Some(unit.from) {
        answered(transaction.rollback()).await?;
        return Ok(CommitOutcome::Fenced);
    }
    plan.clear(&mut transaction, unit).await?;
    let written = plan.write(&mut transaction, &rows).await?;
    if let Some(reasons) = written.too_many(unit) {
        answered(transaction.rollback()).await?;
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
        answered(transaction.rollback()).await?;
        return Ok(CommitOutcome::Fenced);
    }
    done(transaction, written.told()).await
}

async fn done(
    transaction: Transaction<'_, Postgres>,
    stored: Stored,
) -> Result<CommitOutcome, CommitError> {
    match answered(transaction.commit()).await {
        Ok(()) => Ok(CommitOutcome::Done(stored)),
        Err(fault) => Err(CommitError::Unknown(fault, stored)),
    }
}

/// What became of a commit whose answer was lost, in a transaction of its own: it waits until the one in
/// question has ended.
pub(super) async fn settle(
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    claim: &Claim,
    unit: &Unit,
) -> Result<Settled, PostgresFault> {
    Ok(match lanes.claimed(connection, claim).await? {
        Some(position) if position == unit.to => Settled::Committed,
        Some(position) if position == unit.from => Settled::Not,
        _ => Settled::Fenced,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Committed,
    Not,
    Fenced,
}

/// Letters that went through the rule again, in one transaction: all of them, or none if one is not as it
/// was read any more.
pub(super) async fn retry(
    connection: &mut PgConnection,
    (table, plan): (&Table, &Plan),
    pipeline: &str,
    retry: &Retry,
) -> Result<CommitOutcome, CommitError> {
    let rows = RowsToWrite::of_retry(&table.target, retry)?;
    let mut transaction = begin(connection).await?;
    let written = plan.write(&mut transaction, &rows).await?;
    let refused = rows.refused_again(&written);
    for (at, letter) in retry.letters.iter().enumerate() {
        let outcome = outcome(letter, refused.get(&at));
        let (id, attempts, generation) = (letter.id.as_str(), letter.attempts, retry.generation);
        let is_ours =
            letters::tried(&mut transaction, pipeline, id, attempts, generation, &outcome).await?;
        if !is_ours {
            answered(transaction.rollback()).await?;
            return Ok(CommitOutcome::Fenced);
        }
    }
    done(transaction, written.told()).await
}

/// The same as [`settle`] for letters that were tried again. All of them were, or none: one tells.
pub(super) async fn settle_retry(
    connection: &mut PgConnection,
    pipeline: &str,
    retry: &Retry,
) -> Result<Settled, PostgresFault> {
    let Some(letter) = retry.letters.first() else { return Ok(Settled::Not) };
    let standing = letters::standing(connection, pipeline, &letter.id).await?;
    Ok(match standing {
        Some((attempts, _)) if attempts == i64::from(letter.attempts) => Settled::Not,
        Some((attempts, generation))
            if attempts == i64::from(letter.attempts) + 1
                && generation == retry.generation.to_string() =>
        {
            Settled::Committed
        }
        _ => Settled::Fenced,
    })
}
