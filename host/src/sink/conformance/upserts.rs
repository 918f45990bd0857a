//! Which of two rows of one key stays, in a database.

use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestRunner;

use super::Change::{Delete, Put};
use super::{LaneWriter, Opened, stored};
use crate::connect::Sink;
use crate::record::{Kind, Lane, Position, Receipt, Receipts, Unit};

const FIELDS: [(&str, Kind); 3] =
    [("id", Kind::Integer), ("word", Kind::Text), ("seen", Kind::Timestamp)];

/// Makes a test of each of the suite's for a [`TableStore`].
macro_rules! upsert_tests {
    ($store:ty) => {
        $crate::sink::conformance::upsert_tests! {
            $store;
            an_older_version_never_takes_the_place_of_a_newer
            a_column_may_tell_what_is_newest
            what_became_of_single_rows_is_told_to_who_asks
            the_same_records_again_change_nothing
            the_same_record_takes_the_place_of_what_was_made_of_it_before
            rows_of_a_table_that_is_not_ours_give_way_and_keep_their_versions_aside
            versions_outlive_a_change_of_provenance
            a_row_may_be_nothing_but_its_key
            a_delete_takes_its_row_and_no_newer_one
            no_older_row_comes_back_after_a_delete
            an_older_row_that_comes_at_the_same_time_is_deleted_too
            the_same_delete_again_changes_nothing
            rows_of_a_table_that_is_not_ours_are_deleted_too
            deletes_are_forgotten_in_the_end
            what_a_fail_over_lost_is_stored_again
            a_record_that_dies_twice_in_a_unit_is_one_letter
            a_unit_of_a_generation_that_was_found_bad_meanwhile_is_not_committed
            versions_of_another_meaning_are_refused_until_they_are_made_anew
        }

        #[test]
        fn however_records_are_cut_the_newest_of_each_key_stays() {
            $crate::sink::conformance::however_records_are_cut_the_newest_of_each_key_stays::<$store>();
        }
    };
    ($store:ty; $($test:ident)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                $crate::sink::conformance::$test::<$store>().await;
            }
        )*
    };
}
pub(crate) use upsert_tests;

/// A database that can be made as often as one is needed.
#[async_trait]
pub(crate) trait TableStore: Sync + Sized {
    /// Where versions are kept of rows in tables that have no column for them.
    const VERSIONS: &str;

    /// How many may be made for one test.
    const CASES: u32;

    async fn make() -> Self;

    /// A sink of table `t` with the key `id`, which is not prepared.
    fn closed(&self, upserts: Upserts) -> Arc<dyn Sink>;

    /// The same, and a writer of these columns.
    async fn upsert(&self, upserts: Upserts, fields: &[(&str, Kind)]) -> Opened;

    async fn execute(&self, sql: &str);

    /// The single column `v` of a query, as text.
    async fn query(&self, sql: &str) -> Vec<String>;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Upserts {
    pub(crate) newest: Option<&'static str>,
    pub(crate) provenance: bool,
}

pub(super) const KEYED: Upserts = Upserts { newest: None, provenance: true };

/// Versions are kept in the table's own column, and aside.
const BOTH: [Upserts; 2] = [KEYED, Upserts { provenance: false, ..KEYED }];

/// By their ids.
const KEYS: [&str; 6] = [
    r#"{"id": 0}"#,
    r#"{"id": 1}"#,
    r#"{"id": 2}"#,
    r#"{"id": 3}"#,
    r#"{"id": 4}"#,
    r#"{"id": 5}"#,
];

fn row(id: i64, word: &str) -> String {
    serde_json::json!({ "id": id, "word": word }).to_string()
}

async fn words(store: &impl TableStore) -> Vec<String> {
    store.query("SELECT id || ' ' || word AS v FROM t ORDER BY id").await
}

pub(crate) async fn an_older_version_never_takes_the_place_of_a_newer<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let (mut one, mut two) =
            (LaneWriter::new(&sink, "1").await, LaneWriter::new(&sink, "2").await);

        // Within a unit, by time and not by place; of one time, by place.
        let rows = [row(1, "late"), row(1, "early"), row(2, "first"), row(2, "second")];
        let times = [Some(20), Some(10), Some(5), Some(5)];
        let rows: Vec<_> = rows.iter().map(String::as_str).zip(times).collect();
        assert_eq!(one.write(&rows).await, stored(2, 2, &[]));
        assert_eq!(words(&store).await, ["1 late", "2 second"]);

        // Between units and lanes; of one time, by lane.
        let rows = [row(1, "older"), row(2, "of another lane"), row(3, "timeless")];
        let times = [Some(19), Some(5), None];
        let rows: Vec<_> = rows.iter().map(String::as_str).zip(times).collect();
        assert_eq!(two.write(&rows).await, stored(2, 1, &[]));
        assert_eq!(words(&store).await, ["1 late", "2 of another lane", "3 timeless"]);

