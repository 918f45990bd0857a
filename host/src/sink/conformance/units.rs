//! What a commit does.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::join;

use super::{CommitOutcome, Fate, Opening, PINS, Store, at, claim, done, position, unit, unit_of};
use crate::ledger::{DeadLetterFilter, Judgement, LineageSums, Verdict};
use crate::record::{Digest, ErrorClass, Generation, PluginBytes};

/// Invariant 3.
pub(crate) async fn data_and_position_move_together(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let fates = [(1, Fate::Dead("no good")), (2, Fate::Dropped)];
    let unit = unit_of(&sink, 0..4, "one", &fates);
    assert_eq!(sink.writer.commit(&owner, &unit).await.unwrap(), done(2));

    let reader = store.open(PINS).await;
    assert_eq!(store.ids(PINS.target).await, [0, 3]);
    assert_eq!(position(&reader).await, at(4));
    assert_eq!(reader.letters.list(&DeadLetterFilter::default()).await.unwrap().len(), 1);
    assert!(reader.archive.has_committed().await.unwrap());
    let lineage = reader.archive.lineage().await.unwrap();
    let sums = LineageSums { read: 4, stored: 2, superseded: 0, dropped: 1, dead: 1 };
    assert_eq!(lineage[0].sums, sums);
    assert_eq!(lineage[0].generation, Some(Digest::of(b"one")));
}

pub(crate) async fn a_unit_offered_again_is_stored_once(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let unit = unit(&sink, 0..3);
    assert_eq!(sink.writer.commit(&owner, &unit).await.unwrap(), done(3));
    for sink in [&sink, &store.open(PINS).await] {
        let again = sink.writer.commit(&owner, &unit).await.unwrap();
        assert!(again == CommitOutcome::Fenced || again == done(3), "{again:?}");
    }
    assert_eq!(store.ids(PINS.target).await, [0, 1, 2]);
    assert_eq!(position(&sink).await, at(3));
    assert_eq!(sink.archive.lineage().await.unwrap()[0].sums.read, 3);
}

/// Invariant 2.
pub(crate) async fn a_unit_that_begins_elsewhere_is_fenced(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let mut owner = claim(&sink).await;
    owner.position = at(1);
    assert_eq!(
        sink.writer.commit(&owner, &unit(&sink, 1..3)).await.unwrap(),
        CommitOutcome::Fenced
    );
    assert!(store.ids(PINS.target).await.is_empty());
    assert_eq!(position(&sink).await, at(0));
}

pub(crate) async fn a_unit_of_rejects_only_moves_the_lane(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let fates = [(0, Fate::Dead("no good")), (1, Fate::Dropped)];
    assert_eq!(
        sink.writer.commit(&owner, &unit_of(&sink, 0..2, "one", &fates)).await.unwrap(),
        done(0)
    );
    assert!(store.ids(PINS.target).await.is_empty());
    assert_eq!(position(&sink).await, at(2));
}

pub(crate) async fn units_of_one_generation_extend_one_range(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let mut owner = claim(&sink).await;
    for (range, generation, fates) in [
        (0..3, "one", vec![(0, Fate::Dead("no good"))]),
        (3..5, "one", vec![(4, Fate::Dropped)]),
        (5..6, "two", vec![]),
        (6..8, "one", vec![]),
    ] {
        let unit = unit_of(&sink, range, generation, &fates);
        let committed = sink.writer.commit(&owner, &unit).await.unwrap();
        assert_eq!(committed, done(unit.rows()));
        owner.position = unit.to;
    }
    let ranges = store.open(PINS).await.archive.lineage().await.unwrap();
    let found: Vec<_> =
        ranges.iter().map(|range| (range.from, range.to, range.generation, range.sums)).collect();
    let sums = |[read, stored, dropped, dead]: [u64; 4]| LineageSums {
        read,
        stored,
        superseded: 0,
        dropped,
        dead,
    };
    let (one, two) = (Some(Digest::of(b"one")), Some(Digest::of(b"two")));
    assert_eq!(
        found,
        [
            (at(0), at(5), one, sums([5, 3, 1, 1])),
            (at(5), at(6), two, sums([1, 1, 0, 0])),
            (at(6), at(8), one, sums([2, 2, 0, 0])),
        ]
    );
}

