//! Generations that a pipeline's sink has kept, for whoever wants one of them without running the pipeline.

use std::sync::Arc;

use super::known::known;
use crate::connect::SinkContext;
use crate::pipeline::Pipeline;
use crate::record::{ConnectorError, Digest, Generation};

#[derive(Debug, thiserror::Error)]
pub enum KeptGenerationError {
    #[error(transparent)]
    Sink(#[from] ConnectorError),
    #[error("{pipeline} has kept no generation {digest}; it knows {known}")]
    Unknown { pipeline: Arc<str>, digest: String, known: String },
    #[error("generation {digest} may be each of {known}")]
    Ambiguous { digest: String, known: String },
}

/// What the sink has kept under this digest, or under one that begins like this. Nothing is claimed.
pub async fn kept_generation(
    pipeline: &Pipeline,
    digest: &str,
) -> Result<Generation, KeptGenerationError> {
    let context = SinkContext {
        pipeline: Arc::clone(&pipeline.name),
        source: None,
        has_rule: pipeline.rule.is_some(),
        keep_dead_letters: None,
        replaces: false,
        replay_into: None,
    };
    let sink = pipeline.sink.open(context).await?;
    let archive = &*sink.ledger().archive;
    let known = known(archive, Vec::new()).await?;
    let all = || known.iter().map(|known| known.generation.as_str());
    let told = |digests: Vec<&str>| match digests.is_empty() {
        true => "none".to_owned(),
        false => digests.iter().map(|digest| &digest[..12]).collect::<Vec<_>>().join(", "),
    };
    let meant: Vec<_> = all().filter(|known| known.starts_with(digest)).collect();
    let whole = match meant[..] {
        // One that was never judged and cleaned nothing may be kept as well.
        [] => digest,
        [one] => one,
        _ => {
            let (digest, known) = (digest.to_owned(), told(meant));
            return Err(KeptGenerationError::Ambiguous { digest, known });
        }
    };
    let kept = match whole.parse::<Digest>() {
        Ok(whole) => archive.generation(whole).await?,
        Err(_) => None,
    };
    kept.ok_or_else(|| KeptGenerationError::Unknown {
        pipeline: Arc::clone(&pipeline.name),
        digest: digest.to_owned(),
        known: told(all().collect()),
    })
}
