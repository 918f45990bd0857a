//! Where a unit ends.

use std::time::{Duration, Instant};

use crate::pipeline::config::UnitConfig;

/// Rows are committed in one step up to the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitLimits {
    pub rows: u64,
    pub bytes: u64,
    pub time: Duration,
}

impl UnitLimits {
    /// One of so many parts of it.
    pub(super) fn share(self, parts: u64) -> Self {
        Self { rows: self.rows / parts, bytes: self.bytes / parts, ..self }
    }
}

impl From<&UnitConfig> for UnitLimits {
    fn from(config: &UnitConfig) -> Self {
        Self { rows: config.rows.into(), bytes: config.bytes.0, time: config.time.0 }
    }
}

/// How far the unit in the making has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauge {
    records: u64,
    bytes: u64,
    since: Option<Instant>,
}

impl Gauge {
    pub(super) fn add(&mut self, records: u64, bytes: u64, now: Instant) {
        self.records += records;
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    pub(super) fn is_full(&self, limits: &UnitLimits) -> bool {
        self.records >= limits.rows || self.bytes >= limits.bytes
    }

    /// When it has to be committed, however little it holds; never, if that is nothing, or further off than
    /// clocks go.
    pub(super) fn due(&self, limits: &UnitLimits) -> Option<Instant> {
        self.since?.checked_add(limits.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: UnitLimits = UnitLimits { rows: 10, bytes: 100, time: Duration::from_secs(1) };

    #[test]
    fn a_unit_ends_at_whichever_limit_is_met_first() {
        let now = Instant::now();
        let mut gauge = Gauge::default();
        assert_eq!(gauge.due(&LIMITS), None, "nothing waits for nothing");
        gauge.add(9, 99, now);
        assert!(!gauge.is_full(&LIMITS));
        assert_eq!(gauge.due(&LIMITS), Some(now + LIMITS.time));
        let (mut by_rows, mut by_bytes) = (gauge, gauge);
        by_rows.add(1, 0, now);
        by_bytes.add(0, 1, now);
        assert!(by_rows.is_full(&LIMITS) && by_bytes.is_full(&LIMITS));
    }

    #[test]
    fn the_first_record_decides_how_long_a_unit_waits() {
        let now = Instant::now();
        let mut gauge = Gauge::default();
        gauge.add(1, 1, now);
        gauge.add(1, 1, now + Duration::from_millis(900));
        assert_eq!(gauge.due(&LIMITS), Some(now + LIMITS.time));
    }
}
