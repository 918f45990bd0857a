//! Answers that are given again to a request that comes again, told by its `Idempotency-Key`. From memory: a
//! process that ends forgets them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blake3::Hash;

use super::answer::Answer;
use super::refusal::Refusal;

const KEPT: Duration = Duration::from_secs(600);

/// What all answers together may have; the oldest are forgotten first.
const BYTES_MAX: usize = 16 << 20;

/// What an entry takes besides its answer.
const ENTRY_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// By the fingerprint of path and key.
    entries: HashMap<Hash, Entry>,
    /// In the order in which they were answered.
    answered: VecDeque<(Hash, Instant)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    /// The fingerprint of the body.
    body: Hash,
    /// None as long as it is not answered.
    answer: Option<Answer>,
}

/// A request that is seen for the first time. Dropped without an answer, it is forgotten.
#[derive(Debug)]
pub(super) struct First {
    of: Arc<Remembered>,
    request: Hash,
}

impl Remembered {
    /// The answer that was given before; else the request is to be answered.
    pub fn seen(
        self: &Arc<Self>,
        path: &str,
        key: &[u8],
        body: &[u8],
    ) -> Result<Result<Answer, First>, Refusal> {
        let mut fingerprint = blake3::Hasher::new();
        fingerprint.update(path.as_bytes()).update(&[0]).update(key);
        let (request, body) = (fingerprint.finalize(), blake3::hash(body));
        let mut memory = self.memory();
        memory.forget(Instant::now());
        match memory.entries.get(&request) {
            Some(entry) if entry.body != body => Err(Refusal::OtherRequest),
            Some(Entry { answer: None, .. }) => Err(Refusal::InFlight),
            Some(Entry { answer: Some(answer), .. }) => Ok(Ok(answer.clone())),
            None => {
                memory.entries.insert(request, Entry { body, answer: None });
                Ok(Err(First { of: Arc::clone(self), request }))
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&mut self, now: Instant) {
        while let Some((request, at)) = self.answered.front()
            && (now.duration_since(*at) >= KEPT || self.bytes > BYTES_MAX)
        {
            let answer = self.entries.remove(request).and_then(|entry| entry.answer);
            self.bytes -= answer.map_or(0, |answer| size(&answer));
            self.answered.pop_front();
        }
    }
}

fn size(answer: &Answer) -> usize {
    ENTRY_BYTES + answer.body.len()
}

impl First {
    /// Only what is for good is remembered.
    pub fn answered(self, answer: &Answer) {
        if answer.is_passing {
            return;
        }
        let mut memory = self.of.memory();
        let Some(entry) = memory.entries.get_mut(&self.request) else { return };
        entry.answer = Some(answer.clone());
        memory.bytes += size(answer);
        memory.answered.push_back((self.request, Instant::now()));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let mut memory = self.of.memory();
        let is_open = |entry: &Entry| entry.answer.is_none();
        if memory.entries.get(&self.request).is_some_and(is_open) {
            memory.entries.remove(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_passing: bool, bytes: usize) -> Answer {
        Answer { is_passing, ..Answer::json(200, vec![b'x'; bytes]) }
    }

    #[test]
    fn what_comes_again_is_answered_again() {
        let memory = Arc::new(Remembered::default());
        let first = memory.seen("/a", b"k", b"{}").unwrap().unwrap_err();
        assert_eq!(memory.seen("/a", b"k", b"{}").unwrap_err(), Refusal::InFlight);
        first.answered(&answer(false, 3));
        assert_eq!(memory.seen("/a", b"k", b"{}").unwrap().unwrap(), answer(false, 3));
        assert_eq!(memory.seen("/a", b"k", b"[]").unwrap_err(), Refusal::OtherRequest);
        assert!(memory.seen("/b", b"k", b"{}").unwrap().is_err());
    }

    #[test]
    fn what_was_not_answered_for_good_is_tried_again() {
        let memory = Arc::new(Remembered::default());
        drop(memory.seen("/a", b"k", b"{}").unwrap().unwrap_err());
        memory.seen("/a", b"k", b"{}").unwrap().unwrap_err().answered(&answer(true, 0));
        assert!(memory.seen("/a", b"k", b"{}").unwrap().is_err());
    }

    #[test]
    fn answers_are_forgotten_by_age_and_by_size() {
        let memory = Arc::new(Remembered::default());
        for key in 0..40_u8 {
            let first = memory.seen("/a", &[key], b"{}").unwrap().unwrap_err();
            first.answered(&answer(false, 1 << 20));
        }
        assert!(memory.memory().bytes <= BYTES_MAX + (2 << 20));
        assert!(memory.seen("/a", &[0], b"{}").unwrap().is_err(), "the oldest is forgotten");
        assert!(memory.seen("/a", &[39], b"{}").unwrap().is_ok());
        memory.memory().forget(Instant::now() + KEPT);
        assert_eq!(memory.memory().bytes, 0);
    }
}
