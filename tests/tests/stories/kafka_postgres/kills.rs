//! Killed at any moment.
//!
//! `PINHOST_KILLS=200` makes it the long version; `tests/soak` says more.

use std::thread::sleep;
use std::time::{Duration, Instant};

use pinhost_tests::kills::wanted;
use pinhost_tests::running::wait_until;

use super::story::{Mode, Story, TIME};

const PROCESSES: usize = 2;

/// What the shipped defaults promise.
const RECOVERY: Duration = Duration::from_secs(10);

/// Kills one of two processes again and again, at a random moment, and starts another in its place.
fn prove(mode: Mode) {
    let kills = wanted(4);
    let story = Story::new(mode, 4);
    // Its shipped default.
    story.change(", session_timeout: 3s", "");
    let feed = story.ledger().feed(story.runtime.handle(), 1_000);
    let mut running: Vec<_> = (0..PROCESSES).map(|_| story.start()).collect();
    story.reads(1_000, &running[0]);
    for done in 1..=kills {
        sleep(Duration::from_secs(5).mul_f64(fastrand::f64()));
        let unlucky = &mut running[fastrand::usize(..PROCESSES)];
        unlucky.kill();
        *unlucky = story.start();
        if done % 20 == 0 {
            println!("{mode:?}: {done} kills");
        }
    }
    let ledger = feed.stop(story.runtime.handle());
    // Who is killed so often falls behind.
    story.reads_within(TIME + Duration::from_secs(2) * kills, ledger.sent.len(), &running[0]);
    running.into_iter().for_each(|process| process.drain());
    let verdict = story.verdict(&ledger);
    let (lost, repeated, reordered) = (verdict.lost, verdict.repeated, verdict.reordered);
    println!(
        "{mode:?}: {kills} kills, {} records: {lost} lost, {repeated} repeated, {reordered} reordered",
        verdict.records
    );
    story.is_sound(&ledger);
}

#[test]
fn rows_that_are_appended_are_there_once_and_in_order() {
    prove(Mode::Append);
}

#[test]
fn rows_that_are_upserted_are_the_newest_ones() {
    prove(Mode::Upsert);
}

/// Where a commit begins, before its rows go out, and when they are written.
#[test]
fn a_commit_may_be_killed_anywhere() {
    let story = Story::new(Mode::Append, 2);
    let feed = story.ledger().feed(story.runtime.handle(), 300);
    let mut process = story.start();
    story.reads(300, &process);
    for table in ["pinhost.position", "posts", "pinhost.lineage"] {
        story.at_table(table, &process, || process.signal("KILL"));
        process.kill();
        process = story.start();
        let before = story.read() as usize;
        story.reads(before + 300, &process);
    }
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &process);
    process.drain();
    story.is_sound(&ledger);
}

/// With the shipped defaults: whoever is left has the lanes of a process that died.
#[test]
fn the_lanes_of_a_dead_process_go_on_in_time() {
    let story = Story::new(Mode::Append, 4);
    story.change(", session_timeout: 3s", "");
    let feed = story.ledger().feed(story.runtime.handle(), 200);
    let one = story.start();
    story.reads(1, &one);
    let mut other = story.start();
    let before = story.claims();
    let moved_over = || story.claims().iter().zip(&before).filter(|(a, b)| a != b).count() == 2;
    wait_until(TIME, moved_over, || other.log());
    sleep(Duration::from_secs(1));

    let before = story.claims();
    other.kill();
    let killed = Instant::now();
    let claimed = || story.claims().iter().zip(&before).filter(|(a, b)| a != b).count() == 2;
    wait_until(TIME, claimed, || one.log());
    // All of them have moved since.
    let moved = "SELECT count(*) FROM pinhost.position WHERE moved > claimed";
    wait_until(TIME, || story.number(moved) == 4, || one.log());
    let recovered = killed.elapsed();
    println!("the first commit after a kill: {:.1} s", recovered.as_secs_f64());
    assert!(recovered <= RECOVERY, "{recovered:?}");
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &one);
    one.drain();
    story.is_sound(&ledger);
}
