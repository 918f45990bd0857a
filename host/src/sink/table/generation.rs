//! What cleaned the rows.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::fault::{TableFault, parsed};
use crate::ledger::Judgement;
use crate::record::{Digest, Generation, PluginBytes};

/// A plugin of a generation, as it is listed there.
#[derive(Serialize, Deserialize)]
struct Listed {
    name: String,
    digest: String,
}

/// Names and digests of its plugins, as JSON.
pub(crate) fn plugins(generation: &Generation) -> String {
    let listed = generation
        .plugins
        .iter()
        .map(|plugin| Listed { name: plugin.name.clone(), digest: plugin.digest.to_string() });
    serde_json::to_string(&listed.collect::<Vec<_>>()).expect("texts")
}

/// The other way round. `bytes` has those of all plugins, by their digests.
pub(crate) fn generation(
    table: &'static str,
    digest: Digest,
    resolved: &str,
    plugins: &str,
    bytes: &[(String, Vec<u8>)],
) -> Result<Generation, TableFault> {
    let broken = || TableFault::State { table, what: "list of plugins", value: plugins.to_owned() };
    let listed: Vec<Listed> = serde_json::from_str(plugins).map_err(|_| broken())?;
    let plugins = listed.into_iter().map(|Listed { name, digest }| {
        let (_, bytes) = bytes.iter().find(|(of, _)| *of == digest).ok_or_else(broken)?;
        let digest = parsed(table, "digest", &digest)?;
        Ok(PluginBytes { name, digest, bytes: bytes.as_slice().into() })
    });
    let plugins = plugins.collect::<Result<_, TableFault>>()?;
    Ok(Generation { digest, resolved: resolved.into(), plugins })
}

/// A stored verdict: `generation`, `verdict`, `reason`.
pub(crate) type StoredVerdict = (String, String, Option<String>);

pub(crate) fn judgement(
    table: &'static str,
    (generation, verdict, reason): StoredVerdict,
    time: SystemTime,
) -> Result<Judgement, TableFault> {
    Ok(Judgement {
        generation: parsed(table, "generation", &generation)?,
        verdict: parsed(table, "verdict", &verdict)?,
        reason,
        time,
    })
}
