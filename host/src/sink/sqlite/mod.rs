//! Rows in a table of an SQLite database, with everything that pinhost knows of them beside it: where
//! lanes stand, which generation cleaned what, dead letters.
//!
//! A unit is one transaction, and one that begins as a writer: what it reads stays true until it ends.
//! One database may serve several pipelines, tables and processes. Not here: which units there are, and
//! what is done about errors.

mod commit;
mod ddl;
mod error;
mod generation;
mod insert;
mod journal;
mod lane;
mod letters;
mod lineage;
mod session;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod versions;
mod write;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::SqliteConnection;

use self::commit::CommitError;
pub use self::error::{SqliteFault, SqliteSinkError};
use self::lane::Lanes;
use self::session::{Database, Lease};
use self::table::Table;
use super::table::{Forgetting, Keep, TableFault};
use super::{
    Claim, Committed, DeadLetterFilter, Judgement, LaneState, LineageRange, Retry, RowOrigin, Sink,
    SinkContext, StoredDeadLetter,
};
use crate::pipeline::config::SqliteSinkConfig;
use crate::record::{ConnectorError, Digest, Generation, Lane, Position, Unit};

#[derive(Debug)]
pub struct SqliteSink {
    context: SinkContext,
    /// As the user wrote it.
    path: String,
    table: Table,
    database: Database,
    forgetting: Forgetting,
}

impl SqliteSink {
    /// Checks what can be checked without the database.
    pub fn open(config: &SqliteSinkConfig, context: SinkContext) -> Result<Self, ConnectorError> {
        let open = || {
            let table = Table::new(config, context.columns.clone(), context.replaces)?;
            Ok((table, Database::new(&config.path)?))
        };
        let path = config.path.clone();
        match open() {
            Ok((table, database)) => {
                let keep =
                    Keep { letters: context.keep_dead_letters, deletes: config.keep_deletes.0 };
                let forgetting = Forgetting::new(keep);
                Ok(Self { context, path, table, database, forgetting })
            }
            Err(fault) => Err(SqliteSinkError { path, fault }.into()),
        }
    }

    fn own_lanes(&self) -> Lanes<'_> {
        Lanes {
            pipeline: &self.context.pipeline,
            target: self.table.name(),
            replay_into: self.context.replay_into.as_deref(),
        }
    }

    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, SqliteFault>>,
    ) -> Result<T, ConnectorError> {
        work.await.map_err(|fault| SqliteSinkError { path: self.path.clone(), fault }.into())
    }

    /// Does something in a transaction of its own.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        transacted(self.database.session().await?, work).await
    }

    /// The same if the file is there; if not, there is nothing.
    async fn within_state<T: Default>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        match self.database.session_to_read().await? {
            Some(lease) => transacted(lease, work).await,
            None => Ok(T::default()),
        }
    }

    /// Looks at what is there, without keeping others from writing.
    async fn seen<T: Default>(
        &self,
        look: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
    ) -> Result<T, SqliteFault> {
        let Some(mut lease) = self.database.session_to_read().await? else {
            return Ok(T::default());
        };
        let seen = look(&mut lease.session().connection).await?;
        lease.keep();
        Ok(seen)
    }
}

async fn transacted<T>(
    mut lease: Lease<'_>,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, SqliteFault>,
) -> Result<T, SqliteFault> {
    let mut transaction = lease.session().begin().await?;
    let done = work(&mut transaction).await?;
    transaction.commit().await?;
    lease.keep();
    Ok(done)
}

