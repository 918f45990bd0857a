//! The processes that run a pipeline, by the database's own clock.

use std::time::Duration;

use uuid::Uuid;

use super::{SqlConnection, values};
use crate::ledger::{LedgerFault, Member};
use crate::record::ConnectorError;

/// Beats of processes that ended without a word.
const KEPT: Duration = Duration::from_secs(86_400);

pub(super) async fn beat(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    member: Uuid,
    note: &str,
) -> Result<(), ConnectorError> {
    let beat = "INSERT INTO pinhost.member (pipeline, member, beat, note) \
                VALUES ($1, CAST($2 AS :uuid), :now, $3) \
                ON CONFLICT (pipeline, member) DO UPDATE \
                SET beat = excluded.beat, note = excluded.note";
    sql.execute(beat, values![pipeline, member.to_string(), note]).await?;
    let ago = sql.dialect().ago;
    let forget = format!("DELETE FROM pinhost.member WHERE pipeline = $1 AND beat < {}", ago("$2"));
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    sql.execute(&forget, values![pipeline, kept]).await?;
    Ok(())
}

pub(super) async fn all(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<Vec<Member>, ConnectorError> {
    let micros = sql.dialect().micros;
    let members = format!(
        "SELECT CAST(member AS TEXT), {} - {}, note FROM pinhost.member \
         WHERE pipeline = $1 ORDER BY member",
        micros(sql.dialect().now),
        micros("beat")
    );
    let rows = sql.rows(&members, values![pipeline]).await?;
    let table = sql.dialect().table("member");
    let members = rows.iter().map(|row| {
        let id = LedgerFault::parsed(&table, "member", &row.some_text(0)?);
        let age = u64::try_from(row.some_integer(1)?).unwrap_or_default();
        Ok(Member {
            id: id.map_err(|fault| sql.fault(fault))?,
            age: Duration::from_micros(age),
            note: row.some_text(2)?,
        })
    });
    members.collect()
}

pub(super) async fn leave(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    member: Uuid,
) -> Result<(), ConnectorError> {
    let leave = "DELETE FROM pinhost.member WHERE pipeline = $1 AND member = CAST($2 AS :uuid)";
    sql.execute(leave, values![pipeline, member.to_string()]).await?;
    Ok(())
}
