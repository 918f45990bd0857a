//! What others take over Arrow's C data interface.

use std::sync::Arc;

use arrow::array::ffi_stream::FFI_ArrowArrayStream;
use arrow::array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

fn value_error(error: &ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub fn schema<'py>(py: Python<'py>, schema: &ArrowSchema) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| value_error(&error))?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

pub fn stream<'py>(
    py: Python<'py>,
    stream: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(stream), c"arrow_array_stream")
}

/// Names and types of columns, for anything that takes `__arrow_c_schema__`: `pyarrow.schema(it)`.
#[pyclass(frozen, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Schema(pub SchemaRef);

#[pymethods]
impl Schema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema(py, &self.0)
    }

    /// The columns' names, in order.
    #[getter]
    fn names(&self) -> Vec<String> {
        self.0.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn __repr__(&self) -> String {
        let fields = self.0.fields().iter();
        let fields = fields.map(|field| format!("{}: {}", field.name(), field.data_type()));
        format!("<Schema {}>", fields.collect::<Vec<_>>().join(", "))
    }
}

/// Rows, for anything that takes `__arrow_c_array__`: `pyarrow.record_batch(it)`.
#[pyclass(frozen, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Batch(pub RecordBatch);

#[pymethods]
impl Batch {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let array = FFI_ArrowArray::new(&StructArray::from(self.0.clone()).to_data());
        let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
        Ok((schema(py, &self.0.schema())?, array))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema(py, &self.0.schema())
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("<Batch of {} rows>", self.0.num_rows())
    }
}

/// A stream of one batch.
pub fn single(batch: &RecordBatch) -> Box<dyn RecordBatchReader + Send> {
    let schema = batch.schema();
    Box::new(arrow::array::RecordBatchIterator::new([Ok(batch.clone())], Arc::clone(&schema)))
}
