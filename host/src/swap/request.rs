//! What somebody may ask of a pipeline that runs, and what the answer is.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::known::KnownGeneration;
use crate::ledger::LineageRange;
use crate::sink::Trace;

/// Something that is asked, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    pub asked: Asked,
    pub answer: oneshot::Sender<Answer>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    Swap {
        /// The id of a step.
        step: String,
        /// The plugin that is to take its place.
        file: PathBuf,
        is_dry: bool,
    },
    RollBack {
        /// The id of a step.
        step: String,
    },
    Generations,
    Lineage,
    /// Which generation made the rows of which a column has this value.
    Trace {
        column: String,
        value: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done {
        told: Vec<String>,
    },
    Refused {
        told: Vec<String>,
        why: String,
    },
    Generations {
        generations: Vec<KnownGeneration>,
    },
    Lineage {
        ranges: Vec<LineageRange>,
    },
    Traced {
        /// None if rows do not tell where they come from.
        trace: Option<Trace>,
    },
}

/// A generation that cleans or may clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    pub digest: String,
    pub state: Standing,
    /// Records that it cleaned in this process.
    pub records: u64,
    pub dead_letters: u64,
    /// Lanes, and from where on in each.
    pub began: Vec<(String, String)>,
}

/// What a generation is to the process that has it at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    #[serde(rename = "live")]
    Live,
    #[serde(rename = "on probation")]
    OnProbation,
    /// It takes over again if the one on probation does badly.
    #[serde(rename = "before")]
    Before,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::OnProbation => "on probation",
            Self::Before => "before",
        })
    }
}
