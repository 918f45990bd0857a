//! Rules: from a file, from a text, from what a pipeline's sink has kept, from another process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::error::ArrowError;
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

use crate::crew::Crew;
use crate::error::{CleaningError, RuleError, chain, environment, unsound, unsuited};
use crate::export::{self, Schema};
use crate::input::{self, Reader};
use crate::process::{self, apart, locked, sandbox};
use crate::rows::Rows;
use crate::shape::Shape;

/// Rejects that are kept unless somebody says how many.
const REJECTS_MAX: usize = 100_000;

/// Rules from other processes that are kept, so that a worker of Spark's loads each once.
const KNOWN_MAX: usize = 16;

/// A rule at work in one process.
#[derive(Debug)]
struct Loaded {
    pipeline: Pipeline,
    rule: Arc<Resolved>,
    crew: Arc<Crew>,
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
        Ok(Self { pipeline, rule, crew: Arc::new(Crew::new(function)) })
    }

    fn restored(kept: &Generation, sandbox: &Sandbox) -> Result<Self, Unloaded> {
        Self::of(restored(kept, sandbox).map_err(Unloaded::Restore)?)
    }

    fn function(&self) -> &RuleFunction {
        self.crew.function()
    }
}

impl Unloaded {
    fn raised(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Unsound(found) => unsound(py, found),
            Self::Without => RuleError::new_err("the pipeline has no rule"),
            Self::Restore(error) => unsuited(error),
            Self::Kept(error) => unsuited(error),
            Self::Runtime(error) => environment(error),
        }
    }
}

/// Held only while the GIL is.
static KNOWN: Mutex<Vec<(u32, Digest, Arc<Loaded>)>> = Mutex::new(Vec::new());

/// What a record means and how it is cleaned.
///
/// `Rule(path)` reads the file of a rule, or of a pipeline, whose rule and limits it is then. It can be
/// pickled, and used by several threads and after a fork. Everything that decides a row is in it: two
/// rules of the same digest make the same of the same records.
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

    /// As it is in this process: made anew after a fork.
    fn loaded(&self, py: Python<'_>) -> PyResult<Arc<Loaded>> {
        let pid = process::id();
        let tests = match &*locked(&self.loaded) {
            (of, loaded) if *of == pid => return Ok(Arc::clone(loaded)),
            (_, loaded) => loaded.rule.tests.clone(),
        };
        let (sandbox, kept) = (sandbox(py)?, self.generation.clone());
        let made = apart(py, move || -> Result<Loaded, Unloaded> {
            let mut pipeline = restored(&kept, &sandbox).map_err(Unloaded::Restore)?;
            if let Some(rule) = &mut pipeline.rule {
                Arc::make_mut(rule).tests = tests;
            }
            Loaded::of(pipeline)
        })?;
        let made = Arc::new(made.map_err(|error| error.raised(py))?);
        let mut loaded = locked(&self.loaded);
        if loaded.0 != pid {
            // What the parent made is never dropped here: its threads are not there.
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

/// What `clean` and `clean_json` are given besides records.
struct Asked<'a> {
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
        asked: &Asked<'_>,
    ) -> PyResult<Rows> {
        let schema = loaded.function().schema();
        let generation = asked.generation_column.map(|name| (name, self.digest()));
        let shape = Shape::new(schema, asked.rejects_column, generation);
        let shape = shape.map_err(PyValueError::new_err)?;
        Rows::new(input, reads, &loaded.crew, asked.threads, shape, asked.rejects_max)
    }
}

type Reads = (Reader, FunctionInput);

