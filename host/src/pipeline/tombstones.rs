//! What becomes of records that have no value: Kafka's tombstones.

use std::fmt;
use std::sync::Arc;

use super::{Rule, RuleStep};
use crate::connect::{ColumnRole, PipelineSink};
use crate::decode::{DeclaredField, Origin};
use crate::record::Field;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tombstones {
    /// They delete the row that has their key.
    Delete(Deleted),
    /// They are dead letters, and why.
    Reject(String),
}

/// What is known of a row that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// None of them comes from the value.
    pub fields: Vec<DeclaredField>,
    /// The same as rows have them: those of the sink's `key:`, then that of its `newest:`.
    pub columns: Arc<[Field]>,
}

impl Tombstones {
    pub fn of(rule: &Rule, sink: &PipelineSink) -> Self {
        match Deleted::of(rule, sink) {
            Ok(deleted) => Self::Delete(deleted),
            Err(why) => Self::Reject(why),
        }
    }
}

impl fmt::Display for Tombstones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(_) => f.write_str("delete the row with their key"),
            Self::Reject(why) => write!(f, "dead letters, because {why}"),
        }
    }
}

impl Deleted {
    fn of(rule: &Rule, sink: &PipelineSink) -> Result<Self, String> {
        let facts = sink.facts();
        let of = |role| {
            let named = facts.columns.named.iter().filter(move |named| named.role == role);
            named.flat_map(|named| named.names.iter().cloned()).collect::<Vec<_>>()
        };
        let (key, newest) = (of(ColumnRole::Key), of(ColumnRole::Newest).pop());
        if key.is_empty() {
            return Err(format!("{} has no `key:` to delete a row by", sink.kind()));
        }
        if !facts.deletes {
            return Err(format!("{} deletes no rows", sink.kind()));
        }
        let mut names = Vec::new();
        let mut fields = Vec::new();
        for name in &key {
            let field = given(rule, name)?;
            if field.from != Origin::Key {
                return Err(format!("key column {name} does not come `from: $key`"));
            }
            names.push(name.as_str());
            fields.push(field.clone());
        }
        if let Some(name) = newest.as_deref().filter(|name| !names.contains(name)) {
            let field = given(rule, name)?;
            if matches!(field.from, Origin::Value(_) | Origin::Rest) {
                return Err(format!("column {name}, which tells what is newest, is in the value"));
            }
            names.push(name);
            fields.push(field.clone());
        }
        let columns = names.iter().zip(&fields).map(|(name, field)| Field::new(*name, field.kind));
        Ok(Self { columns: columns.collect(), fields })
    }
}

/// The field that is this column of a row, as it was read.
fn given<'a>(rule: &'a Rule, name: &str) -> Result<&'a DeclaredField, String> {
    let place = rule.output.columns().find(|(column, _)| *column == name).map(|(_, place)| place);
    let place = place.ok_or_else(|| format!("rows have no column {name}"))?;
    for RuleStep { id, step } in &rule.steps {
        if step.plan().writes.iter().any(|write| write.to == place) {
            return Err(format!("column {name} is written by step {id}"));
        }
    }
    // What a step adds stands behind the fields, and is written.
    Ok(&rule.fields[place])
}
