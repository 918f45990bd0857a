//! How many objects are opened side by side.

use std::time::Duration;

/// Enough for a store that is near: it always has something to do.
const LEAST: f64 = 64.0;
/// Enough to hide the way to a store that is far.
const MOST: f64 = 128.0;
/// Answers of a store at rest differ by so much; one that takes longer is asked for too much at once.
const PATIENCE: f64 = 4.0;
/// How much an answer changes what is usual, and how much that changes the width.
const WEIGHT: f64 = 0.05;

/// Grows while answers take no longer for it, and shrinks when they queue up: where the store is busy,
/// requests beyond what it can do only get in each other's way. It begins with one, to learn how quick the
/// store is at rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width {
    objects: f64,
    /// Seconds until an answer begins.
    best: f64,
    usual: f64,
}

impl Default for Width {
    fn default() -> Self {
        Self { objects: 1.0, best: f64::INFINITY, usual: 0.0 }
    }
}

impl Width {
    pub fn objects(&self) -> usize {
        self.objects as usize
    }

    /// An answer began after this time.
    pub fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64().max(1e-6);
        self.best = took.min(self.best);
        self.usual += (took - self.usual) * WEIGHT;
        let is_busy = self.objects > LEAST && self.usual > PATIENCE * self.best;
        let share = if is_busy { PATIENCE * self.best / self.usual } else { 1.0 };
        let aim = self.objects * share + self.objects.sqrt();
        self.objects = (self.objects + (aim - self.objects) * WEIGHT).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The width after some answers of a store that takes so long at a width.
    fn settled(answers: usize, answer: impl Fn(u32) -> Duration) -> usize {
        let mut width = Width::default();
        for _ in 0..answers {
            width.note(answer(width.objects() as u32));
        }
        width.objects()
    }

    #[test]
    fn a_store_is_asked_for_as_much_as_it_can_do() {
        let far = Duration::from_millis(40);
        assert_eq!(settled(500, |_| far), 128);
        let near = Duration::from_micros(300);
        let one_by_one = settled(5_000, |width| near * width);
        assert!((63..=64).contains(&one_by_one), "{one_by_one}");
        let many_at_a_time = settled(5_000, |width| near * (width / 20).max(1));
        assert!((72..=120).contains(&many_at_a_time), "{many_at_a_time}");
    }

    #[test]
    fn answers_that_differ_as_they_do_take_nothing_away() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut width = Width::default();
        for _ in 0..2_000 {
            let slow = if random.u32(..100) == 0 { 400 } else { 0 };
            width.note(Duration::from_millis(10 + random.u64(..30) + slow));
        }
        assert!(width.objects() > 64, "{width:?}");
    }
}
