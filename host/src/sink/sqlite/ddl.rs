//! What pinhost makes, and what it tells people to make, in SQLite's words.

use super::table::{LANE, POSITION, Table, VERSION};
use crate::record::{Field, Kind};

/// Whatever a name holds, it is a name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

pub(super) fn create_table(table: &Table) -> String {
    let key = table.key_names();
    let mut lines: Vec<String> = table.columns.iter().map(column).collect();
    for (line, field) in lines.iter_mut().zip(&*table.columns) {
        // A primary key alone allows nulls here.
        if key.contains(&&*field.name) {
            line.push_str(" NOT NULL");
        }
    }
    if table.provenance {
        lines.push(format!("{} TEXT", quoted(LANE)));
        lines.push(format!("{} TEXT", quoted(POSITION)));
        if !key.is_empty() {
            lines.push(format!("{} BLOB", quoted(VERSION)));
        }
    }
    if !key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", quoted_list(key)));
    }
    format!("CREATE TABLE {} (\n    {}\n);", quoted(&table.name), lines.join(",\n    "))
}

pub(super) fn add_column(table: &Table, field: &Field) -> String {
    format!("ALTER TABLE {} ADD COLUMN {};", quoted(&table.name), column(field))
}

pub(super) fn unique_index(table: &Table) -> String {
    let key = table.key_names();
    let name = format!("{}_by_{}", table.name, key.join("_"));
    let (name, on) = (quoted(&name), quoted(&table.name));
    format!("CREATE UNIQUE INDEX {name} ON {on} ({});", quoted_list(key))
}

fn column(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Boolean | Kind::Integer => "INTEGER",
        Kind::Float => "REAL",
        // Timestamps as RFC 3339, lists as JSON.
        Kind::Text | Kind::Timestamp | Kind::TextList | Kind::FloatList => "TEXT",
    };
    format!("{} {kind}", quoted(&field.name))
}
