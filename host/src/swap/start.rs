//! Which generation a process begins with: the one that is written, unless it is known to be bad and a good
//! one is kept.

use std::sync::Arc;
use std::time::SystemTime;

use crate::ledger::{Archive, Judgement, Verdict, judgement_of};
use crate::pipeline::{Pipeline, RestoreError};
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Digest, ErrorClass};
use crate::run::{Conduct, Connected, Live};

use super::choice::{Choice, choose, good_beside, proven_beside};
use super::gates::{self, Refusal};

/// What a process begins with.
#[derive(Debug)]
pub(super) struct First {
    pub live: Arc<Live>,
    /// What it was made of.
    pub pipeline: Arc<Pipeline>,
    /// Those before, the last first, as far as there is a way back to them.
    pub before: Vec<Arc<Pipeline>>,
    /// To be stored.
    pub judgement: Option<Judgement>,
    /// What is written did not get this far, and may once there are records to try it on.
    pub is_to_be_tried: bool,
}

/// Why a generation that was kept does not run.
#[derive(Debug, thiserror::Error)]
enum KeptError {
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error("it is not kept")]
    NotKept,
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

fn reason(generation: Digest, judgements: &[Judgement]) -> String {
    let last = judgement_of(generation, judgements);
    last.and_then(|judgement| judgement.reason.clone()).unwrap_or_default()
}

pub(super) async fn first(
    written: &Arc<Pipeline>,
    connected: &Connected,
    sandbox: &Sandbox,
) -> Result<First, ConnectorError> {
    let judgements = connected.sink.ledger().archive.judgements().await?;
    let digest = written.generation().digest;
    let live = connected.live();
    let as_written = |live: Live, judgement: Option<Judgement>| First {
        live: Arc::new(live),
        pipeline: Arc::clone(written),
        before: Vec::new(),
        judgement,
        is_to_be_tried: false,
    };
    let name = &written.name;
    let (good, verdict) = match choose(digest, &judgements) {
        Choice::Known => return Ok(as_written(live, None)),
        Choice::First => {
            return Ok(as_written(live, Some(judged(digest, Verdict::Live, None))));
        }
        Choice::Unhappy => {
            let reason = reason(digest, &judgements);
            tracing::warn!(
                pipeline = %name,
                "generation {} did badly before, and runs as no other one is kept: {reason}",
                digest.short()
            );
            return Ok(as_written(live, None));
        }
        Choice::Beside(good) => (good, None),
        Choice::Kept { good, verdict } => (good, Some(verdict)),
    };
    let kept = match watched(written, connected, sandbox, (good, &judgements), &live).await {
        Ok(kept) => kept,
        Err(KeptError::Connector(error)) if error.class == ErrorClass::Transient => {
            return Err(error);
        }
        Err(error) => {
            tracing::warn!(
                pipeline = %name,
                "there is no way back to generation {}: {error}",
                good.short()
            );
            let judgement = verdict.is_none().then(|| judged(digest, Verdict::Live, None));
            return Ok(as_written(live, judgement));
        }
    };
    let (kept, before) = kept;
    let refusal = match verdict {
        Some(_) => None,
        None => gates::tests(written).await.err(),
    };
    if verdict.is_none() && refusal.is_none() {
        let probation = &written.limits.probation;
        tracing::info!(
            pipeline = %name,
            "generation {} is new here; for {} it is watched beside {}, which takes over again if need be",
            digest.short(), gates::time(probation.time.0), good.short()
        );
        let live = Arc::new(live.on_probation(Arc::new(kept), probation));
        // What runs last is what a restart begins with.
        let judgement = Some(judged(digest, Verdict::OnProbation, None));
        let pipeline = Arc::clone(written);
        return Ok(First { live, pipeline, before, judgement, is_to_be_tried: false });
    }
    let (verdict, reason, judgement) = match refusal {
        Some(refusal) => {
            let reason = refusal.to_string();
            let judgement = judged(digest, Verdict::Refused, Some(reason.clone()));
            (Verdict::Refused, reason, Some(judgement))
        }
        None => (verdict.unwrap_or(Verdict::Refused), reason(digest, &judgements), None),
    };
    tracing::error!(
        pipeline = %name,
        "what is written, generation {}, was {verdict}: {reason}; generation {} runs, which did well: change \
         the rule or its plugins, and that is tried again",
        digest.short(), good.short()
    );
    let is_to_be_tried = verdict == Verdict::Refused && judgement.is_none();
    let mut before = before.into_iter();
    let pipeline = before.next().expect("what runs was made of something");
    let (live, before) = (Arc::new(kept), before.collect());
    Ok(First { live, pipeline, before, judgement, is_to_be_tried })
}

