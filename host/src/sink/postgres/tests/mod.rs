mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use self::server::{SHARED, Server};
use super::PostgresSink;
use crate::pipeline::config::{DatabaseUrl, NulCharacters, PostgresSinkConfig};
use crate::record::{Field, Kind};
use crate::sink::Sink;
use crate::sink::conformance::{
    Opening, Store, TestSink, Writer, columns, conformance_tests, context, stored,
};

/// A database of its own.
struct TestDatabase {
    address: String,
    name: String,
}

impl TestDatabase {
    async fn new() -> Self {
        Self::on(&SHARED).await
    }

    async fn on(server: &Server) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server.said("PG_URL")).await.unwrap();
        let make = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
        Self { address: server.address().to_owned(), name }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.address, self.name)
    }

    fn config(&self, table: &str) -> PostgresSinkConfig {
        PostgresSinkConfig {
            url: DatabaseUrl::new(self.url()),
            table: table.to_owned(),
            key: Vec::new(),
            newest: None,
            create: true,
            provenance: true,
            nul: NulCharacters::Reject,
            pool: 4,
        }
    }

    /// Somebody else's connection.
    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    /// The single column of a query, as text.
    async fn query(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(format!("SELECT coalesce(v::text, 'null') FROM ({sql}) AS q"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

#[async_trait]
impl Store for TestDatabase {
    async fn open(&self, opening: Opening) -> Arc<dyn Sink> {
        let sink = PostgresSink::open(&self.config(opening.target), opening.context()).unwrap();
        sink.prepare().await.unwrap();
        Arc::new(sink)
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        let sql = AssertSqlSafe(format!("SELECT id FROM {target} ORDER BY id"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

conformance_tests!(TestDatabase::new().await);

impl TestSink for PostgresSink {
    fn columns(&self) -> Arc<[Field]> {
        self.context.columns.clone().unwrap()
    }
}

async fn opened(config: &PostgresSinkConfig, columns: &Arc<[Field]>) -> PostgresSink {
    let sink = PostgresSink::open(config, context(columns)).unwrap();
    sink.prepare().await.unwrap();
    sink
}

#[tokio::test]
async fn smoke() {
    let database = TestDatabase::new().await;
    let sink = opened(&database.config("t"), &columns(&[("id", Kind::Integer)])).await;
    let mut writer = Writer::new(&sink, "a").await;
    assert_eq!(writer.write_rows(&[r#"{"id": 1}"#]).await, stored(1, 0, &[]));
    assert_eq!(database.query("SELECT id AS v FROM t").await, ["1"]);
}
