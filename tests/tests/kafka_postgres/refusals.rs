//! Rows that Postgres does not take.

use std::time::Duration;

use pinhost_tests::table;

use super::story::{Mode, Story, TIME};

/// Rows that the table refuses are dead letters, one by one, and the others are there.
#[test]
fn rows_that_the_table_refuses_are_dead_letters() {
    let story = Story::new(Mode::Append, 2);
    story.execute("ALTER TABLE posts ADD CONSTRAINT few CHECK (n % 50 <> 7)");
    let mut ledger = story.ledger();
    story.send(&mut ledger, 4_000);
    story.run_to_the_end();
    story.lineage_adds_up(&ledger);

    let (refused, taken): (Vec<_>, Vec<_>) =
        std::mem::take(&mut ledger.sent).into_iter().partition(|sent| sent.number % 50 == 7);
    ledger.sent = taken;
    story.verdict(&ledger).is_sound();
    let mut expected: Vec<_> = refused
        .iter()
        .map(|sent| format!("{}-{}:{}", story.topic.name, sent.partition, sent.offset))
        .collect();
    expected.sort();
    let letters = "SELECT id FROM pinhost.dead_letter ORDER BY id COLLATE \"C\"";
    let letters: Vec<_> = table::postgres(&story.url, letters)
        .iter()
        .map(|row| row[0].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(letters, expected);
}

/// A table that refuses every row was changed by somebody; the records are not at fault.
#[test]
fn a_table_that_refuses_everything_halts_the_lanes() {
    let story = Story::new(Mode::Append, 2);
    let mut ledger = story.ledger();
    story.send(&mut ledger, 1_000);
    story.run_to_the_end();
    story.execute("ALTER TABLE posts ADD CONSTRAINT none CHECK (n < 1000)");
    story.send(&mut ledger, 4_000);
    let process = story.start();
    process.says("dead letters", TIME);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(story.read(), 1_000, "nothing of it is committed\n{}", process.log());

    story.execute("ALTER TABLE posts DROP CONSTRAINT none");
    story.reads(ledger.sent.len(), &process);
    process.drain();
    story.is_sound(&ledger);
}
