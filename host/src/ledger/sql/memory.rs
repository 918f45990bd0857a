//! What a process has stored, so that it need not ask for each unit: until a fail-over has lost it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::{Digest, Generation, Lane, Position};

/// One for the process, whatever columns its writers have.
#[derive(Debug, Default)]
pub(crate) struct LedgerMemory {
    kept: Mutex<HashMap<Digest, Generation>>,
    /// How far each lane had come when this process last knew.
    reached: Mutex<HashMap<Lane, Position>>,
    /// The number of the last verdict that this process has read: it acts on those up to it.
    heard: AtomicI64,
}

impl LedgerMemory {
    pub(crate) fn note_kept(&self, generation: &Generation) {
        locked(&self.kept).insert(generation.digest, generation.clone());
    }

    pub(crate) fn note_heard(&self, verdict: i64) {
        self.heard.fetch_max(verdict, Ordering::AcqRel);
    }

    pub(crate) fn heard(&self) -> i64 {
        self.heard.load(Ordering::Acquire)
    }

    pub(crate) fn note_reached(&self, lane: &Lane, position: Position) {
        locked(&self.reached).insert(lane.clone(), position);
    }

    /// What has to be stored again if a claim finds the lane here: commits of this process are lost, and what
    /// it stored before them may be lost as well.
    pub(crate) fn lost_with(&self, lane: &Lane, found: Position) -> Vec<Generation> {
        let reached = locked(&self.reached).get(lane).copied();
        let is_behind = reached.is_some_and(|reached| {
            !reached.is_comparable(&found) || found.place() < reached.place()
        });
        if is_behind { locked(&self.kept).values().cloned().collect() } else { Vec::new() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
