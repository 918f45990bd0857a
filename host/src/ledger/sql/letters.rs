//! Records that could not be cleaned or stored.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use super::{SqlConnection, SqlRow, SqlValue, lanes, values};
use crate::ledger::letter::{headers_from_json, headers_to_json, id, stored_text};
use crate::ledger::{DeadLetterFilter, DeadLetterState, LedgerFault, StoredDeadLetter};
use crate::record::{ConnectorError, DeadLetter, Digest, Lane, Position, RawBatch, RawRecord};

/// Letters of a statement. Few sizes, so that all their statements stay prepared.
const SIZES: [usize; 4] = [128, 32, 4, 1];

/// Bytes of a statement's letters, about: bound values are copies.
const STATEMENT_BYTES: usize = 4 << 20;

/// So many go in one commit.
const FORGOTTEN_MAX: i64 = 10_000;

/// Longer is for ever.
const KEEP_MAX: Duration = Duration::from_secs(86_400 * 365 * 1_000);

/// But for the first number and the time.
const COLUMNS: [&str; 16] = [
    "pipeline",
    "id",
    "lane",
    "position",
    "state",
    "attempts",
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
pub(crate) struct NewLetter<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) raw: &'a RawBatch,
    pub(crate) letter: DeadLetter,
}

impl<'a> NewLetter<'a> {
    fn id(&self) -> String {
        let (lane, position) = self.place();
        id(lane, &position)
    }

    /// Where the record was read first: a retry gives its row that place.
    fn place(&self) -> (&'a str, Position) {
        self.raw.place(self.letter.record as usize, self.lane.name())
    }

    fn record(&self) -> &'a RawRecord {
        &self.raw.records[self.letter.record as usize]
    }

    fn value(&self) -> Option<&'a [u8]> {
        self.record().value.map(|span| self.raw.bytes_of(span))
    }

    fn bytes(&self) -> usize {
        self.value().map_or(0, <[u8]>::len)
    }

    fn headers(&self) -> String {
        let headers = &self.raw.headers[self.record().headers.range()];
        headers_to_json(
            headers
                .iter()
                .map(|header| (&*header.name, header.value.map(|span| self.raw.bytes_of(span)))),
        )
    }

    /// In the order of the columns.
    fn values(&self, pipeline: &str, generation: &str) -> [SqlValue; COLUMNS.len()] {
        let (lane, position) = self.place();
        let record = self.record();
        let text = |text: &str| stored_text(text).into_owned();
        [
            pipeline.into(),
            self.id().into(),
            lane.into(),
            position.to_string().into(),
            state_name(DeadLetterState::Dead).into(),
            1_i64.into(),
            self.letter.step.as_deref().map(text).into(),
            text(&self.letter.reason).into(),
            self.letter.detail.as_deref().map(text).into(),
            generation.into(),
            self.value().into(),
            record.key.map(|span| self.raw.bytes_of(span)).into(),
            self.headers().into(),
            record.timestamp_micros.into(),
            self.raw.topic.as_deref().map(text).into(),
            self.raw.partition.into(),
        ]
    }
}

