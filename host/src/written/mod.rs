//! What people write in files: YAML whose pieces know where they stand ([`Cursor`]), variables,
//! secrets, sizes and times. What is wrong with a file is a [`Finding`] with its place and what to
//! do about it.
//!
//! Nothing here knows what a pipeline is: that is told by the types that are read.

mod finding;
pub mod nearest;
mod quoted;
pub mod secrets;
mod tree;
mod values;
mod variables;

pub(crate) use finding::{ERROR, HELP};
pub use finding::{Finding, Findings, Gate, Place, Severity};
pub(crate) use quoted::quoted;
use tree::is_text;
pub use tree::{Cursor, ReadError, Written, positive};
pub(crate) use tree::{Templates, Tree, below, read, read_kind};
pub use values::{Duration, Size};
pub(crate) use variables::Variables;
