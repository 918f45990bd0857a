//! Processes that stop, are taken for dead, and come back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use pinhost_tests::running::{Running, wait_until};

use super::story::{Mode, SESSION, Story, TIME};

/// How long a lane may stand still when its owner is stopped: until the group notices, until what the
/// owner left open is ended, and some time to do it.
const TAKEN_OVER: Duration = Duration::from_secs(3 + 2 + 5);

/// Starts another process, which gets the lanes of one that is stopped.
#[track_caller]
fn successor(story: &Story) -> Running {
    let before = story.claims();
    let other = story.start();
    let began = Instant::now();
    let claimed = || story.claims().iter().zip(&before).all(|(now, before)| now != before);
    wait_until(TIME, claimed, || other.log());
    let moved = "SELECT count(*) FROM pinhost.position WHERE moved > claimed";
    let lanes = before.len() as i64;
    wait_until(TIME, || story.number(moved) == lanes, || other.log());
    assert!(began.elapsed() <= TAKEN_OVER, "{:?}\n{}", began.elapsed(), other.log());
    other
}

/// Once it is taken for dead it goes on, and the group gives it lanes again.
fn comes_back(mode: Mode, stops: impl FnOnce(&Story, &Running)) {
    let story = Story::new(mode, 3);
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let zombie = story.start();
    story.reads(500, &zombie);
    stops(&story, &zombie);
    let owner = successor(&story);
    zombie.signal("CONT");
    sleep(SESSION);
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &owner);
    zombie.drain();
    owner.drain();
    story.is_sound(&ledger);
}

#[test]
fn a_process_that_was_stopped_commits_nothing_that_another_has() {
    comes_back(Mode::Append, |_, zombie| zombie.signal("STOP"));
}

#[test]
fn a_process_that_was_stopped_in_a_transaction_commits_nothing() {
    comes_back(Mode::Append, |story, zombie| {
        story.at_table("posts", zombie, || zombie.signal("STOP"));
    });
}

/// The keys that its transaction wrote are those that the next owner has to write.
#[test]
fn nobody_waits_for_the_keys_that_a_stopped_process_wrote() {
    comes_back(Mode::Upsert, |story, zombie| {
        // The rows are written by then.
        story.at_table("pinhost.lineage", zombie, || zombie.signal("STOP"));
    });
}
