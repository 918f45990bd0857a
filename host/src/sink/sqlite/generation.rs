//! What cleaned the rows, so that an audit years later finds it.

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::error::SqliteFault;
use super::time;
use crate::record::Generation;

pub(super) async fn keep(
    connection: &mut SqliteConnection,
    generation: &Generation,
) -> Result<(), SqliteFault> {
    let plugins: Vec<_> = generation
        .plugins
        .iter()
        .map(|plugin| json!({ "name": plugin.name, "digest": plugin.digest.to_string() }))
        .collect();
    let done = sqlx::query(
        "INSERT INTO pinhost_generation (digest, resolved, plugins, time) VALUES (?, ?, ?, ?) \
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(generation.digest.to_string())
    .bind(&*generation.resolved)
    .bind(json!(plugins).to_string())
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
