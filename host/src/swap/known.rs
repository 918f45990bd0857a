//! What is known of a pipeline's generations: by its sink, and by the process that runs it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::request::GenerationStatus;
use crate::ledger::{Archive, Judgement, LineageSums, Verdict, judgement_of};
use crate::record::ConnectorError;

/// What is known of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownGeneration {
    /// Its digest.
    pub generation: String,
    pub known: Known,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Known {
    /// What was found out about it last.
    pub verdict: Option<Verdict>,
    pub reason: Option<String>,
    pub judged: Option<SystemTime>,
    /// What became of the records that it cleaned, in whichever process.
    #[serde(flatten)]
    pub sums: LineageSums,
    /// In the process that runs the pipeline.
    pub running: Option<GenerationStatus>,
}

/// All generations that the sink has heard of, and those that run; in the order in which they came.
pub async fn known(
    archive: &dyn Archive,
    running: Vec<GenerationStatus>,
) -> Result<Vec<KnownGeneration>, ConnectorError> {
    let (judgements, lineage) = (archive.judgements().await?, archive.lineage().await?);
    let mut all = All::default();
    for range in &lineage {
        if let Some(generation) = range.generation {
            let known = all.of(&generation.to_string());
            known.sums = known.sums + range.sums;
        }
    }
    for judgement in &judgements {
        let found = judgement_of(judgement.generation, &judgements).unwrap_or(judgement);
        let Judgement { generation, verdict, reason, time } = found.clone();
        let known = all.of(&generation.to_string());
        (known.verdict, known.reason, known.judged) = (Some(verdict), reason, Some(time));
    }
    for status in running {
        let known = all.of(&status.digest);
        known.running = Some(status);
    }
    Ok(all.0)
}

#[derive(Debug, Default)]
struct All(Vec<KnownGeneration>);

impl All {
    fn of(&mut self, digest: &str) -> &mut Known {
        let at = self.0.iter().position(|it| it.generation == digest).unwrap_or_else(|| {
            let known = Known::default();
            self.0.push(KnownGeneration { generation: digest.to_owned(), known });
            self.0.len() - 1
        });
        &mut self.0[at].known
    }
}
