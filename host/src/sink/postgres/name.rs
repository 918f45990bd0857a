//! What tables are called.

use crate::connect::{DatabaseNames, NameFault};

pub static POSTGRES_NAMES: DatabaseNames = DatabaseNames {
    database: "PostgreSQL",
    reserved: &[("pg_", "PostgreSQL")],
    // It cuts longer ones short without a word, and then does not find them again.
    bytes_max: 63,
    tells_case: true,
};

const OWN_SCHEMA: &str = "pinhost";

/// The name of a table in PostgreSQL, as people write it: `pin`, `lake.pin`, `"odd.name"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The first of the search path, if there is none.
    pub schema: Option<String>,
    pub table: String,
}

impl TableName {
    pub fn read(written: &str) -> Result<Self, NameFault> {
        if written.is_empty() {
            return Err(NameFault::None { what: "table" });
        }
        let no_table = || NameFault::NoTable { written: written.to_owned() };
        let (first, rest) = part(written).ok_or_else(no_table)?;
        let (schema, table) = match rest.strip_prefix('.') {
            None if rest.is_empty() => (None, first),
            None => return Err(no_table()),
            Some(rest) => match part(rest).ok_or_else(no_table)? {
                (table, "") => (Some(first), table),
                _ => return Err(no_table()),
            },
        };
        for name in schema.iter().chain([&table]) {
            POSTGRES_NAMES.table(name)?;
        }
        if schema.as_deref() == Some(OWN_SCHEMA) {
            return Err(NameFault::OwnSchema { schema: OWN_SCHEMA });
        }
        Ok(Self { schema, table })
    }
}

/// A name, and what follows it. One in quotes may hold dots, and quotes that are doubled.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let ends = text.find('.').unwrap_or(text.len());
        return Some((text[..ends].to_owned(), &text[ends..]));
    };
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let quote = rest.find('"')?;
        name.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_in_sql() {
        let name = |schema: Option<&str>, table: &str| TableName {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        };
        for (written, read) in [
            ("pin", name(None, "pin")),
            ("Pin", name(None, "Pin")),
            ("lake.pin", name(Some("lake"), "pin")),
            (r#""a.b""#, name(None, "a.b")),
            (r#""la""ke"."p.i.n""#, name(Some("la\"ke"), "p.i.n")),
            (r#"x"; DROP TABLE y; --"#, name(None, r#"x"; DROP TABLE y; --"#)),
        ] {
            assert_eq!(TableName::read(written), Ok(read));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(64);
        for written in
            ["", ".", "a.", ".a", "a.b.c", r#""a"#, r#""a"b"#, "pg_x", "pinhost.x", "a\0", &long]
        {
            assert!(TableName::read(written).is_err(), "{written:?}");
        }
    }
}
