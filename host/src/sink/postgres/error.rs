//! What goes wrong with a PostgreSQL database, and what is done about it.

use std::io;

use sqlx::postgres::PgDatabaseError;

use super::PostgresSinkConfig;
use crate::ledger::LedgerFault;
use crate::record::{ConnectorError, ErrorClass};
use crate::sink::table::TableFault;
use crate::sink::table::ddl::quoted;

/// A fault, and the database that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{database}: {fault}")]
pub struct PostgresSinkError {
    /// `pins on db.example.com:5432`, never with a password.
    pub database: String,
    pub fault: PostgresFault,
}

/// What faults are about.
#[derive(Debug)]
pub(super) struct Place {
    /// With its server, as people are told.
    pub(super) shown: String,
    pub(super) database: String,
    pub(super) role: String,
    /// Quoted.
    pub(super) table: String,
}

#[derive(Debug, thiserror::Error)]
pub enum PostgresFault {
    #[error("`url:` cannot be understood: {0}")]
    Url(sqlx::Error),
    #[error("`url:` does not begin with postgres://")]
    Scheme,
    #[error("something behind the `?` of `url:` is not understood")]
    Parameters,

    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("it does not answer")]
    Silent,
    #[error("no encrypted connection: {0}")]
    Tls(String),
    #[error("{message} (SQLSTATE {code})")]
    Server { code: String, message: String },
    #[error(transparent)]
    Client(sqlx::Error),
    #[error("it has version {found} of PostgreSQL, and pinhost wants {least} or newer")]
    OldServer { found: u32, least: u32 },

    #[error("its encoding is {encoding}, and texts are UTF-8")]
    Encoding { encoding: String },

    #[error("table {table} cannot take the rows: {why}")]
    Unfit { table: String, why: String, ddl: String },
    #[error("column {column} of table {table} may not be null, and the rule does not give it")]
    NotGiven { table: String, column: String, ddl: String },

    #[error("a constraint of table {table} refuses what follows from a row: {message}")]
    OtherTable { table: String, message: String },

    #[error(transparent)]
    Table(#[from] TableFault),
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
}

impl PostgresFault {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Server { code, .. } => class_of(code),
            Self::Unreachable(_) | Self::Silent | Self::Client(_) => ErrorClass::Transient,
            Self::Tls(_)
            | Self::OldServer { .. }
            | Self::Encoding { .. }
            | Self::Unfit { .. }
            | Self::NotGiven { .. }
            | Self::OtherTable { .. } => ErrorClass::Systemic,
            Self::Url(_) | Self::Scheme | Self::Parameters => ErrorClass::Fatal,
            Self::Table(fault) => fault.class(),
            Self::Ledger(fault) => fault.class(),
        }
    }

    /// Somebody reads or changes a table that was to be changed, and nobody waited for it.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self, Self::Server { code, .. } if code == IN_USE)
    }

    /// What keeps a connection from being made. Certificates are files, and rustls says by an
    /// input error that it does not trust one.
    pub(super) fn connecting(error: sqlx::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, PermissionDenied};
        match error {
            sqlx::Error::Io(error)
                if matches!(error.kind(), InvalidData | NotFound | PermissionDenied) =>
            {
                Self::Tls(error.to_string())
            }
            sqlx::Error::Configuration(error) => Self::Tls(error.to_string()),
            error => error.into(),
        }
    }

    fn help(&self, place: &Place) -> Option<String> {
        Some(match self {
            Self::Url(_) | Self::Scheme => {
                "it is written like postgres://me:${PASSWORD}@db.example.com:5432/pins".to_owned()
            }
            Self::Parameters => format!("there are {}", PostgresSinkConfig::PARAMETERS.join(", ")),
            Self::Unreachable(_) => {
                "is it running there? The host and the port are those of `url:`".to_owned()
            }
            Self::Tls(_) => {
                "`?sslmode=verify-full&sslrootcert=ca.pem` at the end of `url:` names who is \
                 trusted, `?sslmode=disable` does without"
                    .to_owned()
            }
            Self::OldServer { .. } => "upgrade the server".to_owned(),
            Self::Encoding { .. } => {
                "make one by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0".to_owned()
            }
            Self::Unfit { ddl, .. } | Self::NotGiven { ddl, .. } => {
                format!("this mends it:\n{ddl}")
            }
            Self::OtherTable { .. } => "mend the trigger that writes to it".to_owned(),
            Self::Table(fault) => return fault.help(),
            Self::Ledger(fault) => return fault.help(),
            Self::Server { code, message } => return help_of(code, message, place),
            Self::Silent | Self::Client(_) => return None,
        })
    }
}

// SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html: the first two characters are
// the class.
const INVALID_PASSWORD: &str = "28P01";
const INVALID_AUTHORIZATION: &str = "28000";
const NO_DATABASE: &str = "3D000";
const NO_SCHEMA: &str = "3F000";
const NO_RIGHT: &str = "42501";
const NO_TABLE: &str = "42P01";
pub(super) const TWO_ROWS_OF_ONE_KEY: &str = "21000";
const TOO_MANY_CONNECTIONS: &str = "53300";
const DISK_FULL: &str = "53100";
const CANCELED: &str = "57014";
const IN_USE: &str = "55P03";

fn class_of(code: &str) -> ErrorClass {
    match code {
        // A lock that somebody else has; a server that only reads, until the fail-over is through; a
        // transaction that a stopped process left open.
        IN_USE | "25006" | "25P03" | "25P04" => return ErrorClass::Transient,
        _ => {}
    }
    match code.get(..2) {
        Some("08" | "40" | "53" | "57" | "58") => ErrorClass::Transient,
        // The rest are rights, names, and what somebody did to a table.
        _ => ErrorClass::Systemic,
    }
}

fn help_of(code: &str, message: &str, place: &Place) -> Option<String> {
    let help = match code {
        INVALID_PASSWORD | INVALID_AUTHORIZATION => {
            "the role and its password are those of `url:`, and the server's pg_hba.conf has to let \
             them in"
        }
        NO_DATABASE => "make it by CREATE DATABASE, or name another one in `url:`",
        NO_SCHEMA => "make it by CREATE SCHEMA, or name another one in `table:`",
        NO_RIGHT => return Some(grants(message, place)),
        NO_TABLE => "it was there when the pipeline started; made again, it is written to again",
        TWO_ROWS_OF_ONE_KEY => {
            "two keys of the rule are one key in the table: give its column the type that the rule has"
        }
        TOO_MANY_CONNECTIONS => "lower `pool:`, or raise max_connections of the server",
        IN_USE => "somebody has the table: `SELECT * FROM pg_locks` tells who",
        DISK_FULL => "make room on the server's disk",
        CANCELED => {
            "somebody cancelled it, or it took too long: `unit: { rows: 10000 }` makes commits smaller"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// What lets the role do what it was denied.
fn grants(message: &str, place: &Place) -> String {
    let Place { database, role, table, .. } = place;
    let (database, role) = (quoted(database), quoted(role));
    let grant = if message.contains("schema pinhost") {
        format!("GRANT USAGE, CREATE ON SCHEMA pinhost TO {role};")
    } else if message.contains("database") {
        format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO {role};")
    } else if let Some(schema) = message.strip_prefix("permission denied for schema ") {
        format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role};", quoted(schema))
    } else {
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};\n\
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pinhost TO {role};"
        )
    };
    format!("somebody who may grant it types:\n{grant}")
}

/// What a table says of a row that it does not take.
#[derive(Debug)]
pub(super) struct Refused {
    /// The same for all rows with this fault.
    pub(super) reason: String,
    pub(super) detail: Option<String>,
    /// The table whose constraint it is, if it says so.
    pub(super) table: Option<(String, String)>,
    /// It is nothing about one row: two keys of the rule are one in the table. One after the other, each
    /// finds its place by its version.
    pub(super) is_of_two: bool,
}

/// Whether a row is at fault, if the table that is written to said this: values that its types or its
/// constraints do not take, and keys that its indexes cannot hold. Everything else is nobody's record's
/// fault.
pub(super) fn refused(error: &sqlx::Error) -> Option<Refused> {
    let error = said(error)?;
    let of_a_record = matches!(error.code().get(..2), Some("22" | "23")) || error.code() == "54000";
    let is_of_two = error.code() == TWO_ROWS_OF_ONE_KEY;
    if !of_a_record && !is_of_two {
        return None;
    }
    // What was special about this row stands behind a colon: `invalid input syntax for type uuid: "x"`.
    let message = error.message();
    let (reason, detail) = match message.split_once(": ") {
        Some((reason, _)) => (reason, Some(message)),
        None => (message, None),
    };
    let detail = error.detail().or(detail).map(str::to_owned);
    let table = error.schema().zip(error.table());
    let table = table.map(|(schema, table)| (schema.to_owned(), table.to_owned()));
    Some(Refused { reason: reason.to_owned(), detail, table, is_of_two })
}

fn said(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

impl From<sqlx::Error> for PostgresFault {
    fn from(error: sqlx::Error) -> Self {
        if let Some(said) = said(&error) {
            let (code, message) = (said.code().to_owned(), said.message().to_owned());
            return Self::Server { code, message };
        }
        match error {
            sqlx::Error::Io(error) => Self::Unreachable(error),
            sqlx::Error::Tls(error) => Self::Tls(error.to_string()),
            error => Self::Client(error),
        }
    }
}

impl Place {
    pub(super) fn told(&self, fault: PostgresFault) -> ConnectorError {
        let (class, help) = (fault.class(), fault.help(self));
        let error = PostgresSinkError { database: self.shown.clone(), fault };
        let error = ConnectorError::new(class, error);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}
