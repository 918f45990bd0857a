//! Which records of the past a command is about.

use clap::Args;
use jiff::Timestamp;

use super::{CliError, sinks};
use crate::objects::{Compression, ObjectSet, S3Config};
use crate::pipeline::Pipeline;
use crate::record::ConnectorError;
use crate::source::objects::{Changed, ObjectsSourceConfig, ObjectsSourceError, Times};
use crate::written::Duration;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only objects whose key below the URL matches, like **/*.json.
    #[arg(long = "match", value_name = "GLOB")]
    pub matching: Option<String>,
    /// The archive that the records are a part of, if that begins above `--from`: its indexes tell
    /// what they were.
    #[arg(long, value_name = "URL")]
    archive: Option<String>,
    /// Only records of this time and later, like 2024-01-31T00:00:00Z: the record's own time in an archive,
    /// elsewhere that of its object.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Only records before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// The server of the bucket, if it is not that of AWS.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region of the bucket.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
}

impl HistoryArgs {
    /// Of the pipeline's own source, only what decides a row is kept.
    pub fn source(&self, from: &str, pipeline: &Pipeline) -> ObjectsSourceConfig {
        let objects = ObjectSet {
            url: from.to_owned(),
            s3: S3Config {
                endpoint: self.endpoint.clone(),
                region: self.region.clone(),
                ..S3Config::default()
            },
            archive: self.archive.clone(),
            matching: None,
            compression: Compression::Auto,
            settle: Duration::secs(0),
        };
        self.source_of(objects, pipeline)
    }

    /// The same of objects that the pipeline itself reads.
    pub fn source_of(&self, objects: ObjectSet, pipeline: &Pipeline) -> ObjectsSourceConfig {
        let ObjectSet { url, s3, archive, matching, compression, settle } = objects;
        ObjectsSourceConfig {
            url,
            s3,
            archive,
            matching: self.matching.clone().or(matching),
            compression,
            unwrap: pipeline.source.unwrap(),
            changed: Changed::Report,
            settle,
            poll: Duration::secs(10),
        }
    }

    pub fn times(&self) -> Times {
        let micros = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
        Times { since: micros(self.since), until: micros(self.until) }
    }
}

/// Why there is no history: it was named by `--from`, not in a pipeline's file.
pub(super) fn told(error: ObjectsSourceError) -> CliError {
    let is_misnamed =
        matches!(error, ObjectsSourceError::Missing { .. } | ObjectsSourceError::Own { .. });
    let told = sinks::told(ConnectorError::from(error));
    if is_misnamed {
        return told.help("`--from` takes a folder that is there, or s3://BUCKET/PREFIX");
    }
    told
}
