//! What cleaned the rows, so that an audit years later finds it; how that did; and what sources note down.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{LaneKeys, SqlConnection, lanes, values};
use crate::ledger::letter::stored_text;
use crate::ledger::{Claim, Judgement, LedgerFault, Verdict};
use crate::record::{ConnectorError, Digest, Generation, Lane, PluginBytes};

/// A plugin of a generation, as it is listed there.
#[derive(Serialize, Deserialize)]
struct ListedPlugin {
    name: String,
    digest: String,
}

pub(super) async fn keep(
    sql: &mut dyn SqlConnection,
    generation: &Generation,
) -> Result<(), ConnectorError> {
    let listed = generation.plugins.iter().map(|plugin| ListedPlugin {
        name: plugin.name.clone(),
        digest: plugin.digest.to_string(),
    });
    let listed = serde_json::to_string(&listed.collect::<Vec<_>>()).expect("texts");
    let keep = "INSERT INTO pinhost.generation (digest, resolved, plugins, time) \
                VALUES ($1, $2, $3, :now) ON CONFLICT (digest) DO NOTHING";
    let values = values![generation.digest.to_string(), &*generation.resolved, listed];
    if sql.execute(keep, values).await? == 0 {
        return Ok(());
    }
    for plugin in &generation.plugins {
        let keep = "INSERT INTO pinhost.plugin (digest, bytes) VALUES ($1, $2) \
                    ON CONFLICT (digest) DO NOTHING";
        sql.execute(keep, values![plugin.digest.to_string(), &*plugin.bytes]).await?;
    }
    Ok(())
}

pub(super) async fn generation(
    sql: &mut dyn SqlConnection,
    digest: Digest,
) -> Result<Option<Generation>, ConnectorError> {
    let find = "SELECT resolved, plugins FROM pinhost.generation WHERE digest = $1";
    let Some(found) = sql.row(find, values![digest.to_string()]).await? else {
        return Ok(None);
    };
    let (resolved, plugins) = (found.some_text(0)?, found.some_text(1)?);
    let table = sql.dialect().table("generation");
    let broken = LedgerFault::state(table, "list of plugins", &plugins);
    let listed: Vec<ListedPlugin> = match serde_json::from_str(&plugins) {
        Ok(listed) => listed,
        Err(_) => return Err(sql.fault(broken)),
    };
    let mut plugins = Vec::with_capacity(listed.len());
    for ListedPlugin { name, digest } in listed {
        let find = "SELECT bytes FROM pinhost.plugin WHERE digest = $1";
        let found = sql.row(find, values![&*digest]).await?;
        let bytes = found.map(|row| row.bytes(0)).transpose()?.flatten();
        let (Some(bytes), Ok(digest)) = (bytes, digest.parse()) else {
            return Err(sql.fault(broken));
        };
        plugins.push(PluginBytes { name, digest, bytes: bytes.into() });
    }
    Ok(Some(Generation { digest, resolved: resolved.into(), plugins }))
}

pub(super) async fn judge(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    judgement: &Judgement,
) -> Result<(), ConnectorError> {
    let judge = "INSERT INTO pinhost.verdict (pipeline, generation, verdict, reason, time) \
                 VALUES ($1, $2, $3, $4, :now)";
    let reason = judgement.reason.as_deref().map(|reason| stored_text(reason).into_owned());
    let values =
        values![pipeline, judgement.generation.to_string(), judgement.verdict.name(), reason,];
    sql.execute(judge, values).await?;
    Ok(())
}

/// With the number of the last one.
pub(super) async fn judgements(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
) -> Result<(Vec<Judgement>, i64), ConnectorError> {
    let micros = sql.dialect().micros;
    let judgements = format!(
        "SELECT generation, verdict, reason, {}, id FROM pinhost.verdict WHERE pipeline = $1 ORDER BY id",
        micros("time")
    );
    let rows = sql.rows(&judgements, values![pipeline]).await?;
    let last = rows.last().map_or(Ok(0), |row| row.some_integer(4))?;
    let table = sql.dialect().table("verdict");
    let judgements = rows.iter().map(|row| {
        let (generation, verdict) = (row.some_text(0)?, row.some_text(1)?);
        let fault = |fault| sql.fault(fault);
        Ok(Judgement {
            generation: LedgerFault::parsed(&table, "generation", &generation).map_err(fault)?,
            verdict: LedgerFault::parsed(&table, "verdict", &verdict).map_err(fault)?,
            reason: row.text(2)?,
            time: lanes::time(row.some_integer(3)?),
        })
    });
    Ok((judgements.collect::<Result<_, ConnectorError>>()?, last))
}

/// Whether somebody found a generation to be bad whose verdict comes behind the one that was heard last.
pub(crate) async fn is_condemned(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    generation: Digest,
    heard: i64,
) -> Result<bool, ConnectorError> {
    let condemned = "SELECT id FROM pinhost.verdict \
                     WHERE pipeline = $1 AND generation = $2 AND verdict = $3 AND id > $4 LIMIT 1";
    let bad = Verdict::RolledBack.name();
    let values = values![pipeline, generation.to_string(), bad, heard];
    Ok(sql.row(condemned, values).await?.is_some())
}

pub(super) async fn journal(
    sql: &mut dyn SqlConnection,
    pipeline: &str,
    lane: &Lane,
) -> Result<Vec<Bytes>, ConnectorError> {
    let entries =
        "SELECT entry FROM pinhost.journal WHERE pipeline = $1 AND lane = $2 ORDER BY number";
    let rows = sql.rows(entries, values![pipeline, lane.name()]).await?;
    rows.iter().map(|row| Ok(Bytes::from(row.bytes(0)?.unwrap_or_default()))).collect()
}

pub(super) async fn append(
    sql: &mut dyn SqlConnection,
    keys: &LaneKeys,
    claim: &Claim,
    number: u64,
    entry: &[u8],
) -> Result<bool, ConnectorError> {
    // Commits have moved the lane since this claim was made: its token alone tells whose it is.
    if lanes::claimed(sql, keys, claim).await?.is_none() {
        return Ok(false);
    }
    let (pipeline, lane) = (&*keys.pipeline, claim.lane.name());
    let entries = "SELECT coalesce(max(number) + 1, 0) FROM pinhost.journal \
                   WHERE pipeline = $1 AND lane = $2";
    let row = sql.row(entries, values![pipeline, lane]).await?;
    let entries = row.map(|row| row.some_integer(0)).transpose()?.unwrap_or_default();
    if entries.cast_unsigned() != number {
        return Ok(false);
    }
    let append =
        "INSERT INTO pinhost.journal (pipeline, lane, number, entry) VALUES ($1, $2, $3, $4)";
    sql.execute(append, values![pipeline, lane, entries, entry]).await?;
    Ok(true)
}
