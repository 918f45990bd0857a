//! What cleaned the rows, so that an audit years later finds it.

use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::time;
use crate::record::Generation;
use crate::sink::table::generation::plugins;

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
