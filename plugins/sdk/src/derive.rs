//! Columns made from others, a row at a time.

use crate::batch::{Batch, Outcome, Row};
use crate::contract::{Change, ColumnData, Patch};
use crate::kernels::bits;
use crate::kind::{Column, Kind, Put};
use crate::plan::{Read, Write};
use crate::view;

/// What a column is made from: the handle of a column, or a tuple of up to four.
pub trait Reads: Copy {
    /// What a function is given for a row: an `Option` for each column.
    type Row<'a>;
    #[doc(hidden)]
    type Columns<'a>;
    #[doc(hidden)]
    fn columns<'a>(self, batch: &Batch<'a>) -> Self::Columns<'a>;
    #[doc(hidden)]
    fn row<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Row<'a>;
}

impl<K: Kind> Reads for Read<K> {
    type Row<'a> = Option<K::Value<'a>>;
    type Columns<'a> = Column<'a, K>;

    fn columns<'a>(self, batch: &Batch<'a>) -> Column<'a, K> {
        batch.column(self)
    }
    #[inline]
    fn row<'a>(column: &Self::Columns<'a>, row: usize) -> Self::Row<'a> {
        column.get(row)
    }
}

macro_rules! tuple {
    ($($read:ident $index:tt),*) => {
        impl<$($read: Reads),*> Reads for ($($read,)*) {
            type Row<'a> = ($($read::Row<'a>,)*);
            type Columns<'a> = ($($read::Columns<'a>,)*);

            fn columns<'a>(self, batch: &Batch<'a>) -> Self::Columns<'a> {
                ($(self.$index.columns(batch),)*)
            }
            #[inline]
            fn row<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Row<'a> {
                ($($read::row(&columns.$index, row),)*)
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

impl<'a> Batch<'a> {
    /// Makes a column from others: `None` is null. If it takes the place of a column that is read
    /// too and has its kind, the host is told only what changed.
    #[inline]
    pub fn derive<R: Reads, K: Kind, V: Put<K>, O: Outcome<Option<V>>>(
        &mut self,
        from: R,
        into: Write<K>,
        mut derive: impl FnMut(R::Row<'a>, &mut Row<'_>) -> O,
    ) {
        let columns = from.columns(self);
        let rows = self.rows();
        let mut builder = K::builder(rows);
        let mut valid = vec![0; rows.div_ceil(8)];
        let mut nulls = 0;
        for row in 0..rows {
            let values = R::row(&columns, row);
            match self.outcomes.pass(row, |row| derive(values, row).outcome()).flatten() {
                Some(value) => {
                    value.put(&mut builder);
                    bits::set(&mut valid, row);
                }
                None => {
                    K::put_null(&mut builder);
                    nulls += 1;
                }
            }
        }
        let data = ColumnData { values: K::finish(builder), valid: (nulls > 0).then_some(valid) };
        let change = match self.over(into) {
            Some(before) => difference(&before, data, rows),
            None => Change::Replaced(data),
        };
        self.set(into, change);
    }
}

fn difference<K: Kind>(before: &Column<'_, K>, data: ColumnData, rows: usize) -> Change {
    let view = view::ColumnData::new(&data).expect("the builder of a kind makes sound columns");
    let values = K::values(&view.values).expect("the builder of a kind makes that kind");
    let after = Column::<K>::new(values, view.valid);
    let changed = |row: &usize| match (before.get(*row), after.get(*row)) {
        (Some(a), Some(b)) => !K::same(a, b),
        (None, None) => false,
        _ => true,
    };
    let changed: Vec<usize> = (0..rows).filter(changed).collect();
    if changed.is_empty() {
        return Change::Unchanged;
    }
    if changed.len() > rows / 8 {
        return Change::Replaced(data);
    }
    let mut builder = K::builder(changed.len());
    let mut valid = bits::owned(None, changed.len());
    for (at, &row) in changed.iter().enumerate() {
        match after.get(row) {
            Some(value) => K::put(&mut builder, value),
            None => {
                K::put_null(&mut builder);
                bits::clear(&mut valid, at);
            }
        }
    }
    Change::Patched(Patch {
        rows: changed.iter().map(|&row| row as u32).collect(),
        data: ColumnData { values: K::finish(builder), valid: Some(valid) },
    })
}
