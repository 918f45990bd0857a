//! What databases let tables and columns be called: asked by `check`, and by the sinks once more at the start.

/// The names that a database takes.
#[derive(Debug)]
pub struct DatabaseNames {
    pub database: &'static str,
    /// How no table's name begins, and whose names do.
    reserved: &'static [(&'static str, &'static str)],
    bytes_max: usize,
    tells_case: bool,
}

pub static POSTGRES_NAMES: DatabaseNames = DatabaseNames {
    database: "PostgreSQL",
    reserved: &[("pg_", "PostgreSQL")],
    // It cuts longer ones short without a word, and then does not find them again.
    bytes_max: 63,
    tells_case: true,
};

pub static SQLITE_NAMES: DatabaseNames = DatabaseNames {
    database: "SQLite",
    reserved: &[("sqlite_", "SQLite"), ("pinhost_", "pinhost")],
    bytes_max: usize::MAX,
    tells_case: false,
};

/// How no column's name begins.
const OWN_COLUMNS: (&str, &str) = ("_pinhost_", "pinhost");

/// Why something cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("a {what} needs a name")]
    None { what: &'static str },
    #[error("`{written}` is no name of a table")]
    NoTable { written: String },
    #[error("tables of schema `pinhost` are pinhost's own")]
    OwnSchema,
    #[error("the name `{name}` has a U+0000, which no name in {database} has")]
    Nul { name: String, database: &'static str },
    #[error("`{name}` begins with `{prefix}`, which {whose} keeps for names of its own")]
    Reserved { name: String, prefix: &'static str, whose: &'static str },
    #[error("the name `{name}` is too long for {database}, which takes {bytes_max} bytes")]
    Long { name: String, database: &'static str, bytes_max: usize },
    #[error("columns `{one}` and `{other}` are one to {database}, which does not tell case apart")]
    Same { one: String, other: String, database: &'static str },
}

impl NameFault {
    pub fn help(&self) -> &'static str {
        match self {
            Self::None { .. } => "like pin",
            Self::NoTable { .. } => "it is written like pin, lake.pin or \"odd.name\".pin",
            Self::OwnSchema => "name a table of another schema",
            Self::Nul { .. } | Self::Reserved { .. } => "call it otherwise",
            Self::Long { .. } => "choose a shorter one",
            Self::Same { .. } => "rename one of them in the rule's `output:`",
        }
    }
}

impl DatabaseNames {
    pub fn table(&self, name: &str) -> Result<(), NameFault> {
        self.takes("table", name, self.reserved)
    }

    /// Those that columns cannot have together, and why.
    pub fn columns<'a>(&self, names: &[&'a str]) -> Vec<(&'a str, NameFault)> {
        let mut refused = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if let Err(fault) = self.takes("column", name, &[OWN_COLUMNS]) {
                refused.push((*name, fault));
            }
            let twin = names[..at].iter().find(|other| other.eq_ignore_ascii_case(name));
            if let Some(one) = twin.filter(|_| !self.tells_case) {
                let (one, other) = ((*one).to_owned(), (*name).to_owned());
                refused.push((*name, NameFault::Same { one, other, database: self.database }));
            }
        }
        refused
    }

    fn takes(
        &self,
        what: &'static str,
        name: &str,
        reserved: &[(&'static str, &'static str)],
    ) -> Result<(), NameFault> {
        let Self { database, bytes_max, .. } = *self;
        let begins = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if name.is_empty() {
            return Err(NameFault::None { what });
        }
        let name = name.to_owned();
        if name.contains('\0') {
            return Err(NameFault::Nul { name, database });
        }
        if let Some(&(prefix, whose)) = reserved.iter().find(|(prefix, _)| begins(prefix)) {
            return Err(NameFault::Reserved { name, prefix, whose });
        }
        if name.len() > bytes_max {
            return Err(NameFault::Long { name, database, bytes_max });
        }
        Ok(())
    }
}

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
        if schema.as_deref() == Some("pinhost") {
            return Err(NameFault::OwnSchema);
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
        for name in ["", "SQLite_x", "pinhost_position", "a\0"] {
            assert!(SQLITE_NAMES.table(name).is_err(), "{name:?}");
        }
        assert_eq!(SQLITE_NAMES.table(&long), Ok(()));
    }

    #[test]
    fn columns_are_refused_alone_and_beside_each_other() {
        let refused = |names: &DatabaseNames, columns: &[&'static str]| {
            let refused = names.columns(columns);
            refused.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let columns = ["id", "ID", "_pinhost_lane", "", "a\0"];
        assert_eq!(refused(&SQLITE_NAMES, &columns), ["ID", "_pinhost_lane", "", "a\0"]);
        assert_eq!(refused(&POSTGRES_NAMES, &columns), ["_pinhost_lane", "", "a\0"]);
    }
}
