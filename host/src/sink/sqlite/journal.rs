//! What the sources of lanes note down, entry by entry.

use bytes::Bytes;
use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::lane::Lanes;
use crate::ledger::Claim;
use crate::record::Lane;

pub(super) async fn entries(
    connection: &mut SqliteConnection,
    pipeline: &str,
    lane: &Lane,
) -> Result<Vec<Bytes>, SqliteFault> {
    let entries: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT entry FROM pinhost_journal WHERE pipeline = ? AND lane = ? ORDER BY number",
    )
    .bind(pipeline)
    .bind(lane.name())
    .fetch_all(connection)
    .await?;
    Ok(entries.into_iter().map(Bytes::from).collect())
}

pub(super) async fn append(
    connection: &mut SqliteConnection,
    lanes: &Lanes<'_>,
    claim: &Claim,
    number: u64,
    entry: &[u8],
) -> Result<bool, SqliteFault> {
    // Commits have moved the lane since this claim was made: its token alone tells whose it is.
    if lanes.claimed(connection, claim).await?.is_none() {
        return Ok(false);
    }
    let entries: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(number) + 1, 0) FROM pinhost_journal WHERE pipeline = ? AND lane = ?",
    )
    .bind(lanes.pipeline)
    .bind(claim.lane.name())
    .fetch_one(&mut *connection)
    .await?;
    if entries.cast_unsigned() != number {
        return Ok(false);
    }
    sqlx::query("INSERT INTO pinhost_journal (pipeline, lane, number, entry) VALUES (?, ?, ?, ?)")
        .bind(lanes.pipeline)
        .bind(claim.lane.name())
        .bind(entries)
        .bind(entry)
        .execute(connection)
        .await?;
    Ok(true)
}
