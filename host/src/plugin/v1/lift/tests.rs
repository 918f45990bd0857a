use arrow::array::{ListBuilder, StringArray, StringBuilder, StringViewArray};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const OUTPUT_MAX: ByteSize = ByteSize::mib(1);

/// What an answer comes to, with a breach in words.
fn apply(plan: &Plan, batch: &Batch, answer: t::Cleaned) -> Result<Cleaned, String> {
    super::apply(plan, batch, answer, OUTPUT_MAX).map_err(|fault| match fault {
        Fault::Breach(breach) => breach,
        other => format!("{other:?}"),
    })
}
use crate::plugin::plan::PlanGiven;
use crate::record::Field;

/// Four rows of every kind; the texts have characters of several bytes, short and long, and nulls.
fn batch() -> Batch {
    let texts = [Some("Wörter und Bilder, mehr als zwölf Bytes"), None, Some(""), Some("ö❤x")];
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8));
    for list in [&["a", "ö"][..], &[], &["b"], &[]] {
        lists.append_value(list.iter().map(|text| Some(*text)));
    }
    let floats = Float64Array::from(vec![0.0, 1.5]);
    let float_offsets = offsets(vec![0, 2, 2, 2, 2], 4, 2).unwrap();
    let columns: [(&str, Kind, ArrayRef); 8] = [
        ("text", Kind::Text, Arc::new(StringArray::from_iter(texts))),
        ("pieces", Kind::Text, Arc::new(StringViewArray::from_iter(texts))),
        (
            "integer",
            Kind::Integer,
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])),
        ),
        (
            "float",
            Kind::Float,
            Arc::new(Float64Array::from(vec![Some(0.5), None, None, Some(4.0)])),
        ),
        ("boolean", Kind::Boolean, Arc::new(BooleanArray::from(vec![true, false, true, true]))),
        (
            "timestamp",
            Kind::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2, 3]).with_timezone("UTC")),
        ),
        ("text_list", Kind::TextList, Arc::new(lists.finish())),
        (
            "float_list",
            Kind::FloatList,
            Arc::new(ListArray::new(
                item(DataType::Float64),
                float_offsets,
                Arc::new(floats),
                None,
            )),
        ),
    ];
    let fields = columns.iter().map(|(name, kind, _)| Field::new(*name, *kind)).collect();
    Batch::new(4, fields, columns.into_iter().map(|(_, _, column)| column).collect())
}

/// Reads all columns; writes this one.
fn plan(writes: &[(&str, Kind)]) -> Plan {
    let batch = batch();
    let given = PlanGiven {
        reads: batch.fields().iter().map(|field| field.name.to_string()).collect(),
        writes: writes.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        tallies: vec!["changed".to_owned()],
    };
    Plan::check(&given, batch.fields()).unwrap()
}

fn answer(changes: Vec<t::Change>) -> t::Cleaned {
    t::Cleaned { changes, dropped: vec![], rejected: vec![], tallies: vec![0] }
}

fn full(values: t::ValuesResult) -> t::Change {
    t::Change::Replaced(t::ColumnDataResult { values, valid: None })
}

fn rejection(row: u32) -> t::Rejection {
    t::Rejection { row, reason: "no".to_owned(), detail: None }
}

/// Applies one change to one column.
fn changed(name: &str, kind: Kind, change: t::Change) -> Result<ArrayRef, String> {
    let plan = plan(&[(name, kind)]);
    let cleaned = apply(&plan, &batch(), answer(vec![change]))?;
    Ok(Arc::clone(cleaned.batch.column(name).expect("it was written")))
}

