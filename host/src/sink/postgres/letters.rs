//! Records that could not be cleaned or stored.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::error::PostgresFault;
use super::lane::time;
use super::session::{answered, query};
use crate::ledger::letter::stored_text;
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::record::Digest;
use crate::sink::table::FORGOTTEN_MAX;
use crate::sink::table::letters::{LetterRow, NewLetter, Outcome, replaced, state_name};

const TABLE: &str = "pinhost.dead_letter";

/// And types, of the arrays that they come in.
const COLUMNS: [(&str, &str); 15] = [
    ("pipeline", "text"),
    ("id", "text"),
    ("lane", "text"),
    ("position", "text"),
    ("state", "text"),
    ("step", "text"),
    ("reason", "text"),
    ("detail", "text"),
    ("generation", "text"),
    ("value", "bytea"),
    ("key", "bytea"),
    ("headers", "text"),
    ("timestamp_micros", "int8"),
    ("topic", "text"),
    ("partition", "int8"),
];

/// Letters of a statement.
const LETTERS_MAX: usize = 1000;

pub(super) async fn add(
    connection: &mut PgConnection,
    pipeline: &str,
    generation: Digest,
    letters: &[NewLetter<'_>],
) -> Result<(), PostgresFault> {
    if letters.is_empty() {
        return Ok(());
    }
    let names = COLUMNS.map(|(name, _)| name);
    let arrays: Vec<_> =
        (1..).zip(COLUMNS).map(|(number, (_, kind))| format!("${number}::{kind}[]")).collect();
    let replaced = replaced("dead_letter", &[&names[..], &["attempts", "time"]].concat());
    let sql = format!(
        "INSERT INTO {TABLE} ({names}, attempts, time) \
         SELECT *, 1, clock_timestamp() FROM unnest({arrays}) {replaced}",
        names = names.join(", "),
        arrays = arrays.join(", ")
    );
    for letters in letters.chunks(LETTERS_MAX) {
        let insert = bound(&sql, pipeline, generation, letters);
        answered(insert.execute(&mut *connection)).await?;
    }
    Ok(())
}

/// A column at a time.
fn bound<'a>(
    sql: &'a str,
    pipeline: &str,
    generation: Digest,
    letters: &[NewLetter<'_>],
) -> Query<'a, Postgres, PgArguments> {
    fn all<'n, T>(letters: &'n [NewLetter<'n>], each: impl Fn(&NewLetter<'n>) -> T) -> Vec<T> {
        letters.iter().map(each).collect()
    }
    let generation = generation.to_string();
    let text = |text: &str| stored_text(text).into_owned();
    sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(all(letters, |_| pipeline.to_owned()))
        .bind(all(letters, NewLetter::id))
        .bind(all(letters, |new| new.place().0.to_owned()))
        .bind(all(letters, |new| new.place().1.to_string()))
        .bind(all(letters, |_| state_name(DeadLetterState::Dead).to_owned()))
        .bind(all(letters, |new| new.letter.step.as_deref().map(text)))
        .bind(all(letters, |new| text(&new.letter.reason)))
        .bind(all(letters, |new| new.letter.detail.as_deref().map(text)))
        .bind(all(letters, |_| generation.clone()))
        .bind(all(letters, |new| new.value().map(<[u8]>::to_vec)))
        .bind(all(letters, |new| new.key().map(<[u8]>::to_vec)))
        .bind(all(letters, NewLetter::headers))
        .bind(all(letters, |new| new.record().timestamp_micros))
        .bind(all(letters, |new| new.raw.topic.as_deref().map(text)))
        .bind(all(letters, |new| new.raw.partition))
}

/// Forgets letters that are older than they are to be kept, not all of them at once.
pub(super) async fn forget(
    connection: &mut PgConnection,
    pipeline: &str,
    keep: Duration,
) -> Result<(), PostgresFault> {
    // Longer than there is time: for ever.
    let Ok(keep) = i64::try_from(keep.as_micros()) else { return Ok(()) };
    let forget = query(
        "DELETE FROM pinhost.dead_letter WHERE number IN \
         (SELECT number FROM pinhost.dead_letter WHERE pipeline = $1 \
          AND extract(epoch FROM clock_timestamp() - time) * 1000000 > $2 \
          ORDER BY time LIMIT $3 FOR UPDATE SKIP LOCKED)",
    );
    let forget = forget.bind(pipeline).bind(keep).bind(FORGOTTEN_MAX);
    answered(forget.execute(connection)).await?;
    Ok(())
}

