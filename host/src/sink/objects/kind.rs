//! `objects`, as one of the kinds of sinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::{ObjectsSink, ObjectsSinkConfig, RowFormat, SinkCompression};
use crate::connect::{
    ColumnRole, Commits, ConfigFile, NamedColumns, NotWithRule, Positions, Sink, SinkConfig,
    SinkContext, SinkFacts, SinkKind, WantedColumns,
};
use crate::objects::{check_s3, check_url};
use crate::record::ConnectorError;
use crate::written::{Cursor, Finding, ReadError, Written, positive};

/// A unit is a handful of requests, one after the other.
const UNIT_FLOOR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Objects;

impl SinkKind for Objects {
    fn key(&self) -> &'static str {
        "objects"
    }

    fn summary(&self) -> &'static str {
        "Files in a folder, or objects in a bucket"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<ObjectsSinkConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SinkConfig>, ReadError> {
        Ok(Box::new(written.read::<ObjectsSinkConfig>()?))
    }
}

#[async_trait]
impl SinkConfig for ObjectsSinkConfig {
    fn facts(&self) -> SinkFacts {
        let Self { url, format, partition_by, keys, .. } = self;
        let keys = keys.map(|_| NotWithRule {
            setting: "keys",
            message: "this names objects of records as they came",
            help: "leave it out where there is a rule; `partition_by` names folders then",
        });
        SinkFacts {
            positions: Positions::Kept,
            commits: Commits::Together {
                because: "one log record publishes the rows and moves the position",
            },
            upsert: None,
            deletes: false,
            appends: true,
            replaces: false,
            traces: self.has_provenance(),
            names: None,
            columns: WantedColumns {
                because: match format {
                    RowFormat::Parquet => Some("Parquet has columns"),
                    RowFormat::Ndjson if !partition_by.is_empty() => {
                        Some("folders are named by columns")
                    }
                    RowFormat::Ndjson => None,
                },
                named: vec![NamedColumns {
                    setting: "partition_by",
                    names: partition_by.clone(),
                    role: ColumnRole::Partition,
                }],
            },
            not_with_rule: keys.into_iter().collect(),
            unit_floor: UNIT_FLOOR,
            place: format!("in {url}"),
            shows_rows: match format {
                RowFormat::Parquet => {
                    Some(format!("duckdb -c \"FROM '{url}/**/*.parquet' LIMIT 5\""))
                }
                RowFormat::Ndjson => None,
            },
            objects: Some(url.clone()),
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check_url(&self.url, at.key("url"), found);
        check_s3(&self.s3, at.key("s3"), found);
        let (format, takes, names) = match self.format {
            RowFormat::Ndjson => {
                use SinkCompression::{Gzip, None, Zstd};
                ("ndjson", [None, Gzip, Zstd], "none, gzip or zstd")
            }
            RowFormat::Parquet => {
                use SinkCompression::{None, Snappy, Zstd};
                ("parquet", [None, Snappy, Zstd], "none, snappy or zstd")
            }
        };
        if self.compression.is_some_and(|given| !takes.contains(&given)) {
            let at = at.key("compression");
            found.push(at.finding(format!("{format} is not compressed like this")).help(names));
        }
        let rows = u64::from(self.row_group_rows);
        positive(at, &[("row_group_rows", rows), ("object_size", self.object_size.0)], found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        if !self.url.contains("://") {
            file.complete(&mut self.url);
        }
    }

    async fn open(&self, context: SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(ObjectsSink::open(self, context).await?))
    }
}
