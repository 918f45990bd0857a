//! What cleaned the rows, so that an audit years later finds it.

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::error::PostgresFault;
use super::session::{answered, query};
use crate::ledger::Judgement;
use crate::ledger::letter::stored_text;
use crate::record::{Digest, Generation};
use crate::sink::table::generation::{generation, judgement, plugins};

const GENERATIONS: &str = "pinhost.generation";
const VERDICTS: &str = "pinhost.verdict";

pub(super) async fn keep(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<(), PostgresFault> {
    let keep = query(
        "INSERT INTO pinhost.generation (digest, resolved, plugins, time) \
         VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(generation.digest.to_string())
    .bind(&*generation.resolved)
    .bind(plugins(generation));
    if answered(keep.execute(&mut *connection)).await?.rows_affected() == 0 {
        return Ok(());
    }
    for plugin in &generation.plugins {
        let keep = query(
            "INSERT INTO pinhost.plugin (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        );
        let keep = keep.bind(plugin.digest.to_string()).bind(&*plugin.bytes);
        answered(keep.execute(&mut *connection)).await?;
    }
    Ok(())
}

pub(super) async fn find(
    connection: &mut PgConnection,
    digest: Digest,
) -> Result<Option<Generation>, PostgresFault> {
    let find = query("SELECT resolved, plugins FROM pinhost.generation WHERE digest = $1");
    let found = answered(find.bind(digest.to_string()).fetch_optional(&mut *connection)).await?;
    let Some(found) = found else { return Ok(None) };
    let (resolved, plugins): (String, String) = (found.try_get(0)?, found.try_get(1)?);
    let bytes = query(
        "SELECT p.digest, p.bytes FROM pinhost.generation g, \
             json_array_elements(g.plugins::json) j, pinhost.plugin p \
         WHERE g.digest = $1 AND p.digest = j ->> 'digest'",
    );
    let bytes = answered(bytes.bind(digest.to_string()).fetch_all(connection)).await?;
    let bytes = bytes.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let bytes = bytes.collect::<Result<Vec<(String, Vec<u8>)>, sqlx::Error>>()?;
    Ok(Some(generation(GENERATIONS, digest, &resolved, &plugins, &bytes)?))
}

pub(super) async fn judge(
    connection: &mut PgConnection,
    pipeline: &str,
    judgement: &Judgement,
) -> Result<(), PostgresFault> {
    let judge = query(
        "INSERT INTO pinhost.verdict (pipeline, generation, verdict, reason, time) \
         VALUES ($1, $2, $3, $4, clock_timestamp())",
    )
    .bind(pipeline)
    .bind(judgement.generation.to_string())
    .bind(judgement.verdict.name())
    .bind(judgement.reason.as_deref().map(|reason| stored_text(reason).into_owned()));
    answered(judge.execute(connection)).await?;
    Ok(())
}

pub(super) async fn judgements(
    connection: &mut PgConnection,
    pipeline: &str,
) -> Result<Vec<Judgement>, PostgresFault> {
    let judgements = query(
        "SELECT generation, verdict, reason, (extract(epoch FROM time) * 1000000)::int8 \
         FROM pinhost.verdict WHERE pipeline = $1 ORDER BY id",
    );
    let rows = answered(judgements.bind(pipeline).fetch_all(connection)).await?;
    let told = rows.iter().map(|row| {
        let stored = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let micros: i64 = row.try_get(3)?;
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(micros.unsigned_abs());
        Ok(judgement(VERDICTS, stored, time)?)
    });
    told.collect()
}
