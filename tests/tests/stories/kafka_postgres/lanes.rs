//! Where lanes start and go on: what the sink says, and the people who move them.

use pinhost_tests::table;

use super::story::{Mode, Story, TIME};

/// What the group is told is for those who look at lag.
#[test]
fn what_the_group_is_told_moves_no_lane() {
    let story = Story::new(Mode::Append, 3);
    let mut ledger = story.ledger();
    story.send(&mut ledger, 900);
    // Before the pipeline ran at all.
    story.topic.commit(&story.group(), 2, 50);
    story.run_to_the_end();
    story.is_sound(&ledger);
    for (partition, ends) in ledger.by_partition() {
        let told = story.topic.committed(&story.group(), i32::try_from(partition).expect("few"));
        assert_eq!(told, Some(ends), "lag is visible");
    }

    story.send(&mut ledger, 900);
    story.topic.commit(&story.group(), 0, 1);
    story.topic.commit(&story.group(), 1, ledger.by_partition()[1].1);
    story.run_to_the_end();
    story.is_sound(&ledger);

    // The sink's is the only word that counts in another group, too.
    story.send(&mut ledger, 900);
    story.change("session_timeout: 3s", "session_timeout: 3s, group: another");
    story.run_to_the_end();
    story.is_sound(&ledger);
}

#[test]
fn a_topic_that_was_made_anew_halts_its_lanes_until_somebody_says_so() {
    let story = Story::new(Mode::Append, 2);
    let mut ledger = story.ledger();
    story.send(&mut ledger, 400);
    let process = story.start();
    story.reads(400, &process);
    story.runtime.block_on(story.topic.make_anew(2));
    let mut anew = story.ledger();
    story.send(&mut anew, 900);

    let mut commands = Vec::new();
    for partition in 0..2 {
        let lane = story.topic.lane(partition);
        let command = format!("pinhost lanes move p.yaml {lane} --to earliest --accept-gap");
        process.says(&command, TIME);
        commands.push(command);
    }
    assert_eq!(story.read(), 400, "nothing of it was read");
    for command in &commands {
        story.command(&command.split(' ').skip(1).collect::<Vec<_>>()).done();
    }
    story.reads(1_300, &process);
    process.drain();
    let gaps = "SELECT count(*) FROM pinhost.lineage WHERE generation IS NULL";
    assert_eq!(story.number(gaps), 2, "they stand in the lineage");
    // The records of before are there, and their places are those of other records now.
    let rows = "SELECT part, at, k, n FROM posts ORDER BY seq";
    let rows = table::postgres(&story.url, rows);
    let (before, since) = rows.split_at(400);
    ledger.compare_all(before).is_sound();
    anew.compare_all(since).is_sound();
}