/// A generation from the sink, at work; beside the one before if it was still on probation when it ran last.
/// With what both were made of.
async fn watched(
    written: &Arc<Pipeline>,
    connected: &Connected,
    sandbox: &Sandbox,
    (digest, judgements): (Digest, &[Judgement]),
    beside: &Live,
) -> Result<(Live, Vec<Arc<Pipeline>>), KeptError> {
    let (live, pipeline) = kept(written, connected, sandbox, digest, beside).await?;
    let Some(proven) = proven_beside(digest, judgements) else { return Ok((live, vec![pipeline])) };
    match kept(written, connected, sandbox, proven, beside).await {
        Ok((before, of_before)) => {
            let live = live.on_probation(Arc::new(before), &written.limits.probation);
            Ok((live, vec![pipeline, of_before]))
        }
        Err(KeptError::Connector(error)) if error.class == ErrorClass::Transient => {
            Err(error.into())
        }
        // There is no way back from it, and it did well so far.
        Err(_) => Ok((live, vec![pipeline])),
    }
}

/// A generation from the sink, at work.
async fn kept(
    written: &Arc<Pipeline>,
    connected: &Connected,
    sandbox: &Sandbox,
    digest: Digest,
    beside: &Live,
) -> Result<(Live, Arc<Pipeline>), KeptError> {
    let archive = &connected.sink.ledger().archive;
    let pipeline = restored(written, archive, sandbox, digest).await?;
    let mut live = connected.maker.live(&pipeline, beside).await?;
    if !Arc::ptr_eq(&live.writer, &beside.writer) {
        connected.maker.make_place(&mut live).await?;
    }
    live.remember(&conduct(&**archive, digest).await?);
    Ok((live, pipeline))
}

async fn restored(
    written: &Arc<Pipeline>,
    archive: &Arc<dyn Archive>,
    sandbox: &Sandbox,
    digest: Digest,
) -> Result<Arc<Pipeline>, KeptError> {
    let kept = archive.generation(digest).await?.ok_or(KeptError::NotKept)?;
    let (written, sandbox) = (Arc::clone(written), sandbox.clone());
    let restored = gates::aside(move || written.restored(&kept, &sandbox)).await?;
    Ok(Arc::new(restored))
}

fn judged(generation: Digest, verdict: Verdict, reason: Option<String>) -> Judgement {
    Judgement { generation, verdict, reason, time: SystemTime::now() }
}

/// What the sink knows of how it did.
async fn conduct(archive: &dyn Archive, digest: Digest) -> Result<Conduct, ConnectorError> {
    let mut conduct = Conduct::default();
    for range in archive.lineage().await?.iter().filter(|range| range.generation == Some(digest)) {
        conduct +=
            Conduct { records: range.sums.read, rejects: range.sums.dead, ..Conduct::default() };
    }
    Ok(conduct)
}

/// The last generation that did well and is not `bad`, from the sink: for a process that has none of its own.
pub(super) async fn last_good(
    written: &Arc<Pipeline>,
    archive: &Arc<dyn Archive>,
    sandbox: &Sandbox,
    bad: Digest,
) -> Result<Arc<Pipeline>, Refusal> {
    let judgements = archive.judgements().await.map_err(Refusal::Sink)?;
    let good = good_beside(bad, &judgements).ok_or(Refusal::NoneBefore)?;
    restored(written, archive, sandbox, good).await.map_err(|error| match error {
        KeptError::Connector(error) => Refusal::Sink(error),
        error @ (KeptError::NotKept | KeptError::Restore(_)) => {
            Refusal::Gone { generation: good, why: error.to_string() }
        }
    })
}
