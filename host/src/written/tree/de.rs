//! Reads serde's types from a tree. An error names the node that it is about.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::scalar::Meant;
use super::{Content, Entry, Node, Scalar};

/// Why a node is not what its reader wants.
#[derive(Debug)]
pub(super) struct Error {
    /// None until it has come up to the node.
    pub(super) at: Option<At>,
    pub(super) fault: Fault,
}

/// A node, or the key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) node: usize,
    pub(super) key: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    UnknownKind {
        kind: String,
        known: Vec<&'static str>,
    },
    Missing(&'static str),
    /// What should be there, and how that is written.
    Wrong {
        expected: String,
        example: &'static str,
    },
    /// Something was cut out that it cannot be without.
    Damaged,
    Other(String),
}

impl Error {
    fn wrong(expected: impl Into<String>, example: &'static str) -> Self {
        Self { at: None, fault: Fault::Wrong { expected: expected.into(), example } }
    }

    fn at(self, at: At) -> Self {
        Self { at: self.at.or(Some(at)), ..self }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self { at: None, fault: Fault::Other(message.to_string()) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected.to_string(), "")
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            at: None,
            fault: Fault::UnknownKind { kind: variant.to_owned(), known: expected.to_vec() },
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { at: None, fault: Fault::UnknownKey { key: field.to_owned(), known: expected } }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { at: None, fault: Fault::Missing(field) }
    }
}

impl Node {
    fn located<T>(&self, read: Result<T, Error>) -> Result<T, Error> {
        read.map_err(|error| error.at(At { node: self.id, key: false }))
    }

    fn text(&self) -> Result<&str, Error> {
        match &self.content {
            Content::Scalar(scalar) if !scalar.is_null() => Ok(&scalar.text),
            _ => Err(Error::wrong("text", "text")),
        }
    }

    fn scalar<T>(
        &self,
        read: impl FnOnce(&Scalar) -> Option<T>,
        wrong: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        match &self.content {
            Content::Scalar(scalar) => read(scalar).ok_or_else(wrong),
            Content::List(_) | Content::Map(_) => Err(wrong()),
        }
    }

