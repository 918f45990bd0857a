//! Bytes of records within JSON.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::base64;

/// Bytes of a record. They are written as text if they can be.
#[derive(Debug)]
pub(crate) enum Data<'a> {
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Data<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(Cow::Borrowed(text)),
            Err(_) => Self::Bytes(Cow::Borrowed(bytes)),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_owned().into(),
            Self::Bytes(bytes) => bytes.into_owned().into(),
        }
    }
}

/// `"text"`, or `{"base64": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Text(Cow<'a, str>),
    Bytes { base64: Cow<'a, str> },
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Text(text) => Written::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Written::Bytes { base64: base64::encode(bytes).into() },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Data<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self::Text(text)),
            Written::Bytes { base64 } => match base64::decode(&base64) {
                Some(bytes) => Ok(Self::Bytes(Cow::Owned(bytes))),
                None => Err(D::Error::custom("what should be base64 is not")),
            },
        }
    }
}
