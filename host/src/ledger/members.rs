//! The processes that run a pipeline, where no group outside says whose each lane is.
//!
//! Each has one heartbeat in the ledger, by the store's clock: clocks of processes may differ. Nothing that
//! protects rows rests on it; claims alone do.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::record::ConnectorError;

/// A process that has told that it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: Uuid,
    /// Since its last beat, by the store's clock.
    pub age: Duration,
    /// What it told the others with that beat.
    pub note: String,
}

#[async_trait]
pub trait Members: Debug + Send + Sync {
    /// Under which this process beats, and which its claims name. Another one for each sink that is opened.
    fn own_id(&self) -> Uuid;

    /// This process is alive. One row per process: the last beat counts.
    async fn beat(&self, note: &str) -> Result<(), ConnectorError>;

    /// All that have beaten and not left, by id; those that are long gone may be missing.
    async fn members(&self) -> Result<Vec<Member>, ConnectorError>;

    /// This process ends.
    async fn leave(&self) -> Result<(), ConnectorError>;
}
