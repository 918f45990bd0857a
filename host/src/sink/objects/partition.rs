//! Which folder a row belongs into: `category=art/`, as Hive names them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, UInt32Array};
use arrow::compute::take;

use super::ObjectsSinkError;
use super::key::hive;
use crate::record::{Batch, Field, Kind, json};

const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// A column's part of a folder's name. File names have an end at 255 bytes.
const FOLDER_BYTES_MAX: usize = 240;

/// The columns that name folders.
#[derive(Debug, Clone)]
pub(super) struct Partitions {
    columns: Arc<[String]>,
}

/// The rows of a batch by their folder.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// In the order in which they turn up; rows ascending.
    pub folders: Vec<(Arc<str>, Vec<u32>)>,
    /// Rows whose folder would have a name that no file system takes.
    pub refused: Vec<u32>,
}

impl Partitions {
    pub fn new(columns: &[String], fields: Option<&[Field]>) -> Result<Self, ObjectsSinkError> {
        for column in columns {
            let named = |field: &&Field| *field.name == **column;
            match fields.map(|fields| fields.iter().find(named).map(|field| field.kind)) {
                Some(None) => {
                    return Err(ObjectsSinkError::UnknownPartition { column: column.clone() });
                }
                Some(Some(Kind::TextList | Kind::FloatList)) => {
                    return Err(ObjectsSinkError::ListPartition { column: column.clone() });
                }
                Some(Some(_)) | None => {}
            }
        }
        let partitions = Self { columns: columns.into() };
        match fields {
            Some(fields) if fields.iter().all(|field| !partitions.is_in_rows(field)) => {
                Err(ObjectsSinkError::OnlyPartitions)
            }
            _ => Ok(partitions),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether a column is written in the rows. What names folders is not.
    pub fn is_in_rows(&self, field: &Field) -> bool {
        !self.columns.iter().any(|column| **column == *field.name)
    }

    pub fn split(&self, batch: &Batch) -> Split {
        if self.is_empty() && batch.rows() > 0 {
            let folders = vec![(Arc::default(), (0..batch.rows() as u32).collect())];
            return Split { folders, refused: Vec::new() };
        }
        let columns: Vec<_> =
            self.columns.iter().filter_map(|column| Column::of(batch, column)).collect();
        let mut split = Split::default();
        // By all values of a row, each behind its length.
        let mut known = HashMap::<Vec<u8>, Option<usize>>::new();
        let mut values = Vec::new();
        for row in 0..batch.rows() {
            values.clear();
            for column in &columns {
                let value = column.value(row);
                values.extend(
                    value.as_ref().map_or(u64::MAX, |value| value.len() as u64).to_le_bytes(),
                );
                values.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
            let folder = known.get(&values).copied().unwrap_or_else(|| {
                let folder = folder(&columns, row).map(|folder| {
                    split.folders.push((folder.into(), Vec::new()));
                    split.folders.len() - 1
                });
                known.insert(values.clone(), folder);
                folder
            });
            match folder {
                Some(folder) => split.folders[folder].1.push(row as u32),
                None => split.refused.push(row as u32),
            }
        }
        split
    }

    /// Some rows of a batch, without the columns that name folders.
    pub fn rows(&self, batch: &Batch, rows: &[u32]) -> Batch {
        let all = rows.len() == batch.rows();
        let picked = UInt32Array::from(if all { Vec::new() } else { rows.to_vec() });
        let columns = batch.fields().iter().zip(batch.columns());
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns
            .filter(|(field, _)| self.is_in_rows(field))
            .map(|(field, column)| {
                let column = if all {
                    Arc::clone(column)
                } else {
                    take(column, &picked, None).expect("rows that the batch has")
                };
                (field.clone(), column)
            })
            .unzip();
        Batch::new(rows.len(), fields.into(), columns)
    }
}

/// A column that names folders.
struct Column<'a> {
    field: &'a Field,
    values: &'a ArrayRef,
}

impl<'a> Column<'a> {
    fn of(batch: &'a Batch, name: &str) -> Option<Self> {
        let at = batch.fields().iter().position(|field| *field.name == *name)?;
        Some(Self { field: &batch.fields()[at], values: &batch.columns()[at] })
    }

    fn value(&self, row: usize) -> Option<Cow<'a, str>> {
        if self.values.is_null(row) {
            return None;
        }
        Some(match self.field.kind {
            Kind::Text => Cow::Borrowed(json::text(self.values, row)),
            // Without the quotes that a timestamp has.
            kind => Cow::Owned(json::written(kind, self.values, row).trim_matches('"').to_owned()),
        })
    }
}

/// The folder of a row; none if no file system would take its name.
fn folder(columns: &[Column], row: usize) -> Option<String> {
    let mut folder = String::new();
    for column in columns {
        let from = folder.len();
        hive(&column.field.name, &mut folder);
        folder.push('=');
        match column.value(row) {
            Some(value) => hive(&value, &mut folder),
            None => folder.push_str(NULL),
        }
        if folder.len() - from > FOLDER_BYTES_MAX {
            return None;
        }
        folder.push('/');
    }
    Some(folder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::json::JsonRow;

    fn batch(rows: serde_json::Value, fields: &[(&str, Kind)]) -> Batch {
        let rows: Vec<JsonRow> = serde_json::from_value(rows).unwrap();
        let fields = fields.iter().map(|(name, kind)| Field::new(*name, *kind)).collect();
        json::batch(&rows, &fields).unwrap()
    }

    fn folders(split: &Split) -> Vec<(&str, &[u32])> {
        split.folders.iter().map(|(folder, rows)| (&**folder, rows.as_slice())).collect()
    }

    #[test]
    fn whatever_a_value_is_its_folder_is_one_name() {
        let rows = json!([
            {"a": "art", "n": 1},
            {"a": "../x/y", "n": null},
            {"a": null, "n": 1},
            {"a": "art", "n": 1},
            {"a": "", "n": 1},
            {"a": "50% a=b ö", "n": -7},
        ]);
        let batch = batch(rows, &[("a", Kind::Text), ("n", Kind::Integer), ("kept", Kind::Text)]);
        let partitions = Partitions::new(&["a".into(), "n".into()], Some(batch.fields())).unwrap();
        let split = partitions.split(&batch);
        assert_eq!(
            folders(&split),
            [
                ("a=art/n=1/", &[0, 3][..]),
                ("a=..%2Fx%2Fy/n=__HIVE_DEFAULT_PARTITION__/", &[1]),
                ("a=__HIVE_DEFAULT_PARTITION__/n=1/", &[2]),
                ("a=/n=1/", &[4]),
                ("a=50%25%20a%3Db%20%C3%B6/n=-7/", &[5]),
            ]
        );
        let rest = partitions.rows(&batch, &[0, 3]);
        assert_eq!((rest.rows(), rest.fields().len()), (2, 1));
    }

    #[test]
    fn values_that_look_alike_together_keep_their_folders() {
        let batch = batch(
            json!([{"a": "x", "b": ""}, {"a": "", "b": "x"}, {"a": null, "b": "x"}]),
            &[("a", Kind::Text), ("b", Kind::Text), ("kept", Kind::Text)],
        );
        let partitions = Partitions::new(&["a".into(), "b".into()], None).unwrap();
        assert_eq!(partitions.split(&batch).folders.len(), 3);
    }

    #[test]
    fn a_value_that_is_no_name_is_refused() {
        let long = "x".repeat(FOLDER_BYTES_MAX);
        let batch = batch(json!([{"a": long}, {"a": "y"}]), &[("a", Kind::Text)]);
        let split = Partitions::new(&["a".into()], None).unwrap().split(&batch);
        assert_eq!(folders(&split), [("a=y/", &[1][..])]);
        assert_eq!(split.refused, [0]);
    }

    #[test]
    fn times_and_numbers_name_folders_as_rows_write_them() {
        let batch = batch(
            json!([{"t": "2020-08-28T03:52:47Z", "f": 1.0, "b": true}]),
            &[("t", Kind::Timestamp), ("f", Kind::Float), ("b", Kind::Boolean)],
        );
        let partitions = Partitions::new(&["t".into(), "f".into(), "b".into()], None).unwrap();
        assert_eq!(
            &*partitions.split(&batch).folders[0].0,
            "t=2020-08-28T03%3A52%3A47Z/f=1.0/b=true/"
        );
    }

    #[test]
    fn columns_that_cannot_name_folders_are_refused() {
        let fields = [Field::new("a", Kind::Text), Field::new("tags", Kind::TextList)];
        let said = |columns: &[&str]| {
            let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
            Partitions::new(&columns, Some(&fields)).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(said(&["a"]), Ok(()));
        assert_eq!(
            said(&["b"]).unwrap_err(),
            "`partition_by` names `b`, which is no column of the output"
        );
        assert_eq!(
            said(&["tags"]).unwrap_err(),
            "`partition_by` names `tags`, and a list cannot name a folder"
        );
    }
}
