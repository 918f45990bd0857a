//! A table as it is found, and which values its columns take.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::ddl::{BYTEA, TEXT, VARCHAR, table_name, type_id};
use super::error::PostgresFault;
use super::session::{answered, query};
use super::{NulCharacters, TableName};
use crate::record::Kind;
use crate::sink::table::ddl::quoted;
use crate::sink::table::key::{KeyCase, KeyForm};

#[derive(Debug)]
pub(super) struct Found {
    /// Where the search path led.
    pub(super) schema: String,
    pub(super) is_view: bool,
    pub(super) columns: Vec<Column>,
    /// The columns of each unique index, in which an upsert can find its row.
    keys: Vec<HashSet<String>>,
    /// Types, and those that a value of them becomes by being assigned.
    casts: HashSet<(u32, u32)>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type, as people write it.
    pub(super) shown: String,
    /// The type behind it, where it is a domain.
    base: u32,
    category: String,
    /// Of an array's items.
    item: u32,
    /// It takes no null, and has nothing else to take.
    pub(super) is_wanted: bool,
    generated: String,
    identity: String,
}

/// How a value gets into a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// As the bytes that it is.
    Same,
    Assigned,
    /// Read from its text, as what this type takes.
    Read(String),
}

/// The table, if it is there.
pub(super) async fn look(
    connection: &mut PgConnection,
    name: &TableName,
) -> Result<Option<Found>, PostgresFault> {
    let table = query(
        "SELECT c.oid::int8 AS id, n.nspname::text AS schema, c.relkind NOT IN ('r', 'p', 'f') AS is_view \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = to_regclass($1)",
    );
    let table = table.bind(table_name(name));
    let Some(table) = answered(table.fetch_optional(&mut *connection)).await? else {
        return Ok(None);
    };
    let id: i64 = table.try_get("id")?;
    let columns = query(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS shown, \
             b.oid::int8 AS base, b.typcategory::text AS category, b.typelem::int8 AS item, \
             a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS is_wanted, \
             a.attgenerated::text AS generated, a.attidentity::text AS identity \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
         WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    );
    let columns = answered(columns.bind(id).fetch_all(&mut *connection)).await?;
    let keys = sqlx::query_scalar(
        "SELECT (SELECT array_agg(a.attname::text) FROM generate_series(0, i.indnkeyatts - 1) k \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]) \
         FROM pg_index i WHERE i.indrelid = $1::int8::oid AND i.indisunique AND i.indisvalid \
             AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL",
    );
    let keys = keys.persistent(false).bind(id);
    let keys: Vec<Vec<String>> = answered(keys.fetch_all(&mut *connection)).await?;
    let casts = sqlx::query_as(
        "SELECT castsource::int8, casttarget::int8 FROM pg_cast WHERE castcontext IN ('a', 'i')",
    );
    let casts: Vec<(i64, i64)> = answered(casts.persistent(false).fetch_all(connection)).await?;
    Ok(Some(Found {
        schema: table.try_get("schema")?,
        is_view: table.try_get("is_view")?,
        columns: columns.iter().map(column).collect::<Result<_, _>>()?,
        keys: keys.into_iter().map(|names| names.into_iter().collect()).collect(),
        casts: casts.into_iter().map(|(from, to)| (oid(from), oid(to))).collect(),
    }))
}

fn column(row: &PgRow) -> Result<Column, sqlx::Error> {
    Ok(Column {
        name: row.try_get("name")?,
        shown: row.try_get("shown")?,
        base: oid(row.try_get("base")?),
        category: row.try_get("category")?,
        item: oid(row.try_get("item")?),
        is_wanted: row.try_get("is_wanted")?,
        generated: row.try_get("generated")?,
        identity: row.try_get("identity")?,
    })
}

fn oid(number: i64) -> u32 {
    u32::try_from(number).expect("an oid has 32 bits")
}

impl Found {
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// How a column of the key compares its values, as far as the type tells. Where it does not, as where a
    /// time becomes a date, the server tells two rows of one key when it meets them.
    pub(super) fn key_form(&self, name: &str, nul: NulCharacters) -> KeyForm {
        let shown = self.column(name).map_or("", |column| &*column.shown);
        let is_of = |kind: &str| shown == kind || shown.starts_with(&format!("{kind}("));
        KeyForm {
            case: if shown.ends_with("citext") { KeyCase::NotAtAll } else { KeyCase::Counts },
            without_nul: nul == NulCharacters::Strip,
            without_blanks: is_of("character") || is_of("bpchar"),
        }
    }

    /// Whether an upsert by the key finds its row.
    pub(super) fn is_unique(&self, key: &[&str]) -> bool {
        let is_key = |names: &HashSet<String>| {
            names.len() == key.len() && key.iter().all(|name| names.contains(*name))
        };
        self.keys.iter().any(is_key)
    }

    /// None if a column does not take what the rule gives.
    pub(super) fn fit(&self, kind: Kind, column: &Column) -> Option<Fit> {
        let given = type_id(kind);
        let is_assigned = |from, to| from == to || self.casts.contains(&(from, to));
        let is_list = matches!(kind, Kind::TextList | Kind::FloatList);
        let item = type_id(if kind == Kind::TextList { Kind::Text } else { Kind::Float });
        if column.base == given || (kind, column.base) == (Kind::Text, VARCHAR) {
            return Some(Fit::Same);
        }
        // Everything can be assigned to a text.
        if column.category == "S"
            || is_assigned(given, column.base)
            || (is_list && column.category == "A" && is_assigned(item, column.item))
        {
            return Some(Fit::Assigned);
        }
        // Enums, network addresses, and what is called user-defined: uuid, json, jsonb, xml.
        let is_read = matches!(&*column.category, "E" | "I" | "U") && column.base != BYTEA;
        (given == TEXT && is_read).then(|| Fit::Read(column.shown.clone()))
    }
}

impl Fit {
    /// The value of this column in `r`, where it has the type that the rule gives.
    pub(super) fn given(&self, column: &str) -> String {
        match self {
            Self::Same | Self::Assigned => format!("r.{}", quoted(column)),
            Self::Read(kind) => format!("r.{}::{kind}", quoted(column)),
        }
    }
}

impl Column {
    /// Nobody else can give its values; what makes it one of those that take some.
    pub(super) fn is_given_by_the_table(&self) -> Option<&'static str> {
        match (&*self.generated, &*self.identity) {
            ("", "a") => Some("SET GENERATED BY DEFAULT"),
            ("", _) => None,
            _ => Some("DROP EXPRESSION"),
        }
    }
}
