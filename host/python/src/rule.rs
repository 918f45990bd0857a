//! Rules: from a file, a text, a pipeline's sink or another process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::error::ArrowError;
use pinhost::decode::IntakeFault;
use pinhost::pipeline::{Document, Pipeline, RestoreError, Rule as Resolved};
use pinhost::plugin::{ConfigureError, Sandbox, standard};
use pinhost::record::{Digest, Field, Generation, Kind, PluginBytes};
use pinhost::run::{
    Beside, BesideError, Difference, FunctionInput, RuleFunction, RuleTestError, RuleTests, piped,
    restored,
};
use pinhost::swap::{KeptGenerationError, kept_generation};
use pinhost::written::Findings;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyType};

use crate::error::{CleaningError, RuleError, chain, of_findings, os_error, rule_error};
use crate::export::{self, Schema};
use crate::input::{self, Reader};
use crate::process::{self, locked, on_own_thread, sandbox};
use crate::rows::Rows;
use crate::shape::Shape;
use crate::threads::CleaningThreads;

/// Rejects that are kept unless the caller says how many.
const REJECTS_MAX: usize = 100_000;

/// Rules from other processes that are kept, so that a Spark worker loads each rule once.
const KNOWN_MAX: usize = 16;

/// A rule at work in one process.
#[derive(Debug)]
struct Loaded {
    pipeline: Pipeline,
    rule: Arc<Resolved>,
    threads: Arc<CleaningThreads>,
}

/// Why a rule is not loaded.
enum Unloaded {
    Unsound(Findings),
    Without,
    Restore(RestoreError),
    Kept(KeptGenerationError),
    Runtime(std::io::Error),
}

impl Loaded {
    fn of(pipeline: Pipeline) -> Result<Self, Unloaded> {
        let function = RuleFunction::of(&pipeline).ok_or(Unloaded::Without)?;
        let rule = Arc::clone(function.rule());
        Ok(Self { pipeline, rule, threads: Arc::new(CleaningThreads::new(function)) })
    }

    fn restored(kept: &Generation, sandbox: &Sandbox) -> Result<Self, Unloaded> {
        Self::of(restored(kept, sandbox).map_err(Unloaded::Restore)?)
    }

    fn function(&self) -> &RuleFunction {
        self.threads.function()
    }
}

impl Unloaded {
    fn raised(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Unsound(found) => of_findings(py, found),
            Self::Without => RuleError::new_err("the pipeline has no rule"),
            Self::Restore(error) => rule_error(error),
            Self::Kept(error) => rule_error(error),
            Self::Runtime(error) => os_error(error),
        }
    }
}

/// Held only while the GIL is.
static KNOWN: Mutex<Vec<(u32, Digest, Arc<Loaded>)>> = Mutex::new(Vec::new());

/// What a record means and how it is cleaned.
///
/// `Rule(path)` reads a rule from a file. From a pipeline's file it takes the rule and the limits. A rule
/// can be pickled, and used by several threads and after a fork. It holds everything that decides a row:
/// two rules with the same digest make the same rows from the same records.
#[pyclass(frozen, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Rule {
    generation: Generation,
    /// Locked only while the GIL is held.
    loaded: Mutex<(u32, Arc<Loaded>)>,
}

impl Rule {
    fn of(py: Python<'_>, loaded: Result<Loaded, Unloaded>) -> PyResult<Self> {
        let loaded = loaded.map_err(|error| error.raised(py))?;
        let generation = loaded.pipeline.generation();
        Ok(Self { generation, loaded: Mutex::new((process::id(), Arc::new(loaded))) })
    }

