//! Where lanes stand, and who may move them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::error::PostgresFault;
use super::lineage;
use super::session::{answered, query};
use crate::ledger::letter::stored_text;
use crate::ledger::{Claim, FirstRun, LaneState};
use crate::record::{Lane, Position, SourceId, Unit};
use crate::sink::table::{TableFault, parsed};

const TABLE: &str = "pinhost.position";

/// The lanes of one pipeline, and where their rows go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) pipeline: &'a str,
    pub(super) target: &'a str,
    /// Of a replay: the pipeline into whose rows it writes.
    pub(super) replay_into: Option<&'a str>,
}

impl Lanes<'_> {
    /// A token is random: whoever had the lane holds another one from now on. Waits for a commit of the
    /// lane that is under way.
    pub(super) async fn claim(
        &self,
        connection: &mut PgConnection,
        (source, member): (&SourceId, Uuid),
        lane: &Lane,
        start: Position,
    ) -> Result<Claim, PostgresFault> {
        self.check_identity(connection, source).await?;
        let token = Uuid::new_v4();
        let again = sqlx::query_as(
            "UPDATE pinhost.position SET token = $1, member = $4, claimed = clock_timestamp() \
             WHERE pipeline = $2 AND lane = $3 RETURNING position, accepted_rejects",
        );
        let again = again.persistent(false).bind(token).bind(self.pipeline).bind(lane.name());
        let again = again.bind(member);
        let stored: Option<(String, i64)> =
            answered(again.fetch_optional(&mut *connection)).await?;
        let (stored, accepted) = match stored {
            Some(stored) => stored,
            None => self.claim_first(connection, source, lane, start, (token, member)).await?,
        };
        let position = position(&stored)?;
        let accepted_rejects = accepted.try_into().unwrap_or_default();
        Ok(Claim { lane: lane.clone(), token, position, accepted_rejects })
    }

    /// Claims a lane that was not there yet, unless somebody else does at the same time: then it is theirs
    /// first.
    async fn claim_first(
        &self,
        connection: &mut PgConnection,
        source: &SourceId,
        lane: &Lane,
        start: Position,
        (token, member): (Uuid, Uuid),
    ) -> Result<(String, i64), PostgresFault> {
        // One at a time: of two first claimers from other sources, the second meets the first. Not asked
        // for lanes that there are, one of which a stopped process may hold up.
        let alone = query("SELECT pg_advisory_xact_lock(hashtextextended('pinhost ' || $1, 0))");
        answered(alone.bind(self.pipeline).execute(&mut *connection)).await?;
        self.check_identity(connection, source).await?;
        let first = sqlx::query_as(
            "INSERT INTO pinhost.position \
                 (pipeline, lane, source, target, position, token, member, claimed, moved) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp()) \
             ON CONFLICT (pipeline, lane) DO UPDATE \
                 SET token = excluded.token, member = excluded.member, claimed = excluded.claimed \
             RETURNING position, accepted_rejects",
        )
        .persistent(false)
        .bind(self.pipeline)
        .bind(lane.name())
        .bind(source.as_str())
        .bind(self.target)
        .bind(start.to_string())
        .bind(token)
        .bind(member);
        answered(first.fetch_one(connection)).await
    }

    /// Positions are of one source and stand for what one table holds. A copied pipeline file in which
    /// the source or the table was changed, and not the name, comes to its end here.
    async fn check_identity(
        &self,
        connection: &mut PgConnection,
        source: &SourceId,
    ) -> Result<(), PostgresFault> {
        let other = sqlx::query_as(
            "SELECT source, target FROM pinhost.position \
             WHERE pipeline = $1 AND (source <> $2 OR target <> $3) LIMIT 1",
        )
        .persistent(false)
        .bind(self.pipeline)
        .bind(source.as_str())
        .bind(self.target);
        let other: Option<(String, String)> = answered(other.fetch_optional(connection)).await?;
        let pipeline = self.pipeline.to_owned();
        match other {
            None => Ok(()),
            Some((known, _)) if known != source.as_str() => {
                let here = source.to_string();
                Err(TableFault::OtherSource { pipeline, known, here }.into())
            }
            Some((_, known)) => {
                let here = self.target.to_owned();
                Err(TableFault::OtherTarget { pipeline, known, here }.into())
            }
        }
    }

    /// Stores what was decided, unless that was done before; what is stored.
    pub(super) async fn keep_first_run(
        &self,
        connection: &mut PgConnection,
        decided: &FirstRun,
    ) -> Result<Option<FirstRun>, PostgresFault> {
        let keep = query(
            "INSERT INTO pinhost.first_run (pipeline, decided, time) \
             VALUES ($1, $2, clock_timestamp()) ON CONFLICT (pipeline) DO NOTHING",
        );
        let keep = keep.bind(self.pipeline).bind(decided.to_json());
        answered(keep.execute(&mut *connection)).await?;
        self.first_run(connection).await
    }

    pub(super) async fn first_run(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Option<FirstRun>, PostgresFault> {
        let stored =
            sqlx::query_scalar("SELECT decided FROM pinhost.first_run WHERE pipeline = $1");
        let stored = stored.persistent(false).bind(self.pipeline);
        let stored: Option<String> = answered(stored.fetch_optional(connection)).await?;
        let Some(stored) = stored else { return Ok(None) };
        match FirstRun::from_json(&stored) {
            Some(first) => Ok(Some(first)),
            None => {
                let (table, what) = ("pinhost.first_run", "first run");
                Err(TableFault::State { table, what, value: stored }.into())
            }
        }
    }

    /// Whether the claim is the lane's, and where the lane stands if it is: once every transaction that is
    /// about to move the lane has ended, and before another can. Whoever claims the lane next knows by it
    /// whose transaction is in the way, wherever its process was stopped.
    pub(super) async fn claimed(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
    ) -> Result<Option<Position>, PostgresFault> {
        let stored = sqlx::query_scalar(
            "SELECT position FROM pinhost.position \
             WHERE pipeline = $1 AND lane = $2 AND token = $3 FOR UPDATE",
        );
        let stored = stored.persistent(false).bind(self.pipeline).bind(claim.lane.name());
        let stored: Option<String> =
            answered(stored.bind(claim.token).fetch_optional(connection)).await?;
        stored.as_deref().map(position).transpose()
    }

    /// Compare-and-set on the claim and the position.
    pub(super) async fn advance(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
        unit: &Unit,
        rejects: i64,
    ) -> Result<bool, PostgresFault> {
        let advance = query(
            "UPDATE pinhost.position \
             SET position = $1, moved = clock_timestamp(), halted = NULL, \
                 accepted_rejects = greatest(accepted_rejects - $2, 0) \
             WHERE pipeline = $3 AND lane = $4 AND token = $5 AND position = $6",
        )
        .bind(unit.to.to_string())
        .bind(rejects)
        .bind(self.pipeline)
        .bind(claim.lane.name())
        .bind(claim.token)
        .bind(unit.from.to_string());
        Ok(answered(advance.execute(connection)).await?.rows_affected() == 1)
    }

    pub(super) async fn accept_rejects(
        &self,
        connection: &mut PgConnection,
        lane: &Lane,
        records: u64,
    ) -> Result<bool, PostgresFault> {
        let accept = query(
            "UPDATE pinhost.position SET accepted_rejects = accepted_rejects + $1 \
             WHERE pipeline = $2 AND lane = $3",
        )
        .bind(i64::try_from(records).unwrap_or(i64::MAX))
        .bind(self.pipeline)
        .bind(lane.name());
        Ok(answered(accept.execute(connection)).await?.rows_affected() == 1)
    }

    pub(super) async fn note_halt(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
        reason: &str,
    ) -> Result<(), PostgresFault> {
        let note = query(
            "UPDATE pinhost.position SET halted = $1 \
             WHERE pipeline = $2 AND lane = $3 AND token = $4",
        )
        .bind(stored_text(reason))
        .bind(self.pipeline)
        .bind(claim.lane.name())
        .bind(claim.token);
        answered(note.execute(connection)).await?;
        Ok(())
    }

    /// Moves a lane that nobody's commit moves meanwhile. Whoever had it has it no longer.
    pub(super) async fn move_lane(
        &self,
        connection: &mut PgConnection,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, PostgresFault> {
        let moved = query(
            "UPDATE pinhost.position SET position = $1, token = $2, moved = clock_timestamp(), halted = NULL \
             WHERE pipeline = $3 AND lane = $4 AND position = $5",
        )
        .bind(to.to_string())
        .bind(Uuid::new_v4())
        .bind(self.pipeline)
        .bind(lane.name())
        .bind(from.to_string());
        if answered(moved.execute(&mut *connection)).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if from != to {
            lineage::add_gap(connection, self, lane, from, to).await?;
        }
        Ok(true)
    }

    /// All pipelines that write where this one does.
    pub(super) async fn pipelines(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<String>, PostgresFault> {
        let pipelines = sqlx::query_scalar(
            "SELECT DISTINCT pipeline FROM pinhost.position WHERE target = $1 ORDER BY pipeline",
        );
        let pipelines = pipelines.persistent(false).bind(self.target);
        answered(pipelines.fetch_all(connection)).await
    }

    pub(super) async fn all(
        &self,
        connection: &mut PgConnection,
        has_members: bool,
    ) -> Result<Vec<LaneState>, PostgresFault> {
        let member = if has_members { "member" } else { "NULL::uuid" };
        let lanes = format!(
            "SELECT lane, source, position, token, {member} AS member, accepted_rejects, halted, \
                 (extract(epoch FROM claimed) * 1000000)::int8 AS claimed, \
                 (extract(epoch FROM moved) * 1000000)::int8 AS moved \
             FROM pinhost.position WHERE pipeline = $1 ORDER BY lane COLLATE \"C\"",
        );
        let lanes = sqlx::query(AssertSqlSafe(lanes)).persistent(false);
        let rows = answered(lanes.bind(self.pipeline).fetch_all(connection)).await?;
        rows.iter().map(state).collect()
    }
}

fn state(row: &PgRow) -> Result<LaneState, PostgresFault> {
    Ok(LaneState {
        lane: Lane::new(row.try_get::<String, _>("lane")?),
        source: SourceId::new(row.try_get::<String, _>("source")?),
        position: position(row.try_get("position")?)?,
        owner: row.try_get("token")?,
        member: row.try_get("member")?,
        claimed: time(row.try_get("claimed")?),
        moved: time(row.try_get("moved")?),
        accepted_rejects: row.try_get::<i64, _>("accepted_rejects")?.try_into().unwrap_or_default(),
        halted: row.try_get("halted")?,
    })
}

fn position(text: &str) -> Result<Position, PostgresFault> {
    Ok(parsed(TABLE, "position", text)?)
}

/// Of microseconds since 1970: pinhost's own times, which are after that.
pub(super) fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
