//! What SQLite calls things.

use crate::connect::DatabaseNames;
use crate::record::Kind;
use crate::sink::table::ddl::Dialect;

pub static SQLITE_NAMES: DatabaseNames = DatabaseNames {
    database: "SQLite",
    reserved: &[("sqlite_", "SQLite"), ("pinhost_", "pinhost")],
    bytes_max: usize::MAX,
    tells_case: false,
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "SQLite_x", "pinhost_position", "a\0"] {
            assert!(SQLITE_NAMES.table(name).is_err(), "{name:?}");
        }
        assert_eq!(SQLITE_NAMES.table(&"x".repeat(64)), Ok(()));
    }
}
