//! Objects are written whole under names that nobody reads, before the record that commits them.

use futures_util::TryStreamExt as _;
use object_store::PutPayload;
use uuid::Uuid;

use super::ObjectsSinkError;
use super::fold::StagedObject;
use super::key::LogKeys;
use super::letters;
use super::rows::{Makers, NewName, NewObject, NewObjects, Shape};
use super::store::Store;
use crate::record::{DeadLetter, Digest, Lane, Receipt, RowReceipt, UnitPart};

/// Objects that are put at a time.
const IN_FLIGHT: usize = 8;

/// What one attempt has staged.
#[derive(Debug)]
pub(super) struct Staged {
    objects: Vec<(StagedObject, Place)>,
    /// Rows that became dead letters after all, by part.
    pub refused: Vec<(usize, DeadLetter)>,
}

impl Staged {
    /// Of the rows that are not stored.
    pub fn receipts(&self) -> Vec<RowReceipt> {
        let of = |(part, letter): &(usize, DeadLetter)| RowReceipt {
            part: *part,
            record: letter.record,
            receipt: Receipt::dead(letter),
        };
        self.refused.iter().map(of).collect()
    }
}

/// Where an object belongs, but for the number of the record that commits it.
#[derive(Debug)]
enum Place {
    Rows { name: NewName, extension: String },
    DeadLetters,
}

/// What is staged for.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub keys: &'a LogKeys,
    /// The record of the claim.
    pub claimed_by: u64,
    pub id: Uuid,
}

impl Attempt<'_> {
    /// Writes the objects of a unit, and its dead letters if it has a lane. After an error none of them is left, as far as the store lets us.
    pub async fn stage(
        &self,
        store: &Store,
        shape: &Shape,
        parts: Vec<UnitPart>,
        makers: Makers,
        letters: Option<&Lane>,
    ) -> Result<Staged, ObjectsSinkError> {
        let letters = letters.cloned();
        let make = {
            let shape = shape.clone();
            move || {
                let NewObjects { objects, refused } =
                    shape.objects(letters.as_ref(), &parts, &makers)?;
                let lines = letters.map_or_else(Vec::new, |lane| {
                    letters::lines(&lane, makers.generation, &parts, &refused)
                });
                let described = objects.into_iter().map(|new| describe(new, &shape.extension()));
                let mut described: Vec<_> = described.collect();
                if !lines.is_empty() {
                    let rows = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                    described.push(digested(rows, lines.into(), Place::DeadLetters));
                }
                Ok((described, refused))
            }
        };
        // Compressing, digesting and Parquet take a while, and other lanes go on.
        let (objects, refused) = tokio::task::spawn_blocking(make).await.expect("no panic")?;
        let staged = objects.into_iter().enumerate().map(|(index, (mut object, body, place))| {
            object.staged = format!("{}-{index}", self.keys.attempt(self.claimed_by, self.id));
            (object, body, place)
        });
        let staged: Vec<_> = staged.collect();
        let bodies: Vec<_> =
            staged.iter().map(|(object, body, _)| (object.staged.clone(), body.clone())).collect();
        let objects = staged.into_iter().map(|(object, _, place)| (object, place)).collect();
        let staged = Staged { objects, refused };
        staged.refuse_taken(store).await?;
        let put = futures_util::stream::iter(bodies.into_iter().map(Ok))
            .try_for_each_concurrent(IN_FLIGHT, async |(key, body)| store.put(&key, body).await);
        if let Err(error) = put.await {
            staged.discard(store).await;
            return Err(error);
        }
        Ok(staged)
    }
}

fn describe(new: NewObject, extension: &str) -> (StagedObject, PutPayload, Place) {
    let NewObject { name, rows, body } = new;
    digested(rows, body, Place::Rows { name, extension: extension.to_owned() })
}

fn digested(rows: u64, body: PutPayload, place: Place) -> (StagedObject, PutPayload, Place) {
    let object = StagedObject {
        staged: String::new(),
        key: String::new(),
        rows,
        bytes: body.content_length() as u64,
        digest: Digest::of_pieces(body.iter().map(|piece| &piece[..])),
    };
    (object, body, place)
}

/// The key of an object that record `number` commits.
fn key_of(name: &NewName, extension: &str, keys: &LogKeys, number: u64) -> String {
    match name {
        NewName::Number { folder, index } => keys.rows(number, folder, *index, extension),
        NewName::Key(key) => key.clone(),
        NewName::Index(of) => keys.index(&key_of(of, extension, keys, number)),
    }
}

impl Staged {
    /// The objects as record `number` names them.
    pub fn objects(&self, keys: &LogKeys, number: u64) -> Vec<StagedObject> {
        let named = self.objects.iter().map(|(object, place)| {
            let key = match place {
                Place::Rows { name, extension } => key_of(name, extension, keys, number),
                Place::DeadLetters => keys.dead_letters(number),
            };
            StagedObject { key, ..object.clone() }
        });
        named.collect()
    }

    /// Names that are not made of the record's number can be those of somebody else's objects, which must
    /// not be written over: another pipeline's in the same place, or those of a topic that was made anew.
    async fn refuse_taken(&self, store: &Store) -> Result<(), ObjectsSinkError> {
        let chosen = self.objects.iter().filter_map(|(_, place)| match place {
            Place::Rows { name: NewName::Key(key), .. } => Some(Ok(key)),
            Place::Rows { .. } | Place::DeadLetters => None,
        });
        futures_util::stream::iter(chosen)
            .try_for_each_concurrent(IN_FLIGHT, async |key| match store.exists(key).await? {
                true => Err(ObjectsSinkError::Taken { key: key.clone() }),
                false => Ok(()),
            })
            .await
    }

    /// Takes back what no record names, nor ever will. What is left of it goes with the next claim.
    pub async fn discard(&self, store: &Store) {
        let keys = self.objects.iter().map(|(object, _)| object.staged.clone()).collect();
        if let Err(error) = store.delete(keys).await {
            tracing::debug!(%error, "staged objects are left behind");
        }
    }
}
