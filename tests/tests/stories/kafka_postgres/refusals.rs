//! Rows that Postgres does not take.

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
    // Without the topic, which stands behind the place.
    let letters = "SELECT split_part(id, '@', 1) AS place FROM pinhost.dead_letter \
                   ORDER BY split_part(id, '@', 1) COLLATE \"C\"";
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
    story.send(&mut ledger, 4_000);
    let process = story.start();
    story.reads(4_000, &process);
    story.execute("ALTER TABLE posts ADD CONSTRAINT none CHECK (n < 4000)");
    story.send(&mut ledger, 4_000);
    for partition in 0..2 {
        let lane = story.topic.lane(partition);
        let command = format!("pinhost lanes resume p.yaml {lane} --accept-rejects");
        process.says(&command, TIME);
    }
    assert!(process.log().contains("violates check constraint"), "{}", process.log());
    // Some could be the records' own fault.
    let dead = story.number("SELECT count(*) FROM pinhost.dead_letter");
    assert!(dead <= 2 * 100, "{dead} dead letters\n{}", process.log());

    story.execute("ALTER TABLE posts DROP CONSTRAINT none");
    story.reads(ledger.sent.len(), &process);
    process.drain();
    story.lineage_adds_up(&ledger);
    story.command(&["dead-letters", "p.yaml", "retry"]).done();
    let verdict = story.verdict(&ledger);
    assert_eq!((verdict.lost, verdict.repeated, verdict.other), (0, 0, 0));
}
