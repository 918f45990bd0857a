//! What a decoder is told about the fields of a record.

use std::collections::HashSet;
use std::sync::Arc;

use crate::record::Kind;

use super::shape::Shape;

/// A field to be read from every record; it becomes a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredField {
    /// The column's name.
    pub name: Arc<str>,
    pub kind: Kind,
    /// A record without it is rejected. Null is a value here: it is enough that the field is there.
    pub required: bool,
    /// Tells which row it is rather than what is in it: a record of which nothing but key fields
    /// could be read is rejected.
    pub key: bool,
    /// Takes a boolean, an integer or a float that is written as a string (`"12.5"`); for text, a
    /// number or a boolean, as it stands in the JSON. For lists this is about their items. Nothing
    /// is trimmed, and the empty string is no number.
    pub coerce: bool,
    pub from: Origin,
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The record's JSON. The first path is the field's own, the others are its aliases; a record may
    /// use one of them.
    Value(Vec<FieldPath>),
    /// `$rest`: what is not declared, as a JSON object in a text column: keys in their order, values
    /// byte for byte. What is left over beside a nested field stays nested. `{}` if nothing is left.
    Rest,
    /// `$key`. The key, the topic and headers are text; other kinds are read from that text as if it
    /// were a string in the record, which for booleans and numbers takes `coerce`.
    Key,
    /// `$topic`.
    Topic,
    /// `$partition`, an integer.
    Partition,
    /// `$offset`, an integer.
    Offset,
    /// `$timestamp`, a timestamp.
    Timestamp,
    /// `$sequence`, the sequence number of Kinesis as text.
    Sequence,
    /// `$shard`, the id of a shard as text.
    Shard,
    /// `$headers.NAME`.
    Header(String),
}

impl Origin {
    fn fits(&self, kind: Kind, coerce: bool) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Rest => kind == Kind::Text,
            Self::Partition | Self::Offset => kind == Kind::Integer,
            Self::Timestamp => kind == Kind::Timestamp,
            Self::Sequence | Self::Shard => kind == Kind::Text,
            Self::Key | Self::Topic | Self::Header(_) => match kind {
                Kind::Text | Kind::Timestamp => true,
                Kind::Boolean | Kind::Integer | Kind::Float => coerce,
                Kind::TextList | Kind::FloatList => false,
            },
        }
    }
}

/// The keys that lead to a value, from the outermost object in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// A key of the record itself, whatever characters it has.
    pub fn key(key: impl Into<String>) -> Self {
        Self(vec![key.into()])
    }

    /// `offer.price`: the key `price` of the object under the key `offer`.
    pub fn dotted(path: &str) -> Self {
        Self(path.split('.').map(str::to_owned).collect())
    }

    /// None if there are no keys.
    pub fn of(keys: Vec<String>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

impl DeclaredField {
    /// A field under the key of its own name that may be missing.
    pub fn new(name: impl Into<Arc<str>>, kind: Kind) -> Self {
        let name = name.into();
        let from = Origin::Value(vec![FieldPath::key(&*name)]);
        Self { name, kind, required: false, key: false, coerce: false, from }
    }
}

/// Why fields cannot be declared like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    #[error("field {field} is declared twice")]
    Repeated { field: Arc<str> },
    #[error("field {field} has no path to read it from")]
    NoPath { field: Arc<str> },
    #[error("fields {field} and {other} are both read from {path}")]
    SharedPath { field: Arc<str>, other: Arc<str>, path: String },
    #[error("field {field} is read from {path}, where other fields need an object")]
    ValueAndObject { field: Arc<str>, path: String },
    #[error("field {field} cannot be {kind} where it comes from")]
    WrongKind { field: Arc<str>, kind: Kind },
    #[error("fields {field} and {other} both hold the rest")]
    SecondRest { field: Arc<str>, other: Arc<str> },
    #[error("{fields} fields are too many")]
    TooMany { fields: usize },
}

/// Whether a [`Decoder`](super::Decoder) can be made of these fields.
pub fn check(fields: &[DeclaredField]) -> Result<(), DeclarationError> {
    let mut names = HashSet::new();
    let mut rest: Option<&DeclaredField> = None;
    for field in fields {
        let name = Arc::clone(&field.name);
        if !names.insert(&field.name) {
            return Err(DeclarationError::Repeated { field: name });
        }
        if !field.from.fits(field.kind, field.coerce) {
            let kind = field.kind;
            return Err(DeclarationError::WrongKind { field: name, kind });
        }
        if field.from == Origin::Rest
            && let Some(other) = rest.replace(field)
        {
            let other = Arc::clone(&other.name);
            return Err(DeclarationError::SecondRest { field: name, other });
        }
    }
    Shape::new(fields).map(drop)
}
