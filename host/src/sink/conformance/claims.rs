//! Who may write.

use bytes::Bytes;
use tokio::join;

use super::{CommitOutcome, Opening, PINS, Store, at, claim, done, lane, position, unit};
use crate::ledger::{DeadLetterFilter, FirstRun};
use crate::record::{ConnectorError, ErrorClass, Lane, Unit};

pub(crate) async fn an_empty_store_says_so(store: &dyn Store) {
    let sink = store.open(PINS).await;
    assert!(sink.claims.lanes().await.unwrap().is_empty());
    assert!(sink.archive.lineage().await.unwrap().is_empty());
    assert!(!sink.archive.has_committed().await.unwrap());
    assert!(sink.archive.journal(&lane()).await.unwrap().is_empty());
    assert!(sink.letters.list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    assert!(!sink.claims.move_lane(&lane(), at(0), at(1)).await.unwrap(), "there is no such lane");
}

pub(crate) async fn a_first_claim_is_durable(store: &dyn Store) {
    let first = store.open(PINS).await.claims.claim(&lane(), at(7)).await.unwrap();
    assert_eq!(first.position, at(7));
    let sink = store.open(PINS).await;
    assert_eq!(position(&sink).await, at(7));
    let second = sink.claims.claim(&lane(), at(3)).await.unwrap();
    assert_eq!(second.position, at(7), "a start is resolved once");
    assert_ne!(second.token, first.token);
}

pub(crate) async fn of_two_first_claimers_the_stored_start_counts(store: &dyn Store) {
    for number in 0..5 {
        let lane = Lane::new(format!("lane {number}"));
        let (one, other) = join!(store.open(PINS), store.open(PINS));
        let (one, other) = join!(one.claims.claim(&lane, at(1)), other.claims.claim(&lane, at(2)));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.position, other.position);
        assert_ne!(one.token, other.token);
    }
}

pub(crate) async fn a_zombie_commits_nothing(store: &dyn Store) {
    let (sink, other) = (store.open(PINS).await, store.open(PINS).await);
    let zombie = claim(&sink).await;
    let owner = claim(&other).await;
    let units = [unit(&sink, 0..2), unit(&sink, 2..4)];

    assert_eq!(sink.writer.commit(&zombie, &units[0]).await.unwrap(), CommitOutcome::Fenced);
    assert!(store.ids(PINS.target).await.is_empty());
    assert!(sink.archive.lineage().await.unwrap().is_empty());

    assert_eq!(other.writer.commit(&owner, &units[0]).await.unwrap(), done(2));
    for unit in &units {
        assert_eq!(sink.writer.commit(&zombie, unit).await.unwrap(), CommitOutcome::Fenced);
    }
    assert!(!sink.archive.append(&zombie, 0, Bytes::from_static(b"late")).await.unwrap());
    assert_eq!(store.ids(PINS.target).await, [0, 1]);
    assert_eq!(position(&sink).await, at(2));
}

