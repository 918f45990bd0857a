//! The table that rows go to, as the pipeline and the rule describe it.

use std::sync::Arc;

use super::ddl::Dialect;
use super::fault::TableFault;
pub(crate) use crate::record::provenance::{GENERATION, LANE, POSITION, VERSION};
use crate::record::{Field, Kind};

/// As the user wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetConfig<'a> {
    pub(crate) key: &'a [String],
    pub(crate) newest: Option<&'a str>,
    pub(crate) create: bool,
    pub(crate) provenance: bool,
    pub(crate) replaces: bool,
}

#[derive(Debug)]
pub(crate) struct Target {
    /// As people know it, and as positions are stored with it.
    pub(crate) name: String,
    pub(crate) columns: Arc<[Field]>,
    /// Which of the columns. None if rows are appended.
    pub(crate) key: Vec<usize>,
    pub(crate) newest: Option<usize>,
    pub(crate) provenance: bool,
    pub(crate) create: bool,
    /// Rows that were made of the same records make way.
    pub(crate) replaces: bool,
}

/// What pinhost's own columns a table is found to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// It has columns for the lane and the place of a row's record.
    pub(crate) provenance: bool,
    /// It has one for what made the row. Tables that an older pinhost has made may lack it.
    pub(crate) generation: bool,
    pub(crate) versions: Versions,
}

/// Where the versions of rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Rows are appended.
    None,
    Column,
    /// In a table of their own: this one is somebody else's, or is to have no columns of pinhost's.
    Aside,
}

impl Target {
    pub(crate) fn new(
        dialect: &Dialect,
        name: &str,
        config: TargetConfig<'_>,
        columns: Option<Arc<[Field]>>,
    ) -> Result<Self, TableFault> {
        let columns = columns.ok_or(TableFault::NoRule)?;
        let TargetConfig { key, newest, create, provenance, replaces } = config;
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        if let Some((_, fault)) = dialect.names.columns(&names).into_iter().next() {
            return Err(fault.into());
        }
        let at = |option, column: &str| {
            let at = columns.iter().position(|field| &*field.name == column);
            at.ok_or_else(|| TableFault::NoColumn { option, column: column.to_owned() })
        };
        let mut key_columns = Vec::new();
        for column in key {
            let at = at("key", column)?;
            if key_columns.contains(&at) {
                return Err(TableFault::KeyTwice { column: column.clone() });
            }
            key_columns.push(at);
        }
        let newest = newest.map(|column| at("newest", column)).transpose()?;
        if let Some(newest) = newest {
            if key.is_empty() {
                return Err(TableFault::NewestWithoutKey);
            }
            let Field { name, kind } = &columns[newest];
            if matches!(kind, Kind::TextList | Kind::FloatList) {
                return Err(TableFault::NewestList { column: name.to_string() });
            }
        }
        let (name, key) = (name.to_owned(), key_columns);
        Ok(Self { name, columns, key, newest, provenance, create, replaces })
    }

    pub(crate) fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|at| &*self.columns[*at].name).collect()
    }

    /// The columns of keys whose rows are to go.
    pub(crate) fn deleted(&self) -> Vec<usize> {
        let newest = self.newest.filter(|newest| !self.key.contains(newest));
        self.key.iter().copied().chain(newest).collect()
    }

    /// Whether rows can be told that are to make way.
    pub(crate) fn check(&self, layout: Layout) -> Result<(), TableFault> {
        if self.replaces && !layout.provenance {
            return Err(TableFault::NoProvenance { table: self.name.clone() });
        }
        Ok(())
    }

    pub(crate) fn layout(&self, has: impl Fn(&str) -> bool) -> Layout {
        Layout {
            provenance: has(LANE) && has(POSITION),
            generation: has(LANE) && has(POSITION) && has(GENERATION),
            versions: match self.key[..] {
                [] => Versions::None,
                // Whatever `provenance:` says now: versions that are in the table count.
                [..] if has(VERSION) => Versions::Column,
                [..] => Versions::Aside,
            },
        }
    }

    /// Whether a table that says of its rows which record they were made of is to say what made them, and
    /// has no column for that yet.
    pub(crate) fn lacks_generation(&self, has: impl Fn(&str) -> bool) -> bool {
        self.create && self.provenance && has(LANE) && has(POSITION) && !has(GENERATION)
    }

    /// All columns that are written.
    pub(crate) fn written(&self, layout: Layout) -> Vec<&str> {
        let mut columns: Vec<&str> = self.columns.iter().map(|field| &*field.name).collect();
        if layout.provenance {
            columns.extend([LANE, POSITION]);
        }
        if layout.generation {
            columns.push(GENERATION);
        }
        if layout.versions == Versions::Column {
            columns.push(VERSION);
        }
        columns
    }
}
