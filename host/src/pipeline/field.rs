//! Fields as they are written become fields that the decoder reads.

use std::collections::HashSet;
use std::sync::Arc;

use super::config::{FieldConfig, RuleConfig};
use super::surroundings;
use crate::decode::{self, DeclarationError, DeclaredField, FieldPath, Origin};
use crate::plugin::check_name;
use crate::record::{Field, Kind};
use crate::written::{Cursor, Finding, nearest};

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
    /// A step that would have changed columns cannot be told to. What it would have done with which
    /// stands in its configuration, if it has one: names of columns as values, or as keys.
    pub(super) fn doubt(&mut self, with: Option<Cursor<'_>>) {
        self.open = true;
        if let Some(with) = with {
            let keys = with.all_keys().into_iter();
            let keys = keys.filter(|key| self.fields.iter().any(|field| *field.name == **key));
            let names = with.texts().into_iter().chain(keys);
            self.doubtful.extend(names.map(str::to_owned));
        } else {
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
            columns.push(Field::new(name, Kind::Text));
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
        let told = match (&fault, fields.iter().find(|field| field.name == *name)) {
            (DeclarationError::WrongKind { kind, .. }, Some(field)) => wrong_kind(field, *kind),
            _ => Finding::new(fault.to_string()),
        };
        found.push(told.at(place));
        let before = left.len();
        left.retain(|field| field.name != *name);
        if left.len() == before {
            return;
        }
    }
}

fn wrong_kind(field: &DeclaredField, kind: Kind) -> Finding {
    let written = surroundings::written(&field.from).unwrap_or_default();
    Finding::new(format!("{written} cannot be {kind}")).help(match field.from {
        Origin::Partition | Origin::Offset => "it is integer",
        Origin::Timestamp => "it is timestamp",
        Origin::Rest | Origin::Value(_) | Origin::Sequence | Origin::Shard => "it is text",
        Origin::Key | Origin::Topic | Origin::Header(_) => {
            "it is text or timestamp; with `coerce: true` also boolean, integer or float"
        }
    })
}
