//! Rows in a stream of Amazon Kinesis: each is a record, in the order of its partition key.
//!
//! A request holds one row of a key: entries of a request fail one by one, and two of a key could change
//! places. Rows are put before the ledger knows of them, so that a failure repeats them; what became of a
//! unit whose answer was lost the ledger tells. Not here: the ledger, which the pipeline names.

mod config;
mod kind;
mod put;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::config::KinesisSinkConfig;
pub use self::kind::Kinesis;
use self::put::Putter;
use self::rows::{Entries, Shape};
use crate::connect::{CommitOutcome, LedgerStore, Retry, Sink, WriteLeave, Writer};
use crate::kinesis::{KinesisError, Service};
use crate::ledger::{Claim, Ledger};
use crate::record::{ConnectorError, ErrorClass, Field, Unit};

#[derive(Debug)]
pub struct KinesisSink {
    config: KinesisSinkConfig,
    store: Arc<dyn LedgerStore>,
    service: Service,
}

#[derive(Debug, thiserror::Error)]
pub enum KinesisSinkError {
    #[error(transparent)]
    Service(#[from] KinesisError),
    #[error("rows have no column `{column}`, which `{setting}` names")]
    NoColumn { setting: &'static str, column: String },
}

impl From<KinesisSinkError> for ConnectorError {
    fn from(error: KinesisSinkError) -> Self {
        let (class, help) = match &error {
            KinesisSinkError::Service(error) => (error.class(), error.help()),
            KinesisSinkError::NoColumn { .. } => (ErrorClass::Fatal, None),
        };
        let told = Self::new(class, error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}

impl KinesisSink {
    pub async fn open(
        config: &KinesisSinkConfig,
        store: Arc<dyn LedgerStore>,
    ) -> Result<Self, KinesisSinkError> {
        let service = Service::open(&config.aws).await?;
        Ok(Self { config: config.clone(), store, service })
    }
}

#[async_trait]
impl Sink for KinesisSink {
    fn ledger(&self) -> &Ledger {
        self.store.ledger()
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        self.store.prepare().await?;
        self.service.stream(&self.config.stream).await.map_err(KinesisSinkError::from)?;
        Ok(())
    }

    async fn writer(
        &self,
        columns: Option<Arc<[Field]>>,
        _dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        let shape = Shape::new(&self.config, columns.as_deref())?;
        let putter = Putter::new(self.service.clone(), &self.config.stream);
        Ok(Arc::new(KinesisWriter { store: Arc::clone(&self.store), shape, putter }))
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.close().await
    }
}

/// Puts rows of given columns.
#[derive(Debug)]
struct KinesisWriter {
    store: Arc<dyn LedgerStore>,
    shape: Shape,
    putter: Putter,
}

#[async_trait]
impl Writer for KinesisWriter {
    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        let mut entries = Entries::default();
        for (at, part) in unit.parts.iter().enumerate() {
            self.shape.push(&mut entries, at, &unit.lane, part);
        }
        let Entries { rows, refused } = entries;
        match self.store.leave(claim, unit).await? {
            WriteLeave::Fenced => return Ok(CommitOutcome::Fenced),
            WriteLeave::Condemned => return Ok(CommitOutcome::Condemned),
            WriteLeave::Write if refused.len() as u64 <= unit.refusals_max => {
                self.putter.put(rows).await.map_err(KinesisSinkError::from)?;
            }
            // Nothing is to be put: it was done, or too much is refused.
            WriteLeave::Write | WriteLeave::Committed => {}
        }
        self.store.commit(claim, unit, &refused).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        let mut entries = Entries::default();
        for (at, letter) in retry.letters.iter().enumerate() {
            self.shape.push(&mut entries, at, &letter.lane, &letter.part);
        }
        let Entries { rows, refused } = entries;
        self.putter.put(rows).await.map_err(KinesisSinkError::from)?;
        self.store.commit_retry(retry, &refused).await
    }
}