        // A time is newer than none.
        let rows = [row(3, "timed"), row(1, "latest")];
        let rows: Vec<_> = rows.iter().map(String::as_str).zip([Some(0), Some(21)]).collect();
        assert_eq!(one.write(&rows).await, stored(2, 0, &[]));
        assert_eq!(words(&store).await, ["1 latest", "2 of another lane", "3 timed"]);
    }
}

pub(crate) async fn what_became_of_single_rows_is_told_to_who_asks<S: TableStore>() {
    let store = S::make().await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [row(1, "early"), "{\"word\": \"no key\"}".to_owned(), row(1, "late"), row(2, "x")];
    let times = [Some(1), Some(2), Some(3), Some(4)];
    let rows: Vec<_> = rows.iter().map(String::as_str).zip(times).collect();
    let unit = Unit { wants_receipts: true, ..writer.unit(&rows) };
    let told = writer.commit(unit.clone()).await.receipts.expect("they are wanted");
    let reason = "key column id is null".to_owned();
    let dead = Receipt::Dead { step: None, reason, detail: None };
    let stored = Receipt::Stored { at: None };
    let expected = [Receipt::Superseded, dead, stored.clone(), stored];
    assert_eq!(Receipts::of(&unit, &told).records, expected);
    // Who does not ask is not told.
    assert_eq!(writer.write(&rows[3..]).await.receipts, None);
}

pub(crate) async fn a_column_may_tell_what_is_newest<S: TableStore>() {
    let store = S::make().await;
    let sink = store.upsert(Upserts { newest: Some("seen"), ..KEYED }, &FIELDS).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let seen = |word: &str, seen: Option<&str>| {
        serde_json::json!({ "id": 1, "word": word, "seen": seen }).to_string()
    };
    for (word, time, expected) in [
        ("never", None, "1 never"),
        ("2021", Some("2021-01-01T00:00:00Z"), "1 2021"),
        ("2020", Some("2020-01-01T00:00:00Z"), "1 2021"),
        ("never again", None, "1 2021"),
        ("2022", Some("2022-01-01T00:00:00Z"), "1 2022"),
    ] {
        // The record's own time has no say.
        writer.write(&[(&seen(word, time), Some(0))]).await;
        assert_eq!(words(&store).await, [expected]);
    }
}

pub(crate) async fn the_same_records_again_change_nothing<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let rows: Vec<_> = (0..2000).map(|at| row(at % 700, &format!("word {at}"))).collect();
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        assert_eq!(
            LaneWriter::new(&sink, "a").await.write_rows(&rows).await,
            stored(700, 1300, &[])
        );
        let before = words(&store).await;
        let (lane, from, to) = (Lane::new("a"), Position::number(2000), Position::number(0));
        assert!(sink.claims.move_lane(&lane, from, to).await.unwrap());
        assert_eq!(
            LaneWriter::new(&sink, "a").await.write_rows(&rows).await,
            stored(700, 1300, &[])
        );
        assert_eq!(words(&store).await, before);
        assert_eq!(before[699], "699 word 1399");
    }
}

/// A replay with a rule that was mended is worth nothing if it changes nothing.
pub(crate) async fn the_same_record_takes_the_place_of_what_was_made_of_it_before<S: TableStore>() {
    let store = S::make().await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    LaneWriter::new(&sink, "a").await.write_rows(&[&row(1, "as the rule was")]).await;
    let (lane, from, to) = (Lane::new("a"), Position::number(1), Position::number(0));
    assert!(sink.claims.move_lane(&lane, from, to).await.unwrap());
    LaneWriter::new(&sink, "a").await.write_rows(&[&row(1, "as the rule is")]).await;
    assert_eq!(words(&store).await, ["1 as the rule is"]);
}

pub(crate) async fn rows_of_a_table_that_is_not_ours_give_way_and_keep_their_versions_aside<
    S: TableStore,
>() {
    let store = S::make().await;
    store
        .execute(
            "CREATE TABLE t (id INTEGER, word TEXT, seen TEXT, note TEXT DEFAULT 'mine'); \
         CREATE UNIQUE INDEX u ON t (id); INSERT INTO t VALUES (1, 'theirs', NULL, 'theirs')",
        )
        .await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    let rows = [row(1, "ours"), row(2, "ours")];
    let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), Some(5))).collect();
    assert_eq!(writer.write(&rows).await, stored(2, 0, &[]));
    assert_eq!(writer.write(&[(&row(1, "older"), Some(4))]).await, stored(0, 1, &[]));
    let rows = store.query("SELECT id || word || note AS v FROM t ORDER BY id").await;
    assert_eq!(rows, ["1ourstheirs", "2oursmine"]);
    let versions = format!("SELECT count(*) AS v FROM {}", S::VERSIONS);
    assert_eq!(store.query(&versions).await, ["2"]);
}

