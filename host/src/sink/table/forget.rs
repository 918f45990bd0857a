//! What is not kept for ever goes now and then, as a part of some commit.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// So many letters, and so many deletes, go in one commit.
pub(crate) const FORGOTTEN_MAX: i64 = 10_000;

/// For how long things are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// For ever, if there is none.
    pub(crate) letters: Option<Duration>,
    pub(crate) deletes: Duration,
}

#[derive(Debug)]
pub(crate) struct Forgetting {
    keep: Keep,
    last: Mutex<Option<Instant>>,
}

impl Forgetting {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, last: Mutex::default() }
    }

    /// What the commit that asks is to look for, if it is time again.
    pub(crate) fn due(&self) -> Option<Keep> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|then| then.elapsed() < EVERY) {
            return None;
        }
        *last = Some(Instant::now());
        Some(self.keep)
    }
}
