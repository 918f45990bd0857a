//! A unit in one transaction: rows, dead letters, lineage, and the lane's position last. The same for every
//! database; what differs is how rows are written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ConstantBuilder, Retryable as _};
use uuid::Uuid;

use super::commit::{RowsToWrite, Written, died};
use super::key::KeyForm;
use super::lanes::{KnownSources, RowLanes};
use super::meaning::Meaning;
use super::{Forgetting, Keep, TableFault, Target};
use crate::connect::{CommitOutcome, Retry, Stored};
use crate::ledger::Claim;
use crate::ledger::model::check_unit;
use crate::ledger::sql::letters::TriedLetter;
use crate::ledger::sql::{
    LaneKeys, LedgerMemory, SqlConnection, SqlDatabase, archive, lanes, letters, lineage, values,
};
use crate::record::{ConnectorError, Digest, ErrorClass, Lane, Position, Unit};

/// How long a commit asks what became of it, before it says that it does not know: servers start again
/// within such a time.
const SETTLE_EVERY: Duration = Duration::from_millis(500);
const SETTLE_TIMES: usize = 60;

/// What all writers of a process have in common.
#[derive(Debug)]
pub(crate) struct TableState {
    pub(crate) memory: Arc<LedgerMemory>,
    sources: KnownSources,
    forgetting: Forgetting,
    unsettled: Mutex<HashMap<Lane, UnsettledUnit>>,
}

/// A unit of which nobody could say whether it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnsettledUnit {
    token: Uuid,
    from: Position,
    to: Position,
    generation: Digest,
    stored: Stored,
}

impl TableState {
    pub(crate) fn new(keep: Keep) -> Self {
        let (memory, sources, unsettled) = Default::default();
        Self { memory, sources, forgetting: Forgetting::new(keep), unsettled }
    }

    pub(crate) fn note_unsettled(&self, claim: &Claim, unit: &Unit, stored: Stored) {
        let Unit { from, to, generation, .. } = *unit;
        let unsettled = UnsettledUnit { token: claim.token, from, to, generation, stored };
        self.unsettled().insert(claim.lane.clone(), unsettled);
    }

    /// What a unit came to that is offered again, if it turns out that it was committed: the lane, which is
    /// still this claim's, stands at its end.
    fn settled(&self, claim: &Claim, unit: &Unit, position: Position) -> Option<Stored> {
        let it = self.unsettled().remove(&claim.lane)?;
        let is_it = (it.token, it.from, it.to, it.generation)
            == (claim.token, unit.from, unit.to, unit.generation);
        (is_it && position == unit.to).then_some(it.stored)
    }

    fn unsettled(&self) -> MutexGuard<'_, HashMap<Lane, UnsettledUnit>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How rows get into a table of one database, in the middle of a transaction.
#[async_trait]
pub(crate) trait TableTransaction: SqlConnection {
    /// Before what takes its place is written.
    async fn clear(&mut self, unit: &Unit, lanes: &RowLanes) -> Result<(), ConnectorError>;

    async fn write(&mut self, rows: &RowsToWrite<'_>) -> Result<Written, ConnectorError>;

    async fn forget_deletes(&mut self, keep: Duration) -> Result<(), ConnectorError>;

    async fn roll_back(self: Box<Self>) -> Result<(), ConnectorError>;

    /// After an error it is not known whether it was committed.
    async fn commit(self: Box<Self>) -> Result<(), ConnectorError>;
}

#[async_trait]
pub(crate) trait TableWriter: Send + Sync {
    fn target(&self) -> &Target;

    /// How the table compares the columns of its key, in their order.
    async fn key_forms(&self) -> Result<Vec<KeyForm>, ConnectorError>;

    fn keys(&self) -> &LaneKeys;

    fn state(&self) -> &TableState;

    fn database(&self) -> &dyn SqlDatabase;

    fn table_fault(&self, fault: TableFault) -> ConnectorError;

