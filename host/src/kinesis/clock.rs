//! The service's clock: its answers say what time it is there. Ours may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use jiff::Timestamp;

/// Answers tell whole seconds, and take a while: clocks that are so close are the same.
const SAME_MS: i64 = 2_000;

/// How far the service's clock is ahead of ours.
#[derive(Debug, Default)]
pub(super) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let now = Timestamp::now().as_millisecond();
        Timestamp::from_millisecond(now.saturating_add(ahead)).unwrap_or_else(|_| Timestamp::now())
    }

    /// An answer says that it is this time.
    fn told(&self, date: &str, now: Timestamp) {
        let Ok(told) = jiff::fmt::rfc2822::parse(date) else { return };
        let ahead = told.timestamp().as_millisecond() - now.as_millisecond();
        let ahead = if ahead.abs() <= SAME_MS { 0 } else { ahead };
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }
}

/// Looks at every answer.
#[derive(Debug)]
pub(super) struct ClockReader(pub Arc<Clock>);

impl Intercept for ClockReader {
    fn name(&self) -> &'static str {
        "ClockReader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.0.told(date, Timestamp::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_set_right_and_one_that_is_close_is_left_alone() {
        let (clock, now) = (Clock::default(), "2026-01-31T10:00:00Z".parse().unwrap());
        clock.told("Sat, 31 Jan 2026 10:00:01 GMT", now);
        assert_eq!(clock.ahead_ms.load(Ordering::Relaxed), 0);
        clock.told("Sat, 31 Jan 2026 11:00:00 GMT", now);
        assert_eq!(clock.ahead_ms.load(Ordering::Relaxed), 3_600_000);
        clock.told("no date", now);
        assert_eq!(clock.ahead_ms.load(Ordering::Relaxed), 3_600_000);
        assert!(clock.now() > Timestamp::now());
    }
}
