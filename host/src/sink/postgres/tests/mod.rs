mod faults;
mod refusals;
mod server;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use self::server::{SHARED, Server};
use super::{DatabaseUrl, NulCharacters, PostgresSink, PostgresSinkConfig};
use crate::connect::Sink;
use crate::record::{Field, Kind};
use crate::sink::conformance::{
    LaneWriter, Opened, Opening, Store, TableStore, Upserts, columns, context, fields,
    ledger_tests, stored, tests_on, upsert_tests, writer_tests,
};
use crate::written::Duration;

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
            keep_deletes: Duration::secs(60),
            nul: NulCharacters::Reject,
            pool: 4,
        }
    }

    fn keyed(&self) -> PostgresSinkConfig {
        PostgresSinkConfig { key: vec!["id".to_owned()], ..self.config("t") }
    }

    fn upserted(&self, Upserts { newest, provenance }: Upserts) -> PostgresSinkConfig {
        let newest = newest.map(str::to_owned);
        PostgresSinkConfig { newest, provenance, ..self.keyed() }
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
    async fn open(&self, opening: Opening) -> Opened {
        let sink = PostgresSink::open(&self.config(opening.target), opening.context()).unwrap();
        Opened::of(sink, fields()).await
    }

    async fn ids(&self, target: &str) -> Vec<i64> {
        let sql = AssertSqlSafe(format!("SELECT id FROM {target} ORDER BY id"));
        sqlx::query_scalar(sql).fetch_all(&mut self.connection().await).await.unwrap()
    }

    async fn shape(&self, target: &str) -> Vec<String> {
        let columns = format!(
            "SELECT attname AS v FROM pg_attribute WHERE attrelid = '{target}'::regclass AND attnum > 0"
        );
        self.query(&columns).await
    }
}

ledger_tests!(TestDatabase::new().await);
writer_tests!(TestDatabase::new().await);
tests_on!(TestDatabase::new().await; another_target_under_the_same_name_is_refused a_claim_names_the_process_that_made_it);

#[async_trait]
impl TableStore for TestDatabase {
    const VERSIONS: &str = "pinhost.version";
    const CASES: u32 = 12;

    async fn make() -> Self {
        Self::new().await
    }

    fn closed(&self, upserts: Upserts) -> Arc<dyn Sink> {
        Arc::new(PostgresSink::open(&self.upserted(upserts), context()).unwrap())
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

upsert_tests!(TestDatabase);

async fn opened(config: &PostgresSinkConfig, columns: &Arc<[Field]>) -> Opened {
    let sink = PostgresSink::open(config, context()).unwrap();
    Opened::of(sink, Arc::clone(columns)).await
}
