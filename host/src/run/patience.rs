//! How long to wait before the next attempt.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Growing, jittered waits without an end.
#[derive(Debug)]
pub(super) struct Patience {
    waits: ExponentialBackoff,
    longest: Duration,
}

impl Patience {
    pub(super) fn new(longest: Duration) -> Self {
        let waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(longest)
            .without_max_times()
            .build();
        Self { waits, longest }
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.waits.next().unwrap_or(self.longest)).await;
    }
}
