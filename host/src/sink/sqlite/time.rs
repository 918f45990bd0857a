//! Times of pinhost's own, as texts whose order is theirs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub(super) fn now() -> String {
    written(Timestamp::now())
}

/// Before now.
pub(super) fn ago(duration: Duration) -> Option<String> {
    let duration = SignedDuration::try_from(duration).ok()?;
    Timestamp::now().checked_sub(duration).ok().map(written)
}

fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}
