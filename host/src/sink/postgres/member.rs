//! The processes that run a pipeline.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::error::PostgresFault;
use super::session::{answered, query};
use crate::ledger::Member;

pub(super) async fn beat(
    connection: &mut PgConnection,
    pipeline: &str,
    member: Uuid,
    note: &str,
) -> Result<(), PostgresFault> {
    let beat = query(
        "INSERT INTO pinhost.member (pipeline, member, beat, note) \
         VALUES ($1, $2, clock_timestamp(), $3) \
         ON CONFLICT (pipeline, member) DO UPDATE SET beat = excluded.beat, note = excluded.note",
    );
    answered(beat.bind(pipeline).bind(member).bind(note).execute(&mut *connection)).await?;
    // Of processes that ended without a word.
    let forget = query(
        "DELETE FROM pinhost.member \
         WHERE pipeline = $1 AND beat < clock_timestamp() - interval '1 day'",
    );
    answered(forget.bind(pipeline).execute(connection)).await?;
    Ok(())
}

pub(super) async fn all(
    connection: &mut PgConnection,
    pipeline: &str,
) -> Result<Vec<Member>, PostgresFault> {
    let members = query(
        "SELECT member, (extract(epoch FROM clock_timestamp() - beat) * 1000000)::int8, note \
         FROM pinhost.member WHERE pipeline = $1 ORDER BY member",
    );
    let rows = answered(members.bind(pipeline).fetch_all(connection)).await?;
    let members = rows.iter().map(|row| {
        let micros: i64 = row.try_get(1)?;
        let age = Duration::from_micros(micros.try_into().unwrap_or_default());
        Ok(Member { id: row.try_get(0)?, age, note: row.try_get(2)? })
    });
    members.collect()
}

pub(super) async fn leave(
    connection: &mut PgConnection,
    pipeline: &str,
    member: Uuid,
) -> Result<(), PostgresFault> {
    let leave = query("DELETE FROM pinhost.member WHERE pipeline = $1 AND member = $2");
    answered(leave.bind(pipeline).bind(member).execute(connection)).await?;
    Ok(())
}
