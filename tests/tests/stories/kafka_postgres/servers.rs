//! Servers that are killed, started again, and stopped.

use std::thread::sleep;
use std::time::Instant;

use pinhost_tests::services::{kafka, turn};

use super::story::{Mode, SESSION, Story};

#[test]
fn servers_that_are_killed_are_waited_for() {
    let turn = turn();
    let (mut broker, mut database) = (turn.kafka(), turn.postgres());
    let brokers = broker.said("KAFKA_BOOTSTRAP").to_owned();
    let story = Story::between(&brokers, database.said("PG_URL"), Mode::Append, 2);
    let feed = story.ledger().feed(story.runtime.handle(), 300);
    let process = story.start();
    story.reads(300, &process);

    database.restart();
    let before = story.read() as usize;
    story.reads(before + 300, &process);

    broker.restart();
    let before = story.read() as usize;
    story.reads(before + 300, &process);

    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &process);
    process.drain();
    story.is_sound(&ledger);
}

/// Invariant 8. What cannot be written is not read, and the group does not take the process for dead.
#[test]
fn nothing_piles_up_before_a_database_that_is_stopped() {
    const FILLING: usize = 5_000;
    let database = turn().postgres();
    let brokers = kafka().brokers;
    let story = Story::between(brokers, database.said("PG_URL"), Mode::Upsert, 2);
    story.change("unit:", "limits: { memory: 32MiB }\nunit:");
    let mut ledger = story.ledger();
    ledger.fill(FILLING);
    story.send(&mut ledger, 5_000);
    let process = story.start();
    story.reads(5_000, &process);
    let claims = story.claims();

    let before = process.resident_bytes();
    let stopped = database.stop();
    let began = Instant::now();
    // 70 MB.
    story.send(&mut ledger, 14_000);
    sleep((3 * SESSION).saturating_sub(began.elapsed()));
    let grown = process.resident_bytes().saturating_sub(before);
    let members = story.topic.members(&story.group());
    drop(stopped);

    println!("the process took {} MiB more", grown >> 20);
    assert!(grown < 32 << 20, "{grown} bytes more");
    assert_eq!(members, 1, "it stayed in the group");
    story.reads(ledger.sent.len(), &process);
    assert_eq!(story.claims(), claims, "the lanes stayed with it");
    process.drain();
    story.is_sound(&ledger);
}
