//! A plugin's tests: JSON rows in, JSON rows out, no sandbox.
//!
//! Every run checks two things by itself: that the answer keeps the contract, and that what becomes of
//! a row is the same in a batch, alone, and with the batch reversed.

use std::collections::BTreeMap;

use serde_json::Map;
pub use serde_json::{Value as Json, json};

use crate::contract::{Change, Cleaned, Column, ColumnData, ColumnType, Finding, Rejection};
use crate::kernels::bits;
use crate::kind::{self, Kind};
use crate::native::Native;
use crate::{
    Boolean, Float, FloatList, Integer, Plugin, Text, TextList, Timestamp, kind_name, view,
};

mod time;

/// What came of some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaning {
    /// The rows that stayed, in order, as objects. A null is there as `null`.
    pub rows: Json,
    /// The numbers of rows that were dropped.
    pub dropped: Vec<usize>,
    /// `{"row": 1, "reason": "...", "detail": "..."}`, without the detail if there is none.
    pub rejected: Json,
    pub tallies: BTreeMap<String, u32>,
}

/// A plugin with its configuration, to try on rows.
#[derive(Debug)]
pub struct Bench {
    config: Json,
    kinds: BTreeMap<String, ColumnType>,
}

/// Cleans rows: an array of objects. The kinds of columns are told by their values, see [`Bench`].
///
/// # Panics
/// If the configuration does not hold, or the plugin breaks the contract.
pub fn clean<P: Plugin>(config: Json, rows: Json) -> Cleaning {
    Bench::new(config).clean::<P>(rows)
}

/// What is wrong with a configuration, on the columns of these rows.
///
/// # Panics
/// If nothing is.
pub fn findings<P: Plugin>(config: Json, rows: Json) -> Vec<Finding> {
    Bench::new(config).try_clean::<P>(rows).expect_err("the configuration holds")
}

impl Bench {
    pub fn new(config: Json) -> Self {
        Self { config, kinds: BTreeMap::new() }
    }

    /// Says what kind a column is. Otherwise a column is what its values are, or text if all are
    /// null: a whole number is an integer, an empty list a text-list. Timestamps, in RFC 3339 with
    /// `Z`, are always told by this.
    #[must_use]
    pub fn kind(mut self, column: &str, kind: ColumnType) -> Self {
        self.kinds.insert(column.to_owned(), kind);
        self
    }

    /// As [`clean`].
    ///
    /// # Panics
    /// If the configuration does not hold, or the plugin breaks the contract.
    pub fn clean<P: Plugin>(&self, rows: Json) -> Cleaning {
        self.try_clean::<P>(rows).unwrap_or_else(|findings| panic!("{findings:#?}"))
    }

    /// As [`clean`]; findings, if the configuration does not hold.
    ///
    /// # Panics
    /// If the plugin breaks the contract.
    pub fn try_clean<P: Plugin>(&self, rows: Json) -> Result<Cleaning, Vec<Finding>> {
        let Json::Array(rows) = rows else { panic!("rows are an array") };
        let table = Table::new(&rows, &self.kinds);
        let columns = || {
            let column = |(name, &kind): (&String, _)| Column { name: name.clone(), kind };
            table.kinds.iter().map(column).collect()
        };
        let config = self.config.to_string();
        let plugin = Native::<P>::configure(&config, columns())?;
        if rows.is_empty() {
            let tallies = plugin.plan().tallies.iter().map(|name| (name.clone(), 0)).collect();
            return Ok(Cleaning { rows: json!([]), dropped: vec![], rejected: json!([]), tallies });
        }
        let order: Vec<usize> = (0..rows.len()).collect();
        let whole = table.clean(&plugin, &order);
        let reversed: Vec<usize> = order.iter().rev().copied().collect();
        assert_eq!(table.clean(&plugin, &reversed), whole, "the order of rows makes a difference");
        // On a new instance, as rows seen before should make none either.
        let plugin = Native::<P>::configure(&config, columns())?;
        let mut alone = Outcomes::default();
        for &row in &order {
            alone.add(table.clean(&plugin, &[row]));
        }
        assert_eq!(alone, whole, "a row alone becomes something else than in a batch");
        Ok(whole.cleaning())
    }
}

