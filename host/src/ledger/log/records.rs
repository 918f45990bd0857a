//! The log of a lane: objects with dense numbers, each put if absent. Whoever puts the next one has
//! committed, and has fenced everybody who meant to.
//!
//! A record that cannot be read halts the lane. It never counts as absent.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::LogError;
use super::keys::LogKeys;
use super::store::{LogStore, TRIES, before_try};
use crate::objects::as_text;

/// Of records, checkpoints and dead letters. What is older is read, what is newer is refused.
pub(crate) const FORMAT: u32 = 1;
/// Records that are read at a time.
const IN_FLIGHT: usize = 32;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record<E> {
    pub format: u32,
    /// Tells this record from every other that was meant to have its number.
    #[serde(with = "as_text")]
    pub attempt: Uuid,
    /// The token of the claim that it was written under.
    #[serde(with = "as_text")]
    pub claim: Uuid,
    #[serde(with = "as_text")]
    pub time: jiff::Timestamp,
    pub event: E,
}

impl<E> Record<E> {
    pub fn new(attempt: Uuid, claim: Uuid, event: E) -> Self {
        Self { format: FORMAT, attempt, claim, time: jiff::Timestamp::now(), event }
    }
}

/// Whose record has the number.
#[derive(Debug)]
pub(crate) enum Appended<E> {
    Ours,
    Theirs(Record<E>),
}

#[derive(Debug)]
pub(crate) struct Log<E> {
    store: Arc<dyn LogStore>,
    keys: LogKeys,
    event: PhantomData<fn() -> E>,
}

impl<E: Serialize + DeserializeOwned> Log<E> {
    pub fn new(store: Arc<dyn LogStore>, keys: LogKeys) -> Self {
        Self { store, keys, event: PhantomData }
    }

    pub async fn read(&self, number: u64) -> Result<Option<Record<E>>, LogError> {
        let key = self.keys.record(number);
        let Some(bytes) = self.store.read(&key).await? else { return Ok(None) };
        // The format first: what a newer one says may mean something else.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let read = serde_json::from_slice::<Format>(&bytes).and_then(|Format { format }| {
            if format > FORMAT { Ok(None) } else { serde_json::from_slice(&bytes).map(Some) }
        });
        match read {
            Ok(Some(record)) => Ok(Some(record)),
            Ok(None) => Err(LogError::Newer { key }),
            Err(cause) => Err(LogError::Unreadable { key, cause }),
        }
    }

    /// Those from `from` up to `end`, in order.
    pub async fn read_all(&self, from: u64, end: u64) -> Result<Vec<Record<E>>, LogError> {
        let read = |number| async move {
            let missing = || LogError::Gap { key: self.keys.record(number) };
            self.read(number).await?.ok_or_else(missing)
        };
        futures_util::stream::iter(from..end).map(read).buffered(IN_FLIGHT).try_collect().await
    }

    /// The first number without a record; those before `from` have one. It takes twice the
    /// logarithm of how many there are from there on.
    pub async fn end(&self, from: u64) -> Result<u64, LogError> {
        let (mut end, mut step) = (from, 1);
        let mut absent = loop {
            let probe = end + step - 1;
            if !self.has(probe).await? {
                break probe;
            }
            end = probe + 1;
            step *= 2;
        };
        while end < absent {
            let middle = end + (absent - end) / 2;
            if self.has(middle).await? {
                end = middle + 1;
            } else {
                absent = middle;
            }
        }
        Ok(end)
    }

    pub async fn has(&self, number: u64) -> Result<bool, LogError> {
        Ok(self.store.exists(&self.keys.record(number)).await?)
    }

    /// Puts a record under its number, if there is none.
    pub async fn append(&self, number: u64, record: &Record<E>) -> Result<Appended<E>, LogError> {
        let key = self.keys.record(number);
        let body = Bytes::from(serde_json::to_vec(record).expect("a record is plain values"));
        let mut tried = 0;
        loop {
            let Err(cause) = self.store.create(&key, body.clone()).await else {
                return Ok(Appended::Ours);
            };
            // No answer but success is to be believed. A client that tries an applied put again is
            // told that the object exists, and so are both of two writers who only got into each
            // other's way.
            match self.read(number).await? {
                Some(stored) if stored.attempt == record.attempt => return Ok(Appended::Ours),
                Some(stored) => return Ok(Appended::Theirs(stored)),
                None => tried += 1,
            }
            if tried == TRIES {
                return Err(LogError::Store(cause));
            }
            before_try(tried).await;
        }
    }
}
