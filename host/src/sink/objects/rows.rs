//! Rows become objects: their bytes, and the folders that they belong into. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use bytes::Bytes;
use object_store::PutPayload;
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};

use super::ObjectsSinkError;
use super::archive::Archive;
use super::compress::Codec;
use super::parquet::{self, ParquetOptions};
use super::partition::Partitions;
use super::{ObjectsSinkConfig, RowFormat, SinkCompression};
use crate::record::provenance::{self, LaneName, with_provenance};
use crate::record::{
    Batch, DeadLetter, Digest, EncodedRows, Field, Lane, RowBytes, Rows, UnitPart, ndjson,
};

/// Folders of one unit: each is an object to be written, copied and deleted.
const FOLDERS_MAX: usize = 1_000;
/// A copy within a store ends here, and so does a single put.
const OBJECT_BYTES_MAX: u64 = 4 << 30;

/// How rows are written.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    format: Format,
    partitions: Partitions,
    object_bytes: u64,
    /// Whether rows say which record they were made of, and what made them.
    provenance: bool,
    /// For records as they came, if that is what there is.
    archive: Option<Archive>,
}

/// What made the rows of a unit, or of a retry.
#[derive(Debug, Clone)]
pub(super) struct Makers {
    pub generation: Digest,
    /// For each part the lane of its records as rows name it; empty where rows do not say.
    pub lanes: Vec<LaneName>,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Ndjson(Option<Codec>),
    Parquet(ParquetOptions),
}

/// An object to be.
#[derive(Debug)]
pub(super) struct NewObject {
    pub name: NewName,
    pub rows: u64,
    pub body: PutPayload,
}

/// Where an object belongs, as far as it is known before there is a record that commits it.
#[derive(Debug, Clone)]
pub(super) enum NewName {
    /// By the number of that record.
    Number {
        folder: Arc<str>,
        /// Which of its folder, in this unit.
        index: usize,
    },
    Key(String),
    /// Beside the object of this name.
    Index(Box<Self>),
}

impl NewName {
    pub fn is_by_number(&self) -> bool {
        matches!(self, Self::Number { .. })
    }
}

#[derive(Debug, Default)]
pub(super) struct NewObjects {
    pub objects: Vec<NewObject>,
    /// Rows that became dead letters after all, by part.
    pub refused: Vec<(usize, DeadLetter)>,
}

/// What a part brings to each folder, as the format has it, and its rows that have none.
#[derive(Debug, Default)]
struct Sorted {
    pieces: Vec<EncodedRows>,
    batches: Vec<(Arc<str>, Batch)>,
    refused: Vec<u32>,
}

/// What one folder gets, in order.
#[derive(Debug, Default)]
struct Folder {
    pieces: Vec<Piece>,
    batches: Vec<Batch>,
}

#[derive(Debug)]
struct Piece {
    rows: u64,
    bytes: Bytes,
}

impl Shape {
    pub fn new(
        config: &ObjectsSinkConfig,
        columns: Option<&[Field]>,
    ) -> Result<Self, ObjectsSinkError> {
        use SinkCompression::*;
        let object_bytes = config.object_size.0.min(OBJECT_BYTES_MAX);
        let format = match (config.format, config.compression) {
            (RowFormat::Ndjson, Option::None | Some(None)) => Format::Ndjson(Option::None),
            (RowFormat::Ndjson, Some(Gzip)) => Format::Ndjson(Some(Codec::Gzip)),
            (RowFormat::Ndjson, Some(Zstd)) => Format::Ndjson(Some(Codec::Zstd)),
            (RowFormat::Ndjson, Some(Snappy)) => {
                return Err(ObjectsSinkError::Compression {
                    format: "NDJSON",
                    compression: "snappy",
                });
            }
            (RowFormat::Parquet, Some(Gzip)) => {
                return Err(ObjectsSinkError::Compression {
                    format: "Parquet",
                    compression: "gzip",
                });
            }
            (RowFormat::Parquet, compression) => Format::Parquet(ParquetOptions {
                compression: match compression {
                    Some(None) => Compression::UNCOMPRESSED,
                    Some(Snappy) => Compression::SNAPPY,
                    _ => Compression::ZSTD(ZstdLevel::default()),
                },
                row_group_rows: config.row_group_rows.max(1) as usize,
                file_bytes: object_bytes,
            }),
        };
        let partitions = Partitions::new(&config.partition_by, columns)?;
        let provenance = config.has_provenance();
        let is_own = |field: &&Field| provenance::is_own(&field.name);
        if let (true, Some(field)) = (provenance, columns.and_then(|all| all.iter().find(is_own))) {
            return Err(ObjectsSinkError::OwnColumn { column: field.name.to_string() });
        }
        let codec = match format {
            Format::Ndjson(codec) => codec,
            Format::Parquet(_) => Option::None,
        };
        let layout = config.keys.unwrap_or_default();
        let archive = columns.is_none().then_some(Archive { layout, codec, object_bytes });
        Ok(Self { format, partitions, object_bytes, provenance, archive })
    }

