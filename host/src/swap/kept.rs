//! Reads a generation that a pipeline's sink has kept, without running the pipeline.

use std::sync::Arc;

use super::known::known;
use crate::connect::SinkContext;
use crate::pipeline::Pipeline;
use crate::record::{ConnectorError, Digest, Generation};

#[derive(Debug, thiserror::Error)]
pub enum KeptGenerationError {
    #[error(transparent)]
    Sink(#[from] ConnectorError),
    #[error("the sink of {pipeline} has kept no generation {digest}; it has {known}")]
    Unknown { pipeline: Arc<str>, digest: String, known: String },
    #[error("several generations begin with {digest}: {known}")]
    Ambiguous { digest: String, known: String },
}

/// The generation with this digest, or the only one whose digest begins like it. It claims nothing.
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
    let listed = |digests: Vec<&str>| match digests.is_empty() {
        true => "none".to_owned(),
        false => digests.iter().map(|digest| &digest[..12]).collect::<Vec<_>>().join(", "),
    };
    let matching: Vec<_> = all().filter(|known| known.starts_with(digest)).collect();
    let whole = match matching[..] {
        // The sink may also keep a generation that was never judged and has cleaned nothing.
        [] => digest,
        [one] => one,
        _ => {
            let (digest, known) = (digest.to_owned(), listed(matching));
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
        known: listed(all().collect()),
    })
}
