//! Rows in the form that the caller asked for: with a column of rejects, with a column of the generation.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use pinhost::run::{FunctionReject, FunctionRows};

use crate::rejects::{fields, rejected};

#[derive(Debug)]
pub struct Shape {
    schema: SchemaRef,
    /// Each reject is a row in which only this column is filled.
    has_rejects: bool,
    generation: Option<String>,
}

impl Shape {
    /// `rejects` and `generation` name the columns to add.
    pub fn new(
        rule: &Schema,
        rejects: Option<&str>,
        generation: Option<(&str, String)>,
    ) -> Result<Self, String> {
        let mut all: Vec<_> = rule.fields().iter().cloned().collect();
        let mut add = |name: &str, data_type| {
            if all.iter().any(|field| field.name() == name) {
                return Err(format!("the rule has a column `{name}` of its own"));
            }
            all.push(Arc::new(Field::new(name, data_type, true)));
            Ok(())
        };
        if let Some((name, _)) = &generation {
            add(name, DataType::Utf8)?;
        }
        if let Some(name) = rejects {
            add(name, DataType::Struct(fields()))?;
        }
        let generation = generation.map(|(_, digest)| digest);
        let schema = Arc::new(Schema::new(Fields::from(all)));
        Ok(Self { schema, has_rejects: rejects.is_some(), generation })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn has_rejects(&self) -> bool {
        self.has_rejects
    }

    /// The rows, then the rejects if they have a column.
    pub fn rows(&self, cleaned: &FunctionRows) -> RecordBatch {
        let rejects: &[FunctionReject] = if self.has_rejects { &cleaned.rejects } else { &[] };
        if self.generation.is_none() && !self.has_rejects {
            return cleaned.rows.clone();
        }
        let rows = cleaned.rows.num_rows();
        let all = rows + rejects.len();
        let mut columns: Vec<ArrayRef> = cleaned
            .rows
            .columns()
            .iter()
            .map(|column| {
                if rejects.is_empty() {
                    return Arc::clone(column);
                }
                let none = new_null_array(column.data_type(), rejects.len());
                concat(&[column, &none]).expect("nulls of the same type")
            })
            .collect();
        if let Some(generation) = &self.generation {
            columns.push(Arc::new(StringArray::from_iter_values((0..all).map(|_| generation))));
        }
        if self.has_rejects {
            let none = new_null_array(&DataType::Struct(fields()), rows);
            let rejects: ArrayRef = Arc::new(StructArray::from(rejected(rejects)));
            columns.push(concat(&[&none, &rejects]).expect("nulls of the same type"));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(all));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("the schema is made of these columns")
    }
}

/// Row numbers as Arrow has them.
pub fn numbers(numbers: impl Iterator<Item = u64>) -> Int64Array {
    numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX)).collect::<Vec<_>>().into()
}
