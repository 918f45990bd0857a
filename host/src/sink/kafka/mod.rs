//! Rows as messages of Kafka topics, exactly once for whoever reads committed messages.
//!
//! ```text
//! <topic>                       rows
//! pinhost.<pipeline>            the ledger: one partition, compacted, read from its beginning
//! pinhost.<pipeline>.dead-letters  dead letters, for whoever wants to read them
//! ```
//!
//! A lane has a transactional producer of its own. A unit is one transaction: its rows, its dead letters, its
//! lineage, and last the lane's position, which is an entry of the ledger. A claim is an entry too, and where a
//! lane stands is what the ledger says once that very entry is read, committed entries only: by then every
//! transaction that began before it has ended. Opening the producer of a lane fences whoever had it; so what a
//! pipeline reads and writes is compared before. If the answer to a commit is lost, the producer is thrown away,
//! and the lane is claimed again to see how it ended.
//!
//! What has to outlive compaction has a key of its own: `verdict/<digest>/<verdict>`, `letter/<id>/<piece>` and
//! `letter-state/<id>`; where the first of several counts, as of identities and first runs, each has its own key,
//! and the one with the lowest offset counts.
//!
//! Known limits: headers whose names are not UTF-8 are written with replacement characters. Brokers without topic
//! ids cannot tell a topic from one that was made anew. More partitions in a target move keys, and lanes without
//! keys, to other partitions once the process starts again.

mod check;
mod commit;
mod config;
mod entry;
mod error;
mod image;
mod kind;
mod lane;
mod ledger;
mod letters;
mod messages;
mod notes;
mod orphans;
mod producer;
mod reader;
mod request;
mod retry;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::config::{
    KafkaCompression, KafkaSinkConfig, RoutedTopic, TargetPartition, TargetTopic, TopicOrigin,
};
pub use self::error::KafkaSinkError;
pub use self::kind::Kafka;
use self::ledger::KafkaLedger;
use crate::connect::{CommitOutcome, Retry, Sink, SinkContext, Writer};
use crate::ledger::{Claim, Ledger};
use crate::record::{Batch, ConnectorError, Field, Rows, Unit};

#[derive(Debug)]
pub struct KafkaSink {
    lanes: Arc<KafkaLedger>,
    ledger: Ledger,
}

/// Writes rows, whatever columns they have.
#[derive(Debug)]
struct KafkaWriter {
    lanes: Arc<KafkaLedger>,
}

impl KafkaSink {
    /// Talks to nobody yet.
    pub fn open(config: &KafkaSinkConfig, context: SinkContext) -> Result<Self, KafkaSinkError> {
        let lanes = KafkaLedger::open(config, context)?;
        let ledger = Ledger::of(&lanes);
        Ok(Self { lanes, ledger })
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        self.lanes.topics.prepare().await?;
        self.lanes.access().await?;
        Ok(())
    }

    async fn writer(
        &self,
        _columns: Option<Arc<[Field]>>,
        _dry: bool,
    ) -> Result<Arc<dyn Writer>, ConnectorError> {
        // They have to be there: nothing is made.
        self.lanes.topics.targets(std::time::Duration::ZERO).await?;
        Ok(Arc::new(KafkaWriter { lanes: Arc::clone(&self.lanes) }))
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.lanes.close_all();
        Ok(())
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    fn encode(&self, rows: Batch) -> Rows {
        Rows::Bytes(messages::encode(rows))
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<CommitOutcome, ConnectorError> {
        Ok(self.lanes.commit_unit(claim, unit).await?)
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
        Ok(self.lanes.commit_letters(retry).await?)
    }
}