#[async_trait]
impl Sink for SqliteSink {
    async fn prepare(&self) -> Result<(), ConnectorError> {
        let prepare = async {
            let mut lease = self.database.session().await?;
            lease.session().forget_plan();
            lease.session().plan(&self.table).await?;
            lease.keep();
            Ok(())
        };
        self.told(prepare).await
    }

    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        let keep = async |connection: &mut SqliteConnection| {
            generation::keep(connection, generation).await
        };
        self.told(self.within(keep)).await
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        let look =
            async |connection: &mut SqliteConnection| generation::find(connection, digest).await;
        self.told(self.seen(look)).await
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        let judge = async |connection: &mut SqliteConnection| {
            generation::judge(connection, &self.context.pipeline, judgement).await
        };
        self.told(self.within(judge)).await
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            generation::judgements(connection, &self.context.pipeline).await
        };
        self.told(self.seen(look)).await
    }

    async fn would_take(&self) -> Result<(), ConnectorError> {
        let look = async {
            let mut lease = self.database.session().await?;
            self.table.would_fit(&mut lease.session().connection).await?;
            lease.keep();
            Ok(())
        };
        self.told(look).await
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        let claim = async {
            let source = self.context.source.as_ref().ok_or(TableFault::NoSource)?;
            let claim = async |connection: &mut SqliteConnection| {
                self.own_lanes().claim(connection, source, lane, start).await
            };
            self.within(claim).await
        };
        self.told(claim).await
    }

    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<Committed, ConnectorError> {
        let forget = self.forgetting.due();
        let commit = async {
            let (lanes, table) = (self.own_lanes(), &self.table);
            let mut lease = self.database.session().await?;
            let session = lease.session();
            let (fault, stored) =
                match commit::commit(session, table, &lanes, claim, unit, forget).await {
                    Ok(committed) => {
                        lease.keep();
                        return Ok(committed);
                    }
                    Err(CommitError::Before(fault)) => return Err(fault),
                    Err(CommitError::Unknown(fault, stored)) => (fault, stored),
                };
            // Should this fail too, no harm is done: the unit, offered again, meets what is stored.
            drop(lease);
            let mut lease = self.database.session().await?;
            let session = lease.session();
            let settled = commit::settle(session, &lanes, claim, unit, fault, stored).await?;
            lease.keep();
            Ok(settled)
        };
        self.told(commit).await
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            journal::entries(connection, &self.context.pipeline, lane).await
        };
        self.told(self.seen(look)).await
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        let append = async |connection: &mut SqliteConnection| {
            journal::append(connection, &self.own_lanes(), claim, number, &entry).await
        };
        self.told(self.within(append)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| self.own_lanes().all(connection).await;
        self.told(self.seen(look)).await
    }

    async fn writers(&self) -> Result<Vec<String>, ConnectorError> {
        let look =
            async |connection: &mut SqliteConnection| self.own_lanes().writers(connection).await;
        self.told(self.seen(look)).await
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        let move_lane = async {
            // A topic that was made anew is another place to go on at.
            if !from.is_like(&to) {
                let lane = lane.clone();
                return Err(TableFault::Backwards { lane, from, to }.into());
            }
            let work = async |connection: &mut SqliteConnection| {
                self.own_lanes().move_lane(connection, lane, from, to).await
            };
            self.within_state(work).await
        };
        self.told(move_lane).await
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        let accept = async |connection: &mut SqliteConnection| {
            self.own_lanes().accept_rejects(connection, lane, records).await
        };
        self.told(self.within_state(accept)).await
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let note = async |connection: &mut SqliteConnection| {
            self.own_lanes().note_halt(connection, claim, reason).await
        };
        self.told(self.within(note)).await
    }

    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            self.table.origins(connection, column, value).await
        };
        self.told(self.seen(look)).await
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            lineage::all(connection, &self.context.pipeline).await
        };
        self.told(self.seen(look)).await
    }

    async fn dead_letters(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        let look = async |connection: &mut SqliteConnection| {
            letters::list(connection, &self.context.pipeline, which).await
        };
        self.told(self.seen(look)).await
    }

    async fn commit_retry(&self, retry: &Retry) -> Result<Committed, ConnectorError> {
        let pipeline = &self.context.pipeline;
        let commit = async {
            let mut lease = self.database.session().await?;
            let committed = commit::retry(lease.session(), &self.table, pipeline, retry).await?;
            lease.keep();
            Ok(committed)
        };
        self.told(commit).await
    }

    /// Writes the log back into the database, so that the file alone is all of it.
    async fn close(&self) -> Result<(), ConnectorError> {
        self.told(self.database.close()).await
    }
}
