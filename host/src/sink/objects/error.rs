//! What goes wrong with objects, and what to do about it.

use std::io;

use object_store::Error as StoreError;

use crate::objects::{ObjectRootError, Said, class_of_io, class_of_store, help_of_store};
use crate::record::{ConnectorError, ErrorClass};

#[derive(Debug, thiserror::Error)]
pub enum ObjectsSinkError {
    #[error(transparent)]
    Root(ObjectRootError),
    #[error("`{path}` is a file, and objects need a folder")]
    NotAFolder { path: String },
    #[error("cannot use folder `{path}`")]
    Folder {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("cannot store objects in {url}: {}", Said(cause))]
    Store { url: String, cause: StoreError },
    #[error("{url} lets an object be put twice, so two owners of a lane could both commit")]
    Overwrites { url: String },
    #[error("{format} cannot be compressed with {compression}")]
    Compression { format: &'static str, compression: &'static str },
    #[error("without a rule there are no columns, which {what} needs")]
    NoColumns { what: &'static str },
    #[error("`partition_by` names `{column}`, which is no column of the output")]
    UnknownPartition { column: String },
    #[error("`partition_by` names `{column}`, and a list cannot name a folder")]
    ListPartition { column: String },
    #[error("`partition_by` names every column, which leaves nothing for the rows")]
    OnlyPartitions,
    #[error("column `{column}` has a name of pinhost's own")]
    OwnColumn { column: String },
    #[error("the rows have no column `{column}`")]
    UnknownColumn { column: String },
    #[error("cannot read the rows in {key}")]
    UnreadableRows {
        key: String,
        #[source]
        cause: io::Error,
    },
    #[error("of {all} objects {objects} were searched, and no more are read for one question")]
    TooMuchToSearch { objects: usize, all: usize },
    #[error("a unit has rows for more than {most} folders")]
    ManyPartitions { most: usize },
    #[error("cannot write Parquet")]
    Parquet {
        #[source]
        cause: parquet::errors::ParquetError,
    },
    #[error("{key} is there already, and this pipeline has not written it")]
    Taken { key: String },
}

impl ObjectsSinkError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Store { cause, .. } => class_of_store(cause),
            Self::Folder { cause, .. } => class_of_io(cause),
            Self::Root(error) => error.class(),
            Self::NotAFolder { .. }
            | Self::Overwrites { .. }
            | Self::Compression { .. }
            | Self::NoColumns { .. }
            | Self::UnknownPartition { .. }
            | Self::ListPartition { .. }
            | Self::OnlyPartitions
            | Self::OwnColumn { .. }
            | Self::UnknownColumn { .. }
            | Self::UnreadableRows { .. }
            | Self::TooMuchToSearch { .. }
            | Self::ManyPartitions { .. }
            | Self::Taken { .. } => ErrorClass::Systemic,
            Self::Parquet { .. } => ErrorClass::Fatal,
        }
    }

    fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Root(error) => return error.help(),
            Self::Store { cause, .. } => return help_of_store(cause),
            Self::NotAFolder { .. } => {
                "name a folder; to write rows into a file, use `stdout: {}` and redirect it"
            }
            Self::Overwrites { .. } => "use a store that keeps to `If-None-Match`, as S3 does",
            Self::Compression { format: "NDJSON", .. } => "use none, gzip or zstd",
            Self::Compression { .. } => "use none, snappy or zstd",
            Self::TooMuchToSearch { .. } => {
                "ask a query engine: `_pinhost_lane`, `_pinhost_position` and `_pinhost_generation` are \
                 columns of the rows"
            }
            Self::OwnColumn { .. } => "call the column otherwise, or say `provenance: false`",
            Self::ManyPartitions { .. } => "partition by columns with fewer values",
            Self::Taken { .. } => "write to another folder, or move the object away",
            Self::Folder { .. }
            | Self::UnknownColumn { .. }
            | Self::UnreadableRows { .. }
            | Self::NoColumns { .. }
            | Self::UnknownPartition { .. }
            | Self::ListPartition { .. }
            | Self::OnlyPartitions
            | Self::Parquet { .. } => return None,
        })
    }
}

impl From<ObjectsSinkError> for ConnectorError {
    fn from(error: ObjectsSinkError) -> Self {
        let help = error.help();
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}
