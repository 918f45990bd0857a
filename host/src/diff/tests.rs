use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, ListArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::item;

/// Rows of a batch of which the records are known.
struct Made {
    rows: Batch,
    origins: Vec<u32>,
    deletes: Option<(Batch, Vec<u32>)>,
    dropped: Vec<DroppedRecord>,
    dead_letters: Vec<DeadLetter>,
    tallies: Vec<(&'static str, &'static str, u64)>,
}

impl Made {
    fn outcome(&self) -> Outcome<'_> {
        Outcome {
            rows: &self.rows,
            origins: &self.origins,
            deletes: self.deletes.as_ref().map(|(keys, origins)| (keys, &**origins)),
            dropped: &self.dropped,
            dead_letters: &self.dead_letters,
            tallies: self.tallies.clone(),
        }
    }
}

fn batch(fields: &[(&str, Kind)], rows: &Value) -> Batch {
    let fields = fields.iter().map(|(name, kind)| Field::new(*name, *kind)).collect();
    let rows: Vec<JsonRow> = serde_json::from_value(rows.clone()).unwrap();
    json::batch(&rows, &fields).unwrap()
}

/// All records are rows.
fn made(fields: &[(&str, Kind)], rows: &Value) -> Made {
    let rows = batch(fields, rows);
    Made {
        origins: (0..rows.rows() as u32).collect(),
        rows,
        deletes: None,
        dropped: Vec::new(),
        dead_letters: Vec::new(),
        tallies: Vec::new(),
    }
}

fn dropped(record: u32, step: &str) -> DroppedRecord {
    DroppedRecord { record, step: step.into() }
}

fn dead(record: u32, reason: &str) -> DeadLetter {
    let detail = Some(format!("of record {record}"));
    DeadLetter { record, step: Some("s".into()), reason: reason.to_owned(), detail }
}

fn place(record: u32) -> String {
    format!("lane:{record}")
}

fn compare(old: &Made, new: &Made, records: usize) -> Diff {
    let key = old.rows.fields()[..1].iter().map(|field| field.name.to_string());
    let comparison = Comparison::new(old.rows.fields(), new.rows.fields(), key, 2);
    comparison.compare(records, &old.outcome(), &new.outcome(), &place)
}

/// Name, null → value, value → null, value → other.
fn counts(diff: &Diff) -> Vec<(&str, u64, u64, u64)> {
    let of =
        |column: &ColumnDiff| (column.null_to_value, column.value_to_null, column.value_to_other);
    let columns = diff.columns.iter().map(|column| (column.name.as_str(), of(column)));
    columns.map(|(name, (a, b, c))| (name, a, b, c)).collect()
}

#[test]
fn changes_are_counted_by_column_and_kind_and_shown_with_the_key() {
    let fields = [("id", Kind::Integer), ("n", Kind::Integer), ("t", Kind::Text)];
    let old = json!([
        {"id": 1, "n": 1, "t": "a"}, {"id": 2, "t": "b"}, {"id": 3, "n": 3}, {"id": 4, "n": 4}
    ]);
    let new = json!([
        {"id": 1, "n": 1, "t": "b"}, {"id": 2, "n": 2, "t": "b"}, {"id": 3}, {"id": 4, "n": 5}
    ]);
    let diff = compare(&made(&fields, &old), &made(&fields, &new), 4);
    assert_eq!(counts(&diff), [("id", 0, 0, 0), ("n", 1, 1, 1), ("t", 0, 0, 1)]);
    assert_eq!((diff.compared, diff.changed), (4, 4));
    let example = |change, id: u64, old, new| Example {
        change,
        record: format!("lane:{}", id - 1),
        key: JsonRow(vec![("id".to_owned(), json!(id))]),
        old,
        new,
    };
    assert_eq!(
        diff.columns[1].examples,
        [
            example(Change::NullToValue, 2, Value::Null, json!(2)),
            example(Change::ValueToNull, 3, json!(3), Value::Null),
            example(Change::ValueToOther, 4, json!(4), json!(5)),
        ]
    );
}

#[test]
fn nothing_differs_where_everything_is_the_same() {
    let fields = [("id", Kind::Integer)];
    let rows = json!([{"id": 1}, {}, {"id": 3}]);
    let diff = compare(&made(&fields, &rows), &made(&fields, &rows), 3);
    assert!(diff.is_empty());
    assert_eq!((diff.compared, diff.changed), (3, 0));
}

