//! Rows as Arrow's own record batches, for formats that take those.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field as ArrowField, Schema};

use crate::record::{Batch, Field};

pub(crate) fn schema(fields: &[Field]) -> Arc<Schema> {
    let fields =
        fields.iter().map(|field| ArrowField::new(&*field.name, field.kind.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same rows, their bytes their own: what a batch is a piece of need not be kept for it.
pub(super) fn compact(batch: &Batch) -> Batch {
    let columns = batch.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| plain(field, column)).collect();
    Batch::new(batch.rows(), Arc::clone(batch.fields()), columns)
}

/// # Panics
/// If the schema is that of other fields.
pub(crate) fn record_batch(schema: &Arc<Schema>, batch: &Batch) -> RecordBatch {
    let columns = batch.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| plain(field, column)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .expect("the schema is that of the fields")
}

/// A column of ours may stand in several forms, one of Arrow's in one.
fn plain(field: &Field, column: &ArrayRef) -> ArrayRef {
    let to = field.kind.data_type();
    if *column.data_type() == to {
        return Arc::clone(column);
    }
    cast(column, &to).expect("both forms of a kind hold the same values")
}
