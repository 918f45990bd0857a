//! What pinhost makes, what it tells people to make, and how a row takes another's place: where databases
//! speak alike.

use super::target::{GENERATION, LANE, Layout, POSITION, Target, VERSION, Versions};
use crate::connect::DatabaseNames;
use crate::record::{Field, Kind};

/// What they call otherwise.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) names: &'static DatabaseNames,
    pub(crate) kind: fn(Kind) -> &'static str,
    pub(crate) text: &'static str,
    pub(crate) bytes: &'static str,
}

/// Whatever a name holds, it is a name.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

impl Dialect {
    /// `table` is quoted.
    pub(crate) fn create_table(&self, table: &str, target: &Target) -> String {
        let key = target.key_names();
        let mut lines: Vec<String> =
            target.columns.iter().map(|field| self.column(field)).collect();
        for (line, field) in lines.iter_mut().zip(&*target.columns) {
            // In SQLite a primary key alone allows nulls.
            if key.contains(&&*field.name) {
                line.push_str(" NOT NULL");
            }
        }
        if target.provenance {
            for column in [LANE, POSITION, GENERATION] {
                lines.push(format!("{} {}", quoted(column), self.text));
            }
            if !key.is_empty() {
                lines.push(format!("{} {}", quoted(VERSION), self.bytes));
            }
        }
        if !key.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", quoted_list(key)));
        }
        format!("CREATE TABLE {table} (\n    {}\n);", lines.join(",\n    "))
    }

    pub(crate) fn add_column(&self, table: &str, field: &Field) -> String {
        format!("ALTER TABLE {table} ADD COLUMN {};", self.column(field))
    }

    /// For what made each row, in a table that has no such column yet.
    pub(crate) fn add_generation(&self, table: &str) -> String {
        format!("ALTER TABLE {table} ADD COLUMN {} {};", quoted(GENERATION), self.text)
    }

    fn column(&self, field: &Field) -> String {
        format!("{} {}", quoted(&field.name), (self.kind)(field.kind))
    }
}

/// `name` is that of the table alone, `table` as it is found.
pub(crate) fn unique_index(name: &str, table: &str, target: &Target) -> String {
    let key = target.key_names();
    let index = quoted(&format!("{name}_by_{}", key.join("_")));
    format!("CREATE UNIQUE INDEX {index} ON {table} ({});", quoted_list(key))
}

/// What follows the rows of an `INSERT INTO table`, `name` being that of the table alone.
pub(crate) fn on_conflict(name: &str, target: &Target, layout: Layout) -> String {
    if target.key.is_empty() {
        return String::new();
    }
    let key = target.key_names();
    let on = quoted_list(key.iter().copied());
    let set: Vec<_> = target
        .written(layout)
        .into_iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{0} = excluded.{0}", quoted(column)))
        .collect();
    if set.is_empty() {
        return format!("ON CONFLICT ({on}) DO NOTHING");
    }
    let update = format!("ON CONFLICT ({on}) DO UPDATE SET {}", set.join(", "));
    match layout.versions {
        Versions::Column => {
            let (table, version) = (quoted(name), quoted(VERSION));
            // Rows that somebody else wrote have no version: they are older than all that have. A record
            // that comes again has the version that is there already: what its rule made of it now takes
            // the place of what the rule made of it before.
            format!(
                "{update} WHERE {table}.{version} IS NULL \
                 OR excluded.{version} >= {table}.{version}"
            )
        }
        Versions::None | Versions::Aside => update,
    }
}