/// Versions in the table count, whatever the pipeline says later.
pub(crate) async fn versions_outlive_a_change_of_provenance<S: TableStore>() {
    let store = S::make().await;
    for provenance in [true, false, true] {
        let sink = store.upsert(Upserts { provenance, ..KEYED }, &FIELDS).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let time = if provenance { 10 } else { 9 };
        let word = if provenance { "new" } else { "old" };
        writer.write(&[(&row(1, word), Some(time))]).await;
        assert_eq!(words(&store).await, ["1 new"]);
    }
}

pub(crate) async fn a_row_may_be_nothing_but_its_key<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS[..1]).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let rows = [r#"{"id": 1}"#, r#"{"id": 1}"#, r#"{"id": 2}"#];
        writer.write_rows(&rows).await;
        writer.write_rows(&rows).await;
        assert_eq!(store.query("SELECT id AS v FROM t").await, ["1", "2"]);
        assert!(sink.archive.lineage().await.unwrap()[0].sums.is_balanced());
    }
}

pub(crate) async fn a_delete_takes_its_row_and_no_newer_one<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let (mut one, mut two) =
            (LaneWriter::new(&sink, "1").await, LaneWriter::new(&sink, "2").await);
        let rows: Vec<_> = (1..=5).map(|id| row(id, "old")).collect();
        let rows: Vec<_> = rows.iter().map(|row| (row.as_str(), Some(10))).collect();
        one.write(&rows).await;

        // Newer, of the same time in a later lane, older; of nothing; the oldest of a unit and the newest.
        let (put, last) = (row(4, "new"), row(5, "new"));
        let changes = [
            (Delete(KEYS[1]), Some(11)),
            (Delete(KEYS[2]), Some(10)),
            (Delete(KEYS[3]), Some(9)),
            (Delete(KEYS[0]), Some(1)),
            (Delete(KEYS[4]), Some(12)),
            (Put(&put), Some(13)),
            (Put(&last), Some(12)),
            (Delete(KEYS[5]), Some(13)),
        ];
        assert_eq!(two.change(&changes).await, stored(5, 3, &[]));
        assert_eq!(words(&store).await, ["3 old", "4 new"]);
        let lineage = sink.archive.lineage().await.unwrap();
        assert!(lineage.iter().all(|range| range.sums.is_balanced()), "{lineage:?}");
    }
}

pub(crate) async fn no_older_row_comes_back_after_a_delete<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let (mut one, mut two) =
            (LaneWriter::new(&sink, "1").await, LaneWriter::new(&sink, "2").await);
        let changes = [(Delete(KEYS[1]), Some(10)), (Delete(KEYS[2]), Some(10))];
        assert_eq!(two.change(&changes).await, stored(2, 0, &[]));

        let older = [row(1, "older"), row(2, "older"), row(3, "another")];
        let older: Vec<_> = older.iter().map(|row| (row.as_str(), Some(9))).collect();
        assert_eq!(one.write(&older).await, stored(1, 2, &[]));
        assert_eq!(words(&store).await, ["3 another"]);

        // Nor after a delete that is older than the one that counts.
        assert_eq!(one.change(&[(changes[0].0, Some(8))]).await, stored(0, 1, &[]));
        assert_eq!(one.write(&[(&row(1, "older"), Some(9))]).await, stored(0, 1, &[]));

        assert_eq!(one.write(&[(&row(1, "newer"), Some(11))]).await, stored(1, 0, &[]));
        assert_eq!(words(&store).await, ["1 newer", "3 another"]);
        assert_eq!(one.change(&[(changes[0].0, Some(10))]).await, stored(0, 1, &[]));
        assert_eq!(words(&store).await, ["1 newer", "3 another"]);
    }
}

/// Two lanes, of which neither sees what the other is about to commit.
pub(crate) async fn an_older_row_that_comes_at_the_same_time_is_deleted_too<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let (mut one, mut two) =
            (LaneWriter::new(&sink, "1").await, LaneWriter::new(&sink, "2").await);
        let rows: Vec<_> = (0..6).map(|id| row(id, "older")).collect();
        for time in 0..30 {
            // Of an odd number, half of the rows were there before.
            let puts: Vec<_> = rows.iter().map(|row| (row.as_str(), Some(10 * time))).collect();
            one.write(&puts[..3 * (time as usize % 2)]).await;
            let deletes: Vec<_> =
                KEYS.iter().map(|key| (Delete(key), Some(10 * time + 5))).collect();
            tokio::join!(one.write(&puts), two.change(&deletes));
            assert!(words(&store).await.is_empty(), "round {time}");
        }
    }
}

