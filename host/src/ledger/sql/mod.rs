//! The ledger in tables of a database. Statements are written once, and two dialects fill in the words that
//! PostgreSQL and SQLite have of their own.
//!
//! Every change is one transaction, which locks the lane's row from the moment at which it reads it: what
//! the model decides is still true when it is stored. Not here: how a connection is made, and the rows of
//! the target.

pub(crate) mod archive;
mod connection;
mod dialect;
pub(crate) mod lanes;
pub(crate) mod letters;
pub(crate) mod lineage;
mod members;
mod memory;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

pub(crate) use self::connection::{
    SqlConnection, SqlDatabase, SqlRow, SqlTransaction, SqlValue, values,
};
pub(crate) use self::dialect::SqlDialect;
pub(crate) use self::lanes::LaneKeys;
pub(crate) use self::memory::LedgerMemory;
use super::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, LedgerFault, Letters,
    LineageRange, Member, Members, StoredDeadLetter,
};
use crate::record::{ConnectorError, Digest, Generation, Lane, Position, SourceId};

/// The ledger of one pipeline.
#[derive(Debug)]
pub(crate) struct SqlLedger {
    database: Arc<dyn SqlDatabase>,
    keys: Arc<LaneKeys>,
    /// None for those who only look.
    source: Option<SourceId>,
    member: Uuid,
    memory: Arc<LedgerMemory>,
}

impl SqlLedger {
    pub(crate) fn new(
        database: Arc<dyn SqlDatabase>,
        keys: Arc<LaneKeys>,
        source: Option<SourceId>,
        memory: Arc<LedgerMemory>,
    ) -> Self {
        Self { database, keys, source, member: Uuid::new_v4(), memory }
    }

    fn pipeline(&self) -> &str {
        &self.keys.pipeline
    }
}

#[async_trait]
impl Claims for SqlLedger {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        let Some(decided) = decided else {
            let Some(mut look) = self.database.look().await? else {
                return Ok(None);
            };
            let stored = match look.has_table("first_run").await? {
                true => lanes::first_run(&mut *look, self.pipeline()).await?,
                false => None,
            };
            look.commit().await?;
            return Ok(stored);
        };
        let mut transaction = self.database.begin().await?;
        let stored = lanes::keep_first_run(&mut *transaction, self.pipeline(), &decided).await?;
        transaction.commit().await?;
        Ok(stored)
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let no_source = || self.database.fault(LedgerFault::NoSource);
        let source = self.source.as_ref().ok_or_else(no_source)?;
        let mut transaction = self.database.begin().await?;
        transaction.wait_for_lanes().await?;
        let by = (source, self.member);
        let claim = lanes::claim(&mut *transaction, &self.keys, by, lane, start).await?;
        for generation in self.memory.lost_with(lane, claim.position) {
            archive::keep(&mut *transaction, &generation).await?;
        }
        transaction.commit().await?;
        self.memory.note_reached(lane, claim.position);
        Ok(claim)
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        // A topic that was made anew is another place to go on at.
        if !from.is_like(&to) {
            let lane = lane.clone();
            return Err(self.database.fault(LedgerFault::backwards(lane, from, to)));
        }
        let Some(mut transaction) = self.database.change().await? else {
            return Ok(false);
        };
        transaction.wait_for_lanes().await?;
        let moved = lanes::move_lane(&mut *transaction, &self.keys, lane, (from, to)).await?;
        transaction.commit().await?;
        Ok(moved)
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let Some(mut transaction) = self.database.change().await? else {
            return Ok(false);
        };
        transaction.wait_for_lanes().await?;
        let is_there = lanes::accept_rejects(&mut *transaction, &self.keys, lane, records).await?;
        transaction.commit().await?;
        Ok(is_there)
    }

    async fn meet(&self) -> Result<(), ConnectorError> {
        let no_source = || self.database.fault(LedgerFault::NoSource);
        let source = self.source.as_ref().ok_or_else(no_source)?;
        let Some(mut look) = self.database.look().await? else {
            return Ok(());
        };
        lanes::check_identity(&mut *look, &self.keys, source).await?;
        look.commit().await
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let Some(mut transaction) = self.database.change().await? else {
            return Ok(());
        };
        lanes::note_halt(&mut *transaction, &self.keys, claim, reason).await?;
        transaction.commit().await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let lanes = lanes::all(&mut *look, &self.keys).await?;
        look.commit().await?;
        Ok(lanes)
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let pipelines = lanes::pipelines(&mut *look, &self.keys).await?;
        look.commit().await?;
        Ok(pipelines)
    }
}

#[async_trait]
impl Archive for SqlLedger {
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        let mut transaction = self.database.begin().await?;
        archive::keep(&mut *transaction, generation).await?;
        transaction.commit().await?;
        self.memory.note_kept(generation);
        Ok(())
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(None);
        };
        let found = archive::generation(&mut *look, digest).await?;
        look.commit().await?;
        Ok(found)
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        let mut transaction = self.database.begin().await?;
        archive::judge(&mut *transaction, self.pipeline(), judgement).await?;
        transaction.commit().await
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let (judgements, last) = match look.has_table("verdict").await? {
            true => archive::judgements(&mut *look, self.pipeline()).await?,
            false => (Vec::new(), 0),
        };
        look.commit().await?;
        self.memory.note_heard(last);
        Ok(judgements)
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let ranges = lineage::all(&mut *look, self.pipeline()).await?;
        look.commit().await?;
        Ok(ranges)
    }

    async fn has_committed(&self) -> Result<bool, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(false);
        };
        let has_committed = lineage::is_any(&mut *look, self.pipeline()).await?;
        look.commit().await?;
        Ok(has_committed)
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let entries = archive::journal(&mut *look, self.pipeline(), lane).await?;
        look.commit().await?;
        Ok(entries)
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let mut transaction = self.database.begin().await?;
        let appended =
            archive::append(&mut *transaction, &self.keys, claim, number, &entry).await?;
        transaction.commit().await?;
        Ok(appended)
    }
}

#[async_trait]
impl Letters for SqlLedger {
    async fn list(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let letters = letters::list(&mut *look, self.pipeline(), which).await?;
        look.commit().await?;
        Ok(letters)
    }

    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(0);
        };
        let count = letters::count(&mut *look, self.pipeline(), which).await?;
        look.commit().await?;
        Ok(count)
    }

    async fn keep_warning(&self, warning: Option<&str>) -> Result<(), ConnectorError> {
        let Some(mut transaction) = self.database.change().await? else {
            return Ok(());
        };
        letters::keep_warning(&mut *transaction, self.pipeline(), warning).await?;
        transaction.commit().await
    }

    async fn warning(&self) -> Result<Option<String>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(None);
        };
        let warning = letters::warning(&mut *look, self.pipeline()).await?;
        look.commit().await?;
        Ok(warning)
    }
}

#[async_trait]
impl Members for SqlLedger {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let mut transaction = self.database.begin().await?;
        members::beat(&mut *transaction, self.pipeline(), self.member, note).await?;
        transaction.commit().await
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        let Some(mut look) = self.database.look().await? else {
            return Ok(Vec::new());
        };
        let members = match look.has_table("member").await? {
            true => members::all(&mut *look, self.pipeline()).await?,
            false => Vec::new(),
        };
        look.commit().await?;
        Ok(members)
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        let Some(mut transaction) = self.database.change().await? else {
            return Ok(());
        };
        members::leave(&mut *transaction, self.pipeline(), self.member).await?;
        transaction.commit().await
    }
}