#[test]
fn columns_that_come_go_or_change_their_type_are_told_as_that() {
    let old = made(
        &[("id", Kind::Integer), ("gone", Kind::Text), ("n", Kind::Text)],
        &json!([{"id": 1, "gone": "x", "n": "1"}, {"id": 2, "n": "2"}, {"id": 3}]),
    );
    let new = made(
        &[("n", Kind::Integer), ("id", Kind::Integer), ("came", Kind::TextList)],
        &json!([{"id": 1, "n": 1}, {"id": 2, "came": ["x"]}, {"id": 3, "came": []}]),
    );
    let diff = compare(&old, &new, 3);
    assert_eq!(
        counts(&diff),
        [("id", 0, 0, 0), ("gone", 0, 1, 0), ("n", 0, 1, 1), ("came", 2, 0, 0)]
    );
    let types: Vec<_> = diff.columns.iter().map(|it| (it.old_type, it.new_type)).collect();
    assert_eq!(types[1], (Some(Kind::Text), None));
    assert_eq!(types[2], (Some(Kind::Text), Some(Kind::Integer)));
    assert_eq!(types[3], (None, Some(Kind::TextList)));
    assert_eq!(diff.changed, 2, "a column that only one of them has changes no row");
    assert!(diff.reordered, "id and n");
    let same = made(&[("id", Kind::Integer)], &json!([]));
    let more = made(&[("id", Kind::Integer), ("n", Kind::Text)], &json!([]));
    assert!(!compare(&same, &more, 0).is_empty(), "a column more is a difference without any row");
    assert!(!compare(&more, &same, 0).is_empty());
}

#[test]
fn lists_and_floats_are_compared_by_value() {
    let fields = [("f", Kind::Float), ("t", Kind::TextList), ("g", Kind::FloatList)];
    let old = json!([
        {"f": 0.0, "t": ["a", "b"], "g": [1, 2]}, {"f": 1.5, "t": [], "g": []},
        {"t": ["ab"], "g": [1]}
    ]);
    let new = json!([
        {"f": -0.0, "t": ["a", "b"], "g": [1.0, 2.0]}, {"f": 1.6, "g": [0]},
        {"t": ["a", "b"], "g": [1, 1]}
    ]);
    let diff = compare(&made(&fields, &old), &made(&fields, &new), 3);
    assert_eq!(counts(&diff), [("f", 0, 0, 1), ("t", 0, 1, 1), ("g", 0, 0, 2)]);
}

#[test]
fn rows_are_matched_by_their_records() {
    let fields = [("id", Kind::Integer)];
    let old = Made {
        origins: vec![0, 2, 3],
        dropped: vec![dropped(1, "s")],
        dead_letters: vec![dead(4, "bad")],
        ..made(&fields, &json!([{"id": 0}, {"id": 2}, {"id": 3}]))
    };
    let new = Made {
        origins: vec![1, 2, 4],
        dropped: vec![dropped(0, "s"), dropped(3, "s")],
        ..made(&fields, &json!([{"id": 1}, {"id": 2}, {"id": 4}]))
    };
    let diff = compare(&old, &new, 5);
    assert_eq!((diff.compared, diff.changed), (1, 0));
    let told: Vec<_> =
        diff.fates.iter().map(|it| (it.old.clone(), it.new.clone(), it.records)).collect();
    let drop = || Fate::Dropped { step: "s".to_owned() };
    let reject = || Fate::Rejected { step: Some("s".to_owned()), reason: "bad".to_owned() };
    assert_eq!(told, [(Fate::Row, drop(), 2), (drop(), Fate::Row, 1), (reject(), Fate::Row, 1)]);
    let key = |id: u64| JsonRow(vec![("id".to_owned(), json!(id))]);
    let shown: Vec<_> = diff.fates.iter().map(|it| it.examples[0].clone()).collect();
    assert_eq!(shown[0], FateExample { record: "lane:0".into(), key: key(0), detail: None });
    assert_eq!(shown[1], FateExample { record: "lane:1".into(), key: key(1), detail: None });
    let detail = Some("of record 4".to_owned());
    assert_eq!(shown[2], FateExample { record: "lane:4".into(), key: key(4), detail });
}

#[test]
fn of_a_rejection_step_and_reason_count() {
    let fields = [("id", Kind::Integer)];
    let rejected = |letters: Vec<DeadLetter>| Made {
        origins: Vec::new(),
        dead_letters: letters,
        ..made(&fields, &json!([]))
    };
    let other = |dead: DeadLetter| DeadLetter { detail: None, ..dead };
    let old = rejected(vec![dead(0, "a"), dead(1, "a"), dead(2, "a")]);
    let elsewhere = DeadLetter { step: None, ..dead(2, "a") };
    let new = rejected(vec![other(dead(0, "a")), dead(1, "b"), elsewhere]);
    let diff = compare(&old, &new, 3);
    assert_eq!(diff.fates.len(), 2);
    assert_eq!((diff.old.rejected, diff.new.rejected), (3, 3));
}