/// Invariants 3 and 4, whoever comes first.
pub(crate) async fn claimers_that_race_store_everything_once(store: &dyn Store) {
    const END: u64 = 12;
    let run = async || {
        let sink = store.open(PINS).await;
        let mut own = 0;
        loop {
            let claim = claim(&sink).await;
            let from = claim.position.as_number().unwrap();
            if from == END {
                return own;
            }
            match sink.writer.commit(&claim, &unit(&sink, from..from + 1)).await.unwrap() {
                CommitOutcome::Done(stored) => own += stored.rows,
                CommitOutcome::Fenced => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    };
    let (one, other) = join!(run(), run());
    assert_eq!(one + other, END, "each commit that was told of is one commit");
    assert_eq!(store.ids(PINS.target).await, Vec::from_iter(0..END.cast_signed()));
}

pub(crate) async fn another_source_under_the_same_name_is_refused(store: &dyn Store) {
    claim(&store.open(PINS).await).await;
    let other = Opening { source: "test://other", ..PINS };
    is_refused(store, other, &[PINS.source, other.source]).await;
}

pub(crate) async fn another_target_under_the_same_name_is_refused(store: &dyn Store) {
    claim(&store.open(PINS).await).await;
    let other = Opening { target: "other", ..PINS };
    is_refused(store, other, &[PINS.target, other.target]).await;
}

async fn is_refused(store: &dyn Store, other: Opening, named: &[&str]) {
    let sink = store.open(other).await;
    // A lane of another name too: sources give their lanes all kinds of names.
    for lane in [lane(), Lane::new("another lane")] {
        let error: ConnectorError = sink.claims.claim(&lane, at(0)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Fatal);
        let said = error.to_string();
        assert!(named.iter().all(|name| said.contains(name)), "{said}");
        assert!(error.help.is_some_and(|help| help.contains("`name:`")));
    }
    let sink = store.open(PINS).await;
    assert_eq!(sink.claims.lanes().await.unwrap().len(), 1);
    assert_eq!(claim(&sink).await.position, at(0), "the pipeline itself goes on");
}

pub(crate) async fn pipelines_do_not_know_each_other(store: &dyn Store) {
    let geo = Opening { pipeline: "geo", source: "test://geo", target: "geo" };
    let (pins, geo) = (store.open(PINS).await, store.open(geo).await);
    let claims = (claim(&pins).await, claim(&geo).await);
    assert_eq!(pins.writer.commit(&claims.0, &unit(&pins, 0..3)).await.unwrap(), done(3));
    assert_eq!(geo.writer.commit(&claims.1, &unit(&geo, 0..1)).await.unwrap(), done(1));
    assert_eq!((position(&pins).await, position(&geo).await), (at(3), at(1)));
    assert_eq!(store.ids(PINS.target).await, [0, 1, 2]);
    assert_eq!(store.ids("geo").await, [0]);
    assert_eq!(geo.archive.lineage().await.unwrap().len(), 1);
}

pub(crate) async fn whoever_writes_to_a_target_is_known(store: &dyn Store) {
    let again = Opening { pipeline: "pins.replay-7", source: "test://archive", ..PINS };
    let elsewhere = Opening { pipeline: "geo", source: "test://geo", target: "geo" };
    let (one, other) = (store.open(PINS).await, store.open(again).await);
    assert!(one.claims.pipelines().await.unwrap().is_empty());
    for sink in [&one, &other, &store.open(elsewhere).await] {
        claim(sink).await;
    }
    assert_eq!(one.claims.pipelines().await.unwrap(), ["pins", "pins.replay-7"]);
    assert_eq!(other.claims.pipelines().await.unwrap(), one.claims.pipelines().await.unwrap());
}

pub(crate) async fn a_lane_moves_on_request_and_leaves_a_gap(store: &dyn Store) {
    let (sink, hand) = (store.open(PINS).await, store.open(PINS).await);
    let mut owner = claim(&sink).await;
    assert_eq!(sink.writer.commit(&owner, &unit(&sink, 0..2)).await.unwrap(), done(2));
    owner.position = at(2);

    assert!(!hand.claims.move_lane(&lane(), at(1), at(5)).await.unwrap(), "it stands elsewhere");
    assert!(!hand.claims.move_lane(&Lane::new("none"), at(2), at(5)).await.unwrap());
    assert!(hand.claims.move_lane(&lane(), at(2), at(5)).await.unwrap());
    assert_eq!(
        sink.writer.commit(&owner, &unit(&sink, 2..3)).await.unwrap(),
        CommitOutcome::Fenced
    );
    // There and back: the claim is not the lane's all the same.
    assert!(hand.claims.move_lane(&lane(), at(5), at(2)).await.unwrap());
    assert_eq!(
        sink.writer.commit(&owner, &unit(&sink, 2..3)).await.unwrap(),
        CommitOutcome::Fenced
    );
    assert!(hand.claims.move_lane(&lane(), at(2), at(5)).await.unwrap());

    let owner = claim(&sink).await;
    assert_eq!(owner.position, at(5));
    assert_eq!(sink.writer.commit(&owner, &unit(&sink, 5..6)).await.unwrap(), done(1));
    let ranges = sink.archive.lineage().await.unwrap();
    let ranges: Vec<_> = ranges
        .iter()
        .map(|range| (range.from, range.to, range.generation.is_none(), range.sums.read))
        .collect();
    assert_eq!(
        ranges,
        [
            (at(0), at(2), false, 2),
            (at(2), at(5), true, 0),
            (at(5), at(2), true, 0),
            (at(2), at(5), true, 0),
            (at(5), at(6), false, 1),
        ]
    );
}

pub(crate) async fn a_journal_grows_at_its_end_only(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let entry = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert!(!sink.archive.append(&owner, 1, entry("too far")).await.unwrap());
    assert!(sink.archive.append(&owner, 0, entry("one")).await.unwrap());
    assert!(!sink.archive.append(&owner, 0, entry("another")).await.unwrap());
    assert_eq!(sink.writer.commit(&owner, &unit(&sink, 0..1)).await.unwrap(), done(1));
    // The claim as it was made: commits do not end it.
    assert!(sink.archive.append(&owner, 1, entry("two")).await.unwrap());

    let other = store.open(PINS).await;
    let next = claim(&other).await;
    assert!(!sink.archive.append(&owner, 2, entry("late")).await.unwrap());
    assert!(other.archive.append(&next, 2, Bytes::new()).await.unwrap());
    assert_eq!(
        other.archive.journal(&lane()).await.unwrap(),
        [entry("one"), entry("two"), Bytes::new()]
    );
    assert!(other.archive.journal(&Lane::new("posts-1")).await.unwrap().is_empty());
}

pub(crate) async fn rejects_that_were_accepted_are_used_up_by_units(store: &dyn Store) {
    let (sink, other) = (store.open(PINS).await, store.open(PINS).await);
    assert!(!other.claims.accept_rejects(&lane(), 5).await.unwrap(), "there is no such lane");
    let owner = claim(&sink).await;
    assert_eq!(owner.accepted_rejects, 0);
    assert!(other.claims.accept_rejects(&lane(), 5).await.unwrap());
    assert!(other.claims.accept_rejects(&lane(), 2).await.unwrap());
    let used = Unit { accepted_rejects: 3, ..unit(&sink, 0..2) };
    assert_eq!(
        sink.writer.commit(&owner, &used).await.unwrap(),
        done(2),
        "the owner keeps the lane"
    );
    assert_eq!(sink.claims.lanes().await.unwrap()[0].accepted_rejects, 4);
    assert_eq!(claim(&other).await.accepted_rejects, 4);
}

pub(crate) async fn a_first_run_is_decided_once(store: &dyn Store) {
    let sink = store.open(PINS).await;
    assert_eq!(sink.claims.first_run(None).await.unwrap(), None);
    let decided = |record| FirstRun { starts: [(lane(), at(record))].into() };
    let first = sink.claims.first_run(Some(decided(7))).await.unwrap();
    assert_eq!(first, Some(decided(7)));
    let other = store.open(PINS).await;
    let again = other.claims.first_run(Some(decided(9))).await.unwrap();
    assert_eq!(again, Some(decided(7)), "the stored one counts");
    assert_eq!(other.claims.first_run(None).await.unwrap(), Some(decided(7)));
    assert!(other.claims.lanes().await.unwrap().is_empty(), "no lane is claimed by that");
    let geo = Opening { pipeline: "geo", source: "test://geo", target: "geo" };
    assert_eq!(store.open(geo).await.claims.first_run(None).await.unwrap(), None);
}

pub(crate) async fn of_two_first_runs_the_stored_one_counts(store: &dyn Store) {
    let (one, other) = join!(store.open(PINS), store.open(PINS));
    let decided = |record| Some(FirstRun { starts: [(lane(), at(record))].into() });
    let (first, second) =
        join!(one.claims.first_run(decided(1)), other.claims.first_run(decided(2)));
    assert_eq!(first.unwrap().unwrap(), second.unwrap().unwrap());
}
