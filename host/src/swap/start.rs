//! Which generation a process begins with: the one that is written, unless it is known to be bad and a good
//! one is kept.

use std::sync::Arc;

use crate::ledger::{Archive, Judgement, Verdict, judgement_of};
use crate::pipeline::{Pipeline, RestoreError};
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Digest, ErrorClass};
use crate::run::{Conduct, Connected, Live};

use super::gates::{self, Refusal};

/// What to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// What is written: it did well before.
    Known,
    /// What is written: there is nothing to compare it with.
    First,
    /// What is written, watched beside this one.
    Beside(Digest),
    /// This one: what is written did badly.
    Kept { good: Digest, verdict: Verdict },
    /// What is written, although it did badly: nothing else is kept.
    Unhappy,
}

fn choose(written: Digest, judgements: &[Judgement]) -> Choice {
    match (verdict(written, judgements), good_beside(written, judgements)) {
        (Some(Verdict::Live), _) => Choice::Known,
        (None | Some(Verdict::OnProbation), Some(good)) => Choice::Beside(good),
        (None | Some(Verdict::OnProbation), None) => Choice::First,
        (Some(verdict), Some(good)) => Choice::Kept { good, verdict },
        (Some(_), None) => Choice::Unhappy,
    }
}

/// The one that did well last, apart from this one.
fn good_beside(other: Digest, judgements: &[Judgement]) -> Option<Digest> {
    let good = judgements.iter().rev().find(|judgement| {
        let found = verdict(judgement.generation, judgements);
        judgement.generation != other && found == Some(Verdict::Live)
    });
    good.map(|good| good.generation)
}

/// What a process begins with.
#[derive(Debug)]
pub(super) struct First {
    pub live: Arc<Live>,
    /// What it was made of.
    pub pipeline: Arc<Pipeline>,
    /// The one before, if there is a way back to it.
    pub before: Option<Arc<Pipeline>>,
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

fn verdict(generation: Digest, judgements: &[Judgement]) -> Option<Verdict> {
    judgement_of(generation, judgements).map(|judgement| judgement.verdict)
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
        before: None,
        judgement,
        is_to_be_tried: false,
    };
    let name = &written.name;
    let (good, verdict) = match choose(digest, &judgements) {
        Choice::Known => return Ok(as_written(live, None)),
        Choice::First => {
            return Ok(as_written(live, Some(gates::judged(digest, Verdict::Live, None))));
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
    let kept = match kept(written, connected, sandbox, good, &live).await {
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
            let judgement = verdict.is_none().then(|| gates::judged(digest, Verdict::Live, None));
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
        let (pipeline, before) = (Arc::clone(written), Some(before));
        return Ok(First { live, pipeline, before, judgement: None, is_to_be_tried: false });
    }
    let (verdict, reason, judgement) = match refusal {
        Some(refusal) => {
            let reason = refusal.to_string();
            let judgement = gates::judged(digest, Verdict::Refused, Some(reason.clone()));
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
    Ok(First { live: Arc::new(kept), pipeline: before, before: None, judgement, is_to_be_tried })
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn chosen(judged: &[(&str, Verdict)]) -> Choice {
        let judged: Vec<_> = judged
            .iter()
            .map(|(generation, verdict)| Judgement {
                generation: digest(generation),
                verdict: *verdict,
                reason: None,
                time: SystemTime::UNIX_EPOCH,
            })
            .collect();
        choose(digest("written"), &judged)
    }

    #[test]
    fn what_is_written_runs_unless_it_is_known_to_be_bad_and_a_good_one_is_kept() {
        use Verdict::{Live, OnProbation, Refused, RolledBack};
        let (one, two) = (digest("one"), digest("two"));
        assert_eq!(chosen(&[]), Choice::First);
        assert_eq!(chosen(&[("written", Live)]), Choice::Known);
        assert_eq!(chosen(&[("one", Live)]), Choice::Beside(one));
        assert_eq!(chosen(&[("one", Live), ("two", Live)]), Choice::Beside(two));
        assert_eq!(
            chosen(&[("one", Live), ("two", Live), ("two", RolledBack)]),
            Choice::Beside(one)
        );
        assert_eq!(chosen(&[("two", RolledBack), ("two", Live)]), Choice::First);
        let kept = Choice::Kept { good: one, verdict: RolledBack };
        let others = [("one", Live), ("written", RolledBack), ("written", Refused)];
        assert_eq!(chosen(&others), kept, "what another process found does not make it better");
        assert_eq!(chosen(&[("one", Live), ("written", RolledBack)]), kept);
        assert_eq!(chosen(&[("written", Live), ("one", Live), ("written", RolledBack)]), kept);
        assert_eq!(
            chosen(&[("one", Live), ("written", Refused), ("written", OnProbation)]),
            Choice::Beside(one)
        );
        let kept = Choice::Kept { good: one, verdict: Refused };
        assert_eq!(chosen(&[("one", Live), ("written", Refused)]), kept);
        assert_eq!(chosen(&[("written", Refused)]), Choice::Unhappy);
        assert_eq!(
            chosen(&[("one", Live), ("written", Refused), ("written", Live)]),
            Choice::Known
        );
    }
}
