//! From where objects are staged to where readers find them.

use futures_util::TryStreamExt as _;

use super::ObjectsSinkError;
use super::fold::StagedObject;
use super::store::Store;
use crate::objects::OWN;

/// Objects that are copied at a time.
const IN_FLIGHT: usize = 8;

/// Copies the objects of a committed record to their final keys, then deletes what was staged: that they
/// are no longer staged is the note that they are published. So an object that is not there needs no copy,
/// and somebody who wakes up late finds nothing to copy over what may have changed since.
pub(super) async fn publish(
    store: &Store,
    objects: &[StagedObject],
) -> Result<(), ObjectsSinkError> {
    if objects.is_empty() {
        return Ok(());
    }
    // Whoever finds an object of an archive finds its index.
    let (indexes, others): (Vec<_>, Vec<_>) =
        objects.iter().partition(|object| object.key.starts_with(OWN));
    for objects in [indexes, others] {
        futures_util::stream::iter(objects.into_iter().map(Ok))
            .try_for_each_concurrent(IN_FLIGHT, async |object| {
                store.copy(&object.staged, &object.key).await.map(drop)
            })
            .await?;
    }
    store.delete(objects.iter().map(|object| object.staged.clone()).collect()).await
}