/// What became of each row, by its number.
#[derive(Debug, PartialEq, Default)]
struct Outcomes {
    rows: BTreeMap<usize, Outcome>,
    tallies: BTreeMap<String, u32>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Kept(Json),
    Dropped,
    Rejected { reason: String, detail: Option<String> },
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        for (name, count) in other.tallies {
            *self.tallies.entry(name).or_default() += count;
        }
    }

    fn cleaning(self) -> Cleaning {
        let (mut rows, mut dropped, mut rejected) = (vec![], vec![], vec![]);
        for (row, outcome) in self.rows {
            match outcome {
                Outcome::Kept(json) => rows.push(json),
                Outcome::Dropped => dropped.push(row),
                Outcome::Rejected { reason, detail: None } => {
                    rejected.push(json!({"row": row, "reason": reason}));
                }
                Outcome::Rejected { reason, detail } => {
                    rejected.push(json!({"row": row, "reason": reason, "detail": detail}));
                }
            }
        }
        Cleaning {
            rows: Json::Array(rows),
            dropped,
            rejected: Json::Array(rejected),
            tallies: self.tallies,
        }
    }
}

/// Rows with the kinds of their columns.
struct Table<'a> {
    rows: &'a [Json],
    kinds: BTreeMap<String, ColumnType>,
}

impl<'a> Table<'a> {
    fn new(rows: &'a [Json], declared: &BTreeMap<String, ColumnType>) -> Self {
        let mut values: BTreeMap<&String, Vec<&Json>> =
            declared.keys().map(|name| (name, vec![])).collect();
        for row in rows {
            for (name, value) in row.as_object().expect("a row is an object") {
                values.entry(name).or_default().push(value);
            }
        }
        let kind = |(name, values): (&String, Vec<&Json>)| {
            let kind = declared.get(name).copied();
            (name.clone(), kind.unwrap_or_else(|| infer(name, &values)))
        };
        Self { rows, kinds: values.into_iter().map(kind).collect() }
    }

    /// What becomes of some of the rows.
    fn clean<P: Plugin>(&self, plugin: &Native<P>, order: &[usize]) -> Outcomes {
        let plan = plugin.plan();
        let column = |name: &String| {
            let values = order.iter().map(|&row| self.rows[row].get(name).unwrap_or(&Json::Null));
            column(name, self.kinds[name], values)
        };
        let reads: Vec<ColumnData> = plan.reads.iter().map(column).collect();
        let views: Vec<view::ColumnData<'_>> = reads.iter().map(view_of).collect();
        let cleaned = plugin.clean(order.len(), &views).unwrap_or_else(|error| panic!("{error}"));

        let Cleaned { changes, dropped, rejected, tallies } = cleaned;
        assert_eq!(changes.len(), plan.writes.len(), "as many changes as columns written");
        assert_eq!(tallies.len(), plan.tallies.len(), "as many counts as tallies");
        check_rows("dropped", dropped.iter().copied(), order.len());
        check_rows("rejected", rejected.iter().map(|rejection| rejection.row), order.len());
        let written = plan.writes.iter().zip(&changes).map(|(write, change)| {
            let before = plan.reads.iter().position(|name| *name == write.name);
            let before = before.filter(|_| self.kinds[&write.name] == write.kind);
            let data = apply(change, before.map(|read| &reads[read]), &reads, order.len());
            assert_eq!(
                view_of(&data).values.kind(),
                write.kind,
                "the kind planned for {}",
                write.name
            );
            (write.name.clone(), data)
        });
        let written: Vec<(String, ColumnData)> = written.collect();

        let mut rows = BTreeMap::new();
        for (at, &row) in order.iter().enumerate() {
            let mut json = Map::new();
            for (name, &kind) in &self.kinds {
                // As it came in, by way of a column: 1 in a column of floats is 1.0.
                let values = [self.rows[row].get(name).unwrap_or(&Json::Null)];
                json.insert(name.clone(), value(&column_of(name, kind, &values), 0));
            }
            for (name, data) in &written {
                json.insert(name.clone(), value(data, at));
            }
            rows.insert(row, Outcome::Kept(Json::Object(json)));
        }
        for &at in &dropped {
            rows.insert(order[at as usize], Outcome::Dropped);
        }
        for Rejection { row, reason, detail } in rejected {
            assert!(!reason.is_empty() && reason.len() <= 200, "a reason has 1 to 200 bytes");
            assert!(!dropped.contains(&row), "row {row} is both dropped and rejected");
            rows.insert(order[row as usize], Outcome::Rejected { reason, detail });
        }
        Outcomes { rows, tallies: plan.tallies.iter().cloned().zip(tallies).collect() }
    }
}

