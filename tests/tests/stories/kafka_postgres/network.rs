//! A network between pinhost and Postgres that fails.

use std::time::Duration;

use pinhost_tests::proxy::{Conduct, Fault, Proxy};
use pinhost_tests::running::wait_until;

use super::story::{Mode, Story, TIME};

/// Puts a network between the two.
fn between(story: &Story) -> Proxy {
    let (_, server) = story.url.split_once('@').expect("a URL with a role");
    let (server, _) = server.split_once('/').expect("a URL with a database");
    let proxy = Proxy::start(story.runtime.handle(), server);
    story.change(server, &proxy.address.to_string());
    proxy
}

/// What is sent last of a transaction, and what comes back is all that is known of it.
const COMMIT: &[u8] = b"COMMIT";

fn prove(mode: Mode, faults: &[Fault]) {
    let story = Story::new(mode, 2);
    let proxy = between(&story);
    let feed = story.ledger().feed(story.runtime.handle(), 500);
    let process = story.start();
    story.reads(200, &process);
    for (done, &fault) in (0..).zip(faults) {
        proxy.plan(fault);
        wait_until(TIME, || proxy.happened() > done, || format!("{fault:?}\n{}", process.log()));
        let before = story.read() as usize;
        story.reads(before + 500, &process);
    }
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &process);
    process.drain();
    story.is_sound(&ledger);
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out() {
    prove(Mode::Append, &[Fault::LoseAnswerTo(COMMIT); 6]);
}

#[test]
fn an_upsert_whose_answer_is_lost_is_found_out() {
    prove(Mode::Upsert, &[Fault::LoseAnswerTo(COMMIT); 3]);
}

#[test]
fn a_connection_that_is_cut_anywhere_is_made_again() {
    let mut faults: Vec<_> = (0..8).map(|_| Fault::CutAfter(fastrand::usize(..20_000))).collect();
    faults.push(Fault::CutBefore(COMMIT));
    prove(Mode::Append, &faults);
}

/// First nobody answers, then everything takes its time, then nobody is there.
#[test]
fn a_network_that_is_away_is_waited_for() {
    let story = Story::new(Mode::Append, 2);
    let proxy = between(&story);
    let feed = story.ledger().feed(story.runtime.handle(), 300);
    let process = story.start();
    story.reads(200, &process);
    for (conduct, time) in [
        (Conduct::BlackHole, Duration::from_secs(5)),
        (Conduct::Delay(Duration::from_millis(20)), Duration::from_secs(3)),
        (Conduct::Reset, Duration::from_secs(5)),
    ] {
        proxy.conduct(conduct);
        std::thread::sleep(time);
        proxy.conduct(Conduct::Pass);
        let before = story.read() as usize;
        story.reads(before + 300, &process);
    }
    let ledger = feed.stop(story.runtime.handle());
    story.reads(ledger.sent.len(), &process);
    assert_eq!(story.topic.members(&story.group()), 1, "it stayed in the group");
    process.drain();
    story.is_sound(&ledger);
}
