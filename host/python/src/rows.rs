//! Rows: the stream that a rule makes of another stream.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use pinhost::record::RawBatch;
use pinhost::run::{FunctionInput, FunctionReject, FunctionRows};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::{CleaningError, os_error};
use crate::export::{self, Batch};
use crate::input::Reader;
use crate::process::{self, locked, panic_message, wait};
use crate::rejects::Rejects;
use crate::shape::Shape;
use crate::threads::{CleaningThread, CleaningThreads, JOBS_MAX, Job};

/// Their cleaning threads are not in the fork.
const BEFORE_THE_FORK: &str = "these rows were begun before the fork: clean the records again";

/// How many records ended how so far.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    records: u64,
    rows: u64,
    rejected: u64,
    /// Removed by steps on purpose.
    dropped: u64,
}

#[pymethods]
impl Counts {
    fn __repr__(&self) -> String {
        let Self { records, rows, rejected, dropped } = self;
        format!("<Counts: {records} records, {rows} rows, {rejected} rejected, {dropped} dropped>")
    }
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    rejects: Vec<FunctionReject>,
}

/// Why a stream of rows ends early.
enum Fault {
    Input(ArrowError),
    Halted(String),
    /// Ctrl-C, or what the input raised.
    Raised(PyErr),
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(cause) => match cause.downcast::<PyErr>() {
                Ok(raised) => Self::Raised(*raised),
                Err(cause) => Self::Input(ArrowError::ExternalError(cause)),
            },
            error => Self::Input(error),
        }
    }
}

/// The stream itself, for one consumer.
struct Cleaning {
    pid: u32,
    input: Reader,
    reads: FunctionInput,
    threads: Arc<CleaningThreads>,
    /// They take turns.
    hired: Vec<CleaningThread>,
    /// Batches that were handed out.
    sent: usize,
    /// Batches whose answers were taken.
    taken: usize,
    current: Option<Current>,
    next: u64,
    is_over: bool,
    shape: Arc<Shape>,
    tally: Arc<Mutex<Tally>>,
    rejects_max: usize,
}

/// A batch of the input that is being cut.
struct Current {
    batch: RecordBatch,
    row: usize,
    rows_at_once: usize,
}

