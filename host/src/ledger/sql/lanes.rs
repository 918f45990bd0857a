//! Where lanes stand, and who may move them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::{SqlConnection, SqlRow, SqlTransaction, lineage, values};
use crate::ledger::letter::stored_text;
use crate::ledger::model::{self, LaneModel};
use crate::ledger::{Claim, FirstRun, LaneState, LedgerFault};
use crate::record::{ConnectorError, Lane, Position, SourceId, Unit};

const TABLE: &str = "position";

/// Whose lanes they are, and where their rows go.
#[derive(Debug, Clone)]
pub(crate) struct LaneKeys {
    pub(crate) pipeline: Arc<str>,
    /// As people wrote it.
    pub(crate) written: String,
    /// The one name of the target, once the database has told it: it may be written in several ways.
    pub(crate) resolved: OnceLock<String>,
    /// Of a replay: the pipeline into whose rows it writes.
    pub(crate) replay_into: Option<Arc<str>>,
}

impl LaneKeys {
    pub(crate) fn target(&self) -> &str {
        self.resolved.get().unwrap_or(&self.written)
    }
}

/// A token is random: whoever had the lane holds another one from now on. Waits for a commit of the lane that
/// is under way.
pub(super) async fn claim(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    (source, member): (&SourceId, Uuid),
    lane: &Lane,
    start: Position,
) -> Result<Claim, ConnectorError> {
    check_identity(sql, keys, source).await?;
    let token = Uuid::new_v4();
    let mut known = load(sql, keys, lane).await?;
    if let (None, Some(alone)) = (&known, sql.dialect().alone) {
        // One at a time: of two first claimers from other sources, the second meets the first. Not asked
        // for lanes that there are, one of which a stopped process may hold up.
        sql.rows(alone, values![&*keys.pipeline]).await?;
        check_identity(sql, keys, source).await?;
        known = load(sql, keys, lane).await?;
    }
    let Some(mut known) = known else {
        let first = LaneModel::opened(start, token, Some(member));
        insert(sql, keys, source, lane, &first).await?;
        return Ok(first.claimed(lane));
    };
    known.claim(token, Some(member));
    store(sql, keys, lane, &known, Stored::Claimed).await?;
    Ok(known.claimed(lane))
}

/// Positions are of one source and stand for what one target holds. A copied pipeline file in which the
/// source or the target was changed, and not the name, comes to its end here.
pub(super) async fn check_identity(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    source: &SourceId,
) -> Result<(), ConnectorError> {
    let other = "SELECT source, target FROM pinhost.position \
                 WHERE pipeline = $1 AND (source <> $2 OR target NOT IN ($3, $4)) LIMIT 1";
    let values = values![&*keys.pipeline, source.as_str(), keys.target(), &*keys.written];
    let Some(other) = sql.row(other, values).await? else {
        return Ok(());
    };
    let (known_source, known_target) = (other.some_text(0)?, other.some_text(1)?);
    let pipeline = keys.pipeline.to_string();
    Err(sql.fault(if known_source == source.as_str() {
        LedgerFault::OtherTarget { pipeline, known: known_target, here: keys.target().to_owned() }
    } else {
        LedgerFault::OtherSource { pipeline, known: known_source, here: source.to_string() }
    }))
}

/// The lane as it is: once every transaction that is about to change it has ended, and before another can.
/// Whoever claims the lane next knows by it whose transaction is in the way, wherever its process was
/// stopped.
async fn load(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    lane: &Lane,
) -> Result<Option<LaneModel>, ConnectorError> {
    let load = "SELECT position, CAST(token AS TEXT), CAST(member AS TEXT), accepted_rejects, halted \
                FROM pinhost.position WHERE pipeline = $1 AND lane = $2:locked";
    let Some(row) = sql.row(load, values![&*keys.pipeline, lane.name()]).await? else {
        return Ok(None);
    };
    let member = row.text(2)?;
    Ok(Some(LaneModel {
        position: parsed(sql, "position", &row.some_text(0)?)?,
        owner: parsed(sql, "token", &row.some_text(1)?)?,
        member: member.map(|member| parsed(sql, "member", &member)).transpose()?,
        accepted_rejects: row.some_integer(3)?.try_into().unwrap_or_default(),
        halted: row.text(4)?,
    }))
}