/// Invariant 1.
pub(crate) async fn a_unit_whose_records_do_not_add_up_is_refused(store: &dyn Store) {
    let sink = store.open(PINS).await;
    let owner = claim(&sink).await;
    let mut unit = unit(&sink, 0..3);
    unit.parts[0].dropped += 1;
    let error = sink.writer.commit(&owner, &unit).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(store.ids(PINS.target).await.is_empty());
    assert_eq!(position(&sink).await, at(0));
}

pub(crate) async fn generations_are_kept_once(store: &dyn Store) {
    let bytes: Arc<[u8]> = Arc::from(*b"\0asm");
    let digest = Digest::of(&bytes);
    let plugin = PluginBytes { name: "tags".to_owned(), digest, bytes };
    for resolved in ["{}", "[]", "{}"] {
        let sink = store.open(PINS).await;
        let generation = Generation {
            digest: Digest::of(resolved.as_bytes()),
            resolved: resolved.into(),
            plugins: vec![plugin.clone()],
        };
        sink.archive.keep(&generation).await.unwrap();
    }
}

fn plugin(name: &str, bytes: &'static [u8]) -> PluginBytes {
    PluginBytes { name: name.to_owned(), digest: Digest::of(bytes), bytes: Arc::from(bytes) }
}

pub(crate) async fn a_generation_comes_back_as_it_was_kept(store: &dyn Store) {
    let plugins = vec![plugin("tags", b"\0asm1"), plugin("words", b"\0asm2")];
    let step = |plugin: &PluginBytes| serde_json::json!({ "id": plugin.name, "plugin": plugin.digest.to_string() });
    let steps: Vec<_> = plugins.iter().map(step).collect();
    let resolved = serde_json::json!({ "rule": { "steps": steps } }).to_string();
    let digest = Digest::of(resolved.as_bytes());
    let kept = Generation { digest, resolved: resolved.into(), plugins };
    store.open(PINS).await.archive.keep(&kept).await.unwrap();

    let sink = store.open(PINS).await;
    assert!(sink.archive.generation(Digest::of(b"another")).await.unwrap().is_none());
    let found = sink.archive.generation(digest).await.unwrap().unwrap();
    assert_eq!((found.digest, &found.resolved), (digest, &kept.resolved));
    let told = |plugins: &[PluginBytes]| -> Vec<_> {
        plugins.iter().map(|it| (it.name.clone(), it.digest, Arc::clone(&it.bytes))).collect()
    };
    assert_eq!(told(&found.plugins), told(&kept.plugins));
}

fn judgement(generation: &str, verdict: Verdict) -> Judgement {
    Judgement {
        generation: Digest::of(generation.as_bytes()),
        verdict,
        reason: (verdict != Verdict::Live).then(|| "it\0trapped".to_owned()),
        time: SystemTime::now(),
    }
}

pub(crate) async fn of_the_verdicts_on_a_generation_the_last_one_counts(store: &dyn Store) {
    let sink = store.open(PINS).await;
    assert!(sink.archive.judgements().await.unwrap().is_empty());
    let given = [("one", Verdict::Live), ("two", Verdict::Refused), ("two", Verdict::RolledBack)];
    for (generation, verdict) in given {
        sink.archive.judge(&judgement(generation, verdict)).await.unwrap();
    }
    let geo = Opening { pipeline: "geo", source: "test://geo", target: "geo" };
    assert!(store.open(geo).await.archive.judgements().await.unwrap().is_empty());
    let heard = store.open(PINS).await.archive.judgements().await.unwrap();
    let told: Vec<_> = heard.iter().map(|it| (it.generation, it.verdict)).collect();
    assert_eq!(told, given.map(|(of, verdict)| (Digest::of(of.as_bytes()), verdict)));
    assert_eq!(heard[0].reason, None);
    assert!(heard[2].reason.as_ref().is_some_and(|reason| reason.contains("trapped")));
    assert!(heard[2].time.elapsed().unwrap_or_default().as_secs() < 600);
}

pub(crate) async fn who_judge_at_once_are_all_heard(store: &dyn Store) {
    let (one, other) = join!(store.open(PINS), store.open(PINS));
    let (live, bad) = (judgement("one", Verdict::Live), judgement("two", Verdict::RolledBack));
    let (first, second) = join!(one.archive.judge(&live), other.archive.judge(&bad));
    first.unwrap();
    second.unwrap();
    assert_eq!(one.archive.judgements().await.unwrap().len(), 2);
}
