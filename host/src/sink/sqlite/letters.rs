//! Records that could not be cleaned or stored.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite};

use super::error::SqliteFault;
use super::insert::{Binder, Statement};
use super::time;
use crate::ledger::letter::stored_text;
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::record::Digest;
use crate::sink::table::letters::{LetterRow, NewLetter, Outcome, replaced, state_name};
use crate::sink::table::{FORGOTTEN_MAX, parsed};

const TABLE: &str = "pinhost_dead_letter";

const COLUMNS: [&str; 17] = [
    "pipeline",
    "id",
    "lane",
    "position",
    "state",
    "attempts",
    "time",
    "step",
    "reason",
    "detail",
    "generation",
    "value",
    "key",
    "headers",
    "timestamp_micros",
    "topic",
    "partition",
];

pub(super) async fn add(
    connection: &mut SqliteConnection,
    pipeline: &str,
    generation: Digest,
    letters: &[NewLetter<'_>],
) -> Result<(), SqliteFault> {
    if letters.is_empty() {
        return Ok(());
    }
    let insert = Statement::insert(TABLE, &COLUMNS, &replaced(TABLE, &COLUMNS));
    let (generation, now) = (generation.to_string(), time::now());
    let bind = |binder: &mut Binder, new: &NewLetter| {
        let NewLetter { raw, letter, lane: _ } = new;
        let (record, (lane, position)) = (new.record(), new.place());
        binder
            .push(pipeline)
            .push(new.id())
            .push(lane.to_owned())
            .push(position.to_string())
            .push(state_name(DeadLetterState::Dead))
            .push(1)
            .push(&*now)
            .push(letter.step.as_deref())
            .push(&*stored_text(&letter.reason))
            .push(letter.detail.as_deref().map(stored_text))
            .push(&*generation)
            .push(new.value())
            .push(new.key())
            .push(new.headers())
            .push(record.timestamp_micros)
            .push(raw.topic.as_deref().map(stored_text))
            .push(raw.partition);
    };
    Ok(insert.all(connection, letters, bind).await?)
}

/// Forgets letters that are older than they are to be kept, not all of them at once.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    pipeline: &str,
    keep: Duration,
) -> Result<(), SqliteFault> {
    // Longer than there is time: for ever.
    let Some(before) = time::ago(keep) else { return Ok(()) };
    sqlx::query(
        "DELETE FROM pinhost_dead_letter WHERE number IN \
         (SELECT number FROM pinhost_dead_letter WHERE pipeline = ? AND time < ? LIMIT ?)",
    )
    .bind(pipeline)
    .bind(before)
    .bind(FORGOTTEN_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<Vec<StoredDeadLetter>, SqliteFault> {
    let limit = which.limit.and_then(|limit| i64::try_from(limit).ok());
    let list = format!("SELECT * FROM pinhost_dead_letter WHERE {WHICH} ORDER BY number LIMIT ?6");
    // Negative: all.
    let list = asked(&list, pipeline, which).bind(limit.unwrap_or(-1));
    list.fetch_all(connection).await?.iter().map(stored).collect()
}

pub(super) async fn count(
    connection: &mut SqliteConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<u64, SqliteFault> {
    let count = format!("SELECT count(*) FROM pinhost_dead_letter WHERE {WHICH}");
    let row = asked(&count, pipeline, which).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
}

const WHICH: &str = "pipeline = ?1 AND (?2 IS NULL OR state = ?2) \
    AND (?3 IS NULL OR id IN (SELECT value FROM json_each(?3))) \
    AND (?4 IS NULL OR number > coalesce( \
        (SELECT number FROM pinhost_dead_letter WHERE pipeline = ?1 AND id = ?4), 0)) \
    AND (?5 IS NULL OR substr(generation, 1, length(?5)) = ?5)";

fn asked<'a>(
    sql: &'a str,
    pipeline: &'a str,
    which: &'a DeadLetterFilter,
) -> Query<'a, Sqlite, SqliteArguments> {
    let ids = (!which.ids.is_empty()).then(|| serde_json::json!(which.ids).to_string());
    sqlx::query(AssertSqlSafe(sql))
        .bind(pipeline)
        .bind(which.state.map(state_name))
        .bind(ids)
        .bind(&which.after)
        .bind(&which.generation)
}

fn stored(row: &SqliteRow) -> Result<StoredDeadLetter, SqliteFault> {
    let letter = LetterRow {
        id: row.try_get("id")?,
        lane: row.try_get("lane")?,
        position: row.try_get("position")?,
        value: row.try_get("value")?,
        key: row.try_get("key")?,
        headers: row.try_get("headers")?,
        timestamp_micros: row.try_get("timestamp_micros")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        step: row.try_get("step")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        generation: row.try_get("generation")?,
        time: parsed::<Timestamp>(TABLE, "time", row.try_get("time")?)?.into(),
        attempts: row.try_get("attempts")?,
        state: row.try_get("state")?,
    };
    Ok(letter.read(TABLE)?)
}

/// Compare-and-set on a dead letter and how often it was tried.
pub(super) async fn tried(
    connection: &mut SqliteConnection,
    pipeline: &str,
    id: &str,
    attempts: u32,
    generation: Digest,
    outcome: &Outcome<'_>,
) -> Result<bool, SqliteFault> {
    let letter = outcome.letter();
    let done = sqlx::query(
        "UPDATE pinhost_dead_letter SET state = ?1, attempts = ?2 + 1, generation = ?3, time = ?4, \
         step = iif(?5 IS NULL, step, ?6), reason = coalesce(?5, reason), \
         detail = iif(?5 IS NULL, detail, ?7) \
         WHERE pipeline = ?8 AND id = ?9 AND attempts = ?2 AND state = ?10",
    )
    .bind(outcome.state())
    .bind(attempts)
    .bind(generation.to_string())
    .bind(time::now())
    .bind(letter.map(|letter| stored_text(&letter.reason)))
    .bind(letter.and_then(|letter| letter.step.as_deref()))
    .bind(letter.and_then(|letter| letter.detail.as_deref()).map(stored_text))
    .bind(pipeline)
    .bind(id)
    .bind(state_name(DeadLetterState::Dead))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
