//! A unit in one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::SqliteFault;
use super::lane::Lanes;
use super::letters::{self, NewLetter, Outcome};
use super::lineage;
use super::rows::{Candidates, RowAt, RowPart};
use super::session::Session;
use super::table::Table;
use super::write::Written;
use crate::record::{DeadLetter, Unit, UnitPart};
use crate::sink::{Claim, Committed, LineageSums, RetriedLetter, Retry, Stored};

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

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error.into())
    }
}

pub(super) async fn commit(
    session: &mut Session,
    table: &Table,
    lanes: &Lanes<'_>,
    claim: &Claim,
    unit: &Unit,
    forget: Option<Duration>,
) -> Result<Committed, CommitError> {
    check(claim, unit)?;
    let plan = session.plan(table).await?;
    let mut transaction = session.begin().await?;
    if lanes.claimed(&mut transaction, claim).await? != Some(unit.from) {
        transaction.rollback().await?;
        return Ok(Committed::Fenced);
    }

    let parts = parts(table, unit.parts.iter().map(|part| (&unit.lane, part)))?;
    let candidates = Candidates::new(table, &parts);
    let mut written = plan.write(&mut transaction, &parts, &candidates).await?;
    let stored = stored(&mut written, &candidates);

    let mut dead = Vec::new();
    for part in &unit.parts {
        let new = |letter: &DeadLetter| NewLetter {
            lane: &unit.lane,
            raw: &part.raw,
            letter: letter.clone(),
        };
        dead.extend(part.dead_letters.iter().map(new));
    }
    for (at, reason) in &written.refused {
        let letter = refused(&parts, *at, reason);
        dead.push(NewLetter { lane: &unit.lane, raw: &unit.parts[at.part].raw, letter });
    }
    letters::add(&mut transaction, lanes.pipeline, unit.generation, &dead).await?;
    if let Some(keep) = forget {
        letters::forget(&mut transaction, lanes.pipeline, keep).await?;
    }

    let sums = LineageSums {
        read: unit.records(),
        stored: stored.rows,
        superseded: stored.superseded,
        dropped: unit.dropped(),
        dead: dead.len() as u64,
    };
    lineage::add(&mut transaction, lanes, unit, sums).await?;

    if !lanes.advance(&mut transaction, claim, unit).await? {
        transaction.rollback().await?;
        return Ok(Committed::Fenced);
    }
    match transaction.commit().await {
        Ok(()) => Ok(Committed::Done(stored)),
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
) -> Result<Committed, SqliteFault> {
    let mut transaction = session.begin().await?;
    let position = lanes.claimed(&mut transaction, claim).await?;
    transaction.rollback().await?;
    match position {
        Some(position) if position == unit.from && position != unit.to => Err(error),
        Some(position) if position == unit.to => Ok(Committed::Done(stored)),
        _ => Ok(Committed::Fenced),
    }
}

/// Letters that went through the rule again, in one transaction: all of them, or none if one is not as it
/// was read any more.
pub(super) async fn retry(
    session: &mut Session,
    table: &Table,
    pipeline: &str,
    retry: &Retry,
) -> Result<Committed, SqliteFault> {
    let plan = session.plan(table).await?;
    let mut transaction = session.begin().await?;
    let letters = &retry.letters;
    let parts = parts(table, letters.iter().map(|letter| (&letter.lane, &letter.part)))?;
    let candidates = Candidates::new(table, &parts);
    let mut written = plan.write(&mut transaction, &parts, &candidates).await?;
    let stored = stored(&mut written, &candidates);

    let refused: BTreeMap<usize, DeadLetter> = written
        .refused
        .iter()
        .map(|(at, reason)| (at.part, refused(&parts, *at, reason)))
        .collect();
    for (at, RetriedLetter { id, attempts, part, .. }) in letters.iter().enumerate() {
        let dead = refused.get(&at).or(part.dead_letters.first());
        let outcome = dead.map_or(Outcome::Settled, Outcome::Dead);
        let (id, generation) = (id.as_str(), retry.generation);
        let is_ours =
            letters::tried(&mut transaction, pipeline, id, *attempts, generation, &outcome).await?;
        if !is_ours {
            transaction.rollback().await?;
            return Ok(Committed::Fenced);
        }
    }
    transaction.commit().await?;
    Ok(Committed::Done(stored))
}

/// Our own bugs, before they are written for good.
fn check(claim: &Claim, unit: &Unit) -> Result<(), SqliteFault> {
    let Unit { lane, from, to, .. } = unit;
    let (lane, from, to) = (lane.clone(), *from, *to);
    if claim.lane != lane {
        return Err(SqliteFault::OtherLane { unit: lane, claim: claim.lane.clone() });
    }
    if !from.is_comparable(&to) || from.order() > to.order() {
        return Err(SqliteFault::Backwards { lane, from, to });
    }
    if !unit.is_balanced() {
        let sums = format!(
            "{} read, {} rows, {} dropped, {} dead letters",
            unit.records(),
            unit.rows(),
            unit.dropped(),
            unit.dead_letters()
        );
        return Err(SqliteFault::Unbalanced { lane, from, to, sums });
    }
    Ok(())
}

fn parts<'a>(
    table: &Table,
    parts: impl Iterator<Item = (&'a crate::record::Lane, &'a UnitPart)>,
) -> Result<Vec<RowPart<'a>>, SqliteFault> {
    parts.map(|(lane, part)| RowPart::new(table, lane, part)).collect()
}

/// All refusals together, and what the runtime is told.
fn stored(written: &mut Written, candidates: &Candidates) -> Stored {
    written.refused.extend(candidates.refused.iter().cloned());
    let mut refused = BTreeMap::new();
    for (_, reason) in &written.refused {
        *refused.entry(reason.clone()).or_default() += 1;
    }
    Stored { rows: written.stored, superseded: written.superseded, refused }
}

fn refused(parts: &[RowPart], at: RowAt, reason: &str) -> DeadLetter {
    let record = parts[at.part].origin(at.row);
    DeadLetter { record, step: None, reason: reason.to_owned(), detail: None }
}
