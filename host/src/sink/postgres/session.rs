//! Connections to the database, and what every transaction on them is told.
//!
//! Nothing is kept on a connection: statements are not prepared under a name, settings hold for a
//! transaction. So pgbouncer may stand between, in its transaction mode too. Whatever goes wrong, the
//! connection is closed, and what was begun is rolled back.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Transaction};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::PostgresSinkConfig;
use super::error::{Place, PostgresFault};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer comes within the time of a statement, or never: the server is gone without a word.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// A connection that nobody used for so long may have been forgotten by something between.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Whoever waits so long for a lane's position waits for a process that is stopped, or for one that the
/// network lost. A commit that only takes its time is ended as well: if its process still has the lane, it
/// is offered again.
const BLOCKED_MAX: Duration = Duration::from_secs(2);

/// PostgreSQL 13.
const VERSION_LEAST: u32 = 13_00_00;

/// In one message. A stopped process loses its transaction after a while, with all locks; so does one
/// whose network is gone. Constraints speak up when a row is written: at the end nobody could tell which
/// one it was.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '15s'; \
    SET LOCAL tcp_user_timeout = '15s'; \
    SET CONSTRAINTS ALL IMMEDIATE";

pub(super) struct Database {
    options: PgConnectOptions,
    /// Whoever finds none left waits in line, and holds nothing that others wait for.
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection in use. Dropped without [`Lease::keep`], as after an error or when a commit is given up
/// half way, it is closed.
pub(super) struct Lease<'a> {
    database: &'a Database,
    connection: Option<PgConnection>,
    _permit: SemaphorePermit<'a>,
}

impl Database {
    pub(super) fn new(config: &PostgresSinkConfig, pipeline: &str) -> Result<Self, PostgresFault> {
        if !config.has_scheme() {
            return Err(PostgresFault::Scheme);
        }
        // sqlx would tell the log about them, with their values.
        if config.unknown_parameter().is_some() {
            return Err(PostgresFault::Parameters);
        }
        let options = PgConnectOptions::from_str(config.url.reveal())
            .map_err(PostgresFault::Url)?
            .application_name(&format!("pinhost {pipeline}"))
            // pgbouncer does not know it, and floats travel as bytes.
            .extra_float_digits(None)
            .disable_statement_logging();
        let permits = Semaphore::new(config.pool.max(1) as usize);
        Ok(Self { options, permits, idle: Mutex::default() })
    }

    /// `table` is quoted.
    pub(super) fn place(&self, table: String) -> Place {
        let role = self.options.get_username().to_owned();
        let database = self.options.get_database().unwrap_or(&role).to_owned();
        let server = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        };
        Place { shown: format!("{database} on {server}"), database, role, table }
    }

    pub(super) async fn lease(&self) -> Result<Lease<'_>, PostgresFault> {
        let permit = self.permits.acquire().await.expect("it is never closed");
        let connection = match self.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lease { database: self, connection: Some(connection), _permit: permit })
    }

    fn take(&self) -> Option<PgConnection> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for Idle { connection, .. } in idle {
            // Told politely, the server does not complain of it. If it does not hear, it is closed anyway.
            let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
        }
    }

    async fn connect(&self) -> Result<PgConnection, PostgresFault> {
        let connected = timeout(CONNECT_TIMEOUT, self.options.connect()).await;
        let connected = connected.map_err(|_| PostgresFault::Silent)?;
        let connection = connected.map_err(PostgresFault::connecting)?;
        match connection.server_version_num() {
            Some(found) if found < VERSION_LEAST => {
                let (found, least) = (found / 10_000, VERSION_LEAST / 10_000);
                Err(PostgresFault::OldServer { found, least })
            }
            _ => Ok(connection),
        }
    }

    /// Waits for a statement of this session that may wait for a lane's position. Whoever holds that for long
    /// is ended. Without a session, it is only waited for.
    pub(super) async fn unblocked<T>(
        &self,
        pid: Option<i32>,
        work: impl Future<Output = Result<T, PostgresFault>>,
    ) -> Result<T, PostgresFault> {
        let Some(pid) = pid else { return work.await };
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout(BLOCKED_MAX, &mut work).await {
                return done;
            }
            if let Err(fault) = self.end_blockers(pid).await {
                tracing::warn!("what holds a lane's position cannot be ended: {fault}");
            }
        }
    }

    /// On a connection beside the pool, where all may be waiting.
    async fn end_blockers(&self, pid: i32) -> Result<(), PostgresFault> {
        let mut connection = self.connect().await?;
        let mut transaction = begin(&mut connection).await?;
        // Materialised: who is to be ended is known before anybody is. Whoever waits in the same line is
        // not to blame for it.
        let ended: Vec<i32> = sqlx::query_scalar(
            "WITH blockers AS MATERIALIZED ( \
                 SELECT a.pid FROM unnest(pg_blocking_pids($1)) AS b (pid) \
                 JOIN pg_stat_activity a USING (pid) \
                 WHERE a.usename = session_user AND cardinality(pg_blocking_pids(a.pid)) = 0) \
             SELECT pid FROM blockers WHERE pg_terminate_backend(pid)",
        )
        .persistent(false)
        .bind(pid)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        if !ended.is_empty() {
            tracing::warn!(?ended, "ended the sessions that held a lane's position");
        }
        Ok(connection.close().await?)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { shown, role, .. } = self.place(String::new());
        f.debug_struct("Database")
            .field("place", &shown)
            .field("role", &role)
            .finish_non_exhaustive()
    }
}

impl Lease<'_> {
    /// To be used again.
    pub(super) fn keep(mut self) {
        if let Some(connection) = self.connection.take() {
            self.database.idle().push(Idle { connection, since: Instant::now() });
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // What made this one useless may have made the others so.
        if self.connection.is_some() {
            self.database.idle().clear();
        }
    }
}

impl Deref for Lease<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("there until it is kept")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("there until it is kept")
    }
}

pub(super) async fn begin(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, PostgresFault> {
    answered(connection.begin_with(BEGIN)).await
}

/// Of the session that a transaction is on, for others to look at.
pub(super) async fn pid(connection: &mut PgConnection) -> Result<i32, PostgresFault> {
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").persistent(false);
    answered(pid.fetch_one(connection)).await
}

/// A statement without a name of its own in the session.
pub(super) fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// What a server says that may have gone without a word.
pub(super) async fn answered<T, E: Into<PostgresFault>>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, PostgresFault> {
    match timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(PostgresFault::Silent),
    }
}
