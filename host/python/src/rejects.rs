//! Records that could not be cleaned, with their reasons.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use pinhost::run::FunctionReject;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PySlice, PySliceIndices};

use crate::export;
use crate::shape::numbers;

/// The parts of a reject: columns of a table, or fields of a struct.
pub fn fields() -> Fields {
    Fields::from(vec![
        Field::new("row", DataType::Int64, true),
        Field::new("step", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("detail", DataType::Utf8, true),
        Field::new("record", DataType::Binary, true),
    ])
}

pub fn rejected(rejects: &[FunctionReject]) -> RecordBatch {
    let steps: StringArray = rejects.iter().map(|reject| reject.step.as_deref()).collect();
    let reasons: StringArray = rejects.iter().map(|reject| Some(&*reject.reason)).collect();
    let details: StringArray = rejects.iter().map(|reject| reject.detail.as_deref()).collect();
    let records: BinaryArray = rejects.iter().map(|reject| reject.value.as_deref()).collect();
    let columns: [ArrayRef; 5] = [
        Arc::new(numbers(rejects.iter().map(|reject| reject.record))),
        Arc::new(steps),
        Arc::new(reasons),
        Arc::new(details),
        Arc::new(records),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields())), columns.into())
        .expect("a column for each field")
}

/// A record that could not be cleaned.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Reject {
    /// Its number among the records that were given, counted from 0.
    row: u64,
    /// The id of the step that rejected it; None if the record could not be read.
    step: Option<String>,
    /// The same words for every record with this fault.
    reason: String,
    detail: Option<String>,
    /// The record itself. If it came as columns, its fields as JSON.
    record: Option<Py<PyBytes>>,
}

impl Reject {
    fn of(py: Python<'_>, reject: &FunctionReject) -> Self {
        Self {
            row: reject.record,
            step: reject.step.as_deref().map(str::to_owned),
            reason: reject.reason.clone(),
            detail: reject.detail.clone(),
            record: reject.value.as_deref().map(|value| PyBytes::new(py, value).unbind()),
        }
    }
}

#[pymethods]
impl Reject {
    fn __repr__(&self) -> String {
        let Self { row, step, reason, .. } = self;
        let step = step.as_deref().map(|step| format!(" at step {step}")).unwrap_or_default();
        format!("<Reject of row {row}{step}: {reason}>")
    }
}

/// Rejects: a sequence, and a table for anything that takes `__arrow_c_stream__`.
#[pyclass(frozen, sequence, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Rejects(pub Vec<FunctionReject>);

#[pymethods]
impl Rejects {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        at: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(slice) = at.cast::<PySlice>() {
            let PySliceIndices { start, step, slicelength, .. } =
                slice.indices(self.0.len() as isize)?;
            let numbers = (0..slicelength as isize).map(|nth| (start + nth * step) as usize);
            let rejects = numbers.map(|at| Bound::new(py, Reject::of(py, &self.0[at])));
            let rejects = rejects.collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, rejects)?.into_any());
        }
        let at = at.extract::<isize>()?;
        let from_end = if at < 0 { self.0.len() as isize } else { 0 };
        let reject = usize::try_from(at + from_end).ok().and_then(|at| self.0.get(at));
        let reject = reject.ok_or_else(|| PyIndexError::new_err("there are fewer rejects"))?;
        Ok(Bound::new(py, Reject::of(py, reject))?.into_any())
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        export::stream(py, export::single(&rejected(&self.0)))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export::schema(py, &Schema::new(fields()))
    }

    fn __repr__(&self) -> String {
        format!("<Rejects: {}>", self.0.len())
    }
}