impl Cleaning {
    /// The next rows. Batches of which nothing is left are skipped.
    fn rows(
        &mut self,
        interrupted: &dyn Fn() -> Option<PyErr>,
    ) -> Option<Result<RecordBatch, Fault>> {
        if self.pid != process::id() {
            return Some(Err(Fault::Halted(BEFORE_THE_FORK.to_owned())));
        }
        let step = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let cleaned = self.cleaned(interrupted)?;
                let rows = cleaned.map(|cleaned| self.take(cleaned));
                if !rows.as_ref().is_ok_and(|rows| rows.num_rows() == 0) {
                    return Some(rows);
                }
            }
        }));
        let step = step.unwrap_or_else(|panic| Some(Err(Fault::Halted(panic_message(&*panic)))));
        if !matches!(step, Some(Ok(_))) {
            self.end();
        }
        step
    }

    fn take(&mut self, cleaned: FunctionRows) -> RecordBatch {
        let rows = self.shape.rows(&cleaned);
        let mut tally = locked(&self.tally);
        let counts = &mut tally.counts;
        counts.records += cleaned.records;
        counts.rows += cleaned.rows.num_rows() as u64;
        counts.rejected += cleaned.rejects.len() as u64;
        counts.dropped += cleaned.dropped;
        if !self.shape.has_rejects() {
            let room = self.rejects_max.saturating_sub(tally.rejects.len());
            tally.rejects.extend(cleaned.rejects.into_iter().take(room));
        }
        rows
    }

    /// The next answer in turn.
    fn cleaned(
        &mut self,
        interrupted: &dyn Fn() -> Option<PyErr>,
    ) -> Option<Result<FunctionRows, Fault>> {
        if let Some(interrupt) = interrupted() {
            return Some(Err(Fault::Raised(interrupt)));
        }
        if let Err(fault) = self.hand_out() {
            return Some(Err(fault));
        }
        if self.sent == self.taken {
            return None;
        }
        let turn = self.taken % self.hired.len();
        let thread = &mut self.hired[turn];
        self.taken += 1;
        thread.waiting -= 1;
        match wait(&thread.answers, interrupted) {
            Ok(Some(Ok(cleaned))) => Some(Ok(cleaned)),
            Ok(Some(Err(halted))) => Some(Err(Fault::Halted(halted))),
            Ok(None) => Some(Err(Fault::Halted("a cleaning thread is gone".to_owned()))),
            Err(interrupt) => {
                // Its answer is still to come, so nobody else can use the thread.
                thread.waiting += 1;
                Some(Err(Fault::Raised(interrupt)))
            }
        }
    }

    /// Gives each thread as much as it may have. A single thread gets only what has already arrived, so
    /// that rows come out while the input pauses.
    fn hand_out(&mut self) -> Result<(), Fault> {
        while !self.is_over && self.sent - self.taken < self.hired.len() * JOBS_MAX {
            let is_needed = self.sent == self.taken || self.hired.len() > 1;
            let Some((from, raw)) = self.raw(is_needed)? else { break };
            let turn = self.sent % self.hired.len();
            let thread = &mut self.hired[turn];
            if thread.jobs.send(Job { raw, from }).is_err() {
                return Err(Fault::Halted("a cleaning thread is gone".to_owned()));
            }
            thread.waiting += 1;
            self.sent += 1;
        }
        Ok(())
    }

    /// The next records, as many as are cleaned at once. None at the end, and none if the input would have
    /// to be awaited for records that nobody needs yet.
    fn raw(&mut self, is_needed: bool) -> Result<Option<(u64, RawBatch)>, Fault> {
        loop {
            if let Some(Current { batch, row, rows_at_once }) = &mut self.current
                && *row < batch.num_rows()
            {
                let rows = (*rows_at_once).min(batch.num_rows() - *row);
                let slice = batch.slice(*row, rows);
                let from = self.next;
                *row += rows;
                self.next += rows as u64;
                return Ok(Some((from, self.reads.read(&slice, from))));
            }
            self.current = None;
            if !is_needed {
                return Ok(None);
            }
            match self.input.next() {
                None => {
                    self.is_over = true;
                    return Ok(None);
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(batch)) => {
                    let rows_at_once = self.reads.rows_at_once(&batch);
                    self.current = Some(Current { batch, row: 0, rows_at_once });
                }
            }
        }
    }

    /// Nothing more comes.
    fn end(&mut self) {
        self.is_over = true;
        self.sent = 0;
        self.taken = 0;
        for thread in self.hired.drain(..) {
            self.threads.give_back(thread);
        }
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        if self.pid == process::id() {
            self.end();
        } else {
            // The threads at their other ends are not in this process.
            std::mem::forget(std::mem::take(&mut self.hired));
            std::mem::forget(Arc::clone(&self.threads));
        }
    }
}

thread_local! {
    /// Whether Python runs signal handlers on this thread. Asked once.
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

fn is_main(py: Python<'_>) -> bool {
    IS_MAIN.get().unwrap_or_else(|| {
        let asked = || -> PyResult<bool> {
            let threading = py.import("threading")?;
            let here = threading.call_method0("current_thread")?;
            Ok(here.is(&threading.call_method0("main_thread")?))
        };
        let is_main = asked().unwrap_or(false);
        IS_MAIN.set(Some(is_main));
        is_main
    })
}

/// Ctrl-C, if it was pressed. For callers that do not hold the GIL.
fn interrupt() -> Option<PyErr> {
    if IS_MAIN.get() == Some(false) {
        return None;
    }
    Python::attach(|py| if is_main(py) { py.check_signals().err() } else { None })
}

/// Rows for a consumer that knows nothing of Python.
struct Exported(Cleaning);

impl Iterator for Exported {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.rows(&interrupt).map(|rows| {
            rows.map_err(|fault| match fault {
                Fault::Input(error) => error,
                Fault::Halted(why) => ArrowError::ComputeError(why),
                Fault::Raised(error) => {
                    // The consumer hides it, but Python interrupts itself as soon as it is back. The text is
                    // made before, since making it would take the interrupt.
                    let message = error.to_string();
                    Python::attach(|py| {
                        if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                            let thread = py.import("_thread");
                            let _ = thread.and_then(|thread| thread.call_method0("interrupt_main"));
                        }
                    });
                    ArrowError::ExternalError(message.into())
                }
            })
        })
    }
}

