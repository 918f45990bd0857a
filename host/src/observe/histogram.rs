//! How times are spread.

use std::time::Duration;

/// Upper ends of what is counted together, in seconds; the last has no end.
const BOUNDS: [f64; 16] = [
    0.001,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
    600.0,
    f64::INFINITY,
];

#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: [u64; BOUNDS.len()],
    sum: f64,
}

impl Histogram {
    pub(super) fn note(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[at] += 1;
        self.sum += seconds;
    }

    /// How many were not longer than each bound.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        BOUNDS.into_iter().zip(self.counts).map(move |(bound, count)| {
            sum += count;
            (bound, sum)
        })
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_below_the_first_bound_that_it_does_not_exceed() {
        let mut histogram = Histogram::default();
        for millis in [0, 1, 2, 3_600_000] {
            histogram.note(Duration::from_millis(millis));
        }
        let told: Vec<_> = histogram.cumulated().collect();
        assert_eq!(told[0], (0.001, 2));
        assert_eq!(told[1], (0.002_5, 3));
        assert_eq!(told[14], (600.0, 3));
        assert_eq!(told[15], (f64::INFINITY, 4));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 3_600.003).abs() < 1e-9);
    }
}
