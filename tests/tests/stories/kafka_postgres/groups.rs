//! Processes that come and go, and pipelines that are not what they seem.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::{pinhost, table};

use super::story::{Mode, Story, TIME};

#[test]
fn processes_that_start_on_an_empty_database_at_once_share_the_work() {
    let story = Story::new(Mode::Upsert, 4);
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let processes: Vec<_> = (0..3).map(|_| story.start()).collect();
    story.reads(2_000, &processes[0]);
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &processes[0]);
    for process in processes {
        assert!(!process.log().contains("ERROR"), "{}", process.log());
        process.drain();
    }
    story.is_sound(&ledger);
}

#[test]
fn lanes_move_between_processes_under_load() {
    let story = Story::new(Mode::Append, 4);
    let feed = story.ledger().feed(story.runtime.handle(), 1_000);
    let mut processes = vec![story.start()];
    story.reads(500, &processes[0]);
    for is_more in [true, true, true, false, false, true, false] {
        if is_more {
            processes.push(story.start());
        } else {
            processes.swap_remove(fastrand::usize(..processes.len())).drain();
        }
        sleep(Duration::from_millis(fastrand::u64(500..2_500)));
    }
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &processes[0]);
    processes.into_iter().for_each(|process: Running| process.drain());
    story.is_sound(&ledger);
}

/// Others would have to wait until its session is over.
#[test]
fn a_process_that_has_a_name_gets_its_lanes_back_at_once() {
    let story = Story::new(Mode::Append, 4);
    story.change("session_timeout: 3s", "session_timeout: 45s, instance: first");
    let yaml = fs::read_to_string(story.folder.path().join("p.yaml")).expect("UTF-8");
    fs::write(story.folder.path().join("q.yaml"), yaml.replace("first", "second")).expect("a file");
    let mut ledger = story.ledger();
    story.send(&mut ledger, 400);
    let mut first = story.start();
    story.reads(400, &first);
    let before = story.claims();
    let second = Running::start(pinhost!(), story.folder.path(), &["q.yaml"]);
    let moved_over = || story.claims().iter().zip(&before).filter(|(a, b)| a != b).count() == 2;
    wait_until(TIME, moved_over, || second.log());

    first.kill();
    let first = story.start();
    story.send(&mut ledger, 400);
    story.reads_within(Duration::from_secs(20), 800, &first);
    for process in [first, second] {
        process.drain();
    }
    story.is_sound(&ledger);
}

/// The most common edit of all: a file that is copied, and one line of it changed.
#[test]
fn a_copied_pipeline_does_not_go_on_from_where_another_stands() {
    let story = Story::new(Mode::Append, 1);
    let mut ledger = story.ledger();
    story.send(&mut ledger, 300);
    story.run_to_the_end();
    let file = story.folder.path().join("p.yaml");
    let yaml = fs::read_to_string(&file).expect("UTF-8");
    fs::write(story.folder.path().join("q.yaml"), yaml.replace("table: posts", "table: others"))
        .expect("a file");
    let mut copy = Running::start(pinhost!(), story.folder.path(), &["--until-end", "q.yaml"]);
    assert_eq!(copy.ended(TIME), Some(1), "{}", copy.log());
    assert!(copy.log().contains("give the pipeline another `name:`"), "{}", copy.log());
    let others = "SELECT count(*) FROM pg_tables WHERE tablename = 'others'";
    let rows = match story.number(others) {
        0 => 0,
        _ => table::postgres(&story.url, "SELECT part FROM others").len(),
    };
    assert_eq!(rows, 0);
    story.is_sound(&ledger);
}
