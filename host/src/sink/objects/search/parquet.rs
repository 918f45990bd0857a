//! Parquet: of row groups that may have the value, the columns that tell.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::super::ObjectsSinkError;
use super::super::store::{Listed, Store};
use super::value::Wanted;
use super::{Found, Search, origin};
use crate::ledger::RowOrigin;
use crate::record::provenance::{GENERATION, LANE, POSITION};
use crate::record::{Kind, json};

/// The end of a file, which most often holds the whole footer.
const FOOTER_BYTES: usize = 64 << 10;

impl Search<'_> {
    pub(super) async fn in_parquet(
        &self,
        store: &Store,
        object: &Listed,
    ) -> Result<Found, ObjectsSinkError> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let file = StoredFile {
            store: store.clone(),
            key: object.key.clone(),
            bytes: object.bytes,
            bytes_read: Arc::clone(&bytes_read),
        };
        let found = match self.in_file(file).await {
            Ok(found) => found,
            // Somebody has taken it away since it was listed.
            Err(_) if !store.exists(&object.key).await? => Found::default(),
            Err(cause) => {
                let (key, cause) = (object.key.clone(), io::Error::other(cause));
                return Err(ObjectsSinkError::UnreadableRows { key, cause });
            }
        };
        Ok(Found { bytes_read: bytes_read.load(Ordering::Relaxed), ..found })
    }

    async fn in_file(&self, file: StoredFile) -> Result<Found, ParquetError> {
        let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
        let mut found = Found { has_column: self.is_folder, ..Found::default() };
        let mut searched = None;
        if !self.is_folder {
            // An older rule may have had the column with values of another kind, or not at all.
            let Ok(field) = builder.schema().field_with_name(self.column) else { return Ok(found) };
            found.has_column = true;
            let kind = Kind::ALL.into_iter().find(|kind| kind.fits(field.data_type()));
            searched = kind.and_then(|kind| Some((kind, Wanted::new(kind, self.value)?)));
            if searched.is_none() {
                return Ok(found);
            }
        }
        let may_have_it = |group: &RowGroupMetaData| {
            searched.as_ref().is_none_or(|(_, wanted)| self.may_be_in(wanted, group))
        };
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups: Vec<_> =
            groups.filter(|(_, group)| may_have_it(group)).map(|(at, _)| at).collect();
        if groups.is_empty() {
            return Ok(found);
        }
        let names = [self.column, LANE, POSITION, GENERATION].into_iter();
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let mut batches = builder.with_row_groups(groups).with_projection(mask).build()?;
        while let Some(batch) = batches.try_next().await? {
            self.of_batch(&batch, searched.as_ref(), &mut found.rows);
        }
        Ok(found)
    }

    fn may_be_in(&self, wanted: &Wanted, group: &RowGroupMetaData) -> bool {
        let of_it = group.columns().iter().find(|chunk| {
            chunk.column_path().parts().first().is_some_and(|name| name == self.column)
        });
        of_it.is_none_or(|chunk| wanted.may_be_in(chunk.statistics()))
    }

    fn of_batch(
        &self,
        batch: &RecordBatch,
        searched: Option<&(Kind, Wanted)>,
        rows: &mut Vec<RowOrigin>,
    ) {
        let own = [LANE, POSITION, GENERATION].map(|name| batch.column_by_name(name));
        let column = batch.column_by_name(self.column);
        for row in 0..batch.num_rows() {
            let is_it = searched.is_none_or(|(kind, wanted)| {
                column.is_some_and(|column| wanted.is_in(*kind, column, row))
            });
            if is_it {
                let [lane, place, generation] = own.map(|column| text_of(column, row));
                rows.extend(origin(lane, place, generation));
            }
        }
    }
}

fn text_of(column: Option<&ArrayRef>, row: usize) -> Option<&str> {
    column.filter(|column| !column.is_null(row)).map(|column| json::text(column, row))
}

/// A file in the store, of which pieces are read.
struct StoredFile {
    store: Store,
    key: String,
    bytes: u64,
    bytes_read: Arc<AtomicU64>,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            self.bytes_read.fetch_add(range.end.saturating_sub(range.start), Ordering::Relaxed);
            let read = self.store.get_range(&self.key, range).await;
            read.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(&mut *self, bytes).await?))
        }
        .boxed()
    }
}
