//! What PostgreSQL calls things.

use super::{POSTGRES_NAMES, TableName};
use crate::record::Kind;
use crate::sink::table::ddl::{Dialect, quoted};

pub(super) static POSTGRES: Dialect =
    Dialect { names: &POSTGRES_NAMES, kind: column_type, text: "text", bytes: "bytea" };

pub(super) fn column_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Integer => "bigint",
        Kind::Float => "double precision",
        Kind::Text => "text",
        Kind::Timestamp => "timestamptz",
        Kind::TextList => "text[]",
        Kind::FloatList => "double precision[]",
    }
}

/// For statements.
pub(super) fn table_name(TableName { schema, table }: &TableName) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(table),
    }
}

// The numbers of types that are the same in every database: catalog/pg_type.dat.
pub(super) const TEXT: u32 = 25;
pub(super) const FLOAT: u32 = 701;
pub(super) const VARCHAR: u32 = 1043;
pub(super) const BYTEA: u32 = 17;

/// The number of [`column_type`].
pub(super) fn type_id(kind: Kind) -> u32 {
    match kind {
        Kind::Boolean => 16,
        Kind::Integer => 20,
        Kind::Float => FLOAT,
        Kind::Text => TEXT,
        Kind::Timestamp => 1184,
        Kind::TextList => 1009,
        Kind::FloatList => 1022,
    }
}