    /// The rule in this process; after a fork it is loaded again.
    fn loaded(&self, py: Python<'_>) -> PyResult<Arc<Loaded>> {
        let pid = process::id();
        let tests = match &*locked(&self.loaded) {
            (of, loaded) if *of == pid => return Ok(Arc::clone(loaded)),
            (_, loaded) => loaded.rule.tests.clone(),
        };
        let (sandbox, kept) = (sandbox(py)?, self.generation.clone());
        let made = on_own_thread(py, move || -> Result<Loaded, Unloaded> {
            let mut pipeline = restored(&kept, &sandbox).map_err(Unloaded::Restore)?;
            if let Some(rule) = &mut pipeline.rule {
                Arc::make_mut(rule).tests = tests;
            }
            Loaded::of(pipeline)
        })?;
        let made = Arc::new(made.map_err(|error| error.raised(py))?);
        let mut loaded = locked(&self.loaded);
        if loaded.0 != pid {
            // A fork never drops what its parent made: the parent's threads are not here.
            std::mem::forget(std::mem::replace(&mut *loaded, (pid, made)));
        }
        Ok(Arc::clone(&loaded.1))
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if loaded.0 != process::id() {
            std::mem::forget(Arc::clone(&loaded.1));
        }
    }
}

/// The arguments of `clean` and `clean_json` besides the records.
struct CleanOptions<'a> {
    threads: usize,
    rejects_column: Option<&'a str>,
    generation_column: Option<&'a str>,
    rejects_max: usize,
}

impl Rule {
    fn rows(
        &self,
        loaded: &Loaded,
        (input, reads): (Reader, FunctionInput),
        options: &CleanOptions<'_>,
    ) -> PyResult<Rows> {
        let schema = loaded.function().schema();
        let generation = options.generation_column.map(|name| (name, self.digest()));
        let shape = Shape::new(schema, options.rejects_column, generation);
        let shape = shape.map_err(PyValueError::new_err)?;
        Rows::new(input, reads, &loaded.threads, options.threads, shape, options.rejects_max)
    }
}

type Reads = (Reader, FunctionInput);

