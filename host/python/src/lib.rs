//! pinhost's rules in Python. A front of the library that the command uses: it hands over what Python
//! holds, and has no way of cleaning of its own.
//!
//! It is a guest in somebody else's process, so:
//! - traps of plugins come without signals ([`pinhost::plugin::Sandbox::embedded`]);
//! - plugins run on threads of our own, whose stacks are large enough ([`crew`]);
//! - what a process has made is not used in its forks ([`process`]): nothing of it is locked, waited for
//!   or dropped there. A lock that matters there is only held while the GIL is, so that no fork finds it
//!   locked.

mod crew;
mod error;
mod export;
mod input;
mod process;
mod rejects;
mod rows;
mod rule;
mod shape;

use std::ffi::OsString;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Does what the command `pinhost` does with these arguments, the first of which is its name, and returns
/// the exit code. The process has to be there for this alone.
#[pyfunction]
fn main(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    py.detach(|| pinhost::cli::main_from(argv).code())
}

#[pymodule]
fn _pinhost(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", py.get_type::<error::Error>())?;
    let rule_error = py.get_type::<error::RuleError>();
    // Of one that has no places.
    rule_error.setattr("findings", PyTuple::empty(py))?;
    module.add("RuleError", rule_error)?;
    module.add("CleaningError", py.get_type::<error::CleaningError>())?;
    module.add_class::<error::Finding>()?;
    module.add_class::<export::Batch>()?;
    module.add_class::<export::Schema>()?;
    module.add_class::<rejects::Reject>()?;
    module.add_class::<rejects::Rejects>()?;
    module.add_class::<rows::Counts>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<rule::Plugin>()?;
    module.add_class::<rule::Rule>()?;
    module.add_class::<rule::TestResult>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(rule::_restore, module)?)?;
    Ok(())
}