#[test]
fn a_delete_is_compared_by_its_key() {
    let fields = [("id", Kind::Integer), ("t", Kind::Text)];
    let deleting = |id: u64| Made {
        origins: vec![1],
        deletes: Some((batch(&fields[..1], &json!([{"id": id}])), vec![0])),
        ..made(&fields, &json!([{"id": 9, "t": "x"}]))
    };
    let diff = compare(&deleting(1), &deleting(2), 2);
    assert_eq!(counts(&diff), [("id", 0, 0, 1), ("t", 0, 0, 0)]);
    assert_eq!((diff.compared, diff.changed, diff.fates.len()), (2, 1, 0));
    assert_eq!(diff.columns[0].examples[0].record, "lane:0");
    let rejecting = Made { deletes: None, dead_letters: vec![dead(0, "no key")], ..deleting(1) };
    let diff = compare(&deleting(1), &rejecting, 2);
    assert_eq!(diff.fates[0].old, Fate::Delete);
}

#[test]
fn counts_of_steps_are_compared_by_name() {
    let fields = [("id", Kind::Integer)];
    let counting = |tallies| Made { tallies, ..made(&fields, &json!([])) };
    let old = counting(vec![("s", "a", 1), ("s", "b", 2)]);
    let new = counting(vec![("s", "b", 2), ("t", "a", 1)]);
    let mut diff = compare(&old, &new, 0);
    diff.add(compare(&old, &new, 0), 2);
    let told: Vec<_> =
        diff.tallies.iter().map(|it| (&*it.step, &*it.tally, it.old, it.new)).collect();
    assert_eq!(
        told,
        [("s", "a", Some(2), None), ("s", "b", Some(4), Some(4)), ("t", "a", None, Some(2))]
    );
    assert!(!diff.is_empty());
}

#[test]
fn examples_are_few_short_and_different() {
    let fields = [("id", Kind::Integer), ("t", Kind::Text)];
    let rows = |text: &dyn Fn(u64) -> String| {
        let rows: Vec<_> = (0..100_u64).map(|id| json!({"id": id, "t": text(id)})).collect();
        Value::Array(rows)
    };
    let old = made(&fields, &rows(&|_| "same".to_owned()));
    let new = made(&fields, &rows(&|id| if id < 5 { "x".repeat(9_999) } else { id.to_string() }));
    let mut diff = compare(&old, &new, 100);
    diff.add(compare(&old, &new, 100), 2);
    let column = &diff.columns[1];
    assert_eq!((column.value_to_other, column.examples.len()), (200, 2));
    assert_eq!(column.examples[1].new, json!("5"), "the first five are alike");
    assert_eq!(column.examples[0].new.as_str().map(|text| text.chars().count()), Some(501));
}

#[test]
fn reasons_without_end_are_summed_up() {
    let fields = [("id", Kind::Integer)];
    let old = made(&fields, &Value::Array(vec![json!({}); 2_000]));
    let new = Made {
        origins: Vec::new(),
        dead_letters: (0..2_000).map(|record| dead(record, &format!("odd {record}"))).collect(),
        ..made(&fields, &json!([]))
    };
    let diff = compare(&old, &new, 2_000);
    assert_eq!(diff.fates.iter().map(|fate| fate.records).sum::<u64>(), 2_000);
    assert_eq!(diff.fates.len(), 501);
}

/// A value as tests see it.
#[derive(Debug, Clone)]
enum Cell {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Timestamp(i64),
    TextList(Vec<String>),
    FloatList(Vec<f64>),
}

fn same(a: f64, b: f64) -> bool {
    a.is_nan() && b.is_nan() || a == b
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => {
                a == b
            }
            (Self::Float(a), Self::Float(b)) => same(*a, *b),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::TextList(a), Self::TextList(b)) => a == b,
            (Self::FloatList(a), Self::FloatList(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b))
            }
            _ => false,
        }
    }
}