/// What of a lane changes with its state.
#[derive(Debug, Clone, Copy)]
enum Stored {
    Claimed,
    Moved,
    Noted,
}

/// Stores a lane that this transaction has loaded.
async fn store(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    lane: &Lane,
    state: &LaneModel,
    stored: Stored,
) -> Result<(), ConnectorError> {
    let time = match stored {
        Stored::Claimed => ", claimed = :now",
        Stored::Moved => ", moved = :now",
        Stored::Noted => "",
    };
    let store = format!(
        "UPDATE pinhost.position SET position = $3, token = CAST($4 AS :uuid), \
         member = CAST($5 AS :uuid), accepted_rejects = $6, halted = $7{time} \
         WHERE pipeline = $1 AND lane = $2"
    );
    let LaneModel { position, owner, member, accepted_rejects, halted } = state;
    let values = values![
        &*keys.pipeline,
        lane.name(),
        position.to_string(),
        owner.to_string(),
        member.map(|member| member.to_string()),
        *accepted_rejects,
        halted.clone(),
    ];
    sql.execute(&store, values).await?;
    Ok(())
}

async fn insert(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    source: &SourceId,
    lane: &Lane,
    first: &LaneModel,
) -> Result<(), ConnectorError> {
    let insert = "INSERT INTO pinhost.position \
                      (pipeline, lane, source, target, position, token, member, claimed, moved) \
                  VALUES ($1, $2, $3, $4, $5, CAST($6 AS :uuid), CAST($7 AS :uuid), :now, :now)";
    let LaneModel { position, owner, member, .. } = first;
    let values = values![
        &*keys.pipeline,
        lane.name(),
        source.as_str(),
        keys.target(),
        position.to_string(),
        owner.to_string(),
        member.map(|member| member.to_string()),
    ];
    sql.execute(insert, values).await?;
    Ok(())
}

/// The lane, if the claim is its owner's. It stays so until the transaction ends.
pub(crate) async fn claimed(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    claim: &Claim,
) -> Result<Option<LaneModel>, ConnectorError> {
    let known = load(sql, keys, &claim.lane).await?;
    Ok(known.filter(|known| known.owner == claim.token))
}

/// Moves the lane, as this transaction has found it, by a unit. The last thing before the commit.
pub(crate) async fn advance(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    (claim, mut lane): (&Claim, LaneModel),
    unit: &Unit,
    rejects: u64,
) -> Result<bool, ConnectorError> {
    if !lane.commit(claim.token, (unit.from, unit.to), rejects) {
        return Ok(false);
    }
    store(sql, keys, &claim.lane, &lane, Stored::Moved).await?;
    Ok(true)
}

pub(super) async fn move_lane(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    lane: &Lane,
    (from, to): (Position, Position),
) -> Result<bool, ConnectorError> {
    let Some(mut known) = load(sql, keys, lane).await? else {
        return Ok(false);
    };
    if !known.move_to((from, to), Uuid::new_v4()) {
        return Ok(false);
    }
    store(sql, keys, lane, &known, Stored::Moved).await?;
    if let Some(gap) = model::gap(lane, from, to) {
        lineage::extend(sql, &keys.pipeline, keys.target(), &gap).await?;
    }
    Ok(true)
}

pub(super) async fn accept_rejects(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    lane: &Lane,
    records: u64,
) -> Result<bool, ConnectorError> {
    let Some(mut known) = load(sql, keys, lane).await? else {
        return Ok(false);
    };
    known.accept_rejects(records);
    store(sql, keys, lane, &known, Stored::Noted).await?;
    Ok(true)
}