pub(super) async fn list(
    connection: &mut PgConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<Vec<StoredDeadLetter>, PostgresFault> {
    let limit = which.limit.and_then(|limit| i64::try_from(limit).ok());
    let list = format!(
        "SELECT *, (extract(epoch FROM time) * 1000000)::int8 AS time_micros \
         FROM pinhost.dead_letter WHERE {WHICH} ORDER BY number LIMIT $6"
    );
    let rows = answered(asked(&list, pipeline, which).bind(limit).fetch_all(connection)).await?;
    rows.iter().map(stored).collect()
}

pub(super) async fn count(
    connection: &mut PgConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<u64, PostgresFault> {
    let count = format!("SELECT count(*) FROM pinhost.dead_letter WHERE {WHICH}");
    let row = answered(asked(&count, pipeline, which).fetch_one(connection)).await?;
    Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
}

const WHICH: &str = "pipeline = $1 AND ($2::text IS NULL OR state = $2) \
    AND ($3::text[] IS NULL OR id = ANY ($3)) \
    AND ($4::text IS NULL OR number > coalesce( \
        (SELECT number FROM pinhost.dead_letter WHERE pipeline = $1 AND id = $4), 0)) \
    AND ($5::text IS NULL OR starts_with(generation, $5))";

fn asked<'a>(
    sql: &'a str,
    pipeline: &'a str,
    which: &'a DeadLetterFilter,
) -> Query<'a, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(pipeline)
        .bind(which.state.map(state_name))
        .bind((!which.ids.is_empty()).then_some(&which.ids))
        .bind(&which.after)
        .bind(&which.generation)
}

fn stored(row: &PgRow) -> Result<StoredDeadLetter, PostgresFault> {
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
        time: time(row.try_get("time_micros")?),
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        state: row.try_get("state")?,
    };
    Ok(letter.read(TABLE)?)
}

/// Compare-and-set on a dead letter and how often it was tried.
pub(super) async fn tried(
    connection: &mut PgConnection,
    pipeline: &str,
    id: &str,
    attempts: u32,
    generation: Digest,
    outcome: &Outcome<'_>,
) -> Result<bool, PostgresFault> {
    let letter = outcome.letter();
    let tried = query(
        "UPDATE pinhost.dead_letter SET state = $1, attempts = $2 + 1, generation = $3, \
         time = clock_timestamp(), \
         step = CASE WHEN $4::text IS NULL THEN step ELSE $5 END, reason = coalesce($4, reason), \
         detail = CASE WHEN $4 IS NULL THEN detail ELSE $6 END \
         WHERE pipeline = $7 AND id = $8 AND attempts = $2 AND state = $9",
    )
    .bind(outcome.state())
    .bind(i64::from(attempts))
    .bind(generation.to_string())
    .bind(letter.map(|letter| stored_text(&letter.reason)))
    .bind(letter.and_then(|letter| letter.step.as_deref()))
    .bind(letter.and_then(|letter| letter.detail.as_deref()).map(stored_text))
    .bind(pipeline)
    .bind(id)
    .bind(state_name(DeadLetterState::Dead));
    Ok(answered(tried.execute(connection)).await?.rows_affected() == 1)
}

/// How often a letter was tried, and by which generation the last time. Waits for those who are about to
/// change it.
pub(super) async fn standing(
    connection: &mut PgConnection,
    pipeline: &str,
    id: &str,
) -> Result<Option<(i64, String)>, PostgresFault> {
    let standing = sqlx::query_as(
        "SELECT attempts, generation FROM pinhost.dead_letter \
         WHERE pipeline = $1 AND id = $2 FOR UPDATE",
    );
    answered(standing.persistent(false).bind(pipeline).bind(id).fetch_optional(connection)).await
}
