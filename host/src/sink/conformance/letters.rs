//! Dead letters, and their second chance.

use super::{CommitOutcome, Fate, Opened, PINS, Store, at, claim, done, lane, part, unit_of};
use crate::connect::{RetriedLetter, Retry};
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::record::{DETAIL_BYTES_MAX, Digest};

const REASON: &str = "no\0good";

/// Three letters among rows.
async fn with_letters(store: &dyn Store) -> Opened {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let fates = [1, 2, 4].map(|record| (record, Fate::Dead(REASON)));
    let mut unit = unit_of(&sink, 0..6, "one", &fates);
    unit.parts[0].dead_letters[0].detail = Some("ö".repeat(DETAIL_BYTES_MAX));
    assert_eq!(sink.writer.commit(&owner, &unit).await.unwrap(), done(3));
    sink
}

async fn listed(sink: &Opened, which: DeadLetterFilter) -> Vec<StoredDeadLetter> {
    sink.letters.list(&which).await.unwrap()
}

async fn ids(sink: &Opened, which: DeadLetterFilter) -> Vec<String> {
    listed(sink, which).await.into_iter().map(|letter| letter.id).collect()
}

pub(crate) async fn a_letter_keeps_all_of_its_record(store: &dyn Store) {
    let sink = with_letters(store).await;
    let letters = listed(&sink, DeadLetterFilter::default()).await;
    let letter = &letters[1];
    assert_eq!(letter.id, "posts-0:2");
    assert_eq!((&letter.lane, letter.position), (&lane(), at(2)));
    assert_eq!(letter.value.as_deref(), Some(b"value 2 \x00\xff".as_slice()));
    assert_eq!(letter.key.as_deref(), Some(b"k\xfe".as_slice()));
    let headers: Vec<_> =
        letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(headers, [("trace", Some(b"7\x009".as_slice())), ("none", None)]);
    assert_eq!(letter.timestamp_micros, Some(2_000_000));
    assert_eq!((letter.topic.as_deref(), letter.partition), (Some("posts"), Some(3)));
    assert_eq!(letter.step.as_deref(), Some("cleaner"));
    assert_eq!(letter.detail.as_deref(), Some("record 2"));
    assert_eq!(letter.generation, Digest::of(b"one"));
    assert_eq!((letter.attempts, letter.state), (1, DeadLetterState::Dead));
    assert!(!letter.reason.contains('\0') && letter.reason.ends_with("good"));
    let detail = letters[0].detail.as_ref().unwrap();
    assert!(detail.len() <= DETAIL_BYTES_MAX + "…".len(), "a detail is bounded");
}

pub(crate) async fn letters_are_listed_in_pieces(store: &dyn Store) {
    let sink = with_letters(store).await;
    let all = DeadLetterFilter::default();
    assert_eq!(ids(&sink, all.clone()).await, ["posts-0:1", "posts-0:2", "posts-0:4"]);

    let mut which = DeadLetterFilter { limit: Some(2), ..all.clone() };
    assert_eq!(ids(&sink, which.clone()).await, ["posts-0:1", "posts-0:2"]);
    which.after = Some("posts-0:2".to_owned());
    assert_eq!(ids(&sink, which).await, ["posts-0:4"]);

    let named = ["posts-0:4", "posts-0:1", "none"].map(str::to_owned).into();
    let which = DeadLetterFilter { ids: named, ..all.clone() };
    assert_eq!(ids(&sink, which).await, ["posts-0:1", "posts-0:4"]);
    let which = DeadLetterFilter { state: Some(DeadLetterState::Retried), ..all };
    assert_eq!(ids(&sink, which).await, [""; 0]);
}

/// The letter of a record, tried again.
fn again(sink: &Opened, record: u64, attempts: u32, fate: Fate) -> RetriedLetter {
    let part = part(sink, record..record + 1, |_| fate);
    RetriedLetter { id: format!("posts-0:{record}"), attempts, lane: lane(), part }
}

fn retry(letters: Vec<RetriedLetter>) -> Retry {
    Retry { generation: Digest::of(b"two"), letters }
}