/// Few different ones, so that many are the same.
fn cell(kind: Kind) -> BoxedStrategy<Option<Cell>> {
    let text =
        || prop_oneof![Just(""), Just("a"), Just("a text of more than twelve bytes"), Just("ö")];
    let float = || prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::NAN), Just(-f64::NAN)];
    let few = 0..3_usize;
    let value = match kind {
        Kind::Boolean => any::<bool>().prop_map(Cell::Boolean).boxed(),
        Kind::Integer => (0..3_i64).prop_map(Cell::Integer).boxed(),
        Kind::Float => float().prop_map(Cell::Float).boxed(),
        Kind::Text => text().prop_map(|text| Cell::Text(text.to_owned())).boxed(),
        Kind::Timestamp => (0..3_i64).prop_map(Cell::Timestamp).boxed(),
        Kind::TextList => prop::collection::vec(text().prop_map(str::to_owned), few)
            .prop_map(Cell::TextList)
            .boxed(),
        Kind::FloatList => prop::collection::vec(float(), few).prop_map(Cell::FloatList).boxed(),
    };
    prop::option::weighted(0.7, value).boxed()
}

fn column(kind: Kind, cells: &[Option<Cell>], as_views: bool) -> ArrayRef {
    use arrow::array::{
        BooleanArray, Float64Array, Float64Builder, Int64Array, ListBuilder, StringArray,
        StringBuilder, TimestampMicrosecondArray,
    };

    macro_rules! of {
        ($kind:ident) => {
            cells.iter().map(|cell| match cell {
                Some(Cell::$kind(value)) => Some(value.clone()),
                _ => None,
            })
        };
    }
    let plain: ArrayRef = match kind {
        Kind::Boolean => Arc::new(of!(Boolean).collect::<BooleanArray>()),
        Kind::Integer => Arc::new(of!(Integer).collect::<Int64Array>()),
        Kind::Float => Arc::new(of!(Float).collect::<Float64Array>()),
        Kind::Text => Arc::new(of!(Text).collect::<StringArray>()),
        Kind::Timestamp => {
            let micros = of!(Timestamp).collect::<TimestampMicrosecondArray>();
            Arc::new(micros.with_timezone("UTC"))
        }
        Kind::TextList => {
            let lists = ListBuilder::new(StringBuilder::new());
            let mut lists = lists.with_field(item(DataType::Utf8));
            of!(TextList)
                .for_each(|list| lists.append_option(list.map(|it| it.into_iter().map(Some))));
            Arc::new(lists.finish())
        }
        Kind::FloatList => {
            let lists = ListBuilder::new(Float64Builder::new());
            let mut lists = lists.with_field(item(DataType::Float64));
            of!(FloatList)
                .for_each(|list| lists.append_option(list.map(|it| it.into_iter().map(Some))));
            Arc::new(lists.finish())
        }
    };
    match kind {
        Kind::Text if as_views => cast(&plain, &DataType::Utf8View).unwrap(),
        Kind::TextList if as_views => {
            let lists = plain.as_list::<i32>();
            let items = cast(lists.values(), &DataType::Utf8View).unwrap();
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Arc::new(ListArray::new(item(DataType::Utf8View), offsets, items, nulls))
        }
        _ => plain,
    }
}

/// What becomes of a record, as tests see it.
#[derive(Debug, Clone, PartialEq)]
enum RecordEnd {
    Row(Vec<Option<Cell>>),
    Dropped(u8),
    Rejected(u8),
}

#[derive(Debug, Clone)]
struct Side {
    /// Of these among all kinds.
    kinds: Vec<Kind>,
    ends: Vec<RecordEnd>,
    as_views: bool,
    /// As if the batch was a piece of another one.
    sliced: bool,
}

fn side(records: usize) -> impl Strategy<Value = Side> {
    let kinds = prop::sample::subsequence(Kind::ALL.to_vec(), 0..=Kind::ALL.len());
    (kinds, any::<bool>(), any::<bool>()).prop_flat_map(move |(kinds, as_views, sliced)| {
        let row: Vec<_> = kinds.iter().map(|kind| cell(*kind)).collect();
        let end = prop_oneof![
            6 => row.prop_map(RecordEnd::Row),
            1 => (0..2_u8).prop_map(RecordEnd::Dropped),
            1 => (0..2_u8).prop_map(RecordEnd::Rejected),
        ];
        prop::collection::vec(end, records).prop_map(move |ends| Side {
            kinds: kinds.clone(),
            ends,
            as_views,
            sliced,
        })
    })
}

