//! From where objects are staged to where readers find them.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;

use super::ObjectsSinkError;
use super::key::is_data;
use super::store::{Copied, Store};
use crate::ledger::log::keys::Keys;
use crate::ledger::log::{Publisher, StagedObject};
use crate::objects::OWN;
use crate::record::ConnectorError;

/// Objects that are copied at a time.
const IN_FLIGHT: usize = 8;

/// Shows objects under their final keys.
#[derive(Debug)]
pub(super) struct ObjectsPublisher {
    pub store: Arc<Store>,
    pub keys: Keys,
}

#[async_trait]
impl Publisher for ObjectsPublisher {
    async fn publish(&self, objects: &[StagedObject]) -> Result<(), ConnectorError> {
        Ok(publish(&self.store, objects).await?)
    }

    async fn shown(&self) -> Result<Option<String>, ConnectorError> {
        Ok(self.store.find("", |key| is_data(&self.keys, key)).await?)
    }
}

/// Copies the objects of a committed record to their final keys, then deletes what was staged: that they
/// are no longer staged is the note that they are published. So an object that is not there needs no copy,
/// and somebody who wakes up late finds nothing to copy over what may have changed since.
async fn publish(store: &Store, objects: &[StagedObject]) -> Result<(), ObjectsSinkError> {
    if objects.is_empty() {
        return Ok(());
    }
    // Whoever finds an object of an archive finds its index.
    let (indexes, others): (Vec<_>, Vec<_>) =
        objects.iter().partition(|object| object.key.starts_with(OWN));
    for objects in [indexes, others] {
        futures_util::stream::iter(objects.into_iter().map(Ok))
            .try_for_each_concurrent(IN_FLIGHT, async |object| publish_one(store, object).await)
            .await?;
    }
    store.delete(objects.iter().map(|object| object.staged.clone()).collect()).await
}

/// Never over an object that is there: it is this one, copied before, or somebody else's.
async fn publish_one(store: &Store, object: &StagedObject) -> Result<(), ObjectsSinkError> {
    loop {
        match store.copy_new(&object.staged, &object.key).await? {
            Copied::Done | Copied::NothingThere => return Ok(()),
            Copied::Taken => {}
        }
        // What became of it after it was published is the business of those who read it.
        if !store.exists(&object.staged).await? {
            return Ok(());
        }
        match store.is_object(&object.key, object.bytes, object.digest).await? {
            Some(true) => return Ok(()),
            Some(false) => return Err(ObjectsSinkError::Taken { key: object.key.clone() }),
            // It was there just now.
            None => {}
        }
    }
}
