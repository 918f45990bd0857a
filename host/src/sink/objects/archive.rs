//! Records as they came, where there is no rule: a line each, and beside each object its index.
//!
//! Objects are named as the S3 sink of Kafka Connect names them, where records have a topic, a partition
//! and an offset; others as rows are.

use std::collections::BTreeMap;

use object_store::PutPayload;

use super::KeyLayout;
use super::compress::Codec;
use super::key::hive;
use super::rows::{NewName, NewObject};
use crate::objects::{Data, IndexEntry, IndexHead, index};
use crate::record::time::Rfc3339;
use crate::record::{Lane, Position, Record, UnitPart};

/// Digits of an offset, as Kafka Connect writes them.
const OFFSET_DIGITS: usize = 10;

#[derive(Debug, Clone, Copy)]
pub(super) struct Archive {
    pub layout: KeyLayout,
    pub codec: Option<Codec>,
    pub object_bytes: u64,
}

/// Objects that get records, by the folder and stem of their names.
type Open = BTreeMap<Option<Group>, OpenObject>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    folder: String,
    stem: String,
}

#[derive(Debug)]
struct OpenObject {
    /// The first record's.
    offset: i64,
    topic: Option<String>,
    partition: Option<i64>,
    records: u64,
    /// The position behind the last record.
    to: Option<Position>,
    bytes: Vec<u8>,
    index: Vec<u8>,
}

impl Archive {
    /// What stays the same for the life of a lane.
    pub fn target(&self) -> String {
        let layout = match self.layout {
            KeyLayout::Connect => "connect",
            KeyLayout::Daily => "daily",
            KeyLayout::Hourly => "hourly",
            KeyLayout::Lane => "lane",
        };
        format!("records as they came, keys by {layout}")
    }

    /// The objects of those parts that are records as they came, each followed by its index.
    pub fn objects(&self, lane: Option<&Lane>, parts: &[&UnitPart]) -> Vec<NewObject> {
        let mut open = Open::new();
        let mut objects = Vec::new();
        for part in parts {
            for origin in &part.origins {
                let at = *origin as usize;
                let (position, next) = (part.raw.position(at), part.raw.next_position(at));
                part.raw.read(at, |record| {
                    let group = self.group(record);
                    let object =
                        open.entry(group.clone()).or_insert_with(|| OpenObject::new(record));
                    let is_other = object.topic.as_deref() != record.topic
                        || object.partition != record.partition;
                    if is_other {
                        let full = std::mem::replace(object, OpenObject::new(record));
                        self.finish(lane, group.as_ref(), full, &mut objects);
                    }
                    object.push(position, next, record);
                    if object.bytes.len() as u64 >= self.object_bytes {
                        let full = open.remove(&group).expect("it was there");
                        self.finish(lane, group.as_ref(), full, &mut objects);
                    }
                });
            }
        }
        for (group, rest) in open {
            self.finish(lane, group.as_ref(), rest, &mut objects);
        }
        objects
    }

    /// Where a record belongs; none if that is by its lane.
    fn group(&self, record: &Record<'_>) -> Option<Group> {
        let (topic, partition) = (record.topic?, record.partition?);
        record.offset?;
        let mut escaped = String::new();
        hive(topic, &mut escaped);
        // As a whole name they lead elsewhere.
        if matches!(escaped.as_str(), "." | "..") {
            escaped = escaped.replace('.', "%2E");
        }
        let folder = match self.layout {
            KeyLayout::Lane => return None,
            KeyLayout::Connect => format!("partition={partition}"),
            KeyLayout::Daily => days(record.timestamp_micros, false),
            KeyLayout::Hourly => days(record.timestamp_micros, true),
        };
        let folder = format!("topics/{escaped}/{folder}/");
        Some(Group { folder, stem: format!("{escaped}+{partition}") })
    }

    fn finish(
        &self,
        lane: Option<&Lane>,
        group: Option<&Group>,
        object: OpenObject,
        objects: &mut Vec<NewObject>,
    ) {
        let head = IndexHead {
            format: index::FORMAT,
            lane: lane.map(|lane| lane.name().into()),
            topic: object.topic.as_deref().map(Into::into),
            partition: object.partition,
            records: object.records,
            bytes: object.bytes.len() as u64,
            to: object.to,
        };
        let mut lines = Vec::new();
        index::push(&head, &mut lines);
        let index = Codec::Zstd.compress([&lines[..], &object.index[..]]);
        let body: PutPayload = match self.codec {
            Some(codec) => codec.compress([&object.bytes[..]]).into(),
            None => object.bytes.into(),
        };
        let name = match group {
            Some(Group { folder, stem }) => {
                let extension =
                    self.codec.map_or_else(String::new, |codec| format!(".{}", codec.extension()));
                let offset = object.offset;
                NewName::Key(format!("{folder}{stem}+{offset:0OFFSET_DIGITS$}.json{extension}"))
            }
            None => {
                let before = objects.iter().filter(|object| object.name.is_by_number());
                NewName::Number { folder: String::new().into(), index: before.count() }
            }
        };
        let of = NewName::Index(Box::new(name.clone()));
        objects.push(NewObject { name, rows: object.records, body });
        objects.push(NewObject { name: of, rows: 0, body: index.into() });
    }
}

impl OpenObject {
    fn new(first: &Record<'_>) -> Self {
        Self {
            offset: first.offset.unwrap_or_default(),
            topic: first.topic.map(str::to_owned),
            partition: first.partition,
            records: 0,
            to: None,
            bytes: Vec::new(),
            index: Vec::new(),
        }
    }

    fn push(&mut self, position: Position, next: Position, record: &Record<'_>) {
        self.to = Some(next);
        let from = self.bytes.len() as u64;
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        let to = self.bytes.len() as u64;
        self.bytes.push(b'\n');
        self.records += 1;
        let headers =
            record.headers.iter().map(|header| (header.name.into(), header.value.map(Data::of)));
        let entry = IndexEntry {
            position,
            from,
            to,
            null: record.value.is_none(),
            timestamp_micros: record.timestamp_micros,
            key: record.key.map(Data::of),
            headers: headers.collect(),
        };
        index::push(&entry, &mut self.index);
    }
}

/// `year=2024/month=01/day=31`, in UTC, and the hour if need be.
fn days(micros: Option<i64>, with_hour: bool) -> String {
    let mut text = Vec::new();
    if !micros.is_some_and(|micros| Rfc3339(micros).write(&mut text)) {
        return "year=__HIVE_DEFAULT_PARTITION__".to_owned();
    }
    let text = String::from_utf8(text).expect("digits");
    let mut folder = format!("year={}/month={}/day={}", &text[0..4], &text[5..7], &text[8..10]);
    if with_hour {
        folder.push_str("/hour=");
        folder.push_str(&text[11..13]);
    }
    folder
}
