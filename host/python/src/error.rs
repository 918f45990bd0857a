//! Exceptions.

use std::io;

use pinhost::written::secrets::mask;
use pinhost::written::{self, Findings};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

create_exception!(pinhost, Error, PyException, "What pinhost raises.");
create_exception!(
    pinhost,
    RuleError,
    Error,
    "The rule is not sound. The text lists everything that was found; `findings` holds it as data."
);
create_exception!(
    pinhost,
    CleaningError,
    Error,
    "The records cannot be cleaned: their columns do not fit the rule, or so many rows of a batch fail \
     that single records are not the cause."
);

/// Something that is or may be wrong with a rule.
#[pyclass(frozen, get_all, module = "pinhost", skip_from_py_object)]
#[derive(Debug, Clone)]
pub struct Finding {
    /// `error` or `warning`.
    severity: &'static str,
    message: String,
    /// The file, if the place is known; `line` and `column` count from 1.
    path: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    /// What to do about it.
    help: Option<String>,
    /// How far the rule got: `reading`, `compiling`, `the contract` or `configuring`.
    gate: &'static str,
}

#[pymethods]
impl Finding {
    fn __repr__(&self) -> String {
        let Self { severity, message, path, line, .. } = self;
        let place = match (path, line) {
            (Some(path), Some(line)) => format!(" at {path}:{line}"),
            _ => String::new(),
        };
        format!("<Finding {severity}: {message}{place}>")
    }
}

impl From<&written::Finding> for Finding {
    fn from(found: &written::Finding) -> Self {
        let masked = |text: &str| mask(text).into_owned();
        let place = found.place.as_ref();
        Self {
            severity: match found.severity {
                written::Severity::Error => "error",
                written::Severity::Warning => "warning",
            },
            message: masked(&found.message),
            path: place.map(|place| place.path.display().to_string()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            help: found.help.as_deref().map(masked),
            gate: found.gate.name(),
        }
    }
}

pub fn of_findings(py: Python<'_>, found: &Findings) -> PyErr {
    let error = RuleError::new_err(mask(&found.plain()).into_owned());
    let findings: Vec<_> = found.as_slice().iter().map(Finding::from).collect();
    match error.value(py).setattr("findings", findings) {
        Ok(()) => error,
        Err(other) => other,
    }
}

pub fn rule_error(why: &dyn std::error::Error) -> PyErr {
    RuleError::new_err(mask(&chain(why)).into_owned())
}

pub fn os_error(error: &io::Error) -> PyErr {
    PyOSError::new_err(error.to_string())
}

/// The error and its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let next_message = cause.to_string();
        if !message.ends_with(&next_message) {
            message = format!("{message}: {next_message}");
        }
        next = cause.source();
    }
    message
}
