//! What cleaned the rows, so that an audit years later finds it.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::time;
use crate::ledger::Judgement;
use crate::ledger::letter::stored_text;
use crate::record::{Digest, Generation};
use crate::sink::table::generation::{StoredVerdict, generation, judgement, plugins};
use crate::sink::table::parsed;

const GENERATIONS: &str = "pinhost_generation";
const VERDICTS: &str = "pinhost_verdict";

pub(super) async fn keep(
    connection: &mut SqliteConnection,
    generation: &Generation,
) -> Result<(), SqliteFault> {
    let done = sqlx::query(
        "INSERT INTO pinhost_generation (digest, resolved, plugins, time) VALUES (?, ?, ?, ?) \
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(generation.digest.to_string())
    .bind(&*generation.resolved)
    .bind(plugins(generation))
    .bind(time::now())
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    for plugin in &generation.plugins {
        sqlx::query(
            "INSERT INTO pinhost_plugin (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(plugin.digest.to_string())
        .bind(&*plugin.bytes)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    digest: Digest,
) -> Result<Option<Generation>, SqliteFault> {
    let stored: Option<(String, String)> =
        sqlx::query_as("SELECT resolved, plugins FROM pinhost_generation WHERE digest = ?")
            .bind(digest.to_string())
            .fetch_optional(&mut *connection)
            .await?;
    let Some((resolved, plugins)) = stored else { return Ok(None) };
    let bytes: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT p.digest, p.bytes FROM pinhost_generation g, json_each(g.plugins) j \
         JOIN pinhost_plugin p ON p.digest = j.value ->> 'digest' WHERE g.digest = ?",
    )
    .bind(digest.to_string())
    .fetch_all(connection)
    .await?;
    Ok(Some(generation(GENERATIONS, digest, &resolved, &plugins, &bytes)?))
}

pub(super) async fn judge(
    connection: &mut SqliteConnection,
    pipeline: &str,
    judgement: &Judgement,
) -> Result<(), SqliteFault> {
    sqlx::query(
        "INSERT INTO pinhost_verdict (pipeline, generation, verdict, reason, time) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(pipeline)
    .bind(judgement.generation.to_string())
    .bind(judgement.verdict.name())
    .bind(judgement.reason.as_deref().map(stored_text))
    .bind(time::now())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn judgements(
    connection: &mut SqliteConnection,
    pipeline: &str,
) -> Result<Vec<Judgement>, SqliteFault> {
    let stored: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
        "SELECT generation, verdict, reason, time FROM pinhost_verdict \
         WHERE pipeline = ? ORDER BY id",
    )
    .bind(pipeline)
    .fetch_all(connection)
    .await?;
    let told = stored.into_iter().map(|(generation, verdict, reason, time)| {
        let time = parsed::<Timestamp>(VERDICTS, "time", &time)?;
        let stored: StoredVerdict = (generation, verdict, reason);
        Ok(judgement(VERDICTS, stored, time.into())?)
    });
    told.collect()
}
