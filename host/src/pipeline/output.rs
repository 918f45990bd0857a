//! The columns of a row: chosen, renamed and ordered by the host, without touching a value.

use std::collections::HashSet;
use std::sync::Arc;

use super::config::OutputColumn;
use super::field::Columns;
use crate::plugin::check_name;
use crate::record::{Batch, Field, Kind};
use crate::written::{Cursor, Finding, nearest};

/// Makes rows of what the last step leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// For each column its place among those that the last step leaves.
    from: Vec<usize>,
    fields: Arc<[Field]>,
}

impl Projection {
    /// All columns as they are.
    pub(super) fn all(fields: &Arc<[Field]>) -> Self {
        Self { from: (0..fields.len()).collect(), fields: Arc::clone(fields) }
    }

    /// Of the columns with these names, from these places among `last`: those that the last step
    /// leaves. None if one of them is not there.
    pub(super) fn restored(columns: &[(String, usize)], last: &[Field]) -> Option<Self> {
        let field =
            |(name, from): &(String, usize)| Some(Field::new(name.as_str(), last.get(*from)?.kind));
        let fields = columns.iter().map(field).collect::<Option<_>>()?;
        Some(Self { from: columns.iter().map(|(_, from)| *from).collect(), fields })
    }

    /// The columns of a row.
    pub fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// For each column its name, and its place among those that the last step leaves.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, usize)> {
        self.fields.iter().map(|field| &*field.name).zip(self.from.iter().copied())
    }

    /// For each column its place among those that the last step leaves.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.from.iter().copied()
    }

    /// # Panics
    /// If the batch has other columns than the last step leaves: a bug of ours.
    pub fn project(&self, batch: &Batch) -> Batch {
        let columns = self.from.iter().map(|at| Arc::clone(&batch.columns()[*at])).collect();
        Batch::new(batch.rows(), Arc::clone(&self.fields), columns)
    }
}

/// The output's columns as far as they are sound; `columns` are those after the last step.
pub(super) fn projection(
    output: Option<&[OutputColumn]>,
    at: Option<Cursor<'_>>,
    columns: &Columns,
    found: &mut Vec<Finding>,
) -> (Projection, Columns) {
    let (Some(output), Some(at)) = (output, at) else {
        let open = columns.open || at.is_some();
        return (Projection::all(&columns.fields), Columns { open, ..columns.clone() });
    };
    let mut known = Columns {
        fields: [].into(),
        doubtful: HashSet::new(),
        open: at.items().count() < at.len(),
    };
    let mut from = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    let mut names = HashSet::new();
    for (column, at) in output.iter().zip(at.items()) {
        if let Err(fault) = check_name("column", &column.name) {
            found.push(at.finding(fault));
        }
        if !names.insert(column.name.as_str()) {
            let told =
                at.finding(format!("a column before this one is called `{}` too", column.name));
            found.push(told.help("leave one out, or call it otherwise: { other_name: column }"));
            continue;
        }
        let place = columns.fields.iter().position(|field| *field.name == *column.column);
        if let Some(place) = place {
            from.push(place);
            fields.push(Field::new(column.name.as_str(), columns.fields[place].kind));
            if columns.doubtful.contains(&column.column) {
                known.doubtful.insert(column.name.clone());
            }
            continue;
        }
        // It is there as far as later checks are concerned.
        fields.push(Field::new(column.name.as_str(), Kind::Text));
        known.doubtful.insert(column.name.clone());
        if !columns.open {
            let names: Vec<_> = columns.fields.iter().map(|field| &*field.name).collect();
            let told =
                at.finding(format!("there is no column `{}` after the steps", column.column));
            found
                .push(Finding { help: nearest::help(&column.column, &names, "there are"), ..told });
        }
    }
    if output.is_empty() && !at.is_damaged() {
        found.push(at.finding("a row needs a column").help("leave `output` out for all of them"));
    }
    known.fields = fields.into();
    (Projection { from, fields: Arc::clone(&known.fields) }, known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{json, ndjson};

    #[test]
    fn columns_are_chosen_renamed_and_ordered() {
        let fields: Arc<[Field]> =
            ["a", "b", "c"].map(|name| Field::new(name, Kind::Integer)).into();
        let rows: Vec<json::JsonRow> =
            serde_json::from_value(json!([{"a": 1, "b": 2, "c": 3}])).unwrap();
        let batch = json::batch(&rows, &fields).unwrap();
        let fields = ["z", "a"].map(|name| Field::new(name, Kind::Integer)).into();
        let projection = Projection { from: vec![2, 0], fields };
        let rows = ndjson::encode(&projection.project(&batch));
        assert_eq!(str::from_utf8(&rows), Ok("{\"z\":3,\"a\":1}\n"));
    }
}
