//! What SQLite calls things.

use crate::pipeline::config::SQLITE_NAMES;
use crate::record::Kind;
use crate::sink::table::ddl::Dialect;

pub(super) static SQLITE: Dialect =
    Dialect { names: &SQLITE_NAMES, kind: column_type, text: "TEXT", bytes: "BLOB" };

fn column_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean | Kind::Integer => "INTEGER",
        Kind::Float => "REAL",
        // Timestamps as RFC 3339, lists as JSON.
        Kind::Text | Kind::Timestamp | Kind::TextList | Kind::FloatList => "TEXT",
    }
}