fn check_rows(what: &str, rows: impl Iterator<Item = u32>, count: usize) {
    let rows: Vec<u32> = rows.collect();
    assert!(rows.is_sorted_by(|a, b| a < b), "{what} rows are not ascending: {rows:?}");
    assert!(rows.iter().all(|&row| (row as usize) < count), "{what} rows do not exist: {rows:?}");
}

fn infer(name: &str, values: &[&Json]) -> ColumnType {
    let kind = |value: &Json| match value {
        Json::Null => None,
        Json::Bool(_) => Some(ColumnType::Boolean),
        Json::Number(number) if number.is_i64() => Some(ColumnType::Integer),
        Json::Number(_) => Some(ColumnType::Float),
        Json::String(_) => Some(ColumnType::Text),
        Json::Array(items) if items.first().is_some_and(Json::is_number) => {
            Some(ColumnType::FloatList)
        }
        Json::Array(_) => Some(ColumnType::TextList),
        Json::Object(_) => panic!("`{name}` has no kind: an object is no value"),
    };
    let either = |a, b| match (a, b) {
        (a, b) if a == b => a,
        (ColumnType::Integer, ColumnType::Float) | (ColumnType::Float, ColumnType::Integer) => {
            ColumnType::Float
        }
        (a, b) => panic!("`{name}` is both {} and {}", kind_name(a), kind_name(b)),
    };
    values.iter().filter_map(|value| kind(value)).reduce(either).unwrap_or(ColumnType::Text)
}

fn view_of(data: &ColumnData) -> view::ColumnData<'_> {
    view::ColumnData::new(data).expect("texts are UTF-8, one behind the other")
}

fn column_of(name: &str, kind: ColumnType, values: &[&Json]) -> ColumnData {
    column(name, kind, values.iter().copied())
}

fn column<'j>(
    name: &str,
    kind: ColumnType,
    values: impl ExactSizeIterator<Item = &'j Json>,
) -> ColumnData {
    fn build<'j, K: Kind, V: kind::Put<K>>(
        name: &str,
        values: impl ExactSizeIterator<Item = &'j Json>,
        read: impl Fn(&'j Json) -> Option<V>,
    ) -> ColumnData {
        let rows = values.len();
        let (mut builder, mut valid) = (K::builder(rows), bits::owned(None, rows));
        for (row, value) in values.enumerate() {
            if value.is_null() {
                K::put_null(&mut builder);
                bits::clear(&mut valid, row);
            } else {
                let value = read(value);
                let value = value.unwrap_or_else(|| panic!("`{name}` is {}", kind_name(K::TYPE)));
                value.put(&mut builder);
            }
        }
        ColumnData { values: K::finish(builder), valid: Some(valid) }
    }
    fn list<'j, T>(value: &'j Json, item: impl Fn(&'j Json) -> Option<T>) -> Option<Vec<T>> {
        value.as_array()?.iter().map(item).collect()
    }
    match kind {
        ColumnType::Boolean => build::<Boolean, _>(name, values, Json::as_bool),
        ColumnType::Integer => build::<Integer, _>(name, values, Json::as_i64),
        ColumnType::Float => build::<Float, _>(name, values, Json::as_f64),
        ColumnType::Text => build::<Text, _>(name, values, Json::as_str),
        ColumnType::Timestamp => {
            build::<Timestamp, _>(name, values, |value| time::parse(value.as_str()?))
        }
        ColumnType::TextList => {
            build::<TextList, _>(name, values, |value| list(value, Json::as_str))
        }
        ColumnType::FloatList => {
            build::<FloatList, _>(name, values, |value| list(value, Json::as_f64))
        }
    }
}

