//! Records that could not be cleaned or stored.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::{SqliteFault, parsed};
use super::insert::{Binder, Insert};
use super::time;
use crate::record::{DeadLetter, Digest, Lane, RawBatch};
use crate::sink::letter::{headers_from_json, headers_to_json, id, stored_text};
use crate::sink::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};

const TABLE: &str = "pinhost_dead_letter";

/// Letters that go in one commit because they are too old.
const FORGOTTEN_MAX: i64 = 10_000;

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

/// A letter, and the record that it is about.
#[derive(Debug)]
pub(super) struct NewLetter<'a> {
    pub(super) lane: &'a Lane,
    pub(super) raw: &'a RawBatch,
    pub(super) letter: DeadLetter,
}

/// Stores letters. A record that was one before, and is read again because its lane was moved, still is
/// the same letter.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    pipeline: &str,
    generation: Digest,
    letters: &[NewLetter<'_>],
) -> Result<(), SqliteFault> {
    if letters.is_empty() {
        return Ok(());
    }
    let replaced = COLUMNS.iter().filter(|column| !matches!(**column, "pipeline" | "id"));
    let replaced: Vec<_> = replaced
        .map(|column| match *column {
            "attempts" => format!("attempts = {TABLE}.attempts + 1"),
            column => format!("{column} = excluded.{column}"),
        })
        .collect();
    let after = format!("ON CONFLICT (pipeline, id) DO UPDATE SET {}", replaced.join(", "));
    let insert = Insert::new(TABLE, &COLUMNS, &after);
    let (generation, now) = (generation.to_string(), time::now());
    let bind = |binder: &mut Binder, new: &NewLetter| {
        let NewLetter { lane, raw, letter } = new;
        let record = &raw.records[letter.record as usize];
        let mut headers = Vec::new();
        let read = raw.record(letter.record as usize, &mut headers);
        let headers = read.headers.iter().map(|header| (header.name, header.value));
        binder
            .push(pipeline)
            .push(id(lane, &record.position))
            .push(lane.name())
            .push(record.position.to_string())
            .push(state_name(DeadLetterState::Dead))
            .push(1)
            .push(&*now)
            .push(letter.step.as_deref())
            .push(&*stored_text(&letter.reason))
            .push(letter.detail.as_deref().map(stored_text))
            .push(&*generation)
            .push(read.value)
            .push(read.key)
            .push(headers_to_json(headers))
            .push(read.timestamp_micros)
            .push(read.topic.map(stored_text))
            .push(read.partition);
    };
    insert.all(connection, letters, bind).await
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
    let ids = (!which.ids.is_empty()).then(|| serde_json::json!(which.ids).to_string());
    let limit = which.limit.and_then(|limit| i64::try_from(limit).ok());
    let rows = sqlx::query(
        "SELECT * FROM pinhost_dead_letter \
         WHERE pipeline = ?1 AND (?2 IS NULL OR state = ?2) \
           AND (?3 IS NULL OR id IN (SELECT value FROM json_each(?3))) \
           AND (?4 IS NULL OR number > coalesce( \
               (SELECT number FROM pinhost_dead_letter WHERE pipeline = ?1 AND id = ?4), 0)) \
         ORDER BY number LIMIT ?5",
    )
    .bind(pipeline)
    .bind(which.state.map(state_name))
    .bind(ids)
    .bind(&which.after)
    // Negative: all.
    .bind(limit.unwrap_or(-1))
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &SqliteRow) -> Result<StoredDeadLetter, SqliteFault> {
    let state: &str = row.try_get("state")?;
    let headers: &str = row.try_get("headers")?;
    let bad =
        |what, value: &str| SqliteFault::State { table: TABLE, what, value: value.to_owned() };
    let bytes = |column| {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(bytes.map(Bytes::from))
    };
    Ok(StoredDeadLetter {
        id: row.try_get("id")?,
        lane: Lane::new(row.try_get::<String, _>("lane")?),
        position: parsed(TABLE, "position", row.try_get("position")?)?,
        value: bytes("value")?,
        key: bytes("key")?,
        headers: headers_from_json(headers).ok_or_else(|| bad("list of headers", headers))?,
        timestamp_micros: row.try_get("timestamp_micros")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        step: row.try_get("step")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        generation: parsed(TABLE, "generation", row.try_get("generation")?)?,
        time: parsed::<Timestamp>(TABLE, "time", row.try_get("time")?)?.into(),
        attempts: row.try_get("attempts")?,
        state: state_of(state).ok_or_else(|| bad("state", state))?,
    })
}

/// What became of a letter that was tried again.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// It is a row now, or was dropped.
    Settled,
    Dead(&'a DeadLetter),
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
    let (state, letter) = match outcome {
        Outcome::Settled => (DeadLetterState::Retried, None),
        Outcome::Dead(letter) => (DeadLetterState::Dead, Some(letter)),
    };
    let done = sqlx::query(
        "UPDATE pinhost_dead_letter SET state = ?1, attempts = ?2 + 1, generation = ?3, time = ?4, \
         step = iif(?5 IS NULL, step, ?6), reason = coalesce(?5, reason), \
         detail = iif(?5 IS NULL, detail, ?7) \
         WHERE pipeline = ?8 AND id = ?9 AND attempts = ?2 AND state = ?10",
    )
    .bind(state_name(state))
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

fn state_name(state: DeadLetterState) -> &'static str {
    match state {
        DeadLetterState::Dead => "dead",
        DeadLetterState::Retried => "retried",
    }
}

fn state_of(name: &str) -> Option<DeadLetterState> {
    [DeadLetterState::Dead, DeadLetterState::Retried]
        .into_iter()
        .find(|state| state_name(*state) == name)
}
