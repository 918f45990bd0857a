//! What is written of a table, whatever database it is in.

use crate::connect::{ColumnRole, NameFault, NamedColumns, Upsert};
use crate::record::lift::Word;
use crate::written::{Cursor, Finding};

/// The settings that name columns.
pub(crate) struct TableColumns<'a> {
    pub key: &'a [String],
    pub newest: Option<&'a str>,
}

impl TableColumns<'_> {
    pub fn upsert(&self) -> Option<Upsert> {
        let Self { key, newest } = self;
        let newest = newest.map(str::to_owned);
        (!key.is_empty()).then(|| Upsert { key: key.to_vec(), newest })
    }

    pub fn named(&self) -> Vec<NamedColumns> {
        let newest = self.newest.map(str::to_owned).into_iter().collect();
        vec![
            NamedColumns { setting: "key", names: self.key.to_vec(), role: ColumnRole::Key },
            NamedColumns { setting: "newest", names: newest, role: ColumnRole::Newest },
        ]
    }
}

pub(crate) fn check_newest(
    newest: Option<&str>,
    key: &[String],
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    if newest.is_some() && key.is_empty() {
        let told = at.key("newest").finding("without a `key` no row takes another's place");
        found.push(told.help("name the columns that tell which row it is: `key: [id]`"));
    }
}

pub(crate) fn check_table(name: Result<(), NameFault>, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if let Err(fault) = name {
        found.push(at.key("table").finding(fault.to_string()).help(fault.help()));
    }
}

/// A query for some rows, as a word for a shell. Names that came from variables of the environment
/// are filled in there.
pub(crate) fn look_at(table: &str) -> String {
    const RESERVED: [&str; 8] =
        ["group", "index", "order", "select", "table", "to", "user", "values"];
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !RESERVED.contains(&name)
    };
    if table.split('.').all(is_plain) {
        return format!("\"SELECT * FROM {table} LIMIT 5\"");
    }
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let names: Vec<_> = table.split('.').map(quoted).collect();
    Word::from(&*format!("SELECT * FROM {} LIMIT 5", names.join("."))).to_string()
}