fn value(data: &ColumnData, row: usize) -> Json {
    let view = view_of(data);
    if !view::is_valid(view.valid, row) {
        return Json::Null;
    }
    match view.values {
        view::Values::Boolean(values) => json!(Boolean::get(values, row)),
        view::Values::Integer(values) => json!(values[row]),
        view::Values::Float(values) => json!(values[row]),
        view::Values::Text(values) => json!(values.get(row)),
        view::Values::Timestamp(values) => json!(time::format(values[row])),
        view::Values::TextList(values) => {
            json!(TextList::get(values, row).iter().collect::<Vec<_>>())
        }
        view::Values::FloatList(values) => json!(FloatList::get(values, row)),
    }
}

/// What a column is after a change, as the host makes it.
///
/// # Panics
/// If the change breaks the contract.
pub fn apply(
    change: &Change,
    before: Option<&ColumnData>,
    reads: &[ColumnData],
    rows: usize,
) -> ColumnData {
    let own = || before.expect("a column that is read and keeps its kind");
    let text = |column: u32| match view_of(&reads[column as usize]) {
        view::ColumnData { values: view::Values::Text(texts), valid } => (texts, valid),
        _ => panic!("pieces come from a text column"),
    };
    // The column's own nulls, or those that the change brings.
    let nulls = |new: &Option<Vec<u8>>, old: Option<&[u8]>| {
        let Some(new) = new else {
            return old.map(<[u8]>::to_vec);
        };
        assert_eq!(new.len(), rows.div_ceil(8), "a bit for each row");
        for row in 0..rows {
            assert!(view::is_valid(old, row) || !bits::get(new, row), "null {row} became a value");
        }
        Some(new.clone())
    };
    match change {
        Change::Unchanged => own().clone(),
        Change::Nulls(valid) => ColumnData {
            values: own().values.clone(),
            valid: nulls(&Some(valid.clone()), own().valid.as_deref()),
        },
        Change::Patched(patch) => {
            check_rows("patched", patch.rows.iter().copied(), rows);
            assert!(view_of(&patch.data).values.fit(patch.rows.len()), "a value for each row");
            let kind = view_of(own()).values.kind();
            let values: Vec<Json> = (0..rows)
                .map(|row| match patch.rows.binary_search(&(row as u32)) {
                    Ok(at) => value(&patch.data, at),
                    Err(_) => value(own(), row),
                })
                .collect();
            column("patched", kind, values.iter())
        }
        Change::Slices(slices) => {
            let (texts, valid) = text(slices.column);
            assert_eq!(
                (slices.starts.len(), slices.ends.len()),
                (rows, rows),
                "a piece for each row"
            );
            let values: Vec<Json> = (0..rows)
                .map(|row| {
                    json!(texts.get(row)[slices.starts[row] as usize..slices.ends[row] as usize])
                })
                .collect();
            let valid = nulls(&slices.valid, valid);
            ColumnData { valid, ..column("slices", ColumnType::Text, values.iter()) }
        }
        Change::ListSlices(lists) => {
            let (texts, valid) = text(lists.column);
            let items = lists.starts.len();
            assert_eq!(lists.ends.len(), items, "as many ends as starts");
            assert!(
                lists.offsets.len() == rows + 1 && lists.offsets.is_sorted(),
                "a list for each row"
            );
            assert_eq!(
                (lists.offsets[0], lists.offsets[rows] as usize),
                (0, items),
                "no item over"
            );
            let values: Vec<Json> = (0..rows)
                .map(|row| {
                    let items = lists.offsets[row] as usize..lists.offsets[row + 1] as usize;
                    let piece = |item| {
                        json!(
                            texts.get(row)[lists.starts[item] as usize..lists.ends[item] as usize]
                        )
                    };
                    items.map(piece).collect()
                })
                .collect();
            let valid = nulls(&lists.valid, valid);
            ColumnData { valid, ..column("lists", ColumnType::TextList, values.iter()) }
        }
        Change::Replaced(data) => {
            let view = view_of(data);
            assert!(view.values.fit(rows), "a value for each row");
            assert!(
                view.valid.is_none_or(|valid| valid.len() == rows.div_ceil(8)),
                "a bit for each row"
            );
            data.clone()
        }
    }
}