fn columns(loaded: &Loaded, data: &Bound<'_, PyAny>) -> PyResult<Reads> {
    let input = input::columns(data)?;
    let reads = loaded.function().columns(&input.schema()).map_err(|faults| {
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        CleaningError::new_err(format!("the columns are not the rule's: {}", told.join("; ")))
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
        let loaded = apart(py, move || {
            let document = Document::load(&path, &sandbox).map_err(Unloaded::Unsound)?;
            Loaded::of(piped(document))
        })?;
        Self::of(py, loaded)
    }

    /// A rule, or a pipeline, that is written in a text. It is read as if it were in the file `path`:
    /// paths in it are resolved from there, and mistakes name it.
    #[classmethod]
    #[pyo3(signature = (text, path = PathBuf::from("rule.yaml")))]
    fn from_text(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        text: String,
        path: PathBuf,
    ) -> PyResult<Self> {
        let sandbox = sandbox(py)?;
        let loaded = apart(py, move || {
            let document = Document::parse(&path, text, &sandbox).map_err(Unloaded::Unsound)?;
            Loaded::of(piped(document))
        })?;
        Self::of(py, loaded)
    }

    /// A generation that the sink of this pipeline has kept: one that runs, or one that ran years ago. The
    /// beginning of its digest is enough if it is the only one.
    #[classmethod]
    fn from_sink(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        pipeline: PathBuf,
        digest: String,
    ) -> PyResult<Self> {
        let sandbox = sandbox(py)?;
        let loaded = apart(py, move || {
            let pipeline = Pipeline::load(&pipeline, &sandbox).map_err(Unloaded::Unsound)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Unloaded::Runtime)?;
            let kept = runtime.block_on(kept_generation(&pipeline, &digest));
            Loaded::restored(&kept.map_err(Unloaded::Kept)?, &sandbox)
        })?;
        Self::of(py, loaded)
    }

    /// What names everything that decides a row: the resolved rule, the bytes of its plugins, limits and
    /// versions of formats.
    #[getter]
    fn digest(&self) -> String {
        self.generation.digest.to_string()
    }

    /// The columns that records may have. Those of a field's alias fit too, and so do other widths of
    /// numbers and layouts of text.
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

    /// The columns of rows as Spark's SQL has them.
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

    /// What it does, for people: fields, steps with their plugins, and output.
    fn explain(&self, py: Python<'_>) -> PyResult<String> {
        let outline = self.loaded(py)?.rule.outline();
        Ok(format!("generation {}\n{outline}", self.generation.digest))
    }

    /// Cleans columns: an Arrow table, batch or stream, or a frame that is one.
    ///
    /// Columns become fields by their names or by the fields' aliases; others are left out. Nothing is
    /// read before the rows are. With one thread, rows come out as soon as they can; with more, the input
    /// is read ahead.
    ///
    /// `rejects_column` puts rejects among the rows, as rows of which only that column is filled: a struct
    /// of row, step, reason, detail and record. Otherwise the first `rejects_max` of them are kept in
    /// `rows.rejects`. `generation_column` adds the rule's digest to each row.
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
        let asked = Asked { threads, rejects_column, generation_column, rejects_max };
        self.rows(&loaded, columns(&loaded, data)?, &asked)
    }

    /// Cleans records that are JSON: in a column of an Arrow table, batch or stream, or texts and bytes
    /// from a list, a file or a generator.
    ///
    /// `column` names it; left out, it is `value`, or the only one. Everything else is as `clean` has it.
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
        let asked = Asked { threads, rejects_column, generation_column, rejects_max };
        self.rows(&loaded, json(&loaded, data, column)?, &asked)
    }

    /// Runs the tests that are written in the rule, each as a whole and record by record. One that came
    /// out of a sink or another process has none.
    fn test(&self, py: Python<'_>) -> PyResult<Vec<TestResult>> {
        let loaded = self.loaded(py)?;
        let tested = apart(py, move || {
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

    /// What another rule makes otherwise of the same records: counts and a few examples, as
    /// `pinhost diff --json` has them. With `json`, records are as `clean_json` takes them. Examples show
    /// the columns of `key`; left out, the first one.
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
                let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
                let told = told.join("; ");
                CleaningError::new_err(format!("the columns are not the other rule's: {told}"))
            })?
        };
        let first = || old.rule.columns().first().map(|field| field.name.to_string());
        let key = key.unwrap_or_else(|| first().into_iter().collect());
        let compared = apart(py, move || -> Result<String, Incomparable> {
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
            let mut told = serde_json::to_value(&diff).expect("keys are text");
            told["differs"] = differs.into();
            Ok(told.to_string())
        })?;
        let compared = compared.map_err(|error| CleaningError::new_err(chain(&*error.0)))?;
        py.import("json")?.call_method1("loads", (compared,))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Pickled<'py>)> {
        let Generation { digest, resolved, plugins } = &self.generation;
        let plugins = plugins.iter().map(|plugin| {
            // The other side has it too.
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
        hex.parse::<Digest>().map_err(|_| PyValueError::new_err(format!("{hex:?} is no digest")))
    };
    let mut kept = Vec::new();
    for (name, digest, bytes) in plugins {
        let digest = parsed(&digest)?;
        let standard = || {
            let standard = standard::find(&name)?;
            (standard.digest() == digest).then(|| Arc::clone(standard.bytes()))
        };
        let bytes = bytes.map(Arc::from).or_else(standard).ok_or_else(|| {
            let told = format!("the plugin {name} of the other process comes with another pinhost");
            PyValueError::new_err(told)
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
            let made = apart(py, move || Loaded::restored(&kept, &sandbox))?;
            let made = Arc::new(made.map_err(|error| error.raised(py))?);
            remember(digest, &made);
            made
        }
    };
    Ok(Rule { generation, loaded: Mutex::new((pid, loaded)) })
}

/// The oldest makes room. What a parent knew is neither used nor dropped.
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

/// A plugin at its place in a rule.
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

/// How a test of a rule went.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug)]
pub struct TestResult {
    name: String,
    passed: bool,
    /// Where what came out is not what was expected: place, expected, got.
    differences: Vec<(String, String, String)>,
}

impl TestResult {
    fn new(name: &str, differences: &[Difference]) -> Self {
        let told = |difference: &Difference| {
            let Difference { place, expected, got, .. } = difference;
            (place.clone(), expected.clone(), got.clone())
        };
        let name = name.to_owned();
        let differences: Vec<_> = differences.iter().map(told).collect();
        Self { name, passed: differences.is_empty(), differences }
    }
}

#[pymethods]
impl TestResult {
    fn __repr__(&self) -> String {
        let how = if self.passed { "passed" } else { "failed" };
        format!("<TestResult {how}: {}>", self.name)
    }

    fn __bool__(&self) -> bool {
        self.passed
    }
}
