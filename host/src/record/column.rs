//! What a row is made of: named columns of seven kinds, held as Arrow arrays.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field as ArrowField, TimeUnit};
use serde::{Deserialize, Serialize};

/// What a column holds. The words are those of the contract with plugins, of YAML and of the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Boolean,
    /// 64 bits, signed.
    Integer,
    Float,
    Text,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    TextList,
    FloatList,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Boolean,
        Self::Integer,
        Self::Float,
        Self::Text,
        Self::Timestamp,
        Self::TextList,
        Self::FloatList,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::TextList => "text-list",
            Self::FloatList => "float-list",
        }
    }

    /// The Arrow type of a column whose bytes are its own. Text may also stand as `Utf8View`, and
    /// text lists as lists of it: pieces of another column's bytes, see [`Kind::fits`].
    pub fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Self::TextList => DataType::List(item(DataType::Utf8)),
            Self::FloatList => DataType::List(item(DataType::Float64)),
        }
    }

    /// Whether an array of this Arrow type may stand for a column of this kind.
    pub fn fits(self, data_type: &DataType) -> bool {
        match self {
            Self::Text => matches!(data_type, DataType::Utf8 | DataType::Utf8View),
            Self::TextList => matches!(
                data_type,
                DataType::List(item) if matches!(item.data_type(), DataType::Utf8 | DataType::Utf8View)
            ),
            kind => kind.data_type() == *data_type,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The item of a list column: never null.
pub(crate) fn item(data_type: DataType) -> Arc<ArrowField> {
    Arc::new(ArrowField::new("item", data_type, false))
}

/// What columns take; of buffers that they share with others, their part.
pub(crate) fn memory(columns: &[ArrayRef]) -> usize {
    let memory = |column: &ArrayRef| {
        let whole = column.get_array_memory_size();
        column.to_data().get_slice_memory_size().unwrap_or(whole)
    };
    columns.iter().map(memory).sum()
}

/// A column's name and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    pub name: Arc<str>,
    pub kind: Kind,
}

impl Field {
    pub fn new(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// Rows as columns. Cloning one copies references, not data.
#[derive(Debug, Clone)]
pub struct Batch {
    rows: usize,
    fields: Arc<[Field]>,
    columns: Vec<ArrayRef>,
}

impl Batch {
    /// # Panics
    /// If a column does not have `rows` values or the kind its field says: a bug of ours, as whatever
    /// comes from outside is checked before it becomes a batch.
    pub fn new(rows: usize, fields: Arc<[Field]>, columns: Vec<ArrayRef>) -> Self {
        assert_eq!(fields.len(), columns.len(), "a column for every field");
        for (field, column) in fields.iter().zip(&columns) {
            assert_eq!(column.len(), rows, "column {} has a value for every row", field.name);
            assert!(
                field.kind.fits(column.data_type()),
                "column {} of kind {} cannot be {}",
                field.name,
                field.kind,
                column.data_type()
            );
        }
        Self { rows, fields, columns }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        let at = self.fields.iter().position(|field| &*field.name == name)?;
        Some(&self.columns[at])
    }

    /// What these rows take.
    pub fn memory(&self) -> usize {
        memory(&self.columns)
    }

    /// Some of the rows, in bytes of their own.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        let picked = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
        let column = |column: &ArrayRef| take(column, &picked, None).expect("rows that are there");
        let columns = self.columns.iter().map(column).collect();
        Self { rows: rows.len(), fields: Arc::clone(&self.fields), columns }
    }

    /// The rows `from .. from + rows`, without copying them.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        let columns = self.columns.iter().map(|column| column.slice(from, rows)).collect();
        Self { rows, fields: Arc::clone(&self.fields), columns }
    }
}
