//! Rows as they are written.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::super::columns::{compact, record_batch, schema};
use crate::record::{Batch, EncodedRows, Field, RowBytes, Rows, UnitPart, ndjson};

const BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutFormat {
    /// A JSON object a line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
}

impl StdoutFormat {
    pub(super) fn encode(self, rows: &Batch) -> Rows {
        match self {
            Self::Ndjson => {
                let bytes = ndjson::encode(rows).into();
                let rows = rows.rows() as u32;
                Rows::Encoded(vec![EncodedRows { partition: Arc::default(), rows, bytes }])
            }
            Self::Arrow => Rows::Columns(compact(rows)),
        }
    }
}

pub(super) enum RowWriter {
    Ndjson(Output),
    Arrow(Box<StreamWriter<Output>>, Arc<Schema>),
}

type Output = BufWriter<Box<dyn Write + Send>>;

impl RowWriter {
    /// With the schema, where the format has one, so that a reader need not wait for the first rows.
    pub(super) fn open(
        format: StdoutFormat,
        columns: &[Field],
        output: Box<dyn Write + Send>,
    ) -> io::Result<Self> {
        let output = BufWriter::with_capacity(BUFFER_BYTES, output);
        match format {
            StdoutFormat::Ndjson => Ok(Self::Ndjson(output)),
            StdoutFormat::Arrow => {
                let schema = schema(columns);
                let mut writer = StreamWriter::try_new(output, &schema).map_err(as_io)?;
                writer.flush().map_err(as_io)?;
                Ok(Self::Arrow(Box::new(writer), schema))
            }
        }
    }

    pub(super) fn write(&mut self, part: &UnitPart) -> io::Result<()> {
        match self {
            Self::Ndjson(output) => {
                lines(part).iter().try_for_each(|piece| output.write_all(piece))
            }
            Self::Arrow(writer, schema) => match &part.rows {
                Rows::Columns(batch) if batch.rows() == 0 => Ok(()),
                Rows::Columns(batch) => writer.write(&record_batch(schema, batch)).map_err(as_io),
                Rows::Encoded(_) | Rows::Bytes(_) | Rows::Raw => {
                    unreachable!("rows of an Arrow stream are encoded as columns")
                }
            },
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Ndjson(output) => output.flush(),
            Self::Arrow(writer, _) => writer.flush().map_err(as_io),
        }
    }

    /// Writes what says that this is all.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Ndjson(output) => output.flush(),
            Self::Arrow(writer, _) => writer.finish().map_err(as_io),
        }
    }
}

fn as_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}

/// A part's rows, or the records themselves if there is no rule.
fn lines(part: &UnitPart) -> Vec<Bytes> {
    match &part.rows {
        Rows::Encoded(encoded) => encoded.iter().map(|rows| rows.bytes.clone()).collect(),
        Rows::Columns(batch) | Rows::Bytes(RowBytes { columns: batch, .. }) => {
            vec![ndjson::encode(batch).into()]
        }
        Rows::Raw => {
            let values = part.origins.iter().map(|origin| part.raw.value(*origin as usize));
            values
                .flat_map(|value| [value.unwrap_or_default(), Bytes::from_static(b"\n")])
                .collect()
        }
    }
}