fn texts_of(column: &ArrayRef) -> Vec<Option<String>> {
    let plain = cast(column, &DataType::Utf8).unwrap();
    plain.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn what_is_unchanged_or_only_null_shares_its_bytes() {
    let before = batch();
    let source = before.column("text").unwrap().as_string::<i32>().values().as_ptr();
    let after = changed("text", Kind::Text, t::Change::Nulls(vec![0b0001])).unwrap();
    assert_eq!(texts_of(&after)[1..], [None, None, None]);
    let plan = plan(&[("text", Kind::Text)]);
    for change in [t::Change::Unchanged, t::Change::Nulls(vec![0b1101])] {
        let cleaned = apply(&plan, &before, answer(vec![change])).unwrap();
        let column = cleaned.batch.column("text").unwrap();
        assert_eq!(column.as_string::<i32>().values().as_ptr(), source);
    }
}

#[test]
fn slices_share_their_bytes_too() {
    let before = batch();
    let source = before.column("text").unwrap().as_string::<i32>().values().as_ptr();
    let slices =
        t::Slices { column: 0, starts: vec![8, 0, 0, 2], ends: vec![38, 0, 0, 5], valid: None };
    let cleaned =
        apply(&plan(&[("text", Kind::Text)]), &before, answer(vec![t::Change::Slices(slices)]))
            .unwrap();
    let after = cleaned.batch.column("text").unwrap();
    assert_eq!(
        texts_of(after),
        [Some("und Bilder, mehr als zwölf By".into()), None, Some(String::new()), Some("❤".into())]
    );
    assert_eq!(after.as_string_view().data_buffers()[0].as_ptr(), source);
}

#[test]
fn a_patch_puts_values_and_nulls_in_each_others_place() {
    for name in ["text", "pieces"] {
        let data = t::ColumnDataResult {
            values: t::ValuesResult::Text(t::TextsResult {
                offsets: vec![0, 3, 3],
                bytes: b"new".to_vec(),
            }),
            valid: Some(vec![0b01]),
        };
        let patch = t::Patch { rows: vec![1, 3], data };
        let after = changed(name, Kind::Text, t::Change::Patched(patch)).unwrap();
        let first = texts_of(batch().column(name).unwrap())[0].clone();
        assert_eq!(texts_of(&after), [first, Some("new".into()), Some(String::new()), None]);
    }
}

#[test]
fn rows_that_no_sink_could_hold_are_rejected_by_the_host() {
    let plan = plan(&[("float", Kind::Float), ("at", Kind::Timestamp)]);
    let floats = full(t::ValuesResult::Float(vec![f64::NAN, 1.0, f64::INFINITY, 2.0]));
    let times = full(t::ValuesResult::Timestamp(vec![0, i64::MAX, i64::MIN, YEARS.start]));
    let answer = t::Cleaned {
        changes: vec![floats, times],
        dropped: vec![2],
        rejected: vec![],
        tallies: vec![3],
    };
    let cleaned = apply(&plan, &batch(), answer).unwrap();
    let rejected: Vec<_> = cleaned.rejected.iter().map(|r| (r.row, r.reason.as_str())).collect();
    assert_eq!(
        rejected,
        [(0, "float is not a finite number"), (1, "at lies outside the years 1 to 9999")]
    );
    assert_eq!(cleaned.tallies, [1]);
}

#[test]
fn a_null_in_the_place_of_a_number_that_is_not_finite_is_fine() {
    let data = t::ColumnDataResult {
        values: t::ValuesResult::Float(vec![f64::NAN, 1.0, 1.0, 1.0]),
        valid: Some(vec![0b1110]),
    };
    let cleaned =
        apply(&plan(&[("float", Kind::Float)]), &batch(), answer(vec![t::Change::Replaced(data)]));
    assert!(cleaned.unwrap().rejected.is_empty());
}

#[test]
fn reasons_and_details_are_cut_between_characters() {
    let long = "ö".repeat(100_000);
    let mut answer = answer(vec![]);
    answer.rejected =
        vec![t::Rejection { row: 0, reason: format!("x{long}"), detail: Some(long.clone()) }];
    let cleaned = apply(&plan(&[]), &batch(), answer).unwrap();
    assert_eq!(cleaned.rejected[0].reason.len(), 199);
    assert_eq!(cleaned.rejected[0].detail.as_ref().unwrap().len(), 1024);
}

#[test]
fn pieces_count_for_output_over_all_columns_together() {
    let pieces = || {
        t::Change::ListSlices(t::ListSlices {
            column: 0,
            offsets: vec![0, 15_000, 15_000, 15_000, 15_000],
            starts: vec![0; 15_000],
            ends: vec![38; 15_000],
            valid: None,
        })
    };
    // 570,000 bytes each, of 1 MiB.
    let one = plan(&[("a", Kind::TextList)]);
    assert!(apply(&one, &batch(), answer(vec![pieces()])).is_ok());
    let two = plan(&[("a", Kind::TextList), ("b", Kind::TextList)]);
    assert_eq!(apply(&two, &batch(), answer(vec![pieces(), pieces()])).unwrap_err(), "Output");
}

#[test]
fn every_breach_of_the_contract_is_told() {
    let texts = |offsets: &[u32], bytes: &[u8]| {
        full(t::ValuesResult::Text(t::TextsResult {
            offsets: offsets.to_vec(),
            bytes: bytes.to_vec(),
        }))
    };
    let slices = |column, starts: &[u32], ends: &[u32]| {
        t::Change::Slices(t::Slices {
            column,
            starts: starts.to_vec(),
            ends: ends.to_vec(),
            valid: None,
        })
    };
    let lists = |offsets: &[u32], starts: &[u32], ends: &[u32]| {
        t::Change::ListSlices(t::ListSlices {
            column: 0,
            offsets: offsets.to_vec(),
            starts: starts.to_vec(),
            ends: ends.to_vec(),
            valid: None,
        })
    };
    let patch = |rows: &[u32], values: Vec<i64>| {
        let data = t::ColumnDataResult { values: t::ValuesResult::Integer(values), valid: None };
        t::Change::Patched(t::Patch { rows: rows.to_vec(), data })
    };
    let text = |change| changed("text", Kind::Text, change);
    let list = |change| changed("list", Kind::TextList, change);
    let integer = |change| changed("integer", Kind::Integer, change);
    let with = |change: &dyn Fn(&mut t::Cleaned)| {
        let mut answer = answer(vec![]);
        change(&mut answer);
        apply(&plan(&[]), &batch(), answer).map(|_| Arc::clone(&batch().columns()[0]))
    };
    for (number, (broken, said)) in [
        (changed("new", Kind::Text, t::Change::Unchanged), "changed, but not read"),
        (changed("text", Kind::Integer, t::Change::Unchanged), "not as this kind"),
        (text(t::Change::Nulls(vec![])), "not one bit for each row"),
        (text(t::Change::Nulls(vec![0b1111])), "a null that turned into a value"),
        (text(texts(&[0, 1, 2, 3], b"abc")), "offsets"),
        (text(texts(&[0, 1, 2, 3, 2], b"abc")), "offsets"),
        (text(texts(&[0, 0, 0, 0, 1], b"\xff")), "not UTF-8"),
        (text(texts(&[0, 1, 2, 2, 2], "ö".as_bytes())), "not UTF-8"),
        (text(full(t::ValuesResult::Integer(vec![0; 4]))), "not of kind text"),
        (text(slices(9, &[0; 4], &[0; 4])), "a column that is not read"),
        (text(slices(2, &[0; 4], &[0; 4])), "a column that is no text"),
        (text(slices(0, &[0; 3], &[0; 3])), "not one slice for each row"),
        (text(slices(0, &[2, 0, 0, 0], &[1, 0, 0, 0])), "no piece of its row"),
        (text(slices(0, &[2, 0, 0, 0], &[3, 0, 0, 0])), "no piece of its row"),
        (text(slices(0, &[0; 4], &[0, 0, 1, 0])), "no piece of its row"),
        (text(slices(0, &[u32::MAX; 4], &[u32::MAX; 4])), "no piece of its row"),
        (integer(slices(0, &[0; 4], &[0; 4])), "slices for a column that is no text"),
        (list(lists(&[0, 1, 1, 1], &[0], &[1])), "offsets"),
        (list(lists(&[0, 1, 1, 1, 1], &[0], &[])), "as many ends"),
        (list(lists(&[0, 0, 0, 1, 1], &[0], &[1])), "no piece of its row"),
        (text(lists(&[0; 5], &[], &[])), "no text list"),
        (list(lists(&[0, 60_000, 60_000, 60_000, 60_000], &[0; 60_000], &[38; 60_000])), "Output"),
        (integer(patch(&[1, 0], vec![1, 2])), "do not ascend"),
        (integer(patch(&[1, 1], vec![1, 2])), "do not ascend"),
        (integer(patch(&[4], vec![1])), "out of range"),
        (integer(patch(&[0], vec![1, 2])), "2 values for 1 rows"),
        (integer(full(t::ValuesResult::Integer(vec![0; 5]))), "5 values for 4 rows"),
        (with(&|answer| answer.changes.push(t::Change::Unchanged)), "1 changes for 0 columns"),
        (with(&|answer| answer.tallies.clear()), "0 tallies for 1 names"),
        (with(&|answer| answer.tallies = vec![5]), "more rows than are kept"),
        (with(&|answer| answer.dropped = vec![4]), "out of range"),
        (with(&|answer| answer.dropped = vec![1, 0]), "do not ascend"),
        (with(&|answer| answer.rejected = vec![rejection(1), rejection(1)]), "do not ascend"),
        (with(&|answer| answer.rejected = vec![rejection(4)]), "out of range"),
        (
            with(&|answer| {
                answer.dropped = vec![1];
                answer.rejected = vec![rejection(1)];
            }),
            "both dropped and rejected",
        ),
        (
            with(&|answer| {
                answer.rejected = vec![t::Rejection { reason: String::new(), ..rejection(1) }];
            }),
            "without a reason",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        match broken {
            Err(breach) => assert!(breach.contains(said), "{number}: {breach}"),
            Ok(_) => panic!("{number} was taken: {said}"),
        }
    }
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 0_u32..6, 1 => any::<u32>()]
}

/// Ascending more often than not.
fn offset_list() -> impl Strategy<Value = Vec<u32>> {
    (vec(0_u32..3, 0..7), any::<bool>(), vec(small(), 0..7)).prop_map(|(steps, sound, wild)| {
        if !sound {
            return wild;
        }
        let sums = steps.iter().scan(0, |sum, step| {
            *sum += step;
            Some(*sum)
        });
        std::iter::once(0).chain(sums).collect()
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..8), "[aö❤]{0,4}".prop_map(String::into_bytes)]
}

fn any_texts() -> impl Strategy<Value = t::TextsResult> {
    (offset_list(), bytes()).prop_map(|(offsets, bytes)| t::TextsResult { offsets, bytes })
}

fn any_data() -> impl Strategy<Value = t::ColumnDataResult> {
    let floats = || vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(1.0)], 0..6);
    let values = prop_oneof![
        vec(any::<u8>(), 0..2).prop_map(t::ValuesResult::Boolean),
        vec(any::<i64>(), 3..6).prop_map(t::ValuesResult::Integer),
        floats().prop_map(t::ValuesResult::Float),
        vec(any::<i64>(), 3..6).prop_map(t::ValuesResult::Timestamp),
        any_texts().prop_map(t::ValuesResult::Text),
        (offset_list(), any_texts()).prop_map(|(offsets, items)| {
            t::ValuesResult::TextList(t::TextListsResult { offsets, items })
        }),
        (offset_list(), floats()).prop_map(|(offsets, items)| {
            t::ValuesResult::FloatList(t::FloatListsResult { offsets, items })
        }),
    ];
    (values, option::of(vec(any::<u8>(), 0..3)))
        .prop_map(|(values, valid)| t::ColumnDataResult { values, valid })
}

