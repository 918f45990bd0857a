//! The records that came last, as they came: what a new generation is tried on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::RawBatch;

/// Bounds (invariant 8); one that is larger than all is not kept.
const BYTES_MAX: usize = 8 << 20;
const BATCHES_MAX: usize = 32;

/// Of all lanes of a pipeline together.
#[derive(Debug, Default)]
pub struct Ring(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Arc<RawBatch>>,
    bytes: usize,
}

impl Ring {
    /// Keeps a batch, unless somebody else looks at them right now: records are not held up for this.
    pub(super) fn push(&self, raw: &Arc<RawBatch>) {
        let bytes = raw.memory();
        let Ok(mut kept) = self.0.try_lock() else { return };
        if bytes > BYTES_MAX || raw.records.is_empty() {
            return;
        }
        while kept.bytes + bytes > BYTES_MAX || kept.batches.len() == BATCHES_MAX {
            let Some(oldest) = kept.batches.pop_front() else { break };
            kept.bytes -= oldest.memory();
        }
        kept.bytes += bytes;
        kept.batches.push_back(Arc::clone(raw));
    }

    /// The newest first.
    pub fn recent(&self) -> Vec<Arc<RawBatch>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.batches.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{Position, RawRecord};

    fn raw(at: u64, bytes: usize) -> Arc<RawBatch> {
        Arc::new(RawBatch::new(
            Bytes::from(vec![0; bytes]),
            vec![RawRecord::value(Position::number(at), 0..bytes)],
            (Position::number(at), Position::number(at + 1)),
        ))
    }

    fn kept(ring: &Ring) -> Vec<Position> {
        ring.recent().iter().map(|raw| raw.from).collect()
    }

    #[test]
    fn the_newest_are_kept_as_far_as_there_is_room() {
        let ring = Ring::default();
        for at in 0..10 {
            ring.push(&raw(at, 3 << 20));
        }
        assert_eq!(kept(&ring), [Position::number(9), Position::number(8)]);
        ring.push(&raw(10, BYTES_MAX));
        assert_eq!(kept(&ring), [Position::number(9), Position::number(8)], "it is too large");
        for at in 0..1_000 {
            ring.push(&raw(at, 1));
        }
        assert_eq!(kept(&ring).len(), BATCHES_MAX);
    }
}
