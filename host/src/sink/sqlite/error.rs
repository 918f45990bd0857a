//! What goes wrong with an SQLite database, and what is done about it.

use crate::ledger::LedgerFault;
use crate::record::{ConnectorError, ErrorClass};
use crate::sink::table::TableFault;

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
    #[error("`path:` is empty")]
    NoPath,
    #[error("the folder that it is in is not there")]
    NoFolder,

    #[error("{message} (SQLite code {code})")]
    Sqlite { code: i32, message: String },
    #[error(transparent)]
    Client(sqlx::Error),
    #[error(transparent)]
    Table(#[from] TableFault),
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
}

impl SqliteFault {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Sqlite { code, .. } => class_of(*code),
            // The thread that drives a connection is gone, or a file could not be opened in time.
            Self::Client(_) => ErrorClass::Transient,
            Self::NoFolder => ErrorClass::Systemic,
            Self::NoPath => ErrorClass::Fatal,
            Self::Table(fault) => fault.class(),
            Self::Ledger(fault) => fault.class(),
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoFolder => "make the folder, or correct `path:`".to_owned(),
            Self::Table(fault) => return fault.help(),
            Self::Ledger(fault) => return fault.help(),
            Self::Sqlite { code, .. } => return help_of(*code).map(str::to_owned),
            Self::NoPath | Self::Client(_) => return None,
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
