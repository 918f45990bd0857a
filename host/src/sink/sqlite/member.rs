//! The processes that run a pipeline. One database is for one host, whose clock is theirs.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::error::SqliteFault;
use super::time;
use crate::ledger::Member;
use crate::sink::table::parsed;

const TABLE: &str = "pinhost_member";

/// Of processes that ended without a word.
const KEPT: Duration = Duration::from_secs(86_400);

pub(super) async fn beat(
    connection: &mut SqliteConnection,
    pipeline: &str,
    member: Uuid,
    note: &str,
) -> Result<(), SqliteFault> {
    sqlx::query(
        "INSERT INTO pinhost_member (pipeline, member, beat, note) VALUES (?, ?, ?, ?) \
         ON CONFLICT (pipeline, member) DO UPDATE SET beat = excluded.beat, note = excluded.note",
    )
    .bind(pipeline)
    .bind(member.to_string())
    .bind(time::now())
    .bind(note)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM pinhost_member WHERE pipeline = ? AND beat < ?")
        .bind(pipeline)
        .bind(time::ago(KEPT))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn all(
    connection: &mut SqliteConnection,
    pipeline: &str,
) -> Result<Vec<Member>, SqliteFault> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT member, beat, note FROM pinhost_member WHERE pipeline = ? ORDER BY member",
    )
    .bind(pipeline)
    .fetch_all(connection)
    .await?;
    let now = SystemTime::now();
    let members = rows.into_iter().map(|(id, beat, note)| {
        let beat: SystemTime = parsed::<Timestamp>(TABLE, "time", &beat)?.into();
        let age = now.duration_since(beat).unwrap_or_default();
        Ok(Member { id: parsed(TABLE, "member", &id)?, age, note })
    });
    members.collect()
}

pub(super) async fn leave(
    connection: &mut SqliteConnection,
    pipeline: &str,
    member: Uuid,
) -> Result<(), SqliteFault> {
    sqlx::query("DELETE FROM pinhost_member WHERE pipeline = ? AND member = ?")
        .bind(pipeline)
        .bind(member.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