    /// A whole number from `min` to `max`.
    fn integer<T>(&self, min: T, max: T) -> Result<T, Error>
    where
        T: TryFrom<i128> + Display + Copy,
    {
        let read = |scalar: &Scalar| T::try_from(scalar.integer()?).ok();
        self.scalar(read, || {
            // The limits are worth their digits only where they are the matter.
            let is_out_of_range = matches!(
                &self.content,
                Content::Scalar(scalar) if scalar.integer().is_some()
            );
            let expected = match max.to_string().len() {
                _ if !is_out_of_range => "a whole number".to_owned(),
                // Nobody meant the largest one.
                17.. => format!("a whole number from {min} on"),
                _ => format!("a whole number from {min} to {max}"),
            };
            Error::wrong(expected, "10")
        })
    }
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $kind:ty),*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.located(
                self.integer(<$kind>::MIN, <$kind>::MAX).and_then(|number| visitor.$visit(number)),
            )
        })*
    };
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(match &self.content {
            Content::Scalar(scalar) => match scalar.meant() {
                Meant::Null => visitor.visit_unit(),
                Meant::Boolean(boolean) => visitor.visit_bool(boolean),
                Meant::Unsigned(number) => visitor.visit_u64(number),
                Meant::Signed(number) => visitor.visit_i64(number),
                Meant::Float(number) => visitor.visit_f64(number),
                Meant::Text(text) => visitor.visit_borrowed_str(text),
            },
            Content::List(items) => visitor.visit_seq(Items(items.iter())),
            Content::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), at: None }),
        })
    }

    integers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = self.scalar(Scalar::boolean, || Error::wrong("true or false", "true"));
        self.located(read.and_then(|boolean| visitor.visit_bool(boolean)))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let read = self.scalar(Scalar::float, || Error::wrong("a number", "0.5"));
        self.located(read.and_then(|number| visitor.visit_f64(number)))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(self.text().and_then(|text| visitor.visit_borrowed_str(text)))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.content {
            // Whoever wants to leave something out leaves out its key.
            Content::Scalar(scalar) if scalar.is_null() => {
                self.located(Err(Error::wrong("a value", "")))
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.content {
            Content::List(_) => self.deserialize_any(visitor),
            _ => self.located(Err(Error::wrong("a list", "[a, b]"))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.content {
            Content::Map(_) => self.deserialize_any(visitor),
            _ => self.located(Err(Error::wrong("keys and values", "{ key: value }"))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        kinds: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.located(match &self.content {
            Content::Map(entries) => {
                only(entries, kinds).and_then(|entry| visitor.visit_enum(OneOf(entry)))
            }
            Content::Scalar(scalar) if !scalar.is_null() => {
                let kind: StrDeserializer<'_, Error> = scalar.text.as_str().into_deserializer();
                visitor.visit_enum(kind)
            }
            Content::Scalar(_) | Content::List(_) => Err(kind_wanted(kinds)),
        })
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl Node {
    /// Which of these kinds it is, told by its only key, and what stands below that.
    pub(super) fn kind(&self, kinds: &[&'static str]) -> Result<(usize, &Self), Error> {
        let entries = match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(scalar) if !scalar.is_null() => {
                let is_kind = kinds.contains(&scalar.text.as_str());
                return self.located(Err(if is_kind {
                    let kind = &scalar.text;
                    de::Error::custom(format_args!("a kind is a key, like `{{ {kind}: {{}} }}`"))
                } else {
                    unknown_kind(&scalar.text, kinds)
                }));
            }
            Content::Scalar(_) | Content::List(_) => return self.located(Err(kind_wanted(kinds))),
        };
        let entry = self.located(only(entries, kinds))?;
        match kinds.iter().position(|kind| *kind == entry.key) {
            Some(kind) => Ok((kind, &entry.value)),
            None => {
                let at = At { node: entry.value.id, key: true };
                Err(unknown_kind(&entry.key, kinds).at(at))
            }
        }
    }
}

/// The entry that is there alone, as that of a kind has to be.
fn only<'e>(entries: &'e [Entry], kinds: &[&str]) -> Result<&'e Entry, Error> {
    let mut sound = entries.iter().filter(|entry| !entry.value.cut);
    match (sound.next(), sound.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(_), Some(second)) => Err(Error {
            at: Some(At { node: second.value.id, key: true }),
            fault: Fault::Other(format!(
                "`{}` is one too many: there is one kind here",
                second.key
            )),
        }),
        (None, _) if entries.is_empty() => Err(kind_wanted(kinds)),
        (None, _) => Err(Error { at: None, fault: Fault::Damaged }),
    }
}

fn unknown_kind(kind: &str, kinds: &[&'static str]) -> Error {
    let fault = Fault::UnknownKind { kind: kind.to_owned(), known: kinds.to_vec() };
    Error { at: None, fault }
}

fn kind_wanted(kinds: &[&str]) -> Error {
    Error::wrong(format!("one of {}", kinds.join(", ")), "")
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let next = self.0.by_ref().find(|item| !item.cut);
        next.map(|item| item.located(seed.deserialize(item))).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    /// The entry whose key was read.
    at: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.at = self.rest.by_ref().find(|entry| !entry.value.cut);
        self.at.map(|entry| key(entry, seed)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.at.expect("serde asks for a value after its key");
        entry.value.located(seed.deserialize(&entry.value))
    }
}

fn key<'de, K: DeserializeSeed<'de>>(entry: &'de Entry, seed: K) -> Result<K::Value, Error> {
    let text: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
    let read = seed.deserialize(text);
    read.map_err(|error: Error| error.at(At { node: entry.value.id, key: true }))
}

/// `{ kind: … }`
struct OneOf<'de>(&'de Entry);

impl<'de> EnumAccess<'de> for OneOf<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((key(self.0, seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for OneOf<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.0.value.located(Err(Error::wrong("nothing more", "")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.0.value.located(seed.deserialize(&self.0.value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.value.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.value.deserialize_map(visitor)
    }
}
