//! The name of a table, as people write it: `pin`, `lake.pin`, `"odd.name"`.

use super::ddl::POSTGRES;
use super::error::PostgresFault;
use crate::pipeline::config::PostgresSinkConfig;
use crate::sink::table::ddl::quoted;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableName {
    /// The first of the search path, if there is none.
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl TableName {
    pub(super) fn read(written: &str) -> Result<Self, PostgresFault> {
        let no_name = || PostgresFault::TableName { name: written.to_owned() };
        let (first, rest) = part(written).ok_or_else(no_name)?;
        let (schema, table) = match rest.strip_prefix('.') {
            None if rest.is_empty() => (None, first),
            None => return Err(no_name()),
            Some(rest) => match part(rest).ok_or_else(no_name)? {
                (table, "") => (Some(first), table),
                _ => return Err(no_name()),
            },
        };
        for name in schema.iter().chain([&table]) {
            POSTGRES.takes_name(name, &["pg_"])?;
            fits(name)?;
        }
        if schema.as_deref() == Some("pinhost") {
            return Err(PostgresFault::OwnSchema);
        }
        Ok(Self { schema, table })
    }

    /// For statements.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }
}

pub(super) fn fits(name: &str) -> Result<(), PostgresFault> {
    if name.len() > PostgresSinkConfig::NAME_BYTES_MAX {
        return Err(PostgresFault::LongName { name: name.to_owned() });
    }
    Ok(())
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
        for (written, quoted) in [
            ("pin", r#""pin""#),
            ("Pin", r#""Pin""#),
            ("lake.pin", r#""lake"."pin""#),
            (r#""a.b""#, r#""a.b""#),
            (r#""la""ke"."p.i.n""#, r#""la""ke"."p.i.n""#),
            (r#"x"; DROP TABLE y; --"#, r#""x""; DROP TABLE y; --""#),
        ] {
            assert_eq!(TableName::read(written).unwrap().quoted(), quoted);
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
