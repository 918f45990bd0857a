//! What librdkafka calls us for: what every client says, and partitions that come and go.

use std::error::Error;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::lanes::Lanes;
use crate::kafka::Talk;

/// A member of the group.
pub(super) type Client = BaseConsumer<Context>;

#[derive(Debug)]
pub(super) struct Context {
    pub talk: Talk,
    pub lanes: Arc<Lanes>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.talk.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.talk.error(error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.talk.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        client: &Client,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.talk.trouble.is_over();
                self.lanes.assigned(client, partitions);
            }
            _ => self.lanes.revoked(client, partitions),
        }
    }

    fn commit_callback(&self, committed: Result<(), KafkaError>, _partitions: &TopicPartitionList) {
        match committed {
            Ok(()) => self.talk.trouble.is_over(),
            Err(error) => {
                tracing::debug!("the hint of how far lanes have come was not taken: {error}");
            }
        }
    }
}
