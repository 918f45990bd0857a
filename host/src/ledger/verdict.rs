//! What a pipeline found out about generations.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::lane::shown;
use crate::record::Digest;

/// How a generation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did well.
    Live,
    /// It did not get as far as cleaning a record that counts.
    Refused,
    /// It was refused before and has taken over since: nothing more is known.
    OnProbation,
    /// It took over, and the one before took over again.
    RolledBack,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Refused => "refused",
            Self::OnProbation => "on probation",
            Self::RolledBack => "rolled back",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no verdict")]
pub struct VerdictError(String);

impl FromStr for Verdict {
    type Err = VerdictError;

    fn from_str(name: &str) -> Result<Self, VerdictError> {
        let known = [Self::Live, Self::Refused, Self::OnProbation, Self::RolledBack];
        let verdict = known.into_iter().find(|verdict| verdict.name() == name);
        verdict.ok_or_else(|| VerdictError(name.to_owned()))
    }
}

/// A verdict, and why it came to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    #[serde(serialize_with = "shown")]
    pub generation: Digest,
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub time: SystemTime,
}

/// What is known of a generation: that it was rolled back, whatever others found later that tried it at the
/// same time; or else what was found last.
pub fn judgement_of(generation: Digest, judgements: &[Judgement]) -> Option<&Judgement> {
    let of_it = || judgements.iter().rev().filter(|it| it.generation == generation);
    of_it().find(|it| it.verdict == Verdict::RolledBack).or_else(|| of_it().next())
}