fn joined(faults: &[IntakeFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn columns(loaded: &Loaded, data: &Bound<'_, PyAny>) -> PyResult<Reads> {
    let input = input::columns(data)?;
    let reads = loaded.function().columns(&input.schema()).map_err(|faults| {
        CleaningError::new_err(format!("the columns do not fit the rule: {}", joined(&faults)))
    })?;
    Ok((input, reads))
}

fn json(loaded: &Loaded, data: &Bound<'_, PyAny>, column: Option<&str>) -> PyResult<Reads> {
    let input = input::records(data)?;
    let reads = loaded.function().json(&input.schema(), column);
    let reads = reads.map_err(|fault| CleaningError::new_err(fault.to_string()))?;
    Ok((input, reads))
}

#[pymethods]
impl Rule {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let sandbox = sandbox(py)?;
        let loaded = on_own_thread(py, move || {
            let document = Document::load(&path, &sandbox).map_err(Unloaded::Unsound)?;
            Loaded::of(piped(document))
        })?;
        Self::of(py, loaded)
    }

    /// Reads a rule or a pipeline from a text, as if it were in the file `path`: relative paths start
    /// there, and findings name it.
    #[classmethod]
    #[pyo3(signature = (text, path = PathBuf::from("rule.yaml")))]
    fn from_text(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        text: String,
        path: PathBuf,
    ) -> PyResult<Self> {
        let sandbox = sandbox(py)?;
        let loaded = on_own_thread(py, move || {
            let document = Document::parse(&path, text, &sandbox).map_err(Unloaded::Unsound)?;
            Loaded::of(piped(document))
        })?;
        Self::of(py, loaded)
    }

    /// Reads a generation that the sink of this pipeline has kept: the running one, or one that ran years
    /// ago. The beginning of its digest is enough if no other digest begins like it.
    #[classmethod]
    fn from_sink(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        pipeline: PathBuf,
        digest: String,
    ) -> PyResult<Self> {
        let sandbox = sandbox(py)?;
        let loaded = on_own_thread(py, move || {
            let pipeline = Pipeline::load(&pipeline, &sandbox).map_err(Unloaded::Unsound)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Unloaded::Runtime)?;
            let kept = runtime.block_on(kept_generation(&pipeline, &digest));
            Loaded::restored(&kept.map_err(Unloaded::Kept)?, &sandbox)
        })?;
        Self::of(py, loaded)
    }

    /// Identifies everything that decides a row: the resolved rule, the bytes of its plugins, limits and
    /// versions of formats.
    #[getter]
    fn digest(&self) -> String {
        self.generation.digest.to_string()
    }

    /// The columns that records may have. A column may also have the name of a field's alias, and numbers
    /// of another width or text of another layout.
    #[getter]
    fn schema_in(&self, py: Python<'_>) -> PyResult<Schema> {
        Ok(Schema(self.loaded(py)?.function().input_schema()))
    }

    /// The columns of rows.
    #[getter]
    fn schema_out(&self, py: Python<'_>) -> PyResult<Schema> {
        Ok(Schema(Arc::clone(self.loaded(py)?.function().schema())))
    }

    /// The columns of rows: `pyarrow.schema(rule)`.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        export::schema(py, self.loaded(py)?.function().schema())
    }

    /// The columns of rows as Spark SQL.
    #[getter]
    fn ddl(&self, py: Python<'_>) -> PyResult<String> {
        let loaded = self.loaded(py)?;
        Ok(loaded.rule.columns().iter().map(ddl).collect::<Vec<_>>().join(", "))
    }

    /// The plugins of its steps, in order.
    #[getter]
    fn plugins(&self, py: Python<'_>) -> PyResult<Vec<Plugin>> {
        Ok(self.loaded(py)?.rule.steps.iter().map(Plugin::of).collect())
    }

    /// Describes the rule to people: fields, steps with their plugins, and output.
    fn explain(&self, py: Python<'_>) -> PyResult<String> {
        let outline = self.loaded(py)?.rule.outline();
        Ok(format!("generation {}\n{outline}", self.generation.digest))
    }

    /// Cleans columns: an Arrow table, batch or stream, or a frame that offers one.
    ///
    /// A column becomes the field that has its name or its name as an alias; other columns are left out.
    /// The input is read only as rows are taken. With one thread, rows come out as soon as they can; with
    /// more, the input is read ahead.
    ///
    /// With `rejects_column`, each reject becomes a row in which only that column is filled: a struct of
    /// row, step, reason, detail and record. Otherwise `rows.rejects` keeps the first `rejects_max` of
    /// them. `generation_column` adds the rule's digest to each row.
    #[pyo3(signature = (
        data, *, threads = 1, rejects_column = None, generation_column = None,
        rejects_max = REJECTS_MAX
    ))]
    fn clean(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        threads: usize,
        rejects_column: Option<&str>,
        generation_column: Option<&str>,
        rejects_max: usize,
    ) -> PyResult<Rows> {
        let loaded = self.loaded(py)?;
        let options = CleanOptions { threads, rejects_column, generation_column, rejects_max };
        self.rows(&loaded, columns(&loaded, data)?, &options)
    }

    /// Cleans JSON records: a column of an Arrow table, batch or stream, or texts and bytes from a list, a
    /// file or a generator.
    ///
    /// `column` names the column; by default it is `value`, or the only one. The other arguments are those
    /// of `clean`.
    #[pyo3(signature = (
        data, column = None, *, threads = 1, rejects_column = None, generation_column = None,
        rejects_max = REJECTS_MAX
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn clean_json(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        column: Option<&str>,
        threads: usize,
        rejects_column: Option<&str>,
        generation_column: Option<&str>,
        rejects_max: usize,
    ) -> PyResult<Rows> {
        let loaded = self.loaded(py)?;
        let options = CleanOptions { threads, rejects_column, generation_column, rejects_max };
        self.rows(&loaded, json(&loaded, data, column)?, &options)
    }

    /// Runs the tests that are written in the rule, each as a whole and record by record. A rule from a
    /// sink or from another process has none.
    fn test(&self, py: Python<'_>) -> PyResult<Vec<TestResult>> {
        let loaded = self.loaded(py)?;
        let tested = on_own_thread(py, move || {
            let rule = &loaded.rule;
            let tests = RuleTests::new(rule, loaded.function().limits())?;
            let tests = rule.tests.iter().map(|test| {
                let differences = tests.run(&test.test)?;
                Ok(TestResult::new(&test.test.name, &differences))
            });
            tests.collect::<Result<Vec<_>, RuleTestError>>()
        })?;
        tested.map_err(|error| CleaningError::new_err(chain(&error)))
    }

    /// Compares what two rules make of the same records: counts and a few examples, like
    /// `pinhost diff --json`. With `json`, the records are those of `clean_json`. Examples show the columns
    /// in `key`, by default the first one.
    #[pyo3(signature = (other, data, *, json = false, column = None, key = None, examples = 3))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn diff<'py>(
        &self,
        py: Python<'py>,
        other: &Self,
        data: &Bound<'_, PyAny>,
        json: bool,
        column: Option<&str>,
        key: Option<Vec<String>>,
        examples: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (old, new) = (self.loaded(py)?, other.loaded(py)?);
        let (input, old_reads) =
            if json { self::json(&old, data, column)? } else { columns(&old, data)? };
        let schema = input.schema();
        let new_reads = if json {
            let reads = new.function().json(&schema, column);
            reads.map_err(|fault| CleaningError::new_err(fault.to_string()))?
        } else {
            new.function().columns(&schema).map_err(|faults| {
                let faults = joined(&faults);
                CleaningError::new_err(format!("the columns do not fit the other rule: {faults}"))
            })?
        };
        let first = || old.rule.columns().first().map(|field| field.name.to_string());
        let key = key.unwrap_or_else(|| first().into_iter().collect());
        let compared = on_own_thread(py, move || -> Result<String, Incomparable> {
            let beside = Beside::new(&old.pipeline, &new.pipeline, key, examples)?;
            let beside = beside.expect("a rule that is loaded is there");
            let (mut diff, mut from) = (beside.nothing(), 0);
            for batch in input {
                let batch = batch?;
                let rows_at_once = old_reads.rows_at_once(&batch);
                let mut row = 0;
                while row < batch.num_rows() {
                    let slice = batch.slice(row, rows_at_once.min(batch.num_rows() - row));
                    let place = |record: u32| format!("row {}", from + u64::from(record));
                    let (old, new) = (old_reads.read(&slice, from), new_reads.read(&slice, from));
                    diff.add(beside.compare_each(&old, &new, &place)?.diff, examples);
                    row += slice.num_rows();
                    from += slice.num_rows() as u64;
                }
            }
            let differs = !diff.is_empty();
            let mut diff = serde_json::to_value(&diff).expect("keys are text");
            diff["differs"] = differs.into();
            Ok(diff.to_string())
        })?;
        let compared = compared.map_err(|error| CleaningError::new_err(chain(&*error.0)))?;
        py.import("json")?.call_method1("loads", (compared,))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Pickled<'py>)> {
        let Generation { digest, resolved, plugins } = &self.generation;
        let plugins = plugins.iter().map(|plugin| {
            // The other side has it already.
            let is_standard = standard::find(&plugin.name)
                .is_some_and(|standard| standard.digest() == plugin.digest);
            let bytes = (!is_standard).then(|| PyBytes::new(py, &plugin.bytes));
            (plugin.name.clone(), plugin.digest.to_string(), bytes)
        });
        let restore = py.import("pinhost._pinhost")?.getattr("_restore")?;
        Ok((restore, (digest.to_string(), resolved.to_string(), plugins.collect())))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>();
        other.is_ok_and(|other| other.get().generation.digest == self.generation.digest)
    }

    fn __hash__(&self) -> u64 {
        self.generation.digest.words()[0]
    }

    fn __repr__(&self) -> String {
        format!("<Rule {}>", self.generation.digest.short())
    }
}

