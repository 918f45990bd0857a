//! The processes that run a pipeline: an object for each, which it puts again with every beat. How
//! long ago that was is told by the store's own clock, of which the youngest object has the time.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::LogError;
use super::keys::Keys;
use super::store::{LogEntry, LogStore};
use crate::ledger::Member;

/// Objects that are read at a time.
const IN_FLIGHT: usize = 8;

/// Whoever asks has just put an object of its own: the time of the youngest is now, as the store
/// has it.
pub(crate) async fn all(store: &dyn LogStore, keys: &Keys) -> Result<Vec<Member>, LogError> {
    let beats = store.entries(&keys.members()).await?;
    let now = beats.iter().map(|beat| beat.time).max().unwrap_or(SystemTime::UNIX_EPOCH);
    let read = |LogEntry { key, time }: LogEntry| async move {
        let Some(id) = id_of(&key) else { return Ok(None) };
        // It has left since it was listed.
        let Some(note) = store.read(&key).await? else { return Ok(None) };
        let note = String::from_utf8_lossy(&note).into_owned();
        Ok(Some(Member { id, age: age(now, time), note }))
    };
    let members = futures_util::stream::iter(beats).map(read).buffered(IN_FLIGHT);
    let mut members: Vec<_> =
        members.try_filter_map(async |member| Ok::<_, LogError>(member)).try_collect().await?;
    members.sort_by_key(|member: &Member| member.id);
    Ok(members)
}

fn id_of(key: &str) -> Option<Uuid> {
    key.rsplit('/').next()?.parse().ok()
}

fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}