fn any_change() -> impl Strategy<Value = t::Change> {
    let bits = || option::of(vec(any::<u8>(), 0..3));
    prop_oneof![
        Just(t::Change::Unchanged),
        vec(any::<u8>(), 0..3).prop_map(t::Change::Nulls),
        (vec(small(), 0..5), any_data())
            .prop_map(|(rows, data)| t::Change::Patched(t::Patch { rows, data })),
        (0_u32..9, vec(small(), 3..5), vec(small(), 3..5), bits()).prop_map(
            |(column, starts, ends, valid)| {
                t::Change::Slices(t::Slices { column, starts, ends, valid })
            }
        ),
        (0_u32..9, offset_list(), vec(small(), 0..6), vec(small(), 0..6), bits()).prop_map(
            |(column, offsets, starts, ends, valid)| {
                t::Change::ListSlices(t::ListSlices { column, offsets, starts, ends, valid })
            }
        ),
        any_data().prop_map(t::Change::Replaced),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Invariant 6: nothing that a plugin answers crashes the host or becomes an unsound column.
    #[test]
    fn any_answer_is_taken_or_refused(
        column in 0_usize..9,
        kind in 0_usize..7,
        change in any_change(),
        dropped in vec(small(), 0..3),
        rejected in vec(small(), 0..3),
        tally in small(),
    ) {
        let batch = batch();
        let kind = Kind::ALL[kind];
        let name = batch.fields().get(column).map_or("new", |field| &field.name);
        let plan = plan(&[(name, kind)]);
        let answer = t::Cleaned {
            changes: vec![change],
            dropped,
            rejected: rejected.into_iter().map(rejection).collect(),
            tallies: vec![tally],
        };
        if let Ok(cleaned) = apply(&plan, &batch, answer) {
            prop_assert_eq!(cleaned.batch.rows(), 4);
            prop_assert_eq!(cleaned.batch.fields(), &plan.output);
            for column in cleaned.batch.columns() {
                prop_assert!(column.to_data().validate_full().is_ok());
            }
            prop_assert!(cleaned.dropped.len() + cleaned.rejected.len() <= 4);
        }
    }
}
