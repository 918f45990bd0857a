//! What goes wrong with an SQLite database, and what is done about it.

use std::str::FromStr;

use crate::record::{ConnectorError, ErrorClass, Lane, Position};

/// A fault, and the database that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct SqliteSinkError {
    /// As the user wrote it.
    pub path: String,
    pub fault: SqliteFault,
}

#[derive(Debug, thiserror::Error)]
pub enum SqliteFault {
    #[error("the sqlite sink writes columns, and without a rule there are none")]
    NoRule,
    #[error("`path:` is empty")]
    NoPath,
    #[error("the folder that it is in is not there")]
    NoFolder,
    #[error("the name `{name}` has a U+0000, which no name in SQLite has")]
    Name { name: String },
    #[error("`{name}` is a name that SQLite or pinhost keeps for itself")]
    ReservedName { name: String },
    #[error("columns `{one}` and `{other}` are one to SQLite, which does not tell case apart")]
    SameColumn { one: String, other: String },
    #[error("`{option}:` names column `{column}`, which the rule does not give")]
    NoColumn { option: &'static str, column: String },
    #[error("`key:` names column `{column}` twice")]
    KeyTwice { column: String },
    #[error("`newest:` tells rows of one key apart, and there is no `key:`")]
    NewestWithoutKey,
    #[error("`newest:` names column `{column}`, and lists have no order")]
    NewestList { column: String },

    #[error("{message} (SQLite code {code})")]
    Sqlite { code: i32, message: String },
    #[error(transparent)]
    Client(sqlx::Error),

    #[error(
        "a newer pinhost wrote it: it has format {found}, and this one knows formats up to {known}"
    )]
    NewerFormat { found: usize, known: usize },
    #[error("{table} holds `{value}`, which is no {what}")]
    State { table: &'static str, what: &'static str, value: String },

    #[error("there is no table {table}")]
    NoTable { table: String, ddl: String },
    #[error("{table} is a view, which takes no rows")]
    View { table: String },
    #[error("table {table} has no column {columns}")]
    NoColumns { table: String, columns: String, ddl: String },
    #[error("nothing keeps the rows of table {table} apart by {key}")]
    NoUniqueKey { table: String, key: String, ddl: String },

    #[error("pipeline {pipeline} is known here with source {known}, and this is {here}")]
    OtherSource { pipeline: String, known: String, here: String },
    #[error("pipeline {pipeline} is known here with table {known}, and this is {here}")]
    OtherTarget { pipeline: String, known: String, here: String },

    #[error("a lane was claimed by somebody who only looks")]
    NoSource,
    #[error("a unit of lane {unit} came with a claim of lane {claim}")]
    OtherLane { unit: Lane, claim: Lane },
    #[error("lane {lane} cannot go from {from} to {to}")]
    Backwards { lane: Lane, from: Position, to: Position },
    #[error("records of lane {lane} from {from} to {to} do not add up: {sums}")]
    Unbalanced { lane: Lane, from: Position, to: Position, sums: String },
    #[error("rows came with other columns than the sink was opened for")]
    OtherColumns,
}

