//! What cleaned the rows, so that an audit years later finds it.

use sqlx::postgres::PgConnection;

use super::error::PostgresFault;
use super::session::{answered, query};
use crate::record::Generation;
use crate::sink::table::generation::plugins;

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
