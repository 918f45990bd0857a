mod refusals;
mod state;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::{SqliteSink, SqliteSinkConfig};
use crate::connect::{CommitOutcome, Sink, SinkContext};
use crate::record::{Field, Kind, Lane, Position, UnitPart};
use crate::sink::conformance::{
    LaneWriter, Opened, Opening, Store, TableStore, Upserts, columns, context, fields,
    ledger_tests, stored, tests_on, upsert_tests, writer_tests,
};
use crate::written::Duration;

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
            keep_deletes: Duration::secs(60),
        }
    }

    fn upserted(&self, Upserts { newest, provenance }: Upserts) -> SqliteSinkConfig {
        let (key, newest) = (vec!["id".to_owned()], newest.map(str::to_owned));
        SqliteSinkConfig { key, newest, provenance, ..self.config("t") }
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
    async fn open(&self, opening: Opening) -> Opened {
        let sink = SqliteSink::open(&self.config(opening.target), opening.context()).unwrap();
        Opened::of(sink, fields()).await
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        let sql = AssertSqlSafe(format!("SELECT id FROM {target} ORDER BY id"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }

    async fn shape(&self, target: &str) -> Vec<String> {
        self.query(&format!("SELECT name AS v FROM pragma_table_info('{target}')")).await
    }
}

ledger_tests!(TestFile::new());
writer_tests!(TestFile::new());
tests_on!(TestFile::new(); another_target_under_the_same_name_is_refused a_claim_names_the_process_that_made_it);

#[async_trait]
impl TableStore for TestFile {
    const VERSIONS: &str = "pinhost_version";
    const CASES: u32 = 40;

    async fn make() -> Self {
        Self::new()
    }

    fn closed(&self, upserts: Upserts) -> Arc<dyn Sink> {
        Arc::new(SqliteSink::open(&self.upserted(upserts), context()).unwrap())
    }

    async fn upsert(&self, upserts: Upserts, fields: &[(&str, Kind)]) -> Opened {
        opened(&self.upserted(upserts), &columns(fields)).await
    }

    async fn execute(&self, sql: &str) {
        self.execute(sql).await;
    }

    async fn query(&self, sql: &str) -> Vec<String> {
        self.query(sql).await
    }
}

upsert_tests!(TestFile);

async fn opened(config: &SqliteSinkConfig, columns: &Arc<[Field]>) -> Opened {
    let sink = SqliteSink::open(config, context()).unwrap();
    Opened::of(sink, Arc::clone(columns)).await
}
