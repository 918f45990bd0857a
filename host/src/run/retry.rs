//! Dead letters once more through the rule as it is now.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::halt::Halt;
use super::live::Live;
use super::pool::{Pool, Uncleanable};
use crate::connect::{CommitOutcome, RetriedLetter, Retry, Stored};
use crate::ledger::StoredDeadLetter;
use crate::record::{RawBatch, RawHeader, RawRecord, Span};

/// Letters of one commit.
const LETTERS_MAX: usize = 500;

/// What became of letters.
#[derive(Debug, Clone, Default)]
pub struct Retried {
    /// Rows, stored or superseded.
    pub stored: Stored,
    /// Taken out by the rule on purpose.
    pub dropped: u64,
    /// Dead as before, by reason.
    pub still_dead: BTreeMap<String, u64>,
    /// Somebody else tried them at the same time.
    pub missed: u64,
}

impl AddAssign for Retried {
    fn add_assign(&mut self, more: Self) {
        let Self { stored, dropped, still_dead, missed } = more;
        self.stored.rows += stored.rows;
        self.stored.superseded += stored.superseded;
        self.dropped += dropped;
        self.missed += missed;
        for (reason, count) in still_dead.into_iter().chain(stored.refused) {
            *self.still_dead.entry(reason).or_default() += count;
        }
    }
}

/// Takes letters through the rule and commits what comes out, a few hundred at a time: what was committed
/// before an error stays.
pub async fn retry(
    live: &Arc<Live>,
    pool: &Pool,
    letters: &[StoredDeadLetter],
) -> Result<Retried, Halt> {
    let mut retried = Retried::default();
    for letters in letters.chunks(LETTERS_MAX) {
        let mut again = Vec::with_capacity(letters.len());
        for letter in letters {
            let result = pool.clean(live, Arc::new(raw(letter))).await.await;
            let lost = |_| Uncleanable::Bug("the cleaning thread ended".to_owned());
            let part = result.map_err(lost)??.part;
            again.push(RetriedLetter {
                id: letter.id.clone(),
                attempts: letter.attempts,
                lane: letter.lane.clone(),
                part,
            });
        }
        let dropped = again.iter().map(|letter| letter.part.dropped).sum();
        let mut still_dead = BTreeMap::new();
        for dead in again.iter().flat_map(|letter| &letter.part.dead_letters) {
            *still_dead.entry(dead.reason.clone()).or_default() += 1;
        }
        let retry = Retry { generation: live.generation, letters: again };
        retried += match live.writer.commit_retry(&retry).await.map_err(Halt::Sink)? {
            CommitOutcome::Done(stored) => Retried { stored, dropped, still_dead, missed: 0 },
            CommitOutcome::Fenced | CommitOutcome::Condemned | CommitOutcome::Refused(_) => {
                Retried { missed: letters.len() as u64, ..Retried::default() }
            }
        };
    }
    Ok(retried)
}

/// The record as it was when it died.
fn raw(letter: &StoredDeadLetter) -> RawBatch {
    let mut bytes = BytesMut::new();
    let mut keep =
        |part: &Option<Bytes>| part.as_ref().map(|part| Span::new(append(&mut bytes, part)));
    let value = keep(&letter.value);
    let key = keep(&letter.key);
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(name, value)| RawHeader { name: name.as_str().into(), value: keep(value) })
        .collect();
    let record = RawRecord {
        position: letter.position,
        value,
        key,
        timestamp_micros: letter.timestamp_micros,
        headers: Span::new(0..headers.len()),
        fault: None,
    };
    RawBatch {
        bytes: bytes.freeze(),
        records: vec![record],
        headers,
        columns: None,
        topic: letter.topic.as_deref().map(Arc::from),
        partition: letter.partition,
        from: letter.position,
        to: letter.position,
        past: None,
    }
}

fn append(bytes: &mut BytesMut, part: &[u8]) -> Range<usize> {
    let from = bytes.len();
    bytes.extend_from_slice(part);
    from..bytes.len()
}
