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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use arrow::array::AsArray as _;
    use arrow::datatypes::Int64Type;
    use tempfile::TempDir;

    use super::*;
    use crate::connect::{Sink, Writer};
    use crate::record::{Field, Rows};
    use crate::sink::conformance::{Opened, Opening, Store, fields, ledger_tests, tests_on};

    /// Rows by target, and the ledger somewhere else.
    type Targets = Arc<Mutex<BTreeMap<&'static str, Vec<i64>>>>;

    struct Scene {
        folder: TempDir,
        targets: Targets,
    }

    #[derive(Debug)]
    struct Apart {
        store: Arc<dyn LedgerStore>,
        targets: Targets,
        target: &'static str,
    }

    #[derive(Debug)]
    struct ApartWriter(Arc<Apart>);

    #[derive(Debug)]
    struct ApartSink(Arc<Apart>);

    fn scene() -> Scene {
        Scene { folder: TempDir::new().unwrap(), targets: Arc::default() }
    }

    #[async_trait]
    impl Store for Scene {
        async fn open(&self, opening: Opening) -> Opened {
            let path = self.folder.path().join("ledger.db").display().to_string();
            let config = SqliteLedgerConfig { path };
            let store = config.open(&opening.context(), opening.target).unwrap();
            let (targets, target) = (Arc::clone(&self.targets), opening.target);
            Opened::of(ApartSink(Arc::new(Apart { store, targets, target })), fields()).await
        }

        async fn ids(&self, target: &str) -> Vec<i64> {
            let mut ids = self.targets.lock().unwrap().get(target).cloned().unwrap_or_default();
            ids.sort_unstable();
            ids
        }
    }

    #[async_trait]
    impl Sink for ApartSink {
        fn ledger(&self) -> &Ledger {
            self.0.store.ledger()
        }

        async fn prepare(&self) -> Result<(), ConnectorError> {
            self.0.store.prepare().await
        }

        async fn writer(
            &self,
            _: Option<Arc<[Field]>>,
            _: bool,
        ) -> Result<Arc<dyn Writer>, ConnectorError> {
            Ok(Arc::new(ApartWriter(Arc::clone(&self.0))))
        }
    }

    impl Apart {
        fn put(&self, rows: &Rows) {
            let Rows::Columns(batch) = rows else { panic!("rows are columns") };
            let ids = batch.column("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
            self.targets.lock().unwrap().entry(self.target).or_default().extend(ids);
        }
    }

    #[async_trait]
    impl Writer for ApartWriter {
        async fn commit(
            &self,
            claim: &Claim,
            unit: &Unit,
        ) -> Result<CommitOutcome, ConnectorError> {
            match self.0.store.leave(claim, unit).await? {
                WriteLeave::Fenced => return Ok(CommitOutcome::Fenced),
                WriteLeave::Condemned => return Ok(CommitOutcome::Condemned),
                WriteLeave::Write => unit.parts.iter().for_each(|part| self.0.put(&part.rows)),
                WriteLeave::Committed => {}
            }
            self.0.store.commit(claim, unit, &[]).await
        }

        async fn commit_retry(&self, retry: &Retry) -> Result<CommitOutcome, ConnectorError> {
            let outcome = self.0.store.commit_retry(retry, &[]).await?;
            if let CommitOutcome::Done(_) = outcome {
                retry.letters.iter().for_each(|letter| self.0.put(&letter.part.rows));
            }
            Ok(outcome)
        }
    }

    ledger_tests!(scene());

    // All but what only an atomic commit can promise.
    tests_on! {
        scene();
        a_zombie_commits_nothing
        data_and_position_move_together
        a_unit_offered_again_is_stored_once
        a_unit_that_begins_elsewhere_is_fenced
        a_unit_of_rejects_only_moves_the_lane
        a_unit_whose_records_do_not_add_up_is_refused
        a_letter_is_retried_once
        a_letter_that_fails_again_stays_dead
        a_retry_is_all_or_nothing
    }
}