pub(super) async fn note_halt(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    claim: &Claim,
    reason: &str,
) -> Result<(), ConnectorError> {
    let Some(mut known) = load(sql, keys, &claim.lane).await? else {
        return Ok(());
    };
    if known.note_halt(claim.token, &stored_text(reason)) {
        store(sql, keys, &claim.lane, &known, Stored::Noted).await?;
    }
    Ok(())
}

/// All pipelines that write where this one does.
pub(super) async fn pipelines(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
) -> Result<Vec<String>, ConnectorError> {
    let pipelines = "SELECT DISTINCT pipeline FROM pinhost.position WHERE target IN ($1, $2)";
    let rows = sql.rows(pipelines, values![keys.target(), &*keys.written]).await?;
    let mut pipelines: Vec<_> =
        rows.iter().map(|row| row.some_text(0)).collect::<Result<_, _>>()?;
    pipelines.sort_unstable();
    Ok(pipelines)
}

pub(super) async fn all(
    sql: &mut dyn SqlTransaction,
    keys: &LaneKeys,
) -> Result<Vec<LaneState>, ConnectorError> {
    // Whoever only looks may find the tables of an older pinhost.
    let member = if sql.has_table("member").await? { "CAST(member AS TEXT)" } else { "NULL" };
    let micros = sql.dialect().micros;
    let all = format!(
        "SELECT lane, source, position, CAST(token AS TEXT), {member}, accepted_rejects, halted, {}, {} \
         FROM pinhost.position WHERE pipeline = $1",
        micros("claimed"),
        micros("moved")
    );
    let rows = sql.rows(&all, values![&*keys.pipeline]).await?;
    let mut lanes = Vec::with_capacity(rows.len());
    for row in &rows {
        lanes.push(state(sql, &**row)?);
    }
    lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
    Ok(lanes)
}

fn state(sql: &dyn SqlConnection, row: &dyn SqlRow) -> Result<LaneState, ConnectorError> {
    let member = row.text(4)?;
    Ok(LaneState {
        lane: Lane::new(row.some_text(0)?),
        source: SourceId::new(row.some_text(1)?),
        position: parsed(sql, "position", &row.some_text(2)?)?,
        owner: parsed(sql, "token", &row.some_text(3)?)?,
        member: member.map(|member| parsed(sql, "member", &member)).transpose()?,
        accepted_rejects: row.some_integer(5)?.try_into().unwrap_or_default(),
        halted: row.text(6)?,
        claimed: time(row.some_integer(7)?),
        moved: time(row.some_integer(8)?),
    })
}

/// Stores what was decided, unless that was done before; what is stored.
pub(super) async fn keep_first_run(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    decided: &FirstRun,
) -> Result<Option<FirstRun>, ConnectorError> {
    let keep = "INSERT INTO pinhost.first_run (pipeline, decided, time) VALUES ($1, $2, :now) \
                ON CONFLICT (pipeline) DO NOTHING";
    sql.execute(keep, values![pipeline, decided.to_json()]).await?;
    first_run(sql, pipeline).await
}

pub(super) async fn first_run(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<Option<FirstRun>, ConnectorError> {
    let stored = "SELECT decided FROM pinhost.first_run WHERE pipeline = $1";
    let Some(row) = sql.row(stored, values![pipeline]).await? else {
        return Ok(None);
    };
    let stored = row.some_text(0)?;
    let table = sql.dialect().table("first_run");
    let broken = || sql.fault(LedgerFault::state(table, "first run", &stored));
    FirstRun::from_json(&stored).ok_or_else(broken).map(Some)
}

fn parsed<T: std::str::FromStr>(
    sql: &dyn SqlConnection,
    what: &'static str,
    text: &str,
) -> Result<T, ConnectorError> {
    let table = sql.dialect().table(TABLE);
    LedgerFault::parsed(table, what, text).map_err(|fault| sql.fault(fault))
}

/// Of microseconds since 1970: pinhost's own times, which are after that.
pub(super) fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
