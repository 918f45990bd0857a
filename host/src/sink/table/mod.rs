//! What sinks have in common that write rows into a table of a database: which rows to write, how those
//! are found that the table does not take, what is noted down beside them. Not here: statements, and
//! what an error of a database means.

pub(crate) mod apart;
pub(crate) mod cell;
pub(crate) mod commit;
pub(crate) mod ddl;
mod fault;
mod forget;
pub(crate) mod key;
pub(crate) mod lanes;
pub(crate) mod meaning;
pub(crate) mod rows;
mod search;
mod target;
pub(crate) mod version;
pub(crate) mod writer;
mod written;

pub use self::fault::TableFault;
pub(crate) use self::forget::{FORGOTTEN_MAX, Forgetting, Keep};
pub(crate) use self::search::Search;
pub(crate) use self::target::{
    GENERATION, LANE, Layout, POSITION, Target, TargetConfig, VERSION, Versions,
};
pub(crate) use self::written::{TableColumns, check_newest, check_table, look_at};

/// Rows that are looked up by a value at most.
pub(crate) const ORIGINS_MAX: u32 = 1_000;
