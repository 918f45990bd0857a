//! What the pipeline found out about generations: a log of its own. And the generations themselves.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::LogError;
use super::keys::{Keys, LogKeys};
use super::records::{Appended, Log, Record};
use super::store::LogStore;
use crate::ledger::{Judgement, Verdict};
use crate::objects::as_text;
use crate::record::{Digest, Generation, PluginBytes};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum VerdictEvent {
    Judged {
        #[serde(with = "as_text")]
        generation: Digest,
        verdict: Verdict,
        reason: Option<String>,
    },
}

#[derive(Debug)]
pub(crate) struct Verdicts {
    log: Log<VerdictEvent>,
    /// What was read before: it is asked for every few seconds, and nothing of it changes.
    known: Mutex<Vec<Judgement>>,
}

impl Verdicts {
    pub fn new(store: Arc<dyn LogStore>, keys: LogKeys) -> Self {
        Self { log: Log::new(store, keys), known: Mutex::default() }
    }

    pub async fn add(&self, judgement: &Judgement) -> Result<(), LogError> {
        let Judgement { generation, verdict, reason, time: _ } = judgement.clone();
        let attempt = Uuid::new_v4();
        let event = VerdictEvent::Judged { generation, verdict, reason };
        let record = Record::new(attempt, attempt, event);
        let known = self.known.lock().await.len();
        let mut next = self.log.end(known as u64).await?;
        while let Appended::Theirs(_) = self.log.append(next, &record).await? {
            next += 1;
        }
        Ok(())
    }

    pub async fn all(&self) -> Result<Vec<Judgement>, LogError> {
        let mut known = self.known.lock().await;
        let from = known.len() as u64;
        let end = self.log.end(from).await?;
        let records = self.log.read_all(from, end).await?;
        known.extend(records.into_iter().map(|record| {
            let VerdictEvent::Judged { generation, verdict, reason } = record.event;
            Judgement { generation, verdict, reason, time: record.time.into() }
        }));
        Ok(known.clone())
    }
}

/// The part of a resolved rule that names its plugins.
#[derive(Deserialize)]
struct Resolved {
    rule: Option<Steps>,
}

#[derive(Deserialize)]
struct Steps {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    id: String,
    plugin: String,
}

/// None if it is not kept, or not all of it.
pub(crate) async fn find(
    store: &dyn LogStore,
    keys: &Keys,
    digest: Digest,
) -> Result<Option<Generation>, LogError> {
    let key = keys.generation(digest);
    let Some(body) = store.read(&key).await? else { return Ok(None) };
    let unreadable = |cause| LogError::Unreadable { key: key.clone(), cause };
    let text = |error: &dyn std::fmt::Display| serde::de::Error::custom(error);
    let resolved = std::str::from_utf8(&body).map_err(|error| unreadable(text(&error)))?;
    let told: Resolved = serde_json::from_str(resolved).map_err(unreadable)?;
    let mut plugins: Vec<PluginBytes> = Vec::new();
    for Step { id, plugin } in told.rule.map(|rule| rule.steps).unwrap_or_default() {
        let digest: Digest = plugin.parse().map_err(|error| unreadable(text(&error)))?;
        if plugins.iter().any(|known| known.digest == digest) {
            continue;
        }
        let Some(bytes) = store.read(&keys.plugin(digest)).await? else { return Ok(None) };
        plugins.push(PluginBytes { name: id, digest, bytes: (&*bytes).into() });
    }
    Ok(Some(Generation { digest, resolved: resolved.into(), plugins }))
}
