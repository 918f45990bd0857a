//! Reads records for commands that only look: from a sample, or from a pipeline's own source. Nothing is
//! claimed, and no position is kept.

use std::fmt::Write as _;
use std::path::{Path, absolute};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use tempfile::TempDir;

use super::{CliError, sinks};
use crate::connect::PipelineSource;
use crate::pipeline::Pipeline;
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Lane, Position, RawBatch};
use crate::run::BATCH;
use crate::source::{Journal, Known, LaneChange, Most, Source, SourceOptions};
use crate::written::quoted;

/// What is looked at is held in memory.
const BYTES_MAX: usize = 64 << 20;

/// How long a source may be silent before its records count as read.
const PATIENCE: Duration = Duration::from_secs(15);

/// How to reach the bucket that a sample names.
#[derive(Debug, Args)]
pub(super) struct BucketArgs {
    /// The server of the bucket, if it is not that of AWS.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region of the bucket.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
}

/// What a sample can be, for help texts.
pub(super) const SAMPLES: &str = "\
A sample is a file or a folder of JSON records (one after the other or in an array, plain, gzip or
zstd), a bucket (s3://BUCKET/PREFIX), a topic (kafka://BROKER:9092/TOPIC), or - for the standard
input.";

/// A journal for a reader that nobody continues.
#[derive(Debug)]
pub(super) struct Forgetful;

#[async_trait]
impl Journal for Forgetful {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn append(&self, _number: u64, _entry: Bytes) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// The `source:` of a pipeline that reads the sample, for a file that lies in `folder`.
pub(super) fn source_text(
    sample: &str,
    bucket: &BucketArgs,
    folder: Option<&Path>,
    unwrap: Option<&str>,
) -> Result<String, CliError> {
    let mut text = match sample.split_once("://") {
        Some(("kafka", place)) => kafka(place)?,
        Some(_) => objects(sample, bucket),
        None if sample == "-" => "stdin:\n".to_owned(),
        None => objects(&path(sample, folder)?, bucket),
    };
    match unwrap {
        Some(member) => {
            let _ = writeln!(text, "  # The record stands in this member of each object:");
            let _ = writeln!(text, "  unwrap: {}", quoted(member));
        }
        None if text == "stdin:\n" => "stdin: {}\n".clone_into(&mut text),
        None => {}
    }
    let lines = text.lines().map(|line| format!("  {line}\n"));
    Ok(format!("source:\n{}", lines.collect::<String>()))
}

fn kafka(place: &str) -> Result<String, CliError> {
    match place.split_once('/') {
        Some((brokers, topic)) if !brokers.is_empty() && !topic.is_empty() => {
            Ok(format!("kafka:\n  brokers: {}\n  topics: [{}]\n", quoted(brokers), quoted(topic)))
        }
        _ => Err(CliError::input(format!("`kafka://{place}` names no broker and topic"))
            .help("they are written as kafka://localhost:9092/orders")),
    }
}

fn objects(url: &str, bucket: &BucketArgs) -> String {
    let mut text = format!("objects:\n  url: {}\n", quoted(&url.replace("${", "$${")));
    let settings = [("endpoint", &bucket.endpoint), ("region", &bucket.region)];
    let settings = settings
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}", quoted(value.as_ref()?))));
    let settings: Vec<_> = settings.collect();
    if !settings.is_empty() {
        let _ = writeln!(text, "  s3: {{ {} }}", settings.join(", "));
    }
    text
}

/// The path as it is written in a file in that folder.
fn path(sample: &str, folder: Option<&Path>) -> Result<String, CliError> {
    let missing = |error: &std::io::Error| {
        CliError::io(format!("there is no sample {sample}"), error).help(SAMPLES)
    };
    let whole = Path::new(sample).canonicalize().map_err(|error| missing(&error))?;
    let Some(folder) = folder else { return Ok(whole.to_string_lossy().into_owned()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // A folder that is yet to be made has no other name.
    let folder = folder.canonicalize().or_else(|_| absolute(folder));
    let beside = folder.ok().and_then(|folder| whole.strip_prefix(folder).ok());
    Ok(match beside {
        Some(beside) => format!("./{}", beside.display()),
        None => whole.to_string_lossy().into_owned(),
    })
}

/// Loads a pipeline from this `source:` to the standard output.
pub(super) fn pipeline(
    folder: &TempDir,
    source: &str,
    rule: Option<&Path>,
    sandbox: &Sandbox,
) -> Result<Pipeline, CliError> {
    let file = folder.path().join("sample.yaml");
    let rule = rule.map(|rule| format!("rule: {}\n", quoted(&rule.to_string_lossy())));
    let rule = rule.unwrap_or_default();
    let text = format!("name: sample\n{source}{rule}sink:\n  stdout: {{}}\n");
    std::fs::write(&file, text)
        .map_err(|error| CliError::io("a temporary file cannot be written", &error))?;
    Ok(Pipeline::load(&file, sandbox)?)
}

pub(super) fn temporary() -> Result<TempDir, CliError> {
    tempfile::Builder::new()
        .prefix("pinhost-")
        .tempdir()
        .map_err(|error| CliError::io("there is no place for temporary files", &error))
}

/// The first records, at most `records_max`, in equal shares from all lanes.
pub(super) async fn read(
    source: &PipelineSource,
    options: &SourceOptions,
    records_max: usize,
) -> Result<Vec<RawBatch>, CliError> {
    let source = source.open_aside(options).await.map_err(sinks::told)?;
    source.identity().await.map_err(sinks::told)?;
    let outset = source.resume(&Known::default()).await.map_err(sinks::told)?;
    let mut looked = Looking { batches: Vec::new(), records: 0, bytes: 0 };
    // Where nobody knows how many lanes there are, the source says when there is no other.
    let lanes = Some(outset.ends.len()).filter(|lanes| *lanes > 0);
    let share = records_max.div_ceil(lanes.unwrap_or(1));
    let mut read = 0;
    while looked.records < records_max && lanes.is_none_or(|lanes| read < lanes) {
        let Some(change) = in_time(source.next_change()).await? else { break };
        let Some(LaneChange::Assigned { lane, .. }) = change else {
            if change.is_none() { break } else { continue }
        };
        let start = match outset.starts.get(&lane) {
            Some(start @ Position::At(_)) => *start,
            _ => source.start(&lane).await.map_err(sinks::told)?,
        };
        let most = share.min(records_max - looked.records);
        looked.read(&*source, &lane, start, most).await?;
        read += 1;
    }
    Ok(looked.batches)
}

struct Looking {
    batches: Vec<RawBatch>,
    records: usize,
    bytes: usize,
}

impl Looking {
    async fn read(
        &mut self,
        source: &dyn Source,
        lane: &Lane,
        start: Position,
        records_max: usize,
    ) -> Result<(), CliError> {
        let journal = Arc::new(Forgetful);
        let mut reader = source.open(lane, start, journal).await.map_err(sinks::told)?;
        let end = self.records + records_max;
        while self.records < end && self.bytes < BYTES_MAX {
            let most = Most { records: BATCH.records.min(end - self.records), bytes: BATCH.bytes };
            let Some(Some(raw)) = in_time(reader.read(most)).await? else { break };
            self.records += raw.records.len();
            self.bytes += raw.memory();
            self.batches.push(raw);
        }
        Ok(())
    }
}

/// None if it takes too long.
async fn in_time<T>(
    asked: impl Future<Output = Result<T, ConnectorError>>,
) -> Result<Option<T>, CliError> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(told) => told.map(Some).map_err(sinks::told),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: BucketArgs = BucketArgs { endpoint: None, region: None };

    #[test]
    fn a_sample_is_written_as_a_source() {
        let written = |sample, unwrap| source_text(sample, &NOWHERE, None, unwrap).unwrap();
        assert_eq!(
            written("kafka://a:9092,b:9092/orders", None),
            "source:\n  kafka:\n    brokers: \"a:9092,b:9092\"\n    topics: [orders]\n"
        );
        assert_eq!(
            written("s3://shop/orders", None),
            "source:\n  objects:\n    url: \"s3://shop/orders\"\n"
        );
        assert_eq!(written("-", None), "source:\n  stdin: {}\n");
        let unwrapped = written("-", Some("value"));
        assert!(unwrapped.ends_with("    unwrap: value\n"), "{unwrapped}");
        for bad in ["kafka://a:9092", "/not/there.ndjson"] {
            assert!(source_text(bad, &NOWHERE, None, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_that_from_the_file_on_where_that_is_shorter() {
        let folder = tempfile::tempdir().unwrap();
        let sample = folder.path().join("orders.ndjson");
        std::fs::write(&sample, "{}").unwrap();
        let sample = sample.to_str().unwrap();
        assert_eq!(path(sample, Some(folder.path())).unwrap(), "./orders.ndjson");
        let other = tempfile::tempdir().unwrap();
        assert!(path(sample, Some(other.path())).unwrap().starts_with('/'));
    }
}
