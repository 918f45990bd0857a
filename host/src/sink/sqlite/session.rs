//! A connection to the database.
//!
//! Whatever goes wrong, the connection is closed and the next call opens another: what was begun is
//! rolled back.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::error::{SqliteFault, is_busy};
use super::state;

/// How long a statement waits for another process's transaction. Units are small; whoever takes longer
/// is stopped, or is a person at a prompt.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Units are gathered for about a second and have tens of megabytes: writing the log back into the
/// database after every 4 MB, as SQLite does by default, would do that several times in one commit.
const CHECKPOINT_PAGES: &str = "8192";

/// In KiB, negative as SQLite wants it. Upserts look for keys all over the table.
const CACHE_KIB: &str = "-65536";

/// The one connection of a sink: SQLite has one writer at a time in any case.
pub(super) struct Database {
    options: SqliteConnectOptions,
    session: Mutex<Option<Session>>,
}

pub(super) struct Session {
    pub(super) connection: SqliteConnection,
}

/// A session in use. Dropped without [`Lease::keep`], as after an error, it is closed.
pub(super) struct Lease<'a> {
    place: MutexGuard<'a, Option<Session>>,
    session: Session,
}

impl Database {
    pub(super) fn new(path: &str) -> Result<Self, SqliteFault> {
        if path.is_empty() {
            return Err(SqliteFault::NoPath);
        }
        // Absolute, as SQLite takes `file:…` for a URL and `:memory:` for no file at all.
        let file = std::path::absolute(path).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            // Readers go on while a unit is written, and a killed process leaves whole transactions.
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk when it returns: sources and people act on it, by letting records
            // go that they kept until then. `NORMAL` outlives SIGKILL too, but a power failure takes the
            // last commits back. It costs one fsync a unit.
            .synchronous(SqliteSynchronous::Full)
            // fsync does not reach the platter on macOS.
            .pragma("fullfsync", "on")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", CACHE_KIB)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        Ok(Self { options, session: Mutex::new(None) })
    }

    /// None if there is nothing to read: looking makes no database.
    pub(super) async fn session_to_read(&self) -> Result<Option<Lease<'_>>, SqliteFault> {
        if !self.options.get_filename().exists() {
            return Ok(None);
        }
        self.session().await.map(Some)
    }

    pub(super) async fn session(&self) -> Result<Lease<'_>, SqliteFault> {
        let mut place = self.session.lock().await;
        // Out of its place until it is known to be sound: also if this future is dropped half way.
        let session = match place.take() {
            Some(session) => session,
            None => Session { connection: self.connect().await? },
        };
        Ok(Lease { place, session })
    }

    pub(super) async fn close(&self) -> Result<(), SqliteFault> {
        match self.session.lock().await.take() {
            Some(session) => Ok(session.connection.close().await?),
            None => Ok(()),
        }
    }

    async fn connect(&self) -> Result<SqliteConnection, SqliteFault> {
        let folder = self.options.get_filename().parent();
        if folder.is_some_and(|folder: &Path| !folder.is_dir()) {
            return Err(SqliteFault::NoFolder);
        }
        // Turning the log on in a new database cannot wait for others that do the same.
        let wait = ConstantBuilder::new().with_delay(Duration::from_millis(50)).with_max_times(100);
        let mut connection = (|| self.options.connect()).retry(wait).when(is_busy).await?;
        state::prepare(&mut connection).await?;
        Ok(connection)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("file", &self.options.get_filename())
            .finish_non_exhaustive()
    }
}

impl Lease<'_> {
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// To be used again.
    pub(super) fn keep(mut self) {
        *self.place = Some(self.session);
    }
}

/// Begins as a writer. One that read first and wrote later would fail if somebody else wrote in between.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}
