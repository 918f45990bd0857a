//! Turns what Python hands over into a stream of batches.

use std::sync::Arc;

use arrow::array::builder::BinaryBuilder;
use arrow::array::ffi_stream::RecordBatchStreamReader;
use arrow::array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_pyarrow::FromPyArrow as _;
use pinhost::run::BATCH;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyString};

pub type Reader = Box<dyn RecordBatchReader + Send>;

const HELP: &str = "give it an Arrow table, batch or stream: anything that has `__arrow_c_stream__` or \
                    `__arrow_c_array__`, as those of pyarrow, Polars, DuckDB and pandas do";

/// Columns, in any of Arrow's forms.
pub fn columns(data: &Bound<'_, PyAny>) -> PyResult<Reader> {
    if data.hasattr("__arrow_c_stream__")? {
        return Ok(Box::new(RecordBatchStreamReader::from_pyarrow_bound(data)?));
    }
    if data.hasattr("__arrow_c_array__")? {
        let batch = RecordBatch::from_pyarrow_bound(data)?;
        let schema = batch.schema();
        return Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)));
    }
    let kind = data.get_type();
    Err(PyTypeError::new_err(format!("{kind} is not Arrow data: {HELP}")))
}

/// The same, or single texts and bytes: a list of them, the lines of a file, a generator.
pub fn records(data: &Bound<'_, PyAny>) -> PyResult<Reader> {
    if data.hasattr("__arrow_c_stream__")? || data.hasattr("__arrow_c_array__")? {
        return columns(data);
    }
    // Text is iterable too, by its characters.
    if data.is_instance_of::<PyString>() || data.is_instance_of::<PyBytes>() {
        let message =
            "a single record goes into a list: give it a list, a file or an iterator of records";
        return Err(PyTypeError::new_err(message));
    }
    let pieces = data.try_iter().map_err(|_| {
        let kind = data.get_type();
        PyTypeError::new_err(format!("{kind} holds no records: {HELP}; or an iterable of texts"))
    })?;
    let field = Field::new("value", DataType::Binary, true);
    Ok(Box::new(Pieces { pieces: pieces.unbind(), schema: Arc::new(Schema::new(vec![field])) }))
}

/// Records from an iterator.
struct Pieces {
    pieces: Py<PyIterator>,
    schema: SchemaRef,
}

impl Pieces {
    /// As many records as are cleaned at once; none at the end.
    fn batch(&self) -> PyResult<Option<RecordBatch>> {
        let mut values = BinaryBuilder::new();
        Python::attach(|py| -> PyResult<()> {
            let mut pieces = self.pieces.bind(py).clone();
            let mut bytes = 0;
            for _ in 0..BATCH.records {
                let Some(piece) = pieces.next() else { break };
                let piece = piece?;
                if let Ok(text) = piece.cast::<PyString>() {
                    let text = text.to_cow()?;
                    values.append_value(text.as_bytes());
                    bytes += text.len();
                } else if let Ok(piece) = piece.cast::<PyBytes>() {
                    values.append_value(piece.as_bytes());
                    bytes += piece.as_bytes().len();
                } else if piece.is_none() {
                    values.append_null();
                } else {
                    let kind = piece.get_type();
                    let message = format!("a record is text or bytes, not {kind}");
                    return Err(PyTypeError::new_err(message));
                }
                if bytes >= BATCH.bytes {
                    break;
                }
            }
            Ok(())
        })?;
        let values = values.finish();
        if arrow::array::Array::is_empty(&values) {
            return Ok(None);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(values)]);
        Ok(Some(batch.expect("a column for the field")))
    }
}

impl Iterator for Pieces {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        // The caller takes Python's own exception out of it.
        self.batch().map_err(|error| ArrowError::ExternalError(Box::new(error))).transpose()
    }
}

impl RecordBatchReader for Pieces {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
