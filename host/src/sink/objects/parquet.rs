//! Rows as Parquet.

use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::super::columns::{record_batch, schema};
use crate::record::Batch;

#[derive(Debug, Clone, Copy)]
pub(super) struct ParquetOptions {
    pub compression: Compression,
    pub row_group_rows: usize,
    /// A file ends at about this size.
    pub file_bytes: u64,
}

/// A finished file.
#[derive(Debug)]
pub(super) struct ParquetFile {
    pub bytes: Vec<u8>,
    pub rows: u64,
}

/// All batches have the same columns.
pub(super) fn write(
    batches: &[Batch],
    options: ParquetOptions,
) -> Result<Vec<ParquetFile>, ParquetError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let schema = schema(first.fields());
    let properties = properties(options);
    let mut files = Vec::new();
    let mut file: Option<OpenFile> = None;
    for batch in batches.iter().filter(|batch| batch.rows() > 0) {
        let open = match &mut file {
            Some(open) => open,
            None => file.insert(OpenFile::new(&schema, &properties)?),
        };
        open.write(&schema, batch)?;
        if open.bytes() >= options.file_bytes {
            files.extend(file.take().map(OpenFile::finish).transpose()?);
        }
    }
    files.extend(file.map(OpenFile::finish).transpose()?);
    Ok(files)
}

fn properties(options: ParquetOptions) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(options.compression)
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_created_by(concat!("pinhost ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

impl OpenFile {
    fn new(schema: &Arc<Schema>, properties: &WriterProperties) -> Result<Self, ParquetError> {
        let writer =
            ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties.clone()))?;
        Ok(Self { writer, rows: 0 })
    }

    fn write(&mut self, schema: &Arc<Schema>, batch: &Batch) -> Result<(), ParquetError> {
        self.rows += batch.rows() as u64;
        self.writer.write(&record_batch(schema, batch))
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn finish(self) -> Result<ParquetFile, ParquetError> {
        Ok(ParquetFile { rows: self.rows, bytes: self.writer.into_inner()? })
    }
}