    /// Whether rows say which record they were made of.
    pub fn has_provenance(&self) -> bool {
        self.provenance && self.archive.is_none()
    }

    fn is_parquet(&self) -> bool {
        matches!(self.format, Format::Parquet(_))
    }

    /// What needs columns, if anything does.
    pub fn needs_columns(&self) -> Option<&'static str> {
        match self.format {
            Format::Parquet(_) => Some("Parquet"),
            Format::Ndjson(_) if !self.partitions.is_empty() => Some("`partition_by`"),
            Format::Ndjson(_) => None,
        }
    }

    /// What stays the same for the life of a lane: readers of a folder meet rows of one shape.
    pub fn target(&self, has_rule: bool) -> String {
        if let (Some(archive), false) = (&self.archive, has_rule) {
            return archive.target();
        }
        let format = match self.format {
            Format::Ndjson(_) => "NDJSON",
            Format::Parquet(_) => "Parquet",
        };
        match self.partitions.columns() {
            [] => format.to_owned(),
            columns => format!("{format} by {}", columns.join(", ")),
        }
    }

    pub fn extension(&self) -> String {
        match self.format {
            Format::Ndjson(None) => "ndjson".to_owned(),
            Format::Ndjson(Some(codec)) => format!("ndjson.{}", codec.extension()),
            Format::Parquet(_) => "parquet".to_owned(),
        }
    }

    /// What can be done about a batch on a cleaning thread.
    pub fn encode(&self, batch: Batch) -> Rows {
        match self.format {
            // What its texts are pieces of is kept with the records anyway.
            Format::Parquet(_) => Rows::Columns(batch),
            // What is written behind the columns is known where the unit is.
            Format::Ndjson(_) if self.provenance => Rows::Columns(batch),
            Format::Ndjson(_) => match self.ndjson(&batch) {
                (encoded, refused) if refused.is_empty() => Rows::Encoded(encoded),
                // Which records they were is known where the unit is.
                _ => Rows::Columns(batch),
            },
        }
    }

    /// The rows by folder, and those that have none.
    fn ndjson(&self, batch: &Batch) -> (Vec<EncodedRows>, Vec<u32>) {
        if self.partitions.is_empty() {
            let bytes = ndjson::encode(batch);
            let bytes = match self.format {
                Format::Ndjson(Some(codec)) => codec.compress([&bytes[..]]),
                _ => bytes,
            };
            let rows = EncodedRows {
                partition: Arc::default(),
                rows: batch.rows() as u32,
                bytes: bytes.into(),
            };
            let some = batch.rows() > 0;
            return (some.then_some(rows).into_iter().collect(), Vec::new());
        }
        let split = self.partitions.split(batch);
        let writer = ndjson::RowWriter::of(batch, |field| self.partitions.is_in_rows(field));
        let encoded = split.folders.into_iter().map(|(partition, rows)| {
            let mut bytes = Vec::new();
            for row in &rows {
                writer.write(*row as usize, &mut bytes);
            }
            EncodedRows { partition, rows: rows.len() as u32, bytes: bytes.into() }
        });
        (encoded.collect(), split.refused)
    }

    /// The objects of a unit, or of a retry.
    pub fn objects(
        &self,
        lane: Option<&Lane>,
        parts: &[UnitPart],
        makers: &Makers,
    ) -> Result<NewObjects, ObjectsSinkError> {
        let raw: Vec<_> = parts.iter().filter(|part| matches!(part.rows, Rows::Raw)).collect();
        if let (false, Some(archive)) = (raw.is_empty(), &self.archive) {
            if let Some(what) = self.needs_columns() {
                return Err(ObjectsSinkError::NoColumns { what });
            }
            return Ok(NewObjects { objects: archive.objects(lane, &raw), refused: Vec::new() });
        }
        let mut folders = BTreeMap::<Arc<str>, Folder>::new();
        let mut refused = Vec::new();
        let sorted = self.sort_all(parts, makers);
        for (at, (part, Sorted { pieces, batches, refused: rows })) in
            parts.iter().zip(sorted).enumerate()
        {
            for EncodedRows { partition, rows, bytes } in pieces {
                let piece = Piece { rows: rows.into(), bytes };
                folders.entry(partition).or_default().pieces.push(piece);
            }
            for (name, rows) in batches {
                folders.entry(name).or_default().batches.push(rows);
            }
            refused.extend(rows.into_iter().map(|row| (at, self.refused(part, row))));
        }
        if folders.len() > FOLDERS_MAX {
            return Err(ObjectsSinkError::ManyPartitions { most: FOLDERS_MAX });
        }
        let mut objects = Vec::new();
        for (name, folder) in folders {
            let written = match self.format {
                Format::Ndjson(codec) => self.join(folder.pieces, codec),
                Format::Parquet(options) => {
                    parquet::write(&folder.batches, options, makers.generation)
                        .map_err(|cause| ObjectsSinkError::Parquet { cause })?
                        .into_iter()
                        .map(|file| (file.rows, file.bytes.into()))
                        .collect()
                }
            };
            objects.extend(written.into_iter().enumerate().map(|(index, (rows, body))| {
                let name = NewName::Number { folder: Arc::clone(&name), index };
                NewObject { name, rows, body }
            }));
        }
        Ok(NewObjects { objects, refused })
    }

    /// What each part brings to its folders. Lines that are still to be made are made on all cores.
    fn sort_all(&self, parts: &[UnitPart], makers: &Makers) -> Vec<Sorted> {
        let sort = |(at, part)| self.sort(part, makers, at);
        if self.is_parquet() || !self.provenance {
            return parts.iter().enumerate().map(|(at, part)| sort((at, part))).collect();
        }
        parts.par_iter().enumerate().map(sort).collect()
    }

    fn sort(&self, part: &UnitPart, makers: &Makers, at: usize) -> Sorted {
        let batch = match &part.rows {
            Rows::Encoded(pieces) => {
                return Sorted { pieces: pieces.clone(), ..Sorted::default() };
            }
            Rows::Columns(batch) | Rows::Bytes(RowBytes { columns: batch, .. }) => batch,
            Rows::Raw => unreachable!("records as they came are for the archive"),
        };
        let told =
            makers.lanes.get(at).filter(|_| self.provenance).map(|lane| {
                with_provenance(batch, &part.raw, &part.origins, lane, makers.generation)
            });
        let batch = told.as_ref().unwrap_or(batch);
        if !self.is_parquet() {
            let (pieces, refused) = self.ndjson(batch);
            return Sorted { pieces, refused, ..Sorted::default() };
        }
        let split = self.partitions.split(batch);
        let rows = |(name, rows): (_, Vec<_>)| (name, self.partitions.rows(batch, &rows));
        let batches = split.folders.into_iter().map(rows).collect();
        Sorted { batches, refused: split.refused, ..Sorted::default() }
    }

    /// Objects of about the size that was asked for, of whole pieces.
    fn join(&self, pieces: Vec<Piece>, codec: Option<Codec>) -> Vec<(u64, PutPayload)> {
        // With partitions a batch has a few rows for each folder only: too little to compress alone.
        let codec = codec.filter(|_| !self.partitions.is_empty());
        let mut objects = Vec::new();
        let (mut rows, mut size, mut bytes) = (0, 0, Vec::new());
        let mut finish = |rows: &mut u64, bytes: &mut Vec<Bytes>| {
            let bytes = std::mem::take(bytes);
            let body = match codec {
                Some(codec) => codec.compress(bytes.iter().map(|bytes| &bytes[..])).into(),
                None => PutPayload::from_iter(bytes),
            };
            objects.push((std::mem::take(rows), body));
        };
        for piece in pieces {
            size += piece.bytes.len() as u64;
            rows += piece.rows;
            bytes.push(piece.bytes);
            if size >= self.object_bytes {
                finish(&mut rows, &mut bytes);
                size = 0;
            }
        }
        if rows > 0 {
            finish(&mut rows, &mut bytes);
        }
        objects
    }

    fn refused(&self, part: &UnitPart, row: u32) -> DeadLetter {
        let columns = self.partitions.columns().join(", ");
        DeadLetter {
            record: part.origins[row as usize],
            step: None,
            reason: format!("the values of {columns} are too long for the name of a folder"),
            detail: None,
        }
    }
}