/// The stored letter of a record that was one before, and is read again because its lane was moved, still is
/// the same letter.
pub(crate) async fn add(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    generation: Digest,
    mut letters: &[NewLetter<'_>],
) -> Result<(), ConnectorError> {
    let generation = generation.to_string();
    while !letters.is_empty() {
        let now;
        (now, letters) = letters.split_at(of_a_statement(letters));
        let values = now.iter().flat_map(|letter| letter.values(pipeline, &generation));
        sql.execute(&insert(now.len()), values.collect()).await?;
    }
    Ok(())
}

/// How many of the letters go into one statement, at least one. None of them is there twice: no statement
/// changes a row that it has made.
fn of_a_statement(letters: &[NewLetter<'_>]) -> usize {
    let (mut bytes, mut ids) = (0, HashSet::new());
    let fits = |letter: &&NewLetter<'_>| {
        bytes += letter.bytes();
        (bytes <= STATEMENT_BYTES || ids.is_empty()) && ids.insert(letter.id())
    };
    let most = letters.iter().take(SIZES[0]).take_while(fits).count().max(1);
    SIZES.into_iter().find(|size| *size <= most).unwrap_or(1)
}

fn insert(letters: usize) -> String {
    let row = |at: usize| {
        let first = at * COLUMNS.len() + 1;
        let values: Vec<_> =
            (first..first + COLUMNS.len()).map(|number| format!("${number}")).collect();
        format!("({}, :now)", values.join(", "))
    };
    let rows: Vec<_> = (0..letters).map(row).collect();
    let replaced = COLUMNS.iter().filter(|column| !matches!(**column, "pipeline" | "id"));
    let replaced: Vec<_> = replaced
        .map(|column| match *column {
            "attempts" => "attempts = l.attempts + 1".to_owned(),
            column => format!("{column} = excluded.{column}"),
        })
        .collect();
    format!(
        "INSERT INTO pinhost.dead_letter AS l ({}, time) VALUES {} \
         ON CONFLICT (pipeline, id) DO UPDATE SET {}, time = excluded.time",
        COLUMNS.join(", "),
        rows.join(", "),
        replaced.join(", ")
    )
}

/// Forgets letters that are older than they are to be kept, not all of them at once.
pub(crate) async fn forget(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    keep: Duration,
) -> Result<(), ConnectorError> {
    if keep > KEEP_MAX {
        return Ok(());
    }
    let ago = sql.dialect().ago;
    let forget = format!(
        "DELETE FROM pinhost.dead_letter WHERE number IN \
         (SELECT number FROM pinhost.dead_letter WHERE pipeline = $1 AND time < {} \
          ORDER BY time LIMIT $3:unlocked)",
        ago("$2")
    );
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    sql.execute(&forget, values![pipeline, keep, FORGOTTEN_MAX]).await?;
    Ok(())
}

pub(super) async fn list(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
    let dialect = sql.dialect();
    let list = format!(
        "SELECT {}, {} FROM pinhost.dead_letter WHERE {} ORDER BY number LIMIT $6",
        COLUMNS.join(", "),
        (dialect.micros)("time"),
        asked(sql)
    );
    let mut values = values_of(pipeline, which);
    values.push(which.limit.unwrap_or(u64::MAX).into());
    let rows = sql.rows(&list, values).await?;
    rows.iter().map(|row| stored(sql, &**row)).collect()
}

pub(super) async fn count(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    which: &DeadLetterFilter,
) -> Result<u64, ConnectorError> {
    let count = format!("SELECT count(*) FROM pinhost.dead_letter WHERE {}", asked(sql));
    let row = sql.row(&count, values_of(pipeline, which)).await?;
    let count = row.map(|row| row.some_integer(0)).transpose()?.unwrap_or_default();
    Ok(count.cast_unsigned())
}

/// Under which name a pipeline's warning is kept.
fn warning_name(pipeline: &str) -> String {
    format!("warning of {pipeline}")
}

pub(super) async fn keep_warning(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    warning: Option<&str>,
) -> Result<(), ConnectorError> {
    let name = warning_name(pipeline);
    let Some(warning) = warning else {
        sql.execute("DELETE FROM pinhost.meta WHERE name = $1", values![name]).await?;
        return Ok(());
    };
    let keep = "INSERT INTO pinhost.meta (name, value) VALUES ($1, $2) \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sql.execute(keep, values![name, &*stored_text(warning)]).await?;
    Ok(())
}

pub(super) async fn warning(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<Option<String>, ConnectorError> {
    let kept = "SELECT value FROM pinhost.meta WHERE name = $1";
    let kept = sql.row(kept, values![warning_name(pipeline)]).await?;
    kept.map(|row| row.some_text(0)).transpose()
}

fn asked(sql: &dyn SqlConnection) -> String {
    let texts = (sql.dialect().texts)("$3");
    format!(
        "pipeline = $1 AND ($2 IS NULL OR state = $2) AND ($3 IS NULL OR id IN ({texts})) \
         AND ($4 IS NULL OR number > coalesce( \
             (SELECT number FROM pinhost.dead_letter WHERE pipeline = $1 AND id = $4), 0)) \
         AND ($5 IS NULL OR substr(generation, 1, length($5)) = $5)"
    )
}

fn values_of(pipeline: &str, which: &DeadLetterFilter) -> Vec<SqlValue> {
    let ids = || serde_json::to_string(&which.ids).expect("texts");
    values![
        pipeline,
        which.state.map(|state| state_name(state).to_owned()),
        (!which.ids.is_empty()).then(ids),
        which.after.clone(),
        which.generation.clone(),
    ]
}

/// A row of the columns, and then the time.
fn stored(sql: &dyn SqlConnection, row: &dyn SqlRow) -> Result<StoredDeadLetter, ConnectorError> {
    let table = sql.dialect().table("dead_letter");
    let fault = |fault| sql.fault(fault);
    let (position, state) = (row.some_text(3)?, row.some_text(4)?);
    let (generation, headers) = (row.some_text(9)?, row.some_text(12)?);
    let no = |what, value: &str| sql.fault(LedgerFault::state(&table, what, value));
    Ok(StoredDeadLetter {
        id: row.some_text(1)?,
        lane: Lane::new(row.some_text(2)?),
        position: LedgerFault::parsed(&table, "position", &position).map_err(fault)?,
        state: state_of(&state).ok_or_else(|| no("state", &state))?,
        attempts: u32::try_from(row.some_integer(5)?).unwrap_or(u32::MAX),
        step: row.text(6)?,
        reason: row.some_text(7)?,
        detail: row.text(8)?,
        generation: LedgerFault::parsed(&table, "generation", &generation).map_err(fault)?,
        value: row.bytes(10)?.map(Bytes::from),
        key: row.bytes(11)?.map(Bytes::from),
        headers: headers_from_json(&headers).ok_or_else(|| no("list of headers", &headers))?,
        timestamp_micros: row.integer(13)?,
        topic: row.text(14)?,
        partition: row.integer(15)?,
        time: lanes::time(row.some_integer(16)?),
    })
}

/// A letter that was tried again, and why it is dead again if it is.
#[derive(Debug)]
pub(crate) struct TriedLetter<'a> {
    pub(crate) id: &'a str,
    /// What `attempts` was when it was read.
    pub(crate) attempts: u32,
    pub(crate) generation: Digest,
    pub(crate) died: Option<&'a DeadLetter>,
}

/// Compare-and-set on a dead letter and how often it was tried.
pub(crate) async fn tried(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    tried: &TriedLetter<'_>,
) -> Result<bool, ConnectorError> {
    let TriedLetter { id, attempts, generation, died } = *tried;
    let update = "UPDATE pinhost.dead_letter \
                  SET state = $1, attempts = $2 + 1, generation = $3, time = :now, \
                  step = CASE WHEN $4 IS NULL THEN step ELSE $5 END, reason = coalesce($4, reason), \
                  detail = CASE WHEN $4 IS NULL THEN detail ELSE $6 END \
                  WHERE pipeline = $7 AND id = $8 AND attempts = $2 AND state = $9";
    let state = if died.is_some() { DeadLetterState::Dead } else { DeadLetterState::Retried };
    let text = |text: &str| stored_text(text).into_owned();
    let values = values![
        state_name(state),
        i64::from(attempts),
        generation.to_string(),
        died.map(|letter| text(&letter.reason)),
        died.and_then(|letter| letter.step.as_deref().map(str::to_owned)),
        died.and_then(|letter| letter.detail.as_deref().map(text)),
        pipeline,
        id,
        state_name(DeadLetterState::Dead),
    ];
    Ok(sql.execute(update, values).await? == 1)
}

/// How often a letter was tried, and by which generation the last time. Waits for those who are about to
/// change it.
pub(crate) async fn standing(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    id: &str,
) -> Result<Option<(i64, String)>, ConnectorError> {
    let standing = "SELECT attempts, generation FROM pinhost.dead_letter \
                    WHERE pipeline = $1 AND id = $2:locked";
    let Some(row) = sql.row(standing, values![pipeline, id]).await? else {
        return Ok(None);
    };
    Ok(Some((row.some_integer(0)?, row.some_text(1)?)))
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
