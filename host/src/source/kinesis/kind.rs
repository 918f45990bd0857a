//! `kinesis`, as one of the kinds of sources.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use glob::Pattern;
use schemars::{Schema, SchemaGenerator};

use super::{KinesisSource, KinesisSourceConfig};
use crate::connect::{
    ConfigFile, Ends, Positions, SourceConfig, SourceFacts, SourceKind, Spread, Surrounding,
    Surroundings,
};
use crate::kinesis::{check_aws, check_stream};
use crate::record::ConnectorError;
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written};

/// A shard answers no more often than five times a second.
const POLL_MIN: Duration = Duration::from_millis(200);
const SESSION_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Kinesis;

impl SourceKind for Kinesis {
    fn key(&self) -> &'static str {
        "kinesis"
    }

    fn summary(&self) -> &'static str {
        "Streams of Amazon Kinesis"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<KinesisSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<KinesisSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for KinesisSourceConfig {
    fn facts(&self) -> SourceFacts {
        use Surrounding::{Key, Sequence, Shard, Timestamp, Topic};
        SourceFacts {
            positions: Positions::Kept,
            surroundings: Surroundings {
                always: &[Key, Timestamp, Topic, Sequence, Shard],
                in_archives: &[],
            },
            reopens: true,
            is_awaited: false,
            has_tombstones: false,
            ends: Ends::Never,
            spread: Spread::ByMembers { session: self.session_timeout.0 },
            group: None,
            unwrap: self.unwrap.clone(),
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        let streams = at.key("streams");
        if self.streams.is_empty() {
            found.push(streams.finding("here should be a stream").help("like [posts]"));
        }
        let mut seen = HashSet::new();
        for (index, stream) in self.streams.iter().enumerate() {
            let at = streams.item(index);
            if !seen.insert(stream) {
                found.push(at.finding(format!("stream `{stream}` is named twice")));
            }
            check_stream(stream, at, found);
        }
        if let Some(only) = &self.only
            && let Err(fault) = Pattern::new(&only.key)
        {
            let at = at.key("only").key("key");
            let told = at.finding(format!("this is no pattern: {}", fault.msg));
            found.push(told.help("patterns are written like streaming-*-pin"));
        }
        if self.poll.0 < POLL_MIN {
            let told = at.key("poll").finding("a shard answers at most five times a second");
            found.push(told.help("200ms or longer; 1s leaves room for other readers"));
        }
        if self.session_timeout.0 < SESSION_MIN {
            let told = at.key("session_timeout").finding("`session_timeout` is too short");
            found.push(told.help("1s or longer: processes beat four times in it"));
        }
        check_aws(&self.aws, at.key("aws"), found);
    }

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(KinesisSource::open(self, options).await?))
    }
}
