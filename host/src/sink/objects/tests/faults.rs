//! Processes that die, stall and are lied to at every step. Whatever happens, each row is there once.

use std::sync::Arc;

use tokio::sync::Notify;

use super::objects::{Fault, Faulty, Said};
use super::*;
use crate::ledger::{DeadLetterFilter, FirstRun, Ledger};
use crate::record::{ConnectorError, ErrorClass, Generation, PluginBytes};

/// Records of a run, and of each of its units.
const END: u64 = 6;
const STEP: u64 = 3;
/// More than a run takes.
const STEPS_MAX: usize = 100;

struct Sunk {
    sink: ObjectsSink,
    stalled: Arc<Notify>,
    go: Arc<Notify>,
}

/// A sink to whose `at`th operation something happens.
fn faulty(place: &Place, at: usize, fault: Fault) -> Sunk {
    let mut signals = None;
    let store = place.store("out").behind(|inner| {
        let faulty = Faulty::new(inner, at, fault);
        signals = Some((Arc::clone(&faulty.stalled), Arc::clone(&faulty.go)));
        Arc::new(faulty)
    });
    let (stalled, go) = signals.unwrap();
    let sink = ObjectsSink::over(store, &partitioned(&["word"]), context()).unwrap();
    Sunk { sink, stalled, go }
}

/// What the runtime does, up to `END`: whatever fails is tried again, and a lane that is another's is let
/// go. Tells whether it came to the end.
async fn run(sink: &dyn Sink, tries: u32) -> Result<bool, ConnectorError> {
    let again = async |error: ConnectorError, left: &mut u32| {
        assert_eq!(error.class, ErrorClass::Transient, "{error:?}");
        *left = left.checked_sub(1).ok_or(error)?;
        Ok::<_, ConnectorError>(())
    };
    let mut left = tries;
    while let Err(error) = sink.prepare().await {
        again(error, &mut left).await?;
    }
    let writer = sink.writer(Some(fields()), false).await?;
    let mut claim = loop {
        match sink.ledger().claims.claim(&lane(), at(0)).await {
            Ok(claim) => break claim,
            Err(error) => again(error, &mut left).await?,
        }
    };
    while let Some(from) = claim.position.as_number()
        && from < END
    {
        let unit = unit(&*writer, from, from + STEP);
        match writer.commit(&claim, &unit).await {
            Ok(CommitOutcome::Done(_)) => claim.position = unit.to,
            Ok(CommitOutcome::Fenced) => return Ok(false),
            Ok(other) => panic!("{other:?}"),
            Err(error) => again(error, &mut left).await?,
        }
    }
    Ok(true)
}

async fn is_complete(place: &Place, told: &str) {
    assert_eq!(place.ids().await, [0, 1, 3, 4], "{told}");
    assert_eq!(place.staged().await, [""; 0], "{told}");
    let sink = place.sink_of(&partitioned(&["word"])).await;
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    let letters: Vec<_> = letters.iter().map(|letter| letter.position).collect();
    assert_eq!(letters, [at(2), at(5)], "{told}");
    let lineage = sink.archive.lineage().await.unwrap();
    assert_eq!((lineage.len(), lineage[0].sums.read, lineage[0].sums.dead), (1, 6, 2), "{told}");
}

/// Whether a run of its own is over before the fault happens.
async fn is_unharmed(at: usize) -> bool {
    let place = Place::bucket();
    run(&faulty(&place, at, Fault::Dies).sink, 0).await.is_ok()
}

#[tokio::test]
async fn a_process_that_dies_at_any_step_leaves_no_trace() {
    let mut step = 0;
    while !is_unharmed(step).await {
        let faults = [Fault::Dies, Fault::DiesAfter];
        for (fault, place) in
            faults.into_iter().flat_map(|fault| Place::all().map(|place| (fault, place)))
        {
            let told = format!("{fault:?} at {step}");
            let died = run(&faulty(&place, step, fault).sink, 0).await;
            // Readers see whole units, or their parts by folder; never a row twice.
            let seen = place.ids().await;
            assert!(seen.is_sorted_by(|one, other| one < other), "{told}");
            if died.is_err() || fault == Fault::Dies {
                let next = place.sink_of(&partitioned(&["word"])).await;
                assert!(run(&*next.sink, 0).await.unwrap(), "{told}");
            }
            is_complete(&place, &told).await;
        }
        step += 1;
        assert!(step < STEPS_MAX);
    }
    assert!(step > 20, "{step} steps are more than that");
}

