//! Objects are written whole under names that nobody reads, before the record that commits them.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::PutPayload;

use super::rows::{Makers, NewName, NewObject, NewObjects, Shape};
use super::store::Store;
use super::{ObjectsSinkError, Place, key};
use crate::connect::Retry;
use crate::ledger::log::keys::LogKeys;
use crate::ledger::log::{Attempt, LaneFold, Staged, StagedObject, Stager, letters};
use crate::record::{ConnectorError, DeadLetter, Digest, Lane, Unit, UnitPart};

/// Objects that are put at a time.
const IN_FLIGHT: usize = 8;

/// What one attempt has staged.
#[derive(Debug)]
struct StagedObjects {
    store: Arc<Store>,
    objects: Vec<(StagedObject, Belongs)>,
    /// Rows that became dead letters after all, by part.
    refused: Vec<(usize, DeadLetter)>,
}

/// Where an object belongs, but for the number of the record that commits it.
#[derive(Debug)]
enum Belongs {
    Rows { name: NewName, extension: String },
    DeadLetters,
}

/// Stages what a unit brings.
pub(super) struct UnitStager<'a> {
    pub place: &'a Place,
    pub shape: &'a Shape,
    pub unit: &'a Unit,
}

#[async_trait]
impl Stager for UnitStager<'_> {
    async fn stage(
        &self,
        attempt: &Attempt<'_>,
        lane: Option<&LaneFold>,
    ) -> Result<Box<dyn Staged>, ConnectorError> {
        let Self { place, shape, unit } = self;
        let lanes = match lane {
            Some(fold) => place.lane_names(shape, unit, fold).await?,
            None => Vec::new(),
        };
        let makers = Makers { generation: unit.generation, lanes };
        let parts = unit.parts.clone();
        let staged = stage(attempt, &place.store, shape, parts, makers, Some(&unit.lane)).await?;
        Ok(Box::new(staged))
    }
}

/// Stages what letters bring that are tried again.
pub(super) struct LetterStager<'a> {
    pub place: &'a Place,
    pub shape: &'a Shape,
    pub retry: &'a Retry,
}

#[async_trait]
impl Stager for LetterStager<'_> {
    async fn stage(
        &self,
        attempt: &Attempt<'_>,
        _: Option<&LaneFold>,
    ) -> Result<Box<dyn Staged>, ConnectorError> {
        let Self { place, shape, retry } = self;
        let lanes = place.letter_lane_names(shape, retry).await?;
        let makers = Makers { generation: retry.generation, lanes };
        let parts = retry.letters.iter().map(|letter| letter.part.clone()).collect();
        let staged = stage(attempt, &place.store, shape, parts, makers, None).await?;
        Ok(Box::new(staged))
    }
}

/// Writes the objects of parts, and their dead letters if they are of a lane. After an error none of them is
/// left, as far as the store lets us.
async fn stage(
    attempt: &Attempt<'_>,
    store: &Arc<Store>,
    shape: &Shape,
    parts: Vec<UnitPart>,
    makers: Makers,
    letters: Option<&Lane>,
) -> Result<StagedObjects, ObjectsSinkError> {
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
                described.push(digested(rows, lines.into(), Belongs::DeadLetters));
            }
            Ok((described, refused))
        }
    };
    // Compressing, digesting and Parquet take a while, and other lanes go on.
    let (objects, refused) = tokio::task::spawn_blocking(make).await.expect("no panic")?;
    let staged = objects.into_iter().enumerate().map(|(index, (mut object, body, place))| {
        object.staged = format!("{}-{index}", attempt.keys.attempt(attempt.claimed_by, attempt.id));
        (object, body, place)
    });
    let staged: Vec<_> = staged.collect();
    let bodies: Vec<_> =
        staged.iter().map(|(object, body, _)| (object.staged.clone(), body.clone())).collect();
    let objects = staged.into_iter().map(|(object, _, place)| (object, place)).collect();
    let staged = StagedObjects { store: Arc::clone(store), objects, refused };
    staged.refuse_taken().await?;
    let put = futures_util::stream::iter(bodies.into_iter().map(Ok))
        .try_for_each_concurrent(IN_FLIGHT, async |(key, body)| store.put(&key, body).await);
    if let Err(error) = put.await {
        staged.discard().await;
        return Err(error);
    }
    Ok(staged)
}

fn describe(new: NewObject, extension: &str) -> (StagedObject, PutPayload, Belongs) {
    let NewObject { name, rows, body } = new;
    digested(rows, body, Belongs::Rows { name, extension: extension.to_owned() })
}

fn digested(rows: u64, body: PutPayload, place: Belongs) -> (StagedObject, PutPayload, Belongs) {
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
        NewName::Number { folder, index } => key::rows(keys, number, folder, *index, extension),
        NewName::Key(key) => key.clone(),
        NewName::Index(of) => key::index_of(keys, &key_of(of, extension, keys, number)),
    }
}

impl StagedObjects {
    /// Names that are not made of the record's number can be those of somebody else's objects, which must
    /// not be written over: another pipeline's in the same place, or those of a topic that was made anew.
    async fn refuse_taken(&self) -> Result<(), ObjectsSinkError> {
        let chosen = self.objects.iter().filter_map(|(_, belongs)| match belongs {
            Belongs::Rows { name: NewName::Key(key), .. } => Some(Ok(key)),
            Belongs::Rows { .. } | Belongs::DeadLetters => None,
        });
        futures_util::stream::iter(chosen)
            .try_for_each_concurrent(IN_FLIGHT, async |key| match self.store.exists(key).await? {
                true => Err(ObjectsSinkError::Taken { key: key.clone() }),
                false => Ok(()),
            })
            .await
    }
}

#[async_trait]
impl Staged for StagedObjects {
    fn objects(&self, keys: &LogKeys, number: u64) -> Vec<StagedObject> {
        let named = self.objects.iter().map(|(object, belongs)| {
            let key = match belongs {
                Belongs::Rows { name, extension } => key_of(name, extension, keys, number),
                Belongs::DeadLetters => keys.dead_letters(number),
            };
            StagedObject { key, ..object.clone() }
        });
        named.collect()
    }

    fn refused(&self) -> &[(usize, DeadLetter)] {
        &self.refused
    }

    async fn discard(&self) {
        let keys = self.objects.iter().map(|(object, _)| object.staged.clone()).collect();
        if let Err(error) = self.store.delete(keys).await {
            tracing::debug!(%error, "staged objects are left behind");
        }
    }
}
