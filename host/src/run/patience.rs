//! How long to wait before the next attempt. No clock: whoever asks does the waiting.

use std::time::Duration;

use fastrand::Rng;

const SHORTEST: Duration = Duration::from_millis(100);

/// Growing, jittered waits without an end.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    next: Duration,
    longest: Duration,
    random: Rng,
}

impl Patience {
    pub(super) fn new(longest: Duration, random: Rng) -> Self {
        Self { next: SHORTEST.min(longest), longest, random }
    }

    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait + wait.mul_f64(self.random.f64())
    }

    /// Something went well: the next wait is a short one.
    pub(super) fn renew(&mut self) {
        self.next = SHORTEST.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_start_anew() {
        let longest = Duration::from_secs(1);
        let mut patience = Patience::new(longest, Rng::with_seed(1));
        let waits: Vec<_> = (0..10).map(|_| patience.wait()).collect();
        assert!(waits[0] >= SHORTEST && waits[0] < SHORTEST * 2, "{waits:?}");
        assert!(waits[9] >= longest && waits[9] < longest * 2, "{waits:?}");
        patience.renew();
        assert!(patience.wait() < SHORTEST * 2);
    }
}