pub(crate) async fn a_letter_is_retried_once(store: &dyn Store) {
    let sink = with_letters(store).await;
    let letters = || vec![again(&sink, 1, 1, Fate::Row), again(&sink, 2, 1, Fate::Dropped)];
    assert_eq!(sink.writer.commit_retry(&retry(letters())).await.unwrap(), done(1));
    assert_eq!(store.ids(PINS.target).await, [0, 1, 3, 5]);

    assert_eq!(sink.writer.commit_retry(&retry(letters())).await.unwrap(), CommitOutcome::Fenced);
    // Not with the number of attempts that it has now either: it is settled.
    let once_more = retry(vec![again(&sink, 1, 2, Fate::Row)]);
    assert_eq!(sink.writer.commit_retry(&once_more).await.unwrap(), CommitOutcome::Fenced);
    assert_eq!(store.ids(PINS.target).await, [0, 1, 3, 5]);

    let which =
        DeadLetterFilter { state: Some(DeadLetterState::Retried), ..DeadLetterFilter::default() };
    let settled = listed(&sink, which).await;
    let found: Vec<_> = settled.iter().map(|letter| (&*letter.id, letter.attempts)).collect();
    assert_eq!(found, [("posts-0:1", 2), ("posts-0:2", 2)]);
    assert!(settled.iter().all(|letter| letter.generation == Digest::of(b"two")));
}

pub(crate) async fn a_letter_that_fails_again_stays_dead(store: &dyn Store) {
    let sink = with_letters(store).await;
    let letters = vec![again(&sink, 4, 1, Fate::Dead("still no good"))];
    assert_eq!(sink.writer.commit_retry(&retry(letters)).await.unwrap(), done(0));
    let which =
        DeadLetterFilter { state: Some(DeadLetterState::Dead), ..DeadLetterFilter::default() };
    let letters = listed(&sink, which).await;
    assert_eq!(letters.len(), 3);
    let letter = &letters[2];
    assert_eq!((&*letter.id, letter.attempts, &*letter.reason), ("posts-0:4", 2, "still no good"));
    assert_eq!(letter.generation, Digest::of(b"two"));
    assert_eq!(letter.value.as_deref(), Some(b"value 4 \x00\xff".as_slice()));

    let letters = vec![again(&sink, 4, 2, Fate::Row)];
    assert_eq!(sink.writer.commit_retry(&retry(letters)).await.unwrap(), done(1));
    assert_eq!(store.ids(PINS.target).await, [0, 3, 4, 5]);
}

pub(crate) async fn a_retry_is_all_or_nothing(store: &dyn Store) {
    let sink = with_letters(store).await;
    for stale in [again(&sink, 2, 5, Fate::Row), again(&sink, 3, 1, Fate::Row)] {
        let letters = vec![again(&sink, 1, 1, Fate::Row), stale];
        assert_eq!(sink.writer.commit_retry(&retry(letters)).await.unwrap(), CommitOutcome::Fenced);
    }
    assert_eq!(store.ids(PINS.target).await, [0, 3, 5]);
    let letters = listed(&sink, DeadLetterFilter::default()).await;
    assert!(letters.iter().all(|letter| letter.attempts == 1));
}

pub(crate) async fn letters_are_counted_by_generation(store: &dyn Store) {
    let sink = with_letters(store).await;
    let letters =
        vec![again(&sink, 4, 1, Fate::Dead("still no good")), again(&sink, 1, 1, Fate::Row)];
    assert_eq!(sink.writer.commit_retry(&retry(letters)).await.unwrap(), done(1));
    let of = |generation: &[u8], state| DeadLetterFilter {
        generation: Some(Digest::of(generation).to_string()),
        state,
        ..DeadLetterFilter::default()
    };
    let dead = Some(DeadLetterState::Dead);
    for (which, count, ids_of_them) in [
        (DeadLetterFilter::default(), 3, &["posts-0:1", "posts-0:2", "posts-0:4"][..]),
        (of(b"one", dead), 1, &["posts-0:2"]),
        (of(b"two", None), 2, &["posts-0:1", "posts-0:4"]),
        (of(b"two", dead), 1, &["posts-0:4"]),
        (of(b"three", None), 0, &[]),
    ] {
        assert_eq!(sink.letters.count(&which).await.unwrap(), count, "{which:?}");
        assert_eq!(ids(&sink, which).await, ids_of_them);
    }
    let short = Digest::of(b"one").short();
    let which = DeadLetterFilter { generation: Some(short), ..DeadLetterFilter::default() };
    assert_eq!(ids(&sink, which).await, ["posts-0:2"], "the beginning of a digest is enough");
}