type Pickled<'py> = (String, String, Vec<(String, String, Option<Bound<'py, PyBytes>>)>);

struct Incomparable(Box<dyn std::error::Error + Send + Sync>);

impl From<ConfigureError> for Incomparable {
    fn from(error: ConfigureError) -> Self {
        Self(Box::new(error))
    }
}

impl From<BesideError> for Incomparable {
    fn from(error: BesideError) -> Self {
        Self(Box::new(error))
    }
}

impl From<ArrowError> for Incomparable {
    fn from(error: ArrowError) -> Self {
        Self(Box::new(error))
    }
}

/// A rule from another process.
#[pyfunction]
pub fn _restore(
    py: Python<'_>,
    digest: &str,
    resolved: &str,
    plugins: Vec<(String, String, Option<Vec<u8>>)>,
) -> PyResult<Rule> {
    let parsed = |hex: &str| {
        hex.parse::<Digest>().map_err(|_| PyValueError::new_err(format!("{hex:?} is not a digest")))
    };
    let mut kept = Vec::new();
    for (name, digest, bytes) in plugins {
        let digest = parsed(&digest)?;
        let standard = || {
            let standard = standard::find(&name)?;
            (standard.digest() == digest).then(|| Arc::clone(standard.bytes()))
        };
        let bytes = bytes.map(Arc::from).or_else(standard).ok_or_else(|| {
            PyValueError::new_err(format!(
                "the other process has another version of pinhost: its plugin {name} is not here"
            ))
        })?;
        kept.push(PluginBytes { name, digest, bytes });
    }
    let digest = parsed(digest)?;
    let generation = Generation { digest, resolved: resolved.into(), plugins: kept };
    let pid = process::id();
    let known =
        locked(&KNOWN).iter().find(|(of, known, _)| *of == pid && *known == digest).cloned();
    let loaded = match known {
        Some((_, _, loaded)) => loaded,
        None => {
            let (sandbox, kept) = (sandbox(py)?, generation.clone());
            let made = on_own_thread(py, move || Loaded::restored(&kept, &sandbox))?;
            let made = Arc::new(made.map_err(|error| error.raised(py))?);
            remember(digest, &made);
            made
        }
    };
    Ok(Rule { generation, loaded: Mutex::new((pid, loaded)) })
}

