//! What a plugin reads, writes and counts: agreed once, before the first row.

use std::marker::PhantomData;

use crate::contract::{self, Column, ColumnType, Finding};
use crate::kind::Kind;

/// Collects what a plugin will read, write and count, and everything that is wrong about it.
///
/// Each method hands back a handle for [`Batch`](crate::Batch), whatever it finds amiss: all findings
/// are reported together once `configure` is through. The `pointer` of each is the JSON Pointer of
/// the piece of configuration that names the column.
#[derive(Debug)]
pub struct Plan {
    columns: Vec<Column>,
    reads: Vec<Column>,
    writes: Vec<Column>,
    tallies: Vec<String>,
    findings: Vec<Finding>,
}

/// A column that is handed to `clean`.
#[derive(Debug)]
pub struct Read<K> {
    pub(crate) index: u32,
    kind: PhantomData<K>,
}

/// A column that `clean` makes.
#[derive(Debug)]
pub struct Write<K> {
    pub(crate) index: u32,
    kind: PhantomData<K>,
}

/// A column that is cleaned in place: read, and written with the same kind.
#[derive(Debug)]
pub struct Edits<K> {
    pub read: Read<K>,
    pub write: Write<K>,
}

/// Something that is counted: of how many rows that stay it is true.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    pub(crate) index: u32,
}

// Derived, these would ask for `K: Copy`.
macro_rules! copy {
    ($($handle:ident)*) => {$(
        impl<K> Clone for $handle<K> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<K> Copy for $handle<K> {}
    )*};
}
copy!(Read Write Edits);

impl Plan {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, reads: vec![], writes: vec![], tallies: vec![], findings: vec![] }
    }

    /// The columns that exist at this step's place in the rule.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The kind of a column, if it exists.
    pub fn kind_of(&self, name: &str) -> Option<ColumnType> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.kind)
    }

    /// Asks for a column to be handed to `clean`.
    pub fn read<K: Kind>(&mut self, pointer: &str, name: &str) -> Read<K> {
        match self.kind_of(name) {
            Some(kind) if kind == K::TYPE => {}
            Some(kind) => {
                let (kind, wanted) = (kind_name(kind), kind_name(K::TYPE));
                self.findings.push(Finding::new(
                    pointer,
                    format!("column `{name}` is {kind}; this takes {wanted}"),
                ));
            }
            None => {
                let names = self.columns.iter().map(|column| column.name.as_str());
                let help = nearest(name, names)
                    .map(|nearest| format!("did you mean `{nearest}`?"))
                    .or_else(|| {
                        let names: Vec<&str> =
                            self.columns.iter().map(|c| c.name.as_str()).collect();
                        (!names.is_empty()).then(|| format!("there are: {}", names.join(", ")))
                    });
                let finding = Finding::new(pointer, format!("there is no column `{name}`"));
                self.findings.push(Finding { help, ..finding });
            }
        }
        let column = Column { name: name.to_owned(), kind: K::TYPE };
        let index = position_or_push(&mut self.reads, column, |a, b| a.name == b.name);
        Read { index, kind: PhantomData }
    }

    /// Announces a column that `clean` makes: of a new name, or in place of one that exists.
    pub fn write<K: Kind>(&mut self, pointer: &str, name: &str) -> Write<K> {
        if !(1..=128).contains(&name.len()) || name.chars().any(char::is_control) {
            let message = "a column's name has 1 to 128 bytes and no control characters";
            self.findings.push(Finding::new(pointer, message));
        }
        if self.writes.iter().any(|column| column.name == name) {
            self.findings.push(Finding::new(pointer, format!("column `{name}` is written twice")));
        }
        let index = self.writes.len() as u32;
        self.writes.push(Column { name: name.to_owned(), kind: K::TYPE });
        Write { index, kind: PhantomData }
    }

    /// Both: a column that is cleaned in place.
    pub fn edit<K: Kind>(&mut self, pointer: &str, name: &str) -> Edits<K> {
        Edits { read: self.read(pointer, name), write: self.write(pointer, name) }
    }

    /// Announces something to count. The same name gives the same tally.
    pub fn tally(&mut self, name: impl Into<String>) -> Tally {
        let name = name.into();
        if !(1..=128).contains(&name.len()) {
            self.findings
                .push(Finding::new("", format!("a tally's name has 1 to 128 bytes: `{name}`")));
        }
        let index = position_or_push(&mut self.tallies, name, |a, b| a == b);
        if index == 64 {
            self.findings.push(Finding::new("", "there are more than 64 things to count"));
        }
        Tally { index }
    }

    /// Reports something else that is wrong, and goes on looking.
    pub fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn finish(self) -> Result<Wiring, Vec<Finding>> {
        if !self.findings.is_empty() {
            return Err(self.findings);
        }
        let over = |write: &Column| self.reads.iter().position(|read| read == write);
        Ok(Wiring {
            over: self.writes.iter().map(over).collect(),
            plan: contract::Plan {
                reads: self.reads.into_iter().map(|column| column.name).collect(),
                writes: self.writes,
                tallies: self.tallies,
            },
        })
    }
}

/// A plan that holds.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) plan: contract::Plan,
    /// For each column written: the column read that it stands in place of, if the kind stays.
    pub(crate) over: Vec<Option<usize>>,
}

impl Finding {
    /// Something wrong with the piece of configuration at this JSON Pointer.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), help: None }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// A JSON Pointer from its parts: `pointer(["columns", "a/b"])` is `/columns/a~1b`.
pub fn pointer<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().fold(String::new(), |pointer, part| {
        pointer + "/" + &part.replace('~', "~0").replace('/', "~1")
    })
}

/// The kind as the contract, YAML and the docs call it.
pub fn kind_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Boolean => "boolean",
        ColumnType::Integer => "integer",
        ColumnType::Float => "float",
        ColumnType::Text => "text",
        ColumnType::Timestamp => "timestamp",
        ColumnType::TextList => "text-list",
        ColumnType::FloatList => "float-list",
    }
}

/// The name that was meant, if one is near enough.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|other| (strsim::normalized_damerau_levenshtein(name, other), other))
        .filter(|&(likeness, _)| likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

fn position_or_push<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) -> u32 {
    let index = list.iter().position(|other| same(other, &item)).unwrap_or(list.len());
    if index == list.len() {
        list.push(item);
    }
    index as u32
}
