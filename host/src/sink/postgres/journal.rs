//! What the sources of lanes note down, entry by entry.

use bytes::Bytes;
use sqlx::postgres::PgConnection;

use super::error::PostgresFault;
use super::lane::Lanes;
use super::session::{answered, query};
use crate::ledger::Claim;
use crate::record::Lane;

pub(super) async fn entries(
    connection: &mut PgConnection,
    pipeline: &str,
    lane: &Lane,
) -> Result<Vec<Bytes>, PostgresFault> {
    let entries = sqlx::query_scalar(
        "SELECT entry FROM pinhost.journal WHERE pipeline = $1 AND lane = $2 ORDER BY number",
    );
    let entries = entries.persistent(false).bind(pipeline).bind(lane.name());
    let entries: Vec<Vec<u8>> = answered(entries.fetch_all(connection)).await?;
    Ok(entries.into_iter().map(Bytes::from).collect())
}

pub(super) async fn append(
    connection: &mut PgConnection,
    lanes: &Lanes<'_>,
    claim: &Claim,
    number: u64,
    entry: &[u8],
) -> Result<bool, PostgresFault> {
    // Commits have moved the lane since this claim was made: its token alone tells whose it is.
    if lanes.claimed(connection, claim).await?.is_none() {
        return Ok(false);
    }
    let entries = sqlx::query_scalar(
        "SELECT coalesce(max(number) + 1, 0) FROM pinhost.journal WHERE pipeline = $1 AND lane = $2",
    );
    let entries = entries.persistent(false).bind(lanes.pipeline).bind(claim.lane.name());
    let entries: i64 = answered(entries.fetch_one(&mut *connection)).await?;
    if entries.cast_unsigned() != number {
        return Ok(false);
    }
    let append = query(
        "INSERT INTO pinhost.journal (pipeline, lane, number, entry) VALUES ($1, $2, $3, $4)",
    );
    let append = append.bind(lanes.pipeline).bind(claim.lane.name()).bind(entries).bind(entry);
    answered(append.execute(connection)).await?;
    Ok(true)
}
