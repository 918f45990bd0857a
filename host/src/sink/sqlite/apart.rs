//! A file that is a ledger, for a sink that has none.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::session::Database;
use super::{SqliteSinkConfig, SqliteSinkError, SqliteStore};
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
pub struct LedgerInSqlite;

/// A file of this machine: for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteLedgerConfig {
    /// The database file, relative to the pipeline's file.
    pub path: String,
}

impl LedgerKind for LedgerInSqlite {
    fn key(&self) -> &'static str {
        "sqlite"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<SqliteLedgerConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn LedgerConfig>, ReadError> {
        Ok(Box::new(written.read::<SqliteLedgerConfig>()?))
    }
}

impl LedgerConfig for SqliteLedgerConfig {
    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        if self.path.is_empty() {
            found.push(at.key("path").finding("here should be a file").help("like pins.db"));
        }
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        file.complete(&mut self.path);
    }

    fn open(
        &self,
        context: &SinkContext,
        target: &str,
    ) -> Result<Arc<dyn LedgerStore>, ConnectorError> {
        let config = SqliteSinkConfig {
            path: self.path.clone(),
            table: target.to_owned(),
            key: Vec::new(),
            newest: None,
            keep_deletes: Duration::secs(0),
            create: false,
            provenance: false,
        };
        let told = |fault| SqliteSinkError { path: config.path.clone(), fault };
        let database = Database::new(&config.path).map_err(told)?;
        let keep = Keep { letters: context.keep_dead_letters, deletes: std::time::Duration::ZERO };
        let keys = Arc::new(LaneKeys {
            pipeline: Arc::clone(&context.pipeline),
            written: target.to_owned(),
            resolved: OnceLock::new(),
            replay_into: context.replay_into.clone(),
        });
        let state = TableState::new(keep);
        let memory = Arc::clone(&state.memory);
        let (context, source) = (context.clone(), context.source.clone());
        let (of_store, database_config) = (Arc::clone(&keys), config.clone());
        let store = Arc::new(SqliteStore {
            config: database_config,
            context,
            keys: of_store,
            database,
            state,
        });
        let ledger = SqlLedger::new(
            Arc::<SqliteStore>::clone(&store),
            Arc::clone(&keys),
            source,
            Arc::clone(&memory),
        );
        let units = UnitsApart::new(Arc::<SqliteStore>::clone(&store), keys, memory, keep);
        Ok(Arc::new(SqliteLedgerStore { store, ledger: Ledger::of(&Arc::new(ledger)), units }))
    }
}

#[derive(Debug)]
struct SqliteLedgerStore {
    store: Arc<SqliteStore>,
    ledger: Ledger,
    units: UnitsApart,
}

#[async_trait]
impl LedgerStore for SqliteLedgerStore {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn prepare(&self) -> Result<(), ConnectorError> {
        // A session makes or checks the tables when it begins.
        let prepare = async {
            self.store.database.session().await?.keep();
            Ok(())
        };
        self.store.told(prepare).await
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
        self.store.told(self.store.database.close()).await
    }
}
