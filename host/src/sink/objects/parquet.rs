//! Rows as Parquet.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field as ArrowField, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::record::{Batch, Field};

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

/// The same rows, their bytes their own: what a batch is a piece of need not be kept for it.
pub(super) fn compact(batch: &Batch) -> Batch {
    let columns = batch.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| plain(field, column)).collect();
    Batch::new(batch.rows(), Arc::clone(batch.fields()), columns)
}

/// A column may stand in several forms, a Parquet column in one.
fn plain(field: &Field, column: &ArrayRef) -> ArrayRef {
    let to = field.kind.data_type();
    if *column.data_type() == to {
        return Arc::clone(column);
    }
    cast(column, &to).expect("both forms of a kind hold the same values")
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

fn schema(fields: &[Field]) -> Arc<Schema> {
    let fields =
        fields.iter().map(|field| ArrowField::new(&*field.name, field.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
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
        let columns = batch.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| plain(field, column)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        self.rows += batch.rows() as u64;
        self.writer.write(&rows)
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn finish(self) -> Result<ParquetFile, ParquetError> {
        Ok(ParquetFile { rows: self.rows, bytes: self.writer.into_inner()? })
    }
}
