//! Where lanes stand, and who may move them.

use std::time::SystemTime;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::error::SqliteFault;
use super::{lineage, time};
use crate::ledger::{Claim, FirstRun, LaneState};
use crate::record::{Lane, Position, SourceId, Unit};
use crate::sink::table::{TableFault, parsed};

const TABLE: &str = "pinhost_position";

/// The lanes of one pipeline, and where their rows go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) pipeline: &'a str,
    pub(super) target: &'a str,
    /// Of a replay: the pipeline into whose rows it writes.
    pub(super) replay_into: Option<&'a str>,
}

impl Lanes<'_> {
    /// A token is random: whoever had the lane holds another one from now on.
    pub(super) async fn claim(
        &self,
        connection: &mut SqliteConnection,
        (source, member): (&SourceId, Uuid),
        lane: &Lane,
        start: Position,
    ) -> Result<Claim, SqliteFault> {
        self.check_identity(connection, source).await?;
        let token = Uuid::new_v4();
        let (stored, accepted): (String, i64) = sqlx::query_as(
            "INSERT INTO pinhost_position \
                 (pipeline, lane, source, target, position, token, member, claimed, moved) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, ?7, ?7) \
             ON CONFLICT (pipeline, lane) DO UPDATE \
                 SET token = excluded.token, member = excluded.member, claimed = excluded.claimed \
             RETURNING position, accepted_rejects",
        )
        .bind(self.pipeline)
        .bind(lane.name())
        .bind(source.as_str())
        .bind(self.target)
        .bind(start.to_string())
        .bind(token.to_string())
        .bind(time::now())
        .bind(member.to_string())
        .fetch_one(connection)
        .await?;
        let position = position(&stored)?;
        let accepted_rejects = accepted.try_into().unwrap_or_default();
        Ok(Claim { lane: lane.clone(), token, position, accepted_rejects })
    }

    /// Positions are of one source and stand for what one table holds. A copied pipeline file in which
    /// the source or the table was changed, and not the name, comes to its end here.
    async fn check_identity(
        &self,
        connection: &mut SqliteConnection,
        source: &SourceId,
    ) -> Result<(), SqliteFault> {
        let other: Option<(String, String)> = sqlx::query_as(
            "SELECT source, target FROM pinhost_position \
             WHERE pipeline = ? AND (source <> ? OR target <> ?) LIMIT 1",
        )
        .bind(self.pipeline)
        .bind(source.as_str())
        .bind(self.target)
        .fetch_optional(connection)
        .await?;
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
        connection: &mut SqliteConnection,
        decided: &FirstRun,
    ) -> Result<Option<FirstRun>, SqliteFault> {
        sqlx::query(
            "INSERT INTO pinhost_first_run (pipeline, decided, time) VALUES (?, ?, ?) \
             ON CONFLICT (pipeline) DO NOTHING",
        )
        .bind(self.pipeline)
        .bind(decided.to_json())
        .bind(time::now())
        .execute(&mut *connection)
        .await?;
        self.first_run(connection).await
    }

    pub(super) async fn first_run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<FirstRun>, SqliteFault> {
        let stored: Option<String> =
            sqlx::query_scalar("SELECT decided FROM pinhost_first_run WHERE pipeline = ?")
                .bind(self.pipeline)
                .fetch_optional(connection)
                .await?;
        let Some(stored) = stored else { return Ok(None) };
        match FirstRun::from_json(&stored) {
            Some(first) => Ok(Some(first)),
            None => {
                let (table, what) = ("pinhost_first_run", "first run");
                Err(TableFault::State { table, what, value: stored }.into())
            }
        }
    }

    /// Whether the claim is the lane's, and where the lane stands if it is.
    pub(super) async fn claimed(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim,
    ) -> Result<Option<Position>, SqliteFault> {
        let stored: Option<String> = sqlx::query_scalar(
            "SELECT position FROM pinhost_position WHERE pipeline = ? AND lane = ? AND token = ?",
        )
        .bind(self.pipeline)
        .bind(claim.lane.name())
        .bind(claim.token.to_string())
        .fetch_optional(connection)
        .await?;
        stored.as_deref().map(position).transpose()
    }

    /// Compare-and-set on the claim and the position.
    pub(super) async fn advance(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim,
        unit: &Unit,
        rejects: i64,
    ) -> Result<bool, SqliteFault> {
        let done = sqlx::query(
            "UPDATE pinhost_position \
             SET position = ?, moved = ?, halted = NULL, \
                 accepted_rejects = max(accepted_rejects - ?, 0) \
             WHERE pipeline = ? AND lane = ? AND token = ? AND position = ?",
        )
        .bind(unit.to.to_string())
        .bind(time::now())
        .bind(rejects)
        .bind(self.pipeline)
        .bind(claim.lane.name())
        .bind(claim.token.to_string())
        .bind(unit.from.to_string())
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn accept_rejects(
        &self,
        connection: &mut SqliteConnection,
        lane: &Lane,
        records: u64,
    ) -> Result<bool, SqliteFault> {
        let done = sqlx::query(
            "UPDATE pinhost_position SET accepted_rejects = accepted_rejects + ? \
             WHERE pipeline = ? AND lane = ?",
        )
        .bind(i64::try_from(records).unwrap_or(i64::MAX))
        .bind(self.pipeline)
        .bind(lane.name())
        .execute(connection)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn note_halt(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim,
        reason: &str,
    ) -> Result<(), SqliteFault> {
        sqlx::query(
            "UPDATE pinhost_position SET halted = ? WHERE pipeline = ? AND lane = ? AND token = ?",
        )
        .bind(reason)
        .bind(self.pipeline)
        .bind(claim.lane.name())
        .bind(claim.token.to_string())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Moves a lane that nobody's commit moves meanwhile. Whoever had it has it no longer.
    pub(super) async fn move_lane(
        &self,
        connection: &mut SqliteConnection,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, SqliteFault> {
        let done = sqlx::query(
            "UPDATE pinhost_position SET position = ?, token = ?, moved = ?, halted = NULL \
             WHERE pipeline = ? AND lane = ? AND position = ?",
        )
        .bind(to.to_string())
        .bind(Uuid::new_v4().to_string())
        .bind(time::now())
        .bind(self.pipeline)
        .bind(lane.name())
        .bind(from.to_string())
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() == 0 {
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
        connection: &mut SqliteConnection,
    ) -> Result<Vec<String>, SqliteFault> {
        let pipelines = sqlx::query_scalar(
            "SELECT DISTINCT pipeline FROM pinhost_position WHERE target = ? ORDER BY pipeline",
        );
        Ok(pipelines.bind(self.target).fetch_all(connection).await?)
    }

    pub(super) async fn all(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<LaneState>, SqliteFault> {
        let rows = sqlx::query(
            "SELECT lane, source, position, token, member, claimed, moved, accepted_rejects, halted \
             FROM pinhost_position WHERE pipeline = ? ORDER BY lane",
        )
        .bind(self.pipeline)
        .fetch_all(connection)
        .await?;
        rows.iter().map(state).collect()
    }
}

fn state(row: &SqliteRow) -> Result<LaneState, SqliteFault> {
    let member: Option<String> = row.try_get("member")?;
    Ok(LaneState {
        lane: Lane::new(row.try_get::<String, _>("lane")?),
        source: SourceId::new(row.try_get::<String, _>("source")?),
        position: position(row.try_get("position")?)?,
        owner: parsed(TABLE, "token", row.try_get("token")?)?,
        member: member.map(|member| parsed(TABLE, "member", &member)).transpose()?,
        claimed: read_time(row.try_get("claimed")?)?,
        moved: read_time(row.try_get("moved")?)?,
        accepted_rejects: row.try_get::<i64, _>("accepted_rejects")?.try_into().unwrap_or_default(),
        halted: row.try_get("halted")?,
    })
}

fn position(text: &str) -> Result<Position, SqliteFault> {
    Ok(parsed(TABLE, "position", text)?)
}

fn read_time(text: &str) -> Result<SystemTime, SqliteFault> {
    Ok(parsed::<Timestamp>(TABLE, "time", text)?.into())
}
