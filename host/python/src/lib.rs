//! pinhost's rules in Python: a front for the library that the command uses too. It hands over what
//! Python holds and cleans nothing itself.
//!
//! It is a guest in somebody else's process:
//! - plugins trap without signals ([`pinhost::plugin::Sandbox::embedded`]);
//! - plugins run on threads of our own, whose stacks are large enough ([`threads`]);
//! - a fork uses nothing that its parent made ([`process`]): it neither locks, awaits nor drops it. The
//!   locks that a fork needs are held only together with the GIL, so no fork finds them locked.

mod error;
mod export;
mod input;
mod process;
mod rejects;
mod rows;
mod rule;
mod shape;
mod threads;

use std::ffi::OsString;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Runs the command `pinhost` with these arguments, the first of which is its name, and returns its exit
/// code. The process must have no other purpose.
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
    // An error without findings has none, rather than no attribute.
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
