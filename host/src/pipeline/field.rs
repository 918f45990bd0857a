//! Fields as they are written become fields that the decoder reads.

use std::collections::HashSet;
use std::sync::Arc;

use super::config::{FieldConfig, RuleConfig};
use super::finding::Finding;
use super::nearest;
use super::surroundings;
use super::tree::Cursor;
use crate::decode::{self, DeclarationError, DeclaredField, FieldPath, Origin};
use crate::plugin::check_name;
use crate::record::Field;

/// Columns as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) fields: Arc<[Field]>,
    /// Named where there was a mistake: they may be of another kind, or not be there.
    pub(super) doubtful: HashSet<String>,
    /// There may be others.
    pub(super) open: bool,
}

impl Columns {
    /// Something that would have made other columns of these could not be read: `names` were in it.
    pub(super) fn doubt(&mut self, names: &[&str]) {
        self.open = true;
        self.doubtful.extend(names.iter().copied().map(str::to_owned));
        if names.is_empty() {
            self.doubtful.extend(self.fields.iter().map(|field| field.name.to_string()));
        }
    }
}

/// The prefix of the columns in which sinks keep where a row comes from.
const RESERVED: &str = "_pinhost";

pub(super) fn declared(
    config: &RuleConfig,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) -> (Vec<DeclaredField>, Columns) {
    let fields_at = at.key("fields");
    if !at.has("fields") || fields_at.keys().next().is_none() && !fields_at.is_damaged() {
        found.push(
            at.key("fields")
                .finding("a rule needs fields: without them nothing is read of a record")
                .help("like `fields: { title: text, n: integer }`"),
        );
    }
    let mut doubtful = HashSet::new();
    let mut fields = Vec::new();
    for (name, field) in &config.fields.0 {
        let before = found.len();
        let at = fields_at.key(name);
        if let Err(fault) = check_name("field", name) {
            found.push(Finding::new(fault).at(at.key_place()));
        }
        if name.starts_with(RESERVED) {
            let told =
                Finding::new(format!("names that begin with `{RESERVED}` are pinhost's own"));
            found.push(told.at(at.key_place()).help("call the column otherwise, and use `path`"));
        }
        fields.push(DeclaredField {
            name: name.as_str().into(),
            kind: field.kind,
            required: field.required,
            key: field.key,
            coerce: field.coerce,
            from: origin(name, field, at, found),
        });
        if found.len() > before {
            doubtful.insert(name.clone());
        }
    }
    check(&fields, fields_at, found);
    // What could not be read at all is there nevertheless.
    let columns = fields.iter().map(|field| Field::new(Arc::clone(&field.name), field.kind));
    let mut columns: Vec<_> = columns.collect();
    for name in fields_at.keys() {
        if !columns.iter().any(|column| &*column.name == name) {
            columns.push(Field::new(name, crate::record::Kind::Text));
            doubtful.insert(name.to_owned());
        }
    }
    (fields, Columns { fields: columns.into(), doubtful, open: false })
}

fn origin(name: &str, field: &FieldConfig, at: Cursor<'_>, found: &mut Vec<Finding>) -> Origin {
    if let Some(from) = &field.from {
        for other in ["path", "aliases"] {
            if at.has(other) {
                let message = format!("`{other}` is about a record's own fields, `from` is not");
                found.push(at.key(other).finding(message).help("leave one of them out"));
            }
        }
        match surroundings::read(from) {
            Some(origin) => return origin,
            None => found.push(Finding {
                help: nearest::help(from, &surroundings::NAMES, "there is"),
                ..at.key("from").finding(format!("a field cannot be taken from `{from}`"))
            }),
        }
    }
    let own = field.path.as_deref().map_or_else(|| FieldPath::key(name), FieldPath::dotted);
    if field.path.as_deref().is_some_and(|path| path.split('.').any(str::is_empty)) {
        let told = at.key("path").finding("a path is keys with a point between them");
        found.push(told.help("like `offer.price`"));
    }
    let aliases = field.aliases.iter().map(FieldPath::key);
    Origin::Value([own].into_iter().chain(aliases).collect())
}

/// All that the decoder has against them, one after the other.
fn check(fields: &[DeclaredField], at: Cursor<'_>, found: &mut Vec<Finding>) {
    let mut left = fields.to_vec();
    while let Err(fault) = decode::check(&left) {
        let (name, part) = match &fault {
            DeclarationError::Repeated { field }
            | DeclarationError::NoPath { field }
            | DeclarationError::ValueAndObject { field, .. } => (field, "path"),
            DeclarationError::SharedPath { field, .. } => (field, "aliases"),
            DeclarationError::WrongKind { field, .. } => (field, "type"),
            DeclarationError::SecondRest { field, .. } => (field, "from"),
            DeclarationError::TooMany { .. } => {
                found.push(at.finding(fault.to_string()));
                return;
            }
        };
        let here = at.key(name);
        let place = if here.has(part) { here.key(part).place() } else { here.key_place() };
        let told = Finding::new(fault.to_string()).at(place);
        found.push(match help(fields, &fault) {
            Some(help) => told.help(help),
            None => told,
        });
        let before = left.len();
        left.retain(|field| field.name != *name);
        if left.len() == before {
            return;
        }
    }
}

fn help(fields: &[DeclaredField], fault: &DeclarationError) -> Option<&'static str> {
    let DeclarationError::WrongKind { field, .. } = fault else { return None };
    let field = fields.iter().find(|declared| declared.name == *field)?;
    Some(match field.from {
        Origin::Rest => "$rest is text",
        Origin::Partition | Origin::Offset => "it is integer",
        Origin::Timestamp => "$timestamp is timestamp",
        Origin::Key | Origin::Topic | Origin::Header(_) => {
            "it is text or timestamp; with `coerce: true` also boolean, integer or float"
        }
        Origin::Value(_) => return None,
    })
}
