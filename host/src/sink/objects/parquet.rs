//! Rows as Parquet, the columns of a row group side by side on all cores: encoding takes longer than cleaning,
//! and a unit has nobody else who could do it.

use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::super::columns::schema;
use crate::record::provenance::POSITION;
use crate::record::{Batch, Digest};

/// Of a file: the digest of the generation that made its rows.
pub(super) const GENERATION_KEY: &str = "pinhost.generation";
/// After how much of a file, as it lies in memory, is looked whether it is large enough. Compressed, rows
/// are smaller.
const LOOK_SHARE: u64 = 4;

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
    generation: Digest,
) -> Result<Vec<ParquetFile>, ParquetError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let schema = schema(first.fields());
    let properties = properties(options, generation);
    let mut files = Vec::new();
    let mut file: Option<OpenFile> = None;
    let mut rest = batches;
    while !rest.is_empty() {
        let some;
        (some, rest) = rest.split_at(look_after(rest, options.file_bytes / LOOK_SHARE));
        let open = match &mut file {
            Some(open) => open,
            None => file.insert(OpenFile::new(&schema, &properties, options.row_group_rows)?),
        };
        open.write(some)?;
        if open.bytes() >= options.file_bytes {
            files.extend(file.take().map(OpenFile::finish).transpose()?);
        }
    }
    files.extend(file.map(OpenFile::finish).transpose()?);
    files.retain(|file| file.rows > 0);
    Ok(files)
}

/// How many of the first batches have so many bytes; at least one.
fn look_after(batches: &[Batch], bytes: u64) -> usize {
    let mut sum = 0;
    let is_enough = |batch: &Batch| {
        sum += batch.memory() as u64;
        sum >= bytes
    };
    batches.iter().position(is_enough).map_or(batches.len(), |last| last + 1)
}

fn properties(options: ParquetOptions, generation: Digest) -> WriterProperties {
    let generation = KeyValue::new(GENERATION_KEY.to_owned(), generation.to_string());
    // A file has hardly a place twice, and they ascend: what they begin with is left out.
    let places = ColumnPath::from(POSITION);
    WriterProperties::builder()
        .set_compression(options.compression)
        .set_created_by(concat!("pinhost ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![generation]))
        .set_column_dictionary_enabled(places.clone(), false)
        .set_column_encoding(places, Encoding::DELTA_BYTE_ARRAY)
        .build()
}

struct OpenFile {
    writer: SerializedFileWriter<Vec<u8>>,
    schema: Arc<Schema>,
    row_groups: ArrowRowGroupWriterFactory,
    row_group_rows: usize,
    rows: u64,
    /// The row group in the making, by column.
    columns: Vec<ArrowColumnWriter>,
    its_rows: usize,
}

impl OpenFile {
    fn new(
        schema: &Arc<Schema>,
        properties: &WriterProperties,
        row_group_rows: usize,
    ) -> Result<Self, ParquetError> {
        let writer =
            ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties.clone()))?;
        let (writer, row_groups) = writer.into_serialized_writer()?;
        let schema = Arc::clone(schema);
        let (rows, columns, its_rows) = (0, Vec::new(), 0);
        Ok(Self { writer, schema, row_groups, row_group_rows, rows, columns, its_rows })
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), ParquetError> {
        let mut pieces = Vec::new();
        for batch in batches {
            let mut from = 0;
            while from < batch.rows() {
                let rows = (batch.rows() - from).min(self.row_group_rows - self.its_rows);
                pieces.push(batch.slice(from, rows));
                from += rows;
                self.its_rows += rows;
                if self.its_rows == self.row_group_rows {
                    self.encode(&std::mem::take(&mut pieces))?;
                    self.end_row_group()?;
                }
            }
            self.rows += batch.rows() as u64;
        }
        self.encode(&pieces)
    }

    fn encode(&mut self, pieces: &[Batch]) -> Result<(), ParquetError> {
        if pieces.is_empty() {
            return Ok(());
        }
        if self.columns.is_empty() {
            let number = self.writer.flushed_row_groups().len();
            self.columns = self.row_groups.create_column_writers(number)?;
        }
        let fields = self.schema.fields();
        // No kind of ours has more than one leaf.
        let columns = std::mem::take(&mut self.columns).into_par_iter().enumerate().with_max_len(1);
        let encoded = columns.map(|(at, mut column)| {
            for piece in pieces {
                for leaf in compute_leaves(&fields[at], &piece.columns()[at])? {
                    column.write(&leaf)?;
                }
            }
            Ok(column)
        });
        self.columns = encoded.collect::<Result<_, ParquetError>>()?;
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns).into_par_iter().with_max_len(1);
        let columns: Vec<_> =
            columns.map(ArrowColumnWriter::close).collect::<Result<_, ParquetError>>()?;
        let mut row_group = self.writer.next_row_group()?;
        for column in columns {
            column.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.its_rows = 0;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let open = self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes);
        (self.writer.bytes_written() + open.sum::<usize>()) as u64
    }

    fn finish(mut self) -> Result<ParquetFile, ParquetError> {
        self.end_row_group()?;
        Ok(ParquetFile { rows: self.rows, bytes: self.writer.into_inner()? })
    }
}
