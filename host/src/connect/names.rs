//! What databases let tables and columns be called: asked by `check`, and by sinks once more
//! at the start.

/// The names that a database takes.
#[derive(Debug, PartialEq, Eq)]
pub struct DatabaseNames {
    pub database: &'static str,
    /// How no table's name begins, and whose names do.
    pub reserved: &'static [(&'static str, &'static str)],
    pub bytes_max: usize,
    pub tells_case: bool,
}

/// How no column's name begins.
const OWN_COLUMNS: (&str, &str) = ("_pinhost_", "pinhost");

/// Why something cannot be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("a {what} needs a name")]
    None { what: &'static str },
    #[error("`{written}` is no name of a table")]
    NoTable { written: String },
    #[error("tables of schema `{schema}` are pinhost's own")]
    OwnSchema { schema: &'static str },
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
            Self::OwnSchema { .. } => "name a table of another schema",
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: DatabaseNames = DatabaseNames {
        database: "a database",
        reserved: &[("own_", "somebody")],
        bytes_max: 8,
        tells_case: false,
    };

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "OWN_x", "a\0", "123456789"] {
            assert!(NAMES.table(name).is_err(), "{name:?}");
        }
        assert_eq!(NAMES.table("12345678"), Ok(()));
    }

    #[test]
    fn columns_are_refused_alone_and_beside_each_other() {
        let refused = |names: &DatabaseNames, columns: &[&'static str]| {
            let refused = names.columns(columns);
            refused.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let columns = ["id", "ID", "_pinhost_lane", "", "a\0"];
        let names = DatabaseNames { bytes_max: 63, ..NAMES };
        assert_eq!(refused(&names, &columns), ["ID", "_pinhost_lane", "", "a\0"]);
        let names = DatabaseNames { tells_case: true, ..names };
        assert_eq!(refused(&names, &columns), ["_pinhost_lane", "", "a\0"]);
    }
}