    async fn begin(&self) -> Result<Box<dyn TableTransaction + '_>, ConnectorError>;
}

/// How far a transaction came.
enum Attempt {
    /// What is left is to commit it.
    Ready(Stored),
    Over(CommitOutcome),
}

pub(crate) async fn commit(
    writer: &dyn TableWriter,
    claim: &Claim,
    unit: &Unit,
) -> Result<CommitOutcome, ConnectorError> {
    let outcome = committed(writer, claim, unit).await?;
    if let CommitOutcome::Done(_) = &outcome {
        writer.state().memory.note_reached(&unit.lane, unit.to);
    }
    Ok(outcome)
}

async fn committed(
    writer: &dyn TableWriter,
    claim: &Claim,
    unit: &Unit,
) -> Result<CommitOutcome, ConnectorError> {
    check_unit(claim, unit).map_err(|fault| writer.database().fault(fault))?;
    let rows = RowsToWrite::of_unit(writer.target(), &writer.key_forms().await?, unit);
    let mut rows = rows.map_err(|fault| writer.table_fault(fault))?;
    let mut transaction = writer.begin().await?;
    match write_unit(writer, &mut *transaction, &mut rows, claim, unit).await? {
        Attempt::Over(outcome) => {
            transaction.roll_back().await?;
            Ok(outcome)
        }
        Attempt::Ready(stored) => {
            let Err(error) = transaction.commit().await else {
                return Ok(CommitOutcome::Done(stored));
            };
            match settled(|| settle_unit(writer, claim, unit)).await {
                Some(Settled::Committed) => Ok(CommitOutcome::Done(stored)),
                Some(Settled::Fenced) => Ok(CommitOutcome::Fenced),
                Some(Settled::Not) => Err(error),
                None => {
                    writer.state().note_unsettled(claim, unit, stored);
                    Err(error)
                }
            }
        }
    }
}

async fn write_unit(
    writer: &dyn TableWriter,
    transaction: &mut dyn TableTransaction,
    rows: &mut RowsToWrite<'_>,
    claim: &Claim,
    unit: &Unit,
) -> Result<Attempt, ConnectorError> {
    let (keys, state) = (writer.keys(), writer.state());
    // Whoever lost the lane is told before all the work. From here on the lane's next owner can end this
    // transaction: what it wrote would be in the way of the same rows.
    let Some(lane) = lanes::claimed(transaction, keys, claim).await? else {
        return Ok(Attempt::Over(CommitOutcome::Fenced));
    };
    if lane.position != unit.from {
        let settled = state.settled(claim, unit, lane.position);
        return Ok(Attempt::Over(settled.map_or(CommitOutcome::Fenced, CommitOutcome::Done)));
    }
    // A verdict that is stored after this is one on what was committed before it.
    let heard = state.memory.heard();
    if archive::is_condemned(transaction, &keys.pipeline, unit.generation, heard).await? {
        return Ok(Attempt::Over(CommitOutcome::Condemned));
    }
    check_versions(writer, transaction).await?;
    rows.lanes = RowLanes::of_unit(transaction, keys, &state.sources, unit).await?;
    transaction.clear(unit, &rows.lanes).await?;
    let written = transaction.write(rows).await?;
    if let Some(reasons) = written.too_many(unit) {
        return Ok(Attempt::Over(CommitOutcome::Refused(reasons)));
    }
    let dead = rows.letters(unit, &written);
    letters::add(transaction, &keys.pipeline, unit.generation, &dead).await?;
    if let Some(Keep { letters, deletes }) = state.forgetting.due() {
        if let Some(keep) = letters {
            letters::forget(transaction, &keys.pipeline, keep).await?;
        }
        transaction.forget_deletes(deletes).await?;
    }
    lineage::add(transaction, keys, unit, written.sums(unit)).await?;
    let owned = (claim, lane);
    if !lanes::advance(transaction, keys, owned, unit, written.rejects(unit)).await? {
        return Ok(Attempt::Over(CommitOutcome::Fenced));
    }
    Ok(Attempt::Ready(rows.told(unit, &written)))
}

/// Somebody may have made the versions of all rows anew since this process began.
async fn check_versions(
    writer: &dyn TableWriter,
    transaction: &mut dyn TableTransaction,
) -> Result<(), ConnectorError> {
    let Some(meaning) = Meaning::of(writer.target()) else { return Ok(()) };
    let table = writer.keys().target();
    let stored = "SELECT value FROM pinhost.meta WHERE name = $1";
    let transaction: &mut dyn SqlConnection = transaction;
    let stored = transaction.row(stored, values![Meaning::name(table)]).await?;
    let Some(stored) = stored.map(|row| row.some_text(0)).transpose()? else { return Ok(()) };
    match meaning.is(&stored) {
        true => Ok(()),
        false => Err(writer.table_fault(meaning.refusal(table, &stored))),
    }
}

/// Letters that went through the rule again, in one transaction: all of them, or none if one is not as it was
/// read any more.
pub(crate) async fn commit_retry(
    writer: &dyn TableWriter,
    retry: &Retry,
) -> Result<CommitOutcome, ConnectorError> {
    let rows = RowsToWrite::of_retry(writer.target(), &writer.key_forms().await?, retry);
    let mut rows = rows.map_err(|fault| writer.table_fault(fault))?;
    let mut transaction = writer.begin().await?;
    let (keys, sources) = (writer.keys(), &writer.state().sources);
    check_versions(writer, &mut *transaction).await?;
    rows.lanes = RowLanes::of_retry(&mut *transaction, keys, sources, retry).await?;
    let written = transaction.write(&rows).await?;
    let refused = rows.refused_again(&written);
    for (at, letter) in retry.letters.iter().enumerate() {
        let tried = TriedLetter {
            id: &letter.id,
            attempts: letter.attempts,
            generation: retry.generation,
            died: died(letter, refused.get(&at)),
        };
        if !letters::tried(&mut *transaction, &writer.keys().pipeline, &tried).await? {
            transaction.roll_back().await?;
            return Ok(CommitOutcome::Fenced);
        }
    }
    let Err(error) = transaction.commit().await else {
        return Ok(CommitOutcome::Done(written.told()));
    };
    match settled(|| settle_retry(writer, retry)).await {
        Some(Settled::Committed) => Ok(CommitOutcome::Done(written.told())),
        Some(Settled::Fenced) => Ok(CommitOutcome::Fenced),
        Some(Settled::Not) | None => Err(error),
    }
}

/// What became of a commit whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Committed,
    Not,
    Fenced,
}

/// Asks until there is an answer; none if there is none for long: no harm is done, as what is offered again
/// meets what is stored.
async fn settled<F: Future<Output = Result<Settled, ConnectorError>>>(
    ask: impl Fn() -> F,
) -> Option<Settled> {
    let wait = ConstantBuilder::new().with_delay(SETTLE_EVERY).with_max_times(SETTLE_TIMES);
    let asked = ask.retry(wait).when(|error| error.class == ErrorClass::Transient).await;
    asked.ok()
}

/// In a transaction of its own: it waits until the one in question has ended.
async fn settle_unit(
    writer: &dyn TableWriter,
    claim: &Claim,
    unit: &Unit,
) -> Result<Settled, ConnectorError> {
    let mut transaction = writer.database().begin().await?;
    transaction.wait_for_lanes().await?;
    let lane = lanes::claimed(&mut *transaction, writer.keys(), claim).await?;
    transaction.commit().await?;
    Ok(match lane {
        Some(lane) if lane.position == unit.to => Settled::Committed,
        Some(lane) if lane.position == unit.from => Settled::Not,
        _ => Settled::Fenced,
    })
}

/// All letters were tried, or none: one tells.
async fn settle_retry(writer: &dyn TableWriter, retry: &Retry) -> Result<Settled, ConnectorError> {
    let Some(letter) = retry.letters.first() else {
        return Ok(Settled::Not);
    };
    let mut transaction = writer.database().begin().await?;
    let pipeline = &writer.keys().pipeline;
    let standing = letters::standing(&mut *transaction, pipeline, &letter.id).await?;
    transaction.commit().await?;
    let before = i64::from(letter.attempts);
    Ok(match standing {
        Some((attempts, _)) if attempts == before => Settled::Not,
        Some((attempts, generation))
            if attempts == before + 1 && generation == retry.generation.to_string() =>
        {
            Settled::Committed
        }
        _ => Settled::Fenced,
    })
}
