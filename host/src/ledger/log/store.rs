//! What a log is kept in, and who shows what it commits.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::fold::{LaneFold, StagedObject};
use super::keys::LogKeys;
use crate::record::{ConnectorError, DeadLetter, ErrorClass, Receipt, RowReceipt};

/// A ledger asks three things of a store: to put what is not there yet, to read, and to put a blob,
/// under a name that has one writer. Listing and deleting are for what is found by its name, or is
/// no longer needed.
#[async_trait]
pub(crate) trait LogStore: Debug + Send + Sync {
    /// Puts something under a name that has nothing yet: whole, or not at all. An error may lie.
    async fn create(&self, key: &str, body: Bytes) -> Result<(), ConnectorError>;

    async fn read(&self, key: &str) -> Result<Option<Bytes>, ConnectorError>;

    async fn put(&self, key: &str, body: Bytes) -> Result<(), ConnectorError>;

    async fn exists(&self, key: &str) -> Result<bool, ConnectorError>;

    /// The names right below a folder, of folders too; none if it is not there.
    async fn names(&self, folder: &str) -> Result<Vec<String>, ConnectorError>;

    /// All that is below a folder, in no order; none if it is not there.
    async fn entries(&self, folder: &str) -> Result<Vec<LogEntry>, ConnectorError>;

    /// Deletes what is there of these.
    async fn delete(&self, keys: Vec<String>) -> Result<(), ConnectorError>;
}

/// Something in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub key: String,
    /// When it was put last, by the store's clock.
    pub time: SystemTime,
}

/// How often a conditional put is tried. No client tries one again by itself.
pub(crate) const TRIES: u32 = 4;

/// Waits before such a put is tried once more.
pub(crate) async fn before_try(tried: u32) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(10..50) << (2 * tried))).await;
}

/// Puts what its name says: it does no harm if it is there already.
pub(crate) async fn create_once(
    store: &dyn LogStore,
    key: &str,
    body: Bytes,
) -> Result<(), ConnectorError> {
    let mut tried = 0;
    loop {
        let Err(error) = store.create(key, body.clone()).await else { return Ok(()) };
        if error.class != ErrorClass::Transient {
            return Err(error);
        }
        // No answer but success is to be believed. A client reports a conflict of two writers as
        // an object that is there, and then both may have failed.
        if store.exists(key).await? {
            return Ok(());
        }
        tried += 1;
        if tried == TRIES {
            return Err(error);
        }
        before_try(tried).await;
    }
}

/// Shows what records of a log have committed.
#[async_trait]
pub(crate) trait Publisher: Debug + Send + Sync {
    /// Brings objects that a record names to where they belong. Asked as often as it takes, by
    /// whoever has the lane; nothing is ever put over what is there.
    async fn publish(&self, objects: &[StagedObject]) -> Result<(), ConnectorError>;

    /// Something that this pipeline has shown, if there is anything: without a log, it is lost.
    async fn shown(&self) -> Result<Option<String>, ConnectorError>;
}

/// What is staged for.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub keys: &'a LogKeys,
    /// The record of the claim.
    pub claimed_by: u64,
    pub id: Uuid,
}

/// Writes what a commit brings under names that nobody reads, before the record that commits it.
#[async_trait]
pub(crate) trait Stager: Send + Sync {
    /// `lane` is where the unit's lane stands; none for letters that are tried again. After an
    /// error nothing is left, as far as the store lets us.
    async fn stage(
        &self,
        attempt: &Attempt<'_>,
        lane: Option<&LaneFold>,
    ) -> Result<Box<dyn Staged>, ConnectorError>;
}

/// What one attempt has staged.
#[async_trait]
pub(crate) trait Staged: Send + Sync {
    /// The objects as record `number` names them.
    fn objects(&self, keys: &LogKeys, number: u64) -> Vec<StagedObject>;

    /// Rows that became dead letters after all, by part.
    fn refused(&self) -> &[(usize, DeadLetter)];

    /// Of the rows that are not stored.
    fn receipts(&self) -> Vec<RowReceipt> {
        let of = |(part, letter): &(usize, DeadLetter)| RowReceipt {
            part: *part,
            record: letter.record,
            receipt: Receipt::dead(letter),
        };
        self.refused().iter().map(of).collect()
    }

    /// Takes back what no record names, nor ever will. What is left of it goes with the next claim.
    async fn discard(&self);
}
