//! A database that is a ledger, for a sink that has none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::check::check_url;
use super::error::Place;
use super::session::Database;
use super::{DatabaseUrl, NulCharacters, PostgresSinkConfig, PostgresStore, TableName};
use crate::connect::{
    CommitOutcome, ConfigFile, LedgerConfig, LedgerKind, LedgerStore, Retry, SinkContext,
    WriteLeave,
};
use crate::ledger::sql::{LaneKeys, SqlLedger};
use crate::ledger::{Claim, Ledger};
use crate::record::{ConnectorError, DeadLetter, Unit};
use crate::sink::table::Keep;
use crate::sink::table::apart::UnitsApart;
use crate::sink::table::writer::TableState;
use crate::written::{Cursor, Duration, Finding, ReadError, Written};

#[derive(Debug)]
pub struct LedgerInPostgres;

/// A PostgreSQL database, in its schema `pinhost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresLedgerConfig {
    /// Like `postgres://me:${PASSWORD}@db.example.com:5432/pins`. What encrypts the connection is
    /// part of it: `?sslmode=verify-full&sslrootcert=ca.pem`.
    pub url: DatabaseUrl,
    /// Connections at most. A commit holds one; lanes beyond that wait for their turn.
    #[serde(default = "pool")]
    pub pool: u32,
}

fn pool() -> u32 {
    8
}

impl PostgresLedgerConfig {
    /// As if it were a table's: only what a database is reached by is looked at.
    fn of_table(&self, table: &str) -> PostgresSinkConfig {
        PostgresSinkConfig {
            url: self.url.clone(),
            table: table.to_owned(),
            key: Vec::new(),
            newest: None,
            keep_deletes: Duration::secs(0),
            create: false,
            provenance: false,
            nul: NulCharacters::default(),
            pool: self.pool,
        }
    }
}

impl LedgerKind for LedgerInPostgres {
    fn key(&self) -> &'static str {
        "postgres"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<PostgresLedgerConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn LedgerConfig>, ReadError> {
        Ok(Box::new(written.read::<PostgresLedgerConfig>()?))
    }
}

impl LedgerConfig for PostgresLedgerConfig {
    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check_url(&self.of_table("ledger"), at, found);
    }

    fn complete(&mut self, _: &ConfigFile<'_>) {}

    fn open(
        &self,
        context: &SinkContext,
        target: &str,
    ) -> Result<Arc<dyn LedgerStore>, ConnectorError> {
        let config = self.of_table(target);
        let told = |fault| {
            let (shown, table) = ("ledger.postgres".to_owned(), target.to_owned());
            Place { shown, database: String::new(), role: String::new(), table }.told(fault)
        };
        let database = Database::new(&config, &context.pipeline).map_err(told)?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: std::time::Duration::ZERO };
        let keys = Arc::new(LaneKeys {
            pipeline: Arc::clone(&context.pipeline),
            written: target.to_owned(),
            resolved: OnceLock::new(),
            replay_into: context.replay_into.clone(),
        });
        let name = TableName::read("ledger").expect("it is a name");
        let state = TableState::new(keep);
        let memory = Arc::clone(&state.memory);
        let store = Arc::new(PostgresStore {
            context: context.clone(),
            place: database.place(target.to_owned()),
            config,
            name,
            database,
            keys: Arc::clone(&keys),
            is_ready: AtomicBool::new(false),
            state,
        });
        let ledger = SqlLedger::new(
            Arc::<PostgresStore>::clone(&store),
            Arc::clone(&keys),
            context.source.clone(),
            Arc::clone(&memory),
        );
        let units = UnitsApart::new(Arc::<PostgresStore>::clone(&store), keys, memory, keep);
        Ok(Arc::new(PostgresLedgerStore { store, ledger: Ledger::of(&Arc::new(ledger)), units }))
    }
}

#[derive(Debug)]
struct PostgresLedgerStore {
    store: Arc<PostgresStore>,
    ledger: Ledger,
    units: UnitsApart,
}

#[async_trait]
impl LedgerStore for PostgresLedgerStore {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        self.store.is_ready.store(false, Ordering::Release);
        self.store.told(self.store.ready()).await
    }

    async fn leave(&self, claim: &Claim, unit: &Unit) -> Result<WriteLeave, ConnectorError> {
        self.units.leave(claim, unit).await
    }

    async fn commit(
        &self,
        claim: &Claim,
        unit: &Unit,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError> {
        self.units.commit(claim, unit, refused).await
    }

    async fn commit_retry(
        &self,
        retry: &Retry,
        refused: &[(usize, DeadLetter)],
    ) -> Result<CommitOutcome, ConnectorError> {
        self.units.commit_retry(retry, refused).await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.database.close().await;
        Ok(())
    }
}