pub(crate) async fn the_same_delete_again_changes_nothing<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let put = row(1, "a");
        let changes = [(Put(&put), Some(1)), (Delete(KEYS[1]), Some(2))];
        for _ in 0..2 {
            let mut writer = LaneWriter::new(&sink, "a").await;
            for change in changes {
                assert_eq!(writer.change(&[change]).await.refused.len(), 0);
            }
            assert!(words(&store).await.is_empty());
            let (lane, from, to) = (Lane::new("a"), Position::number(2), Position::number(0));
            assert!(sink.claims.move_lane(&lane, from, to).await.unwrap());
        }
    }
}

pub(crate) async fn rows_of_a_table_that_is_not_ours_are_deleted_too<S: TableStore>() {
    let store = S::make().await;
    let make = "CREATE TABLE t (id INTEGER, word TEXT, seen TEXT); CREATE UNIQUE INDEX u ON t (id); \
                INSERT INTO t VALUES (1, 'theirs', NULL), (2, 'theirs', NULL)";
    store.execute(make).await;
    let sink = store.upsert(KEYED, &FIELDS).await;
    let mut writer = LaneWriter::new(&sink, "a").await;
    assert_eq!(writer.change(&[(Delete(KEYS[1]), Some(5))]).await, stored(1, 0, &[]));
    assert_eq!(words(&store).await, ["2 theirs"]);
}

pub(crate) async fn deletes_are_forgotten_in_the_end<S: TableStore>() {
    for upserts in BOTH {
        let store = S::make().await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        let put = row(2, "a");
        writer.change(&[(Delete(KEYS[1]), Some(10)), (Put(&put), Some(10))]).await;
        let deletes = format!("SELECT count(deleted) AS v FROM {}", S::VERSIONS);
        assert_eq!(store.query(&deletes).await, ["1"]);

        let past = format!(
            "UPDATE {} SET deleted = '2020-01-01T00:00:00Z' WHERE deleted > '2020-01-01'",
            S::VERSIONS
        );
        store.execute(&past).await;
        let sink = store.upsert(upserts, &FIELDS).await;
        let mut writer = LaneWriter::new(&sink, "a").await;
        writer.write(&[(&row(3, "b"), Some(10))]).await;
        assert_eq!(store.query(&deletes).await, ["0"]);
        assert_eq!(words(&store).await, ["2 a", "3 b"]);
    }
}

/// Invariant 9: a table is what its records make it, however they were cut and in whatever order lanes
/// came.
pub(crate) fn however_records_are_cut_the_newest_of_each_key_stays<S: TableStore>() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let record = (0..6i64, proptest::option::of(0..4i64), proptest::bool::weighted(0.3));
    let records = proptest::collection::vec(record, 1..40);
    let input = records.prop_flat_map(|records| {
        let cuts = subsequence((0..=records.len()).collect::<Vec<_>>(), 0..=records.len());
        (Just(records), cuts, any::<bool>())
    });
    let mut runner =
        TestRunner::new(ProptestConfig { cases: S::CASES, ..ProptestConfig::default() });
    let ran = runner.run(&input, |(records, mut cuts, provenance)| {
        let mut newest = std::collections::BTreeMap::new();
        for (at, (id, time, is_delete)) in records.iter().enumerate() {
            let version = (*time, at, *is_delete);
            let stays = newest.entry(*id).or_insert(version);
            *stays = version.max(*stays);
        }
        let stay = newest.iter().filter(|(_, (.., is_delete))| !is_delete);
        let expected: Vec<_> = stay.map(|(id, (_, at, _))| format!("{id} {at}")).collect();
        let found = runtime.block_on(async {
            let store = S::make().await;
            let sink = store.upsert(Upserts { provenance, ..KEYED }, &FIELDS).await;
            let mut writer = LaneWriter::new(&sink, "a").await;
            cuts.push(records.len());
            let mut from = 0;
            for to in cuts {
                let rows: Vec<_> =
                    (from..to).map(|at| row(records[at].0, &at.to_string())).collect();
                let changes =
                    rows.iter().zip(&records[from..to]).map(|(row, (id, time, is_delete))| {
                        let change = if *is_delete { Delete(KEYS[*id as usize]) } else { Put(row) };
                        (change, *time)
                    });
                writer.change(&changes.collect::<Vec<_>>()).await;
                from = to;
            }
            let sums = sink.archive.lineage().await.unwrap()[0].sums;
            assert_eq!(sums.read, records.len() as u64);
            words(&store).await
        });
        prop_assert_eq!(found, expected);
        Ok(())
    });
    ran.unwrap();
}