impl RecordBatchReader for Exported {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.shape.schema())
    }
}

/// Cleaned rows. They can be taken once: by anything that takes `__arrow_c_stream__`
/// (`pyarrow.table(rows)`, `polars.DataFrame(rows)`, DuckDB), or batch by batch.
#[pyclass(frozen, module = "pinhost", skip_from_py_object)]
pub struct Rows {
    pid: u32,
    shape: Arc<Shape>,
    /// None once a consumer has taken it.
    cleaning: Mutex<Option<Cleaning>>,
    tally: Arc<Mutex<Tally>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Rows {
    pub fn new(
        input: Reader,
        reads: FunctionInput,
        threads: &Arc<CleaningThreads>,
        count: usize,
        shape: Shape,
        rejects_max: usize,
    ) -> PyResult<Self> {
        let hired = (0..count.max(1)).map(|_| threads.take()).collect::<Result<Vec<_>, _>>();
        let hired = hired.map_err(|error| os_error(&error))?;
        let (pid, shape, tally) = (process::id(), Arc::new(shape), Arc::default());
        let cleaning = Cleaning {
            pid,
            input,
            reads,
            threads: Arc::clone(threads),
            hired,
            sent: 0,
            taken: 0,
            current: None,
            next: 0,
            is_over: false,
            shape: Arc::clone(&shape),
            tally: Arc::clone(&tally),
            rejects_max,
        };
        Ok(Self { pid, shape, cleaning: Mutex::new(Some(cleaning)), tally })
    }

    /// Its locks must not be taken in a fork of the process that made it.
    fn check_process(&self) -> PyResult<()> {
        if self.pid == process::id() {
            return Ok(());
        }
        Err(CleaningError::new_err(BEFORE_THE_FORK))
    }
}

#[pymethods]
impl Rows {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        self.check_process()?;
        let cleaning = py.detach(|| locked(&self.cleaning).take());
        let cleaning = cleaning.ok_or_else(already_taken)?;
        export::stream(py, Box::new(Exported(cleaning)))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export::schema(py, self.shape.schema())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next batch of rows. No batch is empty.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        self.check_process()?;
        let rows = py.detach(|| match &mut *locked(&self.cleaning) {
            Some(cleaning) => Ok(cleaning.rows(&interrupt)),
            None => Err(()),
        });
        match rows.map_err(|()| already_taken())? {
            None => Ok(None),
            Some(Ok(rows)) => Ok(Some(Batch(rows))),
            Some(Err(Fault::Raised(error))) => Err(error),
            Some(Err(Fault::Halted(why))) => Err(CleaningError::new_err(why)),
            Some(Err(Fault::Input(error))) => {
                Err(CleaningError::new_err(format!("the input fails: {error}")))
            }
        }
    }

    /// The first `rejects_max` records that could not be cleaned so far. None if rejects go into a column.
    #[getter]
    fn rejects(&self) -> PyResult<Rejects> {
        self.check_process()?;
        Ok(Rejects(locked(&self.tally).rejects.clone()))
    }

    /// How many records ended how so far.
    #[getter]
    fn counts(&self) -> PyResult<Counts> {
        self.check_process()?;
        Ok(locked(&self.tally).counts)
    }

    /// All rows as a `pyarrow.Table`.
    fn to_pyarrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let pyarrow = py.import("pyarrow")?;
        let batches = pyo3::types::PyList::empty(py);
        while let Some(batch) = slf.get().__next__(py)? {
            batches.append(pyarrow.call_method1("record_batch", (batch,))?)?;
        }
        let schema = export::Schema(Arc::clone(slf.get().shape.schema()));
        let schema = pyarrow.call_method1("schema", (schema,))?;
        pyarrow.getattr("Table")?.call_method1("from_batches", (batches, schema))
    }
}

fn already_taken() -> PyErr {
    PyRuntimeError::new_err("these rows have been taken already: rows can be taken once")
}
