//! From records to a proposal.

use serde_json::{Map, Value, json};

use super::column::{Cleaning, Reading, reading};
use super::json::Json;
use super::key::{Likeness, likeness};
use super::name::{Names, ends_in};
use super::seen::Seen;
use super::text::Untidy;
use super::{FieldPlace, Proposal, ProposedField, ProposedStep};
use crate::record::Kind;

/// With fewer records, nothing can be said about what all of them have.
const REQUIRED_OF_RECORDS: u64 = 20;

/// Fields beyond these go into the rest.
const FIELDS_MAX: usize = 400;

/// How deeply nested objects are flattened.
const DEPTH_MAX: usize = 8;

/// The score from which a column's name suggests that it is the record's own key.
const TELLING: u8 = 70;

/// The column for everything that no other column holds.
const REST: &str = "rest";

/// What these records say about all the others. None if there is no object among them.
pub fn propose<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<Proposal> {
    let mut trees = Vec::new();
    let mut unreadable = 0;
    for record in records {
        match serde_json::from_slice(record) {
            Ok(tree @ Json::Object(_)) => trees.push(tree),
            Ok(_) | Err(_) => unreadable += 1,
        }
    }
    if trees.is_empty() {
        return None;
    }
    let unwrap = envelope(&trees);
    let mut root = Seen::default();
    for tree in &trees {
        let inner = unwrap.as_ref().and_then(|member| tree.member(member));
        root.see(inner.unwrap_or(tree));
    }
    let records = trees.len() as u64;
    let mut leaves = Leaves::default();
    leaves.walk(&root, &[]);
    Some(Proposal { unwrap, unreadable, ..leaves.proposal(records) })
}

/// The member that holds the records, if each object is a page of them.
pub fn wrapper<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    /// With more pages than this, the file was made of pages on purpose.
    const PAGES_MAX: usize = 3;
    let mut records = records.into_iter();
    let pages: Vec<Json> = records
        .by_ref()
        .take(PAGES_MAX)
        .map(|page| serde_json::from_slice(page).ok())
        .collect::<Option<_>>()?;
    if records.next().is_some() {
        return None;
    }
    let holds = |value: &Json| match value {
        Json::List(items) => items.iter().all(|item| item.members().is_some()),
        _ => false,
    };
    let first = pages.first()?.members()?;
    let (member, _) = first.iter().find(|(member, value)| {
        let others_max = PAGE_MEMBERS.iter().find(|(known, _)| known == member);
        others_max.is_some_and(|(_, most)| first.len() <= 1 + most) && holds(value)
    })?;
    pages.iter().all(|page| page.member(member).is_some_and(holds)).then(|| member.clone())
}

/// Members in which pages hold their records, and how many other members a page has at most: a record may
/// itself have a list of items.
const PAGE_MEMBERS: [(&str, usize); 9] = [
    ("data", 6),
    ("records", 6),
    ("results", 6),
    ("rows", 6),
    ("value", 3),
    ("hits", 6),
    ("entries", 3),
    ("events", 2),
    ("items", 1),
];

/// The member that holds the record in each of these: the only one, or Kafka Connect's `payload`.
fn envelope(trees: &[Json]) -> Option<String> {
    let first = trees.first()?.members()?;
    let member = match first {
        [(only, Json::Object(_))] => only.as_str(),
        [..] if first.len() == 2 && first.iter().any(|(key, _)| key == "schema") => "payload",
        _ => return None,
    };
    let holds = |tree: &Json| {
        let members = tree.members().unwrap_or_default();
        let is_its = |key: &str| key == member || key == "schema" && member == "payload";
        members.iter().all(|(key, _)| is_its(key))
            && matches!(tree.member(member), Some(Json::Object(_)))
    };
    trees.iter().all(holds).then(|| member.to_owned())
}