impl SqliteFault {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Sqlite { code, .. } => class_of(*code),
            // The thread that drives a connection is gone, or a file could not be opened in time.
            Self::Client(_) => ErrorClass::Transient,
            Self::NoFolder
            | Self::NoTable { .. }
            | Self::View { .. }
            | Self::NoColumns { .. }
            | Self::NoUniqueKey { .. } => ErrorClass::Systemic,
            Self::NoRule
            | Self::NoPath
            | Self::Name { .. }
            | Self::ReservedName { .. }
            | Self::SameColumn { .. }
            | Self::NoColumn { .. }
            | Self::KeyTwice { .. }
            | Self::NewestWithoutKey
            | Self::NewestList { .. }
            | Self::NewerFormat { .. }
            | Self::State { .. }
            | Self::OtherSource { .. }
            | Self::OtherTarget { .. }
            | Self::NoSource
            | Self::OtherLane { .. }
            | Self::Backwards { .. }
            | Self::Unbalanced { .. }
            | Self::OtherColumns => ErrorClass::Fatal,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoTable { ddl, .. } | Self::NoColumns { ddl, .. } => {
                format!("make it, or let pinhost do so by `create: true`:\n{ddl}")
            }
            Self::NoUniqueKey { ddl, .. } => format!("an index does:\n{ddl}"),
            Self::NoFolder => "make the folder, or correct `path:`".to_owned(),
            Self::View { .. } => "name a table that the view is made of".to_owned(),
            Self::NewerFormat { .. } => "use that pinhost, or a newer one".to_owned(),
            Self::OtherSource { .. } | Self::OtherTarget { .. } => {
                "give the pipeline another `name:`; under it, it starts anew".to_owned()
            }
            Self::SameColumn { .. } => "rename one of them in the rule's `output:`".to_owned(),
            Self::NoRule => "give the pipeline a `rule:`".to_owned(),
            Self::Sqlite { code, .. } => return help_of(*code).map(str::to_owned),
            _ => return None,
        })
    }
}

// Primary result codes, https://sqlite.org/rescode.html. Extended ones have more in their higher bits.
const PERMISSION: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const OUT_OF_MEMORY: i32 = 7;
const READ_ONLY: i32 = 8;
const INTERRUPTED: i32 = 9;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA_CHANGED: i32 = 17;
const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const MISUSE: i32 = 21;
const NOT_A_DATABASE: i32 = 26;

fn primary(code: i32) -> i32 {
    code & 0xff
}

fn class_of(code: i32) -> ErrorClass {
    match primary(code) {
        BUSY | LOCKED | OUT_OF_MEMORY | INTERRUPTED | PROTOCOL | SCHEMA_CHANGED => {
            ErrorClass::Transient
        }
        CORRUPT | MISUSE => ErrorClass::Fatal,
        // The rest are files, disks, rights, and tables that somebody dropped.
        _ => ErrorClass::Systemic,
    }
}

fn help_of(code: i32) -> Option<&'static str> {
    Some(match primary(code) {
        NOT_A_DATABASE => "`path:` names a file that something else wrote: name another one",
        CORRUPT => "restore it from a backup, or see what `.recover` of the sqlite3 shell can save",
        READ_ONLY | PERMISSION | CANNOT_OPEN => {
            "pinhost writes the file and, beside it, others that end in -wal and -shm"
        }
        FULL => "make room on the disk",
        BUSY => {
            "another process is writing to it for long; if it is the sqlite3 shell, end its transaction"
        }
        _ => return None,
    })
}

/// Why SQLite would not take a row, if that is what this is: what the table's own constraints, types and
/// triggers say. Everything else is nobody's record's fault.
pub(super) fn refusal(error: &sqlx::Error) -> Option<String> {
    let (code, message) = said(error)?;
    matches!(primary(code), CONSTRAINT | MISMATCH | TOO_BIG).then(|| message.to_owned())
}

pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    said(error).is_some_and(|(code, _)| matches!(primary(code), BUSY | LOCKED))
}

fn said(error: &sqlx::Error) -> Option<(i32, &str)> {
    let error = error.as_database_error()?;
    Some((error.code()?.parse().ok()?, error.message()))
}

/// A text that pinhost stored, as what it stands for.
pub(super) fn parsed<T: FromStr>(
    table: &'static str,
    what: &'static str,
    text: &str,
) -> Result<T, SqliteFault> {
    text.parse().map_err(|_| SqliteFault::State { table, what, value: text.to_owned() })
}

impl From<sqlx::Error> for SqliteFault {
    fn from(error: sqlx::Error) -> Self {
        match said(&error) {
            Some((code, message)) => Self::Sqlite { code, message: message.to_owned() },
            None => Self::Client(error),
        }
    }
}

impl From<SqliteSinkError> for ConnectorError {
    fn from(error: SqliteSinkError) -> Self {
        let (class, help) = (error.fault.class(), error.fault.help());
        let error = Self::new(class, error);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}
