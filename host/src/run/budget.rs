//! Memory that a pipeline may hold: source bytes on their way, with what was made of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Permits are this much each, as a semaphore counts in 32 bits.
const GRAIN: usize = 1024;

/// Bounds what is on its way, in bytes (invariant 8). Shared by the lanes of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    grains: u32,
    waiting: AtomicUsize,
    short: Notify,
}

/// Held until what it stands for is committed or dropped.
#[derive(Debug)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "dropping it frees the memory")] OwnedSemaphorePermit,
);

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let grains = (bytes / GRAIN as u64).clamp(1, u64::from(u32::MAX >> 3)) as u32;
        Self(Arc::new(Inner {
            free: Arc::new(Semaphore::new(grains as usize)),
            grains,
            waiting: AtomicUsize::new(0),
            short: Notify::new(),
        }))
    }

    /// Waits until there is room. Something larger than everything waits until it is alone.
    pub(super) async fn hold(&self, bytes: usize) -> Held {
        let inner = &*self.0;
        let grains = u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX).min(inner.grains);
        let free = Arc::clone(&inner.free);
        let held = match Arc::clone(&free).try_acquire_many_owned(grains) {
            Ok(held) => Ok(held),
            Err(_) => {
                let _waiting = Waiting::new(&inner.waiting);
                inner.short.notify_waiters();
                free.acquire_many_owned(grains).await
            }
        };
        Held(held.expect("nobody closes it"))
    }

    /// Resolves while somebody waits for memory: units in the making are to be committed as they are, as
    /// what is waited for may be theirs.
    pub(super) async fn is_short(&self) {
        let mut short = pin!(self.0.short.notified());
        short.as_mut().enable();
        if self.0.waiting.load(Ordering::Acquire) == 0 {
            short.await;
        }
    }

    /// Whether somebody waits for memory right now.
    #[cfg(test)]
    pub(super) fn is_short_now(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }

    pub(super) fn held_bytes(&self) -> u64 {
        (self.0.grains as usize - self.0.free.available_permits()) as u64 * GRAIN as u64
    }

    /// All that may be held.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.0.grains) * GRAIN as u64
    }
}

/// One that waits; no longer, when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_memory_has_units_committed() {
        let budget = Budget::new(4 * 1024);
        let first = budget.hold(3 * 1024).await;
        assert_eq!(budget.held_bytes(), 3 * 1024);
        let mut short = pin!(budget.is_short());
        assert!(futures_util::poll!(&mut short).is_pending());
        let second = tokio::spawn({
            let budget = budget.clone();
            async move { budget.hold(2 * 1024).await }
        });
        short.await;
        budget.is_short().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.expect("it gets its memory");
    }

    #[tokio::test]
    async fn what_is_larger_than_everything_waits_until_it_is_alone() {
        let budget = Budget::new(4 * 1024);
        drop(budget.hold(1 << 30).await);
        assert_eq!(budget.held_bytes(), 0);
    }
}
