//! Which promise is in force for a pipeline, and why.

use std::fmt;

use super::Pipeline;
use super::config::{PostgresSinkConfig, SinkConfig, SourceConfig, SqliteSinkConfig};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// `exactly once, because …`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    pub guarantee: Guarantee,
    pub because: &'static str,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guarantee = match self.guarantee {
            Guarantee::ExactlyOnce => "exactly once",
            Guarantee::AtLeastOnce => "at least once",
        };
        write!(f, "{guarantee}, because {}", self.because)
    }
}

impl Pipeline {
    pub fn delivery(&self) -> Delivery {
        delivery(&self.source, &self.sink)
    }
}

fn delivery(source: &SourceConfig, sink: &SinkConfig) -> Delivery {
    let at_least_once = |because| Delivery { guarantee: Guarantee::AtLeastOnce, because };
    let exactly_once = |because| Delivery { guarantee: Guarantee::ExactlyOnce, because };
    match (source, sink) {
        (_, SinkConfig::Stdout(_)) => {
            at_least_once("stdout keeps no position: each run starts anew")
        }
        (
            SourceConfig::Stdin(_),
            SinkConfig::Postgres(PostgresSinkConfig { key, .. })
            | SinkConfig::Sqlite(SqliteSinkConfig { key, .. }),
        ) if !key.is_empty() => {
            at_least_once("stdin has no position; a row given again takes its own place by its key")
        }
        (
            SourceConfig::Stdin(_),
            SinkConfig::Postgres(_) | SinkConfig::Sqlite(_) | SinkConfig::Objects(_),
        ) => at_least_once("stdin has no position: what is given again is stored again"),
        (
            SourceConfig::Generate(_) | SourceConfig::Kafka(_) | SourceConfig::Objects(_),
            SinkConfig::Postgres(_) | SinkConfig::Sqlite(_),
        ) => exactly_once("rows and position are committed in one transaction"),
        (
            SourceConfig::Generate(_) | SourceConfig::Kafka(_) | SourceConfig::Objects(_),
            SinkConfig::Objects(_),
        ) => exactly_once("one log record publishes the rows and moves the position"),
    }
}