/// The oldest rule makes room. What a parent knew is neither used nor dropped.
fn remember(digest: Digest, loaded: &Arc<Loaded>) {
    let pid = process::id();
    let mut known = locked(&KNOWN);
    let foreign: Vec<_> = known.extract_if(.., |(of, _, _)| *of != pid).collect();
    std::mem::forget(foreign);
    if known.len() >= KNOWN_MAX {
        known.remove(0);
    }
    known.push((pid, digest, Arc::clone(loaded)));
}

fn ddl(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Boolean => "BOOLEAN",
        Kind::Integer => "BIGINT",
        Kind::Float => "DOUBLE",
        Kind::Text => "STRING",
        Kind::Timestamp => "TIMESTAMP",
        Kind::TextList => "ARRAY<STRING>",
        Kind::FloatList => "ARRAY<DOUBLE>",
    };
    format!("`{}` {kind}", field.name.replace('`', "``"))
}

/// A plugin in a step of a rule.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct Plugin {
    /// The id of the step.
    step: String,
    name: String,
    version: String,
    /// Of its bytes.
    digest: String,
    summary: String,
    /// Its configuration, as JSON.
    config: String,
}

impl Plugin {
    fn of(step: &pinhost::pipeline::RuleStep) -> Self {
        let plugin = step.step.plugin();
        Self {
            step: step.id.to_string(),
            name: plugin.name().to_owned(),
            version: plugin.version().to_owned(),
            digest: plugin.file().digest().to_string(),
            summary: plugin.summary().to_owned(),
            config: step.step.config().to_owned(),
        }
    }
}

#[pymethods]
impl Plugin {
    fn __repr__(&self) -> String {
        let Self { step, name, version, .. } = self;
        format!("<Plugin {name} {version} in step {step}>")
    }
}

/// The result of a rule's test.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct TestResult {
    name: String,
    passed: bool,
    /// Place, expected value and actual value, wherever the two differ.
    differences: Vec<(String, String, String)>,
}

impl TestResult {
    fn new(name: &str, differences: &[Difference]) -> Self {
        let parts = |difference: &Difference| {
            let Difference { place, expected, got, .. } = difference;
            (place.clone(), expected.clone(), got.clone())
        };
        let name = name.to_owned();
        let differences: Vec<_> = differences.iter().map(parts).collect();
        Self { name, passed: differences.is_empty(), differences }
    }
}

#[pymethods]
impl TestResult {
    fn __repr__(&self) -> String {
        let result = if self.passed { "passed" } else { "failed" };
        format!("<TestResult {result}: {}>", self.name)
    }

    fn __bool__(&self) -> bool {
        self.passed
    }
}