impl Side {
    fn made(&self, from: usize, to: usize) -> Made {
        let kept = || {
            self.ends[from..to].iter().zip(0..).filter_map(|(end, at): (_, u32)| match end {
                RecordEnd::Row(cells) => Some((at, cells)),
                _ => None,
            })
        };
        let origins: Vec<u32> = kept().map(|(at, _)| at).collect();
        let fields: Vec<_> = self.kinds.iter().map(|kind| Field::new(kind.name(), *kind)).collect();
        let columns = self.kinds.iter().enumerate().map(|(at, kind)| {
            let mut cells: Vec<_> = kept().map(|(_, cells)| cells[at].clone()).collect();
            if self.sliced {
                cells.insert(0, None);
            }
            let whole = column(*kind, &cells, self.as_views);
            if self.sliced { whole.slice(1, cells.len() - 1) } else { whole }
        });
        let columns = columns.collect();
        let step = |of: u8| format!("step {of}");
        let ends = || self.ends[from..to].iter().zip(0..);
        Made {
            rows: Batch::new(origins.len(), fields.into(), columns),
            origins,
            deletes: None,
            dropped: ends()
                .filter_map(|(end, at)| match end {
                    RecordEnd::Dropped(of) => Some(dropped(at, &step(*of))),
                    _ => None,
                })
                .collect(),
            dead_letters: ends()
                .filter_map(|(end, at)| match end {
                    RecordEnd::Rejected(of) => {
                        Some(DeadLetter { detail: None, ..dead(at, &step(*of)) })
                    }
                    _ => None,
                })
                .collect(),
            tallies: Vec::new(),
        }
    }

    fn cell(&self, record: usize, kind: Kind) -> Option<Option<&Cell>> {
        let RecordEnd::Row(cells) = &self.ends[record] else { return None };
        let at = self.kinds.iter().position(|known| *known == kind);
        Some(at.and_then(|at| cells[at].as_ref()))
    }
}

fn sides() -> impl Strategy<Value = (Side, Side)> {
    (0..12_usize).prop_flat_map(|records| (side(records), side(records)))
}

proptest! {
    #[test]
    fn the_counts_are_those_of_a_comparison_row_by_row((old, new) in sides(), cut in 0..12_usize) {
        let records = old.ends.len();
        let cut = cut.min(records);
        let (whole_old, whole_new) = (old.made(0, records), new.made(0, records));
        let comparison = Comparison::new(whole_old.rows.fields(), whole_new.rows.fields(), [], 1);
        let compare = |from: usize, to: usize| {
            let (old, new) = (old.made(from, to), new.made(from, to));
            let place = |record: u32| place(record + from as u32);
            comparison.compare(to - from, &old.outcome(), &new.outcome(), &place)
        };
        let mut diff = compare(0, cut);
        diff.add(compare(cut, records), 1);
        prop_assert_eq!(&diff, &compare(0, records), "however it is cut");

        let is_row = |record: &usize| old.cell(*record, Kind::Text).and(new.cell(*record, Kind::Text)).is_some();
        let both: Vec<usize> = (0..records).filter(is_row).collect();
        prop_assert_eq!(diff.compared, both.len() as u64);
        let mut changed = vec![false; records];
        for column in &diff.columns {
            let kind = column.old_type.or(column.new_type).expect("one has it");
            let mut counts = [0; 3];
            for record in &both {
                let pair = (old.cell(*record, kind).unwrap(), new.cell(*record, kind).unwrap());
                let at = match pair {
                    (None, Some(_)) => 0,
                    (Some(_), None) => 1,
                    (old, new) if old != new => 2,
                    _ => continue,
                };
                counts[at] += 1;
                changed[*record] |= column.old_type == column.new_type;
            }
            prop_assert_eq!([column.null_to_value, column.value_to_null, column.value_to_other], counts);
        }
        prop_assert_eq!(diff.changed, changed.iter().filter(|it| **it).count() as u64);

        let other_ends = (0..records).filter(|record| {
            let (old, new) = (&old.ends[*record], &new.ends[*record]);
            !(is_row(record) || old == new)
        });
        prop_assert_eq!(diff.fates.iter().map(|it| it.records).sum::<u64>(), other_ends.count() as u64);
    }

    #[test]
    fn nothing_differs_from_itself(side in (0..12_usize).prop_flat_map(side), as_views: bool) {
        let records = side.ends.len();
        let again = Side { as_views, ..side.clone() };
        let (old, new) = (side.made(0, records), again.made(0, records));
        let comparison = Comparison::new(old.rows.fields(), new.rows.fields(), [], 3);
        let diff = comparison.compare(records, &old.outcome(), &new.outcome(), &place);
        prop_assert!(diff.is_empty(), "{:?}", diff);
    }
}