/// The places that become columns, and those that don't.
#[derive(Default)]
struct Leaves<'a> {
    leaves: Vec<(Vec<String>, &'a Seen)>,
    /// What no column holds, and why.
    others: Vec<(Vec<String>, &'static str)>,
}

impl<'a> Leaves<'a> {
    fn walk(&mut self, object: &'a Seen, path: &[String]) {
        for (key, seen) in object.members() {
            let path = [path, std::slice::from_ref(key)].concat();
            let has_text = seen.values() - seen.objects - seen.lists.lists > 0;
            let is_odd = key.is_empty() || key.chars().any(char::is_control);
            let why = if is_odd || key.contains('.') && path.len() > 1 {
                Some("its key is no part of a path")
            } else if self.leaves.len() >= FIELDS_MAX {
                Some("there are more fields than a table has columns")
            } else if seen.objects > 0 && (has_text || seen.lists.lists > 0) {
                Some("it is an object in some records and not in others")
            } else if seen.objects > 0 && seen.members().is_empty() {
                Some("its objects are empty")
            } else if seen.objects > 0 && seen.is_map() {
                Some("its keys are data")
            } else if seen.objects > 0 && path.len() >= DEPTH_MAX {
                Some("it is nested too deeply")
            } else if seen.lists.lists > 0 {
                lists(seen, has_text)
            } else {
                None
            };
            match why {
                Some(why) => self.others.push((path, why)),
                None if seen.objects > 0 => self.walk(seen, &path),
                None => self.leaves.push((path, seen)),
            }
        }
    }

    fn proposal(self, records: u64) -> Proposal {
        let mut names = Names::default();
        // A column of this name is the rest's.
        if !self.others.is_empty() {
            names.only(REST.to_owned());
        }
        let mut columns = Vec::new();
        for (path, seen) in self.leaves {
            let name = names.name(&path);
            let reading = match seen.lists.lists {
                0 => reading(&name, seen),
                _ => list(seen),
            };
            columns.push(Column { name, path, seen, reading });
        }
        let key = key(&columns, records);
        let mut notes = Vec::new();
        let key = match key {
            Some((at, Likeness::Key(_))) => Some(at),
            Some((at, Likeness::Repeated(score))) if score >= TELLING => {
                let name = &columns[at].name;
                notes.push(format!(
                    "{name} has repeats: with `key: [{name}]` in the sink, the newest row of each is kept"
                ));
                None
            }
            Some((_, Likeness::Repeated(_))) | None => None,
        };
        let steps = steps(&columns);
        let mut fields: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| column.field(records, key == Some(at)))
            .collect();
        if !self.others.is_empty() {
            fields.push(rest(&self.others, records));
        }
        Proposal {
            records,
            unreadable: 0,
            unwrap: None,
            key: key.map(|at| columns[at].name.clone()),
            fields,
            steps,
            notes,
        }
    }
}

/// Why a list is no column, if it isn't one.
fn lists(seen: &Seen, has_others: bool) -> Option<&'static str> {
    let lists = &seen.lists;
    if has_others {
        Some("it is a list in some records and not in others")
    } else if lists.objects > 0 {
        Some("it is a list of objects")
    } else if lists.others > 0 || lists.texts > 0 && lists.numbers > 0 {
        Some("its items are of several types, or null")
    } else if lists.empty == lists.lists {
        Some("its lists are empty")
    } else {
        None
    }
}

fn list(seen: &Seen) -> Reading {
    Reading::list(if seen.lists.texts > 0 { Kind::TextList } else { Kind::FloatList })
}

struct Column<'a> {
    name: String,
    path: Vec<String>,
    seen: &'a Seen,
    reading: Reading,
}

impl Column<'_> {
    fn field(&self, records: u64, is_key: bool) -> ProposedField {
        let Self { name, path, seen, reading } = self;
        let values = seen.values();
        let from = match &path[..] {
            [key] if key == name => FieldPlace::Name,
            [key] if key.contains('.') => FieldPlace::Alias(key.clone()),
            _ => FieldPlace::Path(path.clone()),
        };
        ProposedField {
            name: name.clone(),
            from,
            kind: reading.kind,
            becomes: reading.becomes,
            coerce: reading.coerce,
            required: values == records && (is_key || records >= REQUIRED_OF_RECORDS),
            key: is_key,
            values,
            note: reading.note.clone(),
        }
    }
}

