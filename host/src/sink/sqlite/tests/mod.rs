mod refusals;
mod state;
mod tables;
mod upserts;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::SqliteSink;
use crate::pipeline::config::SqliteSinkConfig;
use crate::record::json::{JsonRow, batch};
use crate::record::{
    Digest, Field, Kind, Lane, Position, RawBatch, RawRecord, Rows, SourceId, Unit, UnitPart,
};
use crate::sink::conformance::{Opening, Store, conformance_tests};
use crate::sink::{Claim, Committed, Sink, SinkContext, Stored};

/// A folder with one database.
struct TestFile {
    folder: tempfile::TempDir,
}

impl TestFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    fn config(&self, table: &str) -> SqliteSinkConfig {
        SqliteSinkConfig {
            path: self.path().to_str().unwrap().to_owned(),
            table: table.to_owned(),
            key: Vec::new(),
            newest: None,
            create: true,
            provenance: true,
        }
    }

    /// Somebody else's connection.
    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path()).create_if_missing(true);
        options.connect().await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    /// The single column of a query, as text.
    async fn query(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(format!("SELECT ifnull(CAST(v AS TEXT), 'null') FROM ({sql})"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

#[async_trait]
impl Store for TestFile {
    async fn open(&self, opening: Opening) -> Arc<dyn Sink> {
        let sink = SqliteSink::open(&self.config(opening.target), opening.context()).unwrap();
        sink.prepare().await.unwrap();
        Arc::new(sink)
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        let sql = AssertSqlSafe(format!("SELECT id FROM {target} ORDER BY id"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

conformance_tests!(TestFile::new());
conformance_tests!(TestFile::new(); another_target_under_the_same_name_is_refused);

fn columns(columns: &[(&str, Kind)]) -> Arc<[Field]> {
    columns.iter().map(|(name, kind)| Field::new(*name, *kind)).collect()
}

fn context(columns: &Arc<[Field]>) -> SinkContext {
    SinkContext {
        pipeline: "test".into(),
        source: Some(SourceId::new("test")),
        columns: Some(Arc::clone(columns)),
        keep_dead_letters: None,
    }
}

async fn opened(config: &SqliteSinkConfig, columns: &Arc<[Field]>) -> SqliteSink {
    let sink = SqliteSink::open(config, context(columns)).unwrap();
    sink.prepare().await.unwrap();
    sink
}

/// A lane that goes on where its last unit ended.
struct Writer<'a> {
    sink: &'a SqliteSink,
    columns: Arc<[Field]>,
    claim: Claim,
}

impl<'a> Writer<'a> {
    async fn new(sink: &'a SqliteSink, lane: &str) -> Self {
        let columns = sink.context.columns.clone().unwrap();
        let claim = sink.claim(&Lane::new(lane), Position::Record(0)).await.unwrap();
        Self { sink, columns, claim }
    }

    /// A row for each JSON object; `at` is its record's time.
    fn part(&self, rows: &[(&str, Option<i64>)]) -> UnitPart {
        let Position::Record(from) = self.claim.position else { unreachable!() };
        let json: Vec<JsonRow> =
            rows.iter().map(|(row, _)| serde_json::from_str(row).unwrap()).collect();
        let records = rows.iter().zip(from..).map(|((_, time), at)| RawRecord {
            timestamp_micros: *time,
            ..RawRecord::value(Position::Record(at), 0..0)
        });
        let raw = RawBatch {
            bytes: bytes::Bytes::new(),
            records: records.collect(),
            headers: Vec::new(),
            topic: None,
            partition: None,
            from: self.claim.position,
            to: Position::Record(from + rows.len() as u64),
            archived: None,
        };
        UnitPart {
            raw: Arc::new(raw),
            rows: Rows::Columns(batch(&json, &self.columns).unwrap()),
            origins: (0..rows.len() as u32).collect(),
            dropped: 0,
            dead_letters: Vec::new(),
        }
    }

    fn unit(&self, rows: &[(&str, Option<i64>)]) -> Unit {
        let part = self.part(rows);
        Unit {
            lane: self.claim.lane.clone(),
            from: part.raw.from,
            to: part.raw.to,
            generation: Digest::of(b"test"),
            parts: vec![part],
        }
    }

    async fn write(&mut self, rows: &[(&str, Option<i64>)]) -> Stored {
        let unit = self.unit(rows);
        let committed = self.sink.commit(&self.claim, &unit).await.unwrap();
        let Committed::Done(stored) = committed else { panic!("fenced") };
        self.claim.position = unit.to;
        stored
    }

    async fn write_rows(&mut self, rows: &[&str]) -> Stored {
        let rows: Vec<_> = rows.iter().map(|row| (*row, None)).collect();
        self.write(&rows).await
    }
}

fn stored(rows: u64, superseded: u64, refused: &[(&str, u64)]) -> Stored {
    let refused = refused.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    Stored { rows, superseded, refused }
}