#[tokio::test]
async fn no_answer_but_success_is_believed() {
    let faults = [
        Fault::Fails(Said::Broken),
        Fault::Fails(Said::Exists),
        Fault::Lies(Said::Broken),
        Fault::Lies(Said::Exists),
    ];
    let mut step = 0;
    while !is_unharmed(step).await {
        for (fault, place) in
            faults.into_iter().flat_map(|fault| Place::all().map(|place| (fault, place)))
        {
            let told = format!("{fault:?} at {step}");
            assert!(run(&faulty(&place, step, fault).sink, 1).await.unwrap(), "{told}");
            assert_eq!(place.ids().await, [0, 1, 3, 4], "{told}");
            // What such a process leaves behind goes with the next claim.
            claim(&place.sink_of(&partitioned(&["word"])).await).await;
            is_complete(&place, &told).await;
        }
        step += 1;
        assert!(step < STEPS_MAX);
    }
}

#[tokio::test]
async fn a_process_that_sleeps_at_any_step_wakes_up_to_nothing() {
    let mut step = 0;
    while !is_unharmed(step).await {
        for place in Place::all() {
            let told = format!("asleep at {step}");
            let Sunk { sink, stalled, go } = faulty(&place, step, Fault::Stalls);
            let sleeper = tokio::spawn(async move { run(&sink, 0).await });
            stalled.notified().await;
            let next = place.sink_of(&partitioned(&["word"])).await;
            assert!(run(&*next.sink, 0).await.unwrap(), "{told}");
            let published = place.files("out").await;
            go.notify_one();
            // It is told that the lane is another's, or finds all the work done.
            sleeper.await.unwrap().unwrap();
            assert_eq!(place.ids().await, [0, 1, 3, 4], "{told}");
            assert_eq!(place.files("out").await, published, "{told}");
            claim(&place.sink_of(&partitioned(&["word"])).await).await;
            is_complete(&place, &told).await;
        }
        step += 1;
        assert!(step < STEPS_MAX);
    }
}

/// A start makes many requests. If one that failed had all of them made anew, there would be no end of it.
#[tokio::test]
async fn a_start_outlives_a_store_that_refuses_every_other_request() {
    let place = Place::bucket();
    let Sunk { sink, .. } = faulty(&place, 1, Fault::FailsOften);
    sink.prepare().await.unwrap();
    let Ledger { claims, archive, .. } = sink.ledger();
    let first = FirstRun { starts: [(lane(), at(0))].into() };
    assert_eq!(claims.first_run(Some(first.clone())).await.unwrap(), Some(first));
    let plugin = PluginBytes { name: "a".into(), digest: Digest::of(b"a"), bytes: Arc::new(*b"a") };
    let digest = Digest::of(b"one");
    let generation = Generation { digest, resolved: "{}".into(), plugins: vec![plugin] };
    archive.keep(&generation).await.unwrap();
    assert_eq!(claims.claim(&lane(), at(0)).await.unwrap().position, at(0));
    assert!(!archive.has_committed().await.unwrap());
}

#[tokio::test]
async fn files_that_a_reader_took_away_do_not_come_back() {
    let place = Place::folder();
    let sink = place.sink_of(&partitioned(&["word"])).await;
    assert!(run(&*sink.sink, 0).await.unwrap());
    for key in place.files("out").await.into_keys() {
        std::fs::remove_file(place.path().join("out").join(key)).unwrap();
    }
    claim(&place.sink_of(&partitioned(&["word"])).await).await;
    assert!(place.ids().await.is_empty());
}