fn rest(others: &[(Vec<String>, &'static str)], records: u64) -> ProposedField {
    const SHOWN_MAX: usize = 5;
    let shown = others.iter().take(SHOWN_MAX);
    let mut shown: Vec<_> = shown.map(|(path, why)| format!("{}: {why}", path.join("."))).collect();
    if others.len() > SHOWN_MAX {
        shown.push(format!("{} more", others.len() - SHOWN_MAX));
    }
    ProposedField {
        name: REST.to_owned(),
        from: FieldPlace::Rest,
        kind: Kind::Text,
        becomes: Kind::Text,
        coerce: false,
        required: false,
        key: false,
        values: records,
        note: Some(format!("what is not declared, as JSON. {}", shown.join("; "))),
    }
}

/// The column that looks most like a key; of several, the first.
fn key(columns: &[Column<'_>], records: u64) -> Option<(usize, Likeness)> {
    let likeness = |column: &Column<'_>| {
        likeness(&column.name, column.path.len() - 1, column.seen, &column.reading, records)
    };
    let known = columns.iter().enumerate();
    let known = known.filter_map(|(at, column)| Some((at, likeness(column)?)));
    // What is called an id and has repeats tells more than what is called a code and has none.
    known.max_by_key(|(at, likeness)| {
        let (score, is_key) = match likeness {
            Likeness::Key(score) => (*score, true),
            Likeness::Repeated(score) => (*score, false),
        };
        (score, is_key, std::cmp::Reverse(*at))
    })
}

fn steps(columns: &[Column<'_>]) -> Vec<ProposedStep> {
    let mut steps = Vec::new();
    steps.extend(tidy(columns));
    steps.extend(placeholders(columns));
    for column in columns {
        let name = &column.name;
        let (end, plugin, with, note) = match &column.reading.cleaning {
            Cleaning::None => continue,
            Cleaning::Times(forms) => (
                "time",
                "timestamps",
                json!({ "column": name, "forms": forms, "otherwise": "reject" }),
                "Texts become times; one in another form is a dead letter.",
            ),
            Cleaning::Counts => (
                "count",
                "follower-count",
                json!({ "column": name, "otherwise": "reject" }),
                "Counts become integers; what is none is a dead letter.",
            ),
            Cleaning::Tags => {
                ("tags", "tags", json!({ "column": name }), "A text with commas becomes a list.")
            }
        };
        let Value::Object(with) = with else { unreachable!("they are objects") };
        steps.push(ProposedStep {
            id: Some(format!("{name}-{end}")),
            plugin,
            with,
            note: note.to_owned(),
            is_idea: false,
        });
    }
    steps.extend(place(columns));
    steps
}

fn tidy(columns: &[Column<'_>]) -> Option<ProposedStep> {
    let untidy: Vec<_> = columns.iter().filter(|column| !column.reading.untidy.is_tidy()).collect();
    let all = untidy.iter().map(|column| column.reading.untidy);
    let all = all.reduce(Untidy::or)?;
    let mut with = Map::new();
    let names: Vec<_> = untidy.iter().map(|column| column.name.as_str()).collect();
    with.insert("columns".to_owned(), json!(names));
    let mut notes = Vec::new();
    for (is_seen, option, note) in [
        (all.entities, "entities", "entities of HTML"),
        (all.controls, "controls", "control characters"),
        (all.blanks, "blanks", "no-break spaces"),
        (all.trim, "trim", "blanks at the ends"),
    ] {
        if is_seen {
            with.insert(option.to_owned(), json!(true));
            notes.push(note);
        }
    }
    let note = format!("Seen in the sample: {}.", notes.join(", "));
    Some(ProposedStep { id: None, plugin: "text-tidy", with, note, is_idea: false })
}

fn placeholders(columns: &[Column<'_>]) -> Option<ProposedStep> {
    let has_some =
        |column: &&Column<'_>| !column.reading.placeholders.is_empty() || column.reading.has_empty;
    let columns: Map<_, _> = columns
        .iter()
        .filter(has_some)
        .map(|column| (column.name.clone(), json!(column.reading.placeholders)))
        .collect();
    if columns.is_empty() {
        return None;
    }
    let mut with = Map::new();
    with.insert("columns".to_owned(), Value::Object(columns));
    let note = "Texts that stand for no value become null, and so does the empty text.".to_owned();
    Some(ProposedStep { id: None, plugin: "placeholders", with, note, is_idea: false })
}

/// A latitude and a longitude may be one place.
fn place(columns: &[Column<'_>]) -> Option<ProposedStep> {
    let named = |names: &[&str]| {
        let is_degree = |column: &&Column<'_>| {
            matches!(column.reading.kind, Kind::Float | Kind::Integer)
                && ends_in(&column.name, names)
        };
        columns.iter().find(is_degree)
    };
    let latitude = named(&["latitude", "lat"])?;
    let longitude = named(&["longitude", "lon", "lng", "long"])?;
    let with = json!({ "latitude": latitude.name, "longitude": longitude.name });
    let Value::Object(with) = with else { unreachable!("it is an object") };
    let note = "Latitude and longitude in one list, if that is wanted.".to_owned();
    Some(ProposedStep { id: None, plugin: "geo-merge", with, note, is_idea: true })
}
