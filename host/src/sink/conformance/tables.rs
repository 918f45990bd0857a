//! What is asked of a database, beside its tables.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;

use super::upserts::KEYED;
use super::{Change, LaneWriter, TableStore, Upserts, columns};
use crate::connect::CommitOutcome;
use crate::ledger::{DeadLetterFilter, Judgement, Verdict};
use crate::record::{
    ArchivedPlace, Digest, ErrorClass, Generation, Kind, Lane, Past, PluginBytes, Position,
};

const FIELDS: [(&str, Kind); 2] = [("id", Kind::Integer), ("word", Kind::Text)];

/// Issue 25, C5: lineage named a generation that was not kept.
pub(crate) async fn what_a_fail_over_lost_is_stored_again<S: TableStore>() {
    let store = S::make().await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    let digest = Digest::of(b"test");
    let bytes: Arc<[u8]> = Arc::from(*b"\0asm");
    let plugin = PluginBytes { name: "tags".to_owned(), digest: Digest::of(&bytes), bytes };
    let generation = Generation { digest, resolved: "{}".into(), plugins: vec![plugin] };
    sink.archive.keep(&generation).await.unwrap();
    let mut writer = LaneWriter::new(&sink, "a").await;
    writer.write_rows(&[r#"{"id": 1}"#]).await;

    let table = |name| S::VERSIONS.replace("version", name);
    for name in ["generation", "plugin", "lineage"] {
        store.execute(&format!("DELETE FROM {}", table(name))).await;
    }
    store.execute(&format!("UPDATE {} SET position = '0'", table("position"))).await;
    assert!(sink.archive.generation(digest).await.unwrap().is_none());

    let claim = sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap();
    assert_eq!(claim.position, Position::number(0), "the commit is lost");
    let kept = sink.archive.generation(digest).await.unwrap().expect("it is kept again");
    assert_eq!(*kept.plugins[0].bytes, *b"\0asm");

    // A lane that is where it was has lost nothing.
    store.execute(&format!("DELETE FROM {}", table("generation"))).await;
    sink.claims.claim(&Lane::new("a"), Position::number(0)).await.unwrap();
    assert!(sink.archive.generation(digest).await.unwrap().is_none());
}

/// Issue 25, B12: what a process has cleaned by a rule that another one found to be bad is not committed.
pub(crate) async fn a_unit_of_a_generation_that_was_found_bad_meanwhile_is_not_committed<
    S: TableStore,
>() {
    let store = S::make().await;
    let (sink, other) = (store.upsert(KEYED, &FIELDS).await, store.upsert(KEYED, &FIELDS).await);
    let judge = async |verdict| {
        let (generation, time) = (Digest::of(b"test"), SystemTime::now());
        let judgement = Judgement { generation, verdict, reason: None, time };
        other.archive.judge(&judgement).await.unwrap();
    };
    let mut writer = LaneWriter::new(&sink, "a").await;
    assert!(sink.archive.judgements().await.unwrap().is_empty());
    judge(Verdict::Live).await;
    writer.write_rows(&[r#"{"id": 1}"#]).await;
    judge(Verdict::RolledBack).await;
    let unit = writer.unit(&[(r#"{"id": 2}"#, None)]);
    let outcome = sink.writer.commit(&writer.claim, &unit).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Condemned);
    assert_eq!(store.query("SELECT count(*) AS v FROM t").await, ["1"]);
    // Whoever has heard of it, and has no other rule to go on with, goes on.
    assert_eq!(sink.archive.judgements().await.unwrap().len(), 2);
    let outcome = sink.writer.commit(&writer.claim, &unit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Done(_)), "{outcome:?}");
}

/// Issue 25, A3: every later update was superseded by a row that it never met, and all were lost.
pub(crate) async fn versions_of_another_meaning_are_refused_until_they_are_made_anew<
    S: TableStore,
>() {
    const SEEN: [(&str, Kind); 3] =
        [("id", Kind::Integer), ("word", Kind::Text), ("seen", Kind::Timestamp)];
    for provenance in [true, false] {
        let store = S::make().await;
        let by_time = Upserts { newest: None, provenance };
        let by_column = Upserts { newest: Some("seen"), provenance };
        let sink = store.upsert(by_time, &SEEN).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let row = |id: i64, word: &str, seen: &str| {
            json!({ "id": id, "word": word, "seen": format!("{seen}-01-01T00:00:00Z") }).to_string()
        };
        let words = async || store.query("SELECT word AS v FROM t ORDER BY id").await;
        let late = Some(4_000_000_000_000_000);
        let first = [row(1, "one", "2001"), row(2, "two", "2002")];
        writer.write(&[(&*first[0], late), (&*first[1], late)]).await;
        writer.change(&[(Change::Delete(r#"{"id": 3}"#), late)]).await;

        let other = store.closed(by_column);
        for dry in [false, true] {
            let refused = other.writer(Some(columns(&SEEN)), dry).await.unwrap_err();
            assert_eq!(refused.class, ErrorClass::Systemic);
            assert!(refused.to_string().contains("by seen (timestamp)"), "{refused}");
            assert!(refused.help.unwrap().contains("pinhost versions rebase"));
        }
        let rebased = other.rebase(columns(&SEEN)).await.unwrap().unwrap();
        assert_eq!((rebased.rows, rebased.deletes), (2, 1));
        // Whoever still means what was meant before stops.
        let unit = writer.unit(&[(&*row(1, "stale", "2003"), late)]);
        let stopped = sink.writer.commit(&writer.claim, &unit).await.unwrap_err();
        assert!(stopped.to_string().contains("by the time of records"), "{stopped}");

        let sink = store.upsert(by_column, &SEEN).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let (older, newer) = (row(1, "older", "2000"), row(2, "newer", "2003"));
        writer.write(&[(&*older, late), (&*newer, None), (&*row(3, "three", "1999"), None)]).await;
        assert_eq!(words().await, ["one", "newer", "three"]);
        // And back: nobody knows when the records of these rows were made.
        let other = store.closed(by_time);
        assert_eq!(other.rebase(columns(&SEEN)).await.unwrap().unwrap().rows, 3);
        let sink = store.upsert(by_time, &SEEN).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        writer.write(&[(&*older, Some(1))]).await;
        assert_eq!(words().await, ["older", "newer", "three"]);
        // Nothing is left to be compared.
        store.execute("DELETE FROM t").await;
        store.execute(&format!("DELETE FROM {}", S::VERSIONS)).await;
        store.upsert(by_column, &SEEN).await;
    }
}

/// Issue 25, B8: a replay of an archive that holds a record twice could not end.
pub(crate) async fn a_record_that_dies_twice_in_a_unit_is_one_letter<S: TableStore>() {
    let store = S::make().await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    let writer = LaneWriter::new(&sink, "replay").await;
    let null = (r#"{"id": null}"#, None);
    let mut unit = writer.unit(&[null, null, null]);
    let place = |at| ArchivedPlace { at: Position::number(at), next: Position::number(at + 1) };
    let places = vec![place(7), place(8), place(7)];
    let raw = Arc::get_mut(&mut unit.parts[0].raw).unwrap();
    raw.past = Some(Past::Archived { lane: Some(Lane::new("pins")), places });
    let outcome = sink.writer.commit(&writer.claim, &unit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Done(_)), "{outcome:?}");
    let letters = sink.letters.list(&DeadLetterFilter::default()).await.unwrap();
    let found: Vec<_> = letters.iter().map(|letter| (&*letter.id, letter.attempts)).collect();
    assert_eq!(found, [("pins:7", 2), ("pins:8", 1)]);
}
