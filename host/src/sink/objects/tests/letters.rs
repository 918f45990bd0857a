//! Dead letters that come again, and those that are too old to be kept.

use super::*;
use crate::connect::{RetriedLetter, Retry};
use crate::ledger::{DeadLetterFilter, DeadLetterState};

const LETTERS: &str = "_pinhost/pins/dead_letters";

/// Commits a unit whose last record is dead, from the lane's beginning, to which it is moved.
async fn read_again(place: &Place) {
    let sink = place.sink().await;
    let mut claimed = claim(&sink).await;
    if claimed.position != at(0) {
        assert!(sink.claims.move_lane(&lane(), claimed.position, at(0)).await.unwrap());
        claimed = claim(&sink).await;
    }
    let unit = unit(&*sink.writer, 0, 3);
    assert_eq!(sink.writer.commit(&claimed, &unit).await.unwrap(), done(2));
}

/// A row of the record that was dead.
async fn retry(place: &Place, attempts: u32) -> CommitOutcome {
    let sink = place.sink().await;
    let mut unit = unit_of(&*sink.writer, 2, batch_of(vec![row(2)]));
    let part = unit.parts.remove(0);
    let letter = RetriedLetter { id: "posts/0:2".to_owned(), attempts, lane: lane(), part };
    let retry = Retry { generation: Digest::of(b"two"), letters: vec![letter] };
    sink.writer.commit_retry(&retry).await.unwrap()
}

async fn forget_the_oldest(place: &Place) {
    let store = place.store("out");
    let mut letters = store.list(LETTERS).await.unwrap();
    letters.sort_unstable();
    store.delete(vec![letters.remove(0)]).await.unwrap();
}

/// How often it was tried, and what it is now.
async fn states(place: &Place) -> Vec<(u32, DeadLetterState)> {
    let sink = place.sink().await;
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    letters.iter().map(|letter| (letter.attempts, letter.state)).collect()
}

#[tokio::test]
async fn a_letter_that_died_again_after_a_retry_stays_when_its_first_death_is_forgotten() {
    for place in Place::all() {
        read_again(&place).await;
        assert_eq!(retry(&place, 1).await, done(1));
        assert_eq!(states(&place).await, [(2, DeadLetterState::Retried)]);
        read_again(&place).await;
        assert_eq!(states(&place).await, [(3, DeadLetterState::Dead)]);
        forget_the_oldest(&place).await;
        assert_eq!(states(&place).await, [(2, DeadLetterState::Dead)]);
        // It can still be tried again, and then it is settled.
        assert_eq!(retry(&place, 2).await, done(1));
        assert_eq!(states(&place).await, [(3, DeadLetterState::Retried)]);
        forget_the_oldest(&place).await;
        assert_eq!(states(&place).await, []);
    }
}
