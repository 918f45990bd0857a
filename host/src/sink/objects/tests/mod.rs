mod archive;
mod faults;
mod formats;
mod letters;
mod log;
mod objects;
mod provenance;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::object_store::ObjectStore;
use ::object_store::memory::InMemory;
use ::object_store::path::Path;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::store::Store as ObjectsStore;
use super::{ObjectsSink, ObjectsSinkConfig, RowFormat};
use crate::connect::{CommitOutcome, Sink, SinkContext, Stored, Writer};
use crate::ledger::Claim;
use crate::objects::{ObjectRoot, S3Config};
use crate::record::json::{JsonRow, batch};
use crate::record::{
    Batch, DeadLetter, Digest, Field, Kind, Lane, Position, RawBatch, RawRecord, Rows, Unit,
    UnitPart,
};
use crate::sink::conformance::{self, Opened, Opening, PINS, Store, ledger_tests, writer_tests};
use crate::written::Size;

/// What a sink writes to: a folder, or a store that behaves as a bucket does.
#[derive(Clone)]
enum Place {
    Folder(Arc<tempfile::TempDir>),
    Bucket(Arc<InMemory>),
}

impl Place {
    fn folder() -> Self {
        Self::Folder(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn bucket() -> Self {
        Self::Bucket(Arc::new(InMemory::new()))
    }

    /// One of each.
    fn all() -> [Self; 2] {
        [Self::folder(), Self::bucket()]
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::Bucket(_) => unreachable!("a bucket has no path"),
        }
    }

    fn store(&self, target: &str) -> ObjectsStore {
        match self {
            Self::Folder(folder) => {
                let path = folder.path().join(target);
                let root = ObjectRoot::local(path.to_str().unwrap()).unwrap();
                ObjectsStore::over(root, path.to_str().unwrap())
            }
            Self::Bucket(objects) => {
                let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(objects);
                let root = Path::parse(target).unwrap();
                ObjectsStore::over(ObjectRoot::over(store, root, None), "s3://bucket")
            }
        }
    }

    async fn sink(&self) -> Opened {
        self.sink_of(&config()).await
    }

    async fn sink_of(&self, config: &ObjectsSinkConfig) -> Opened {
        let sink = ObjectsSink::over(self.store("out"), config, context()).unwrap();
        Opened::of(sink, fields()).await
    }

    /// What somebody sees who lists everything and knows nothing of pinhost.
    async fn files(&self, target: &str) -> BTreeMap<String, Vec<u8>> {
        let store = self.store(target);
        let mut files = BTreeMap::new();
        for key in store.list("").await.unwrap() {
            if !key.starts_with("_pinhost/") {
                let bytes = store.get(&key).await.unwrap().unwrap();
                files.insert(key, bytes.into());
            }
        }
        files
    }

    /// All rows of NDJSON, by file name.
    async fn rows(&self) -> Vec<Value> {
        self.rows_of("out").await
    }

    async fn rows_of(&self, target: &str) -> Vec<Value> {
        let files = self.files(target).await;
        let lines = files.values().flat_map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    async fn ids(&self) -> Vec<i64> {
        ids(&self.rows().await)
    }

    /// What nobody will look at again.
    async fn staged(&self) -> Vec<String> {
        self.store("out").list("_pinhost/pins/staged").await.unwrap()
    }
}

fn ids(rows: &[Value]) -> Vec<i64> {
    let mut ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[async_trait]
impl Store for Place {
    async fn open(&self, opening: Opening) -> Opened {
        let store = self.store(opening.target);
        let sink = ObjectsSink::over(store, &config(), opening.context()).unwrap();
        Opened::of(sink, conformance::fields()).await
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        ids(&self.rows_of(target).await)
    }
}

mod folder {
    use super::*;

    ledger_tests!(Place::folder());
    writer_tests!(Place::folder());
}

mod bucket {
    use super::*;

    ledger_tests!(Place::bucket());
    writer_tests!(Place::bucket());
}

fn config() -> ObjectsSinkConfig {
    ObjectsSinkConfig {
        url: String::new(),
        s3: S3Config::default(),
        keys: None,
        format: RowFormat::Ndjson,
        compression: None,
        partition_by: Vec::new(),
        provenance: None,
        row_group_rows: 1000,
        object_size: Size::mib(1),
    }
}

fn partitioned(columns: &[&str]) -> ObjectsSinkConfig {
    let partition_by = columns.iter().map(ToString::to_string).collect();
    ObjectsSinkConfig { partition_by, ..config() }
}

fn context() -> SinkContext {
    PINS.context()
}

fn fields() -> Arc<[Field]> {
    [
        Field::new("id", Kind::Integer),
        Field::new("word", Kind::Text),
        Field::new("seen", Kind::Timestamp),
        Field::new("tags", Kind::TextList),
        Field::new("scores", Kind::FloatList),
    ]
    .into()
}

fn row(id: u64) -> Value {
    json!({
        "id": id,
        "word": (!id.is_multiple_of(3)).then(|| format!("word {}", id % 3)),
        "seen": "2020-08-28T03:52:47.5Z",
        "tags": ["a", format!("{id}")],
        "scores": [0.5, id as f64],
    })
}

fn batch_of(rows: Vec<Value>) -> Batch {
    let rows: Vec<JsonRow> = serde_json::from_value(rows.into()).unwrap();
    batch(&rows, &fields()).unwrap()
}

fn lane() -> Lane {
    Lane::new("posts/0")
}

fn at(record: u64) -> Position {
    Position::number(record)
}

fn raw(from: u64, to: u64) -> Arc<RawBatch> {
    let mut bytes = Vec::new();
    let records = (from..to).map(|record| {
        let start = bytes.len();
        bytes.extend_from_slice(format!("record {record}").as_bytes());
        RawRecord::value(at(record), start..bytes.len())
    });
    let records = records.collect();
    Arc::new(RawBatch::new(bytes.into(), records, (at(from), at(to))))
}

/// A unit of rows, but for its last record, which is dead.
fn unit(writer: &dyn Writer, from: u64, to: u64) -> Unit {
    let rows = batch_of((from..to - 1).map(row).collect());
    let mut unit = unit_of(writer, from, rows);
    let dead = DeadLetter {
        record: (to - 1 - from) as u32,
        step: None,
        reason: "no good".to_owned(),
        detail: None,
    };
    unit.to = at(to);
    unit.parts[0].raw = raw(from, to);
    unit.parts[0].dead_letters = vec![dead];
    unit
}

/// A unit of nothing but rows.
fn unit_of(writer: &dyn Writer, from: u64, rows: Batch) -> Unit {
    let count = rows.rows() as u64;
    let part = UnitPart {
        raw: raw(from, from + count),
        rows: writer.encode(rows),
        origins: (0..count as u32).collect(),
        deletes: None,
        dropped: 0,
        dead_letters: Vec::new(),
    };
    Unit {
        lane: lane(),
        from: at(from),
        to: at(from + count),
        generation: Digest::of(b"one"),
        parts: vec![part],
        accepted_rejects: 0,
        refusals_max: u64::MAX,
        wants_receipts: false,
    }
}

async fn claim(sink: &Opened) -> Claim {
    sink.claims.claim(&lane(), at(0)).await.unwrap()
}

fn done(rows: u64) -> CommitOutcome {
    CommitOutcome::Done(Stored { rows, ..Stored::default() })
}
